"""What a model's windows are compared with: a profile, the plan that it was counted by, and where it came from.

One file's bytes, readable on another machine and by later versions. With a sample in its profile a baseline serves
every measure; one that was made from a profile alone serves all but those that need rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from watchkeeper.domain.classes import class_key
from watchkeeper.domain.schema import Schema
from watchkeeper.domain.scoring import Scoring
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan
from watchkeeper.stats.states.sample import Sample


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowProfile:
    """One window of the baseline's own time, ``[start_us, end_us)`` in microseconds since 1970 UTC.

    How these windows differ from each other is the variation that later windows may show without an alarm.
    """

    label: str
    start_us: int
    end_us: int
    profile: Profile


@dataclass(frozen=True, eq=False, kw_only=True)
class Baseline:
    """A profile to compare with.

    Parameters
    ----------
    plan : what was counted, and between which edges; later windows are counted by the same plan.
    profile : the states of all baseline rows.
    windows : the same rows by window, if they have a time; without samples.
    source : where the rows came from (kind, path, rows, files), plain values.
    created_at : ISO 8601, UTC. A baseline knows no clock: its maker says when.
    name : what people call it.
    """

    kind: ClassVar[str] = "baseline"

    plan: ProfilePlan
    profile: Profile
    windows: tuple[WindowProfile, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    created_at: str = ""
    name: str = ""

    def scoring_of(self, said: Scoring) -> Scoring:
        """How predictions are scored: as *said*, and where nothing was, as the baseline's rows were."""
        return said.where_unknown(task=self.schema.task, positive=self.plan.positive_class)

    def __post_init__(self) -> None:
        counted = {
            name: replace(column, constant_windows=constant)
            for name, column in self.profile.columns.items()
            if (
                constant := sum(
                    bool(w.profile.columns[name].is_constant)
                    for w in self.windows
                    if name in w.profile.columns
                )
            )
        }
        if counted:
            columns = {**self.profile.columns, **counted}
            object.__setattr__(self, "profile", replace(self.profile, columns=columns))

    @classmethod
    def of_profile(
        cls,
        profile: Profile,
        *,
        windows: tuple[WindowProfile, ...] = (),
        source: Mapping[str, Any] | None = None,
        created_at: str = "",
        name: str = "",
        **options: Any,
    ) -> Self:
        """A baseline from a profile that was made before, with or without a sample of rows.

        The edges are those that its histograms were counted with; *options* are those of `ProfilePlan`.
        """
        k = profile.sample.k if profile.sample is not None else 0
        plan = ProfilePlan(schema=profile.schema, edges=profile.edges, **{"sample_k": k, **options})
        return cls(
            plan=plan,
            profile=profile,
            windows=windows,
            source=dict(source or {}),
            created_at=created_at,
            name=name,
        )

    @property
    def schema(self) -> Schema:
        """The columns."""
        return self.plan.schema

    @property
    def edges(self) -> dict[str, Edges]:
        """Edges by column."""
        return self.plan.edges

    @property
    def known(self) -> dict[str, Edges]:
        """Edges by digest: what is left out of the stored profiles of later windows."""
        return {edges.digest: edges for edges in self.edges.values()}

    @property
    def sample(self) -> Sample | None:
        """Rows of the baseline, if any were kept."""
        return self.profile.sample

    def with_positive(self, said: str | None, where: str) -> Self:
        """The same with the positive class that *where* names, if it has none of its own.

        Raises
        ------
        BadInput
            it was counted with another one.
        """
        own = self.plan.positive_class
        if said is None or (own is not None and class_key(said) == class_key(own)):
            return self
        if own is None:
            return replace(self, plan=replace(self.plan, positive=said))
        raise BadInput(
            f"{where} says that {said!r} is the positive class, and the baseline was taken with {own!r}.",
            f"Take it again:  watchkeeper baseline DATA --positive {said!r} --output FILE",
            f"Or say that {own!r} is the positive class there too.",
        )

    def without_rows(self) -> Self:
        """The same without the sample: nothing in it is any single row's."""
        return replace(self, profile=self.profile.without_rows())

    def to_payload(self) -> dict[str, Any]:
        """Everything; edges are written once (see `codec`)."""
        return {
            "plan": self.plan,
            "profile": self.profile,
            "windows": [[w.label, w.start_us, w.end_us, w.profile] for w in self.windows],
            "source": self.source,
            "created_at": self.created_at,
            "name": self.name,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        return cls(
            plan=payload["plan"],
            profile=payload["profile"],
            windows=tuple(
                WindowProfile(label=label, start_us=start, end_us=end, profile=profile)
                for label, start, end, profile in payload["windows"]
            ),
            source=dict(payload["source"]),
            created_at=payload["created_at"],
            name=payload["name"],
        )
