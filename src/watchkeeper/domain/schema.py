"""What a model's table looks like: its columns, what each holds, and what part each plays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from watchkeeper.errors import BadInput, NotFound, nearest

__all__ = ["Column", "Kind", "Role", "Schema", "Task"]


class Kind(StrEnum):
    """What the values of a column are, as statistics see them."""

    NUMERIC = "numeric"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    TEXT = "text"
    DATETIME = "datetime"
    VECTOR = "vector"
    UNKNOWN = "unknown"
    """A type that cannot be measured; it is reported by name, never dropped in silence."""

    @property
    def is_numeric(self) -> bool:
        """Whether values have an order and a distance that histograms use."""
        return self in (Kind.NUMERIC, Kind.INTEGER, Kind.DATETIME)

    @property
    def is_discrete(self) -> bool:
        """Whether values are counted one by one."""
        return self in (Kind.CATEGORICAL, Kind.BOOLEAN)


class Role(StrEnum):
    """What part a column plays for the model."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    SCORE = "score"
    OUTCOME = "outcome"
    SEGMENT = "segment"
    ID = "id"
    TIME = "time"
    VERSION = "version"
    IGNORED = "ignored"


class Task(StrEnum):
    """What the model is asked to do; it decides which performance measures exist."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, kind, role, and the Arrow type it was last seen with.

    ``score_of`` names the class that a score column is the probability of (multiclass models have one score
    column for each class); ``None`` means the positive class.
    """

    name: str
    kind: Kind
    role: Role = Role.FEATURE
    dtype: str = ""
    score_of: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `Column.of_dict` reads them back."""
        out: dict[str, Any] = {"name": self.name, "kind": self.kind.value, "role": self.role.value}
        if self.dtype:
            out["dtype"] = self.dtype
        if self.score_of is not None:
            out["score_of"] = self.score_of
        return out

    @classmethod
    def of_dict(cls, raw: Mapping[str, Any]) -> Column:
        """Read what `to_dict` wrote; unknown keys of a later version are passed over."""
        return cls(
            name=str(raw["name"]),
            kind=_member(Kind, raw["kind"], "kind"),
            role=_member(Role, raw.get("role", Role.FEATURE), "role"),
            dtype=str(raw.get("dtype", "")),
            score_of=raw.get("score_of"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of a model's rows, in order, and the task that they serve.

    >>> schema = Schema(columns=(Column(name="age", kind=Kind.INTEGER),))
    >>> schema["age"].kind
    <Kind.INTEGER: 'integer'>
    >>> Schema.of_dict(schema.to_dict()) == schema
    True
    """

    columns: tuple[Column, ...]
    task: Task | None = None
    positive: str | None = None
    """The outcome value that counts as positive in a binary task, as text; ``None``: the larger one."""
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update((column.name, column) for column in self.columns)
        if len(self._by_name) != len(self.columns):
            seen: set[str] = set()
            twice = [c.name for c in self.columns if c.name in seen or seen.add(c.name)]  # type: ignore[func-returns-value]
            raise BadInput(f"The schema names {twice[0]!r} more than once.", "Give each column its own name.")

    def __getitem__(self, name: str) -> Column:
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(f"There is no column {name!r}.{nearest(name, self._by_name)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(c.name for c in self.columns)

    def of_role(self, *roles: Role) -> tuple[Column, ...]:
        """Columns that play one of *roles*, in order."""
        return tuple(c for c in self.columns if c.role in roles)

    @property
    def classes(self) -> frozenset[str]:
        """Names of the columns that hold classes: outcomes and predictions, unless the model predicts numbers."""
        if self.task not in (Task.BINARY, Task.MULTICLASS):
            return frozenset()
        return frozenset(c.name for c in self.of_role(Role.OUTCOME, Role.PREDICTION))

    def first(self, role: Role) -> Column | None:
        """The first column of *role*, or None."""
        return next((c for c in self.columns if c.role is role), None)

    def with_columns(self, changes: Iterable[Column]) -> Schema:
        """Return a copy in which *changes* stand in for the columns of the same names."""
        new = {c.name: c for c in changes}
        for name in new:
            self[name]
        return replace(self, columns=tuple(new.get(c.name, c) for c in self.columns))

    def with_roles(self, roles: Mapping[str, Role | str]) -> Schema:
        """Return a copy with the named columns in other roles; ``score:cat`` is the score of class ``cat``.

        Raises
        ------
        NotFound
            a name is not in the schema.
        BadInput
            a role is not known.
        """
        changes = []
        for name, text in roles.items():
            role, score_of = role_and_class(text)
            changes.append(replace(self[name], role=role, score_of=score_of or self[name].score_of))
        return self.with_columns(changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        out: dict[str, Any] = {"columns": [c.to_dict() for c in self.columns]}
        if self.task is not None:
            out["task"] = self.task.value
        if self.positive is not None:
            out["positive"] = self.positive
        return out

    @classmethod
    def of_dict(cls, raw: Mapping[str, Any]) -> Schema:
        """Read what `to_dict` wrote."""
        task = raw.get("task")
        return cls(
            columns=tuple(Column.of_dict(c) for c in raw["columns"]),
            task=None if task is None else _member(Task, task, "task"),
            positive=raw.get("positive"),
        )


def role_and_class(text: Role | str) -> tuple[Role, str | None]:
    """The role that *text* names, and the class that a score is of.

    >>> role_and_class("score:cat"), role_and_class("outcome")
    ((<Role.SCORE: 'score'>, 'cat'), (<Role.OUTCOME: 'outcome'>, None))

    Raises
    ------
    BadInput
        there is no such role, or a class is named for another role than a score.
    """
    word, colon, of = str(text).partition(":")
    role: Role = _member(Role, word, "role")
    if colon and (role is not Role.SCORE or not of):
        raise BadInput(f"{str(text)!r} is not a role.", "A class is named after a score only: score:CLASS.")
    return role, of or None


def _member(enum: type[Any], value: Any, what: str) -> Any:
    try:
        return enum(value)
    except ValueError:
        known = [m.value for m in enum]
        raise BadInput(
            f"{value!r} is not a {what}.{nearest(str(value), known)}", f"Known: {', '.join(known)}."
        ) from None
