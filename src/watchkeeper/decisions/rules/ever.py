"""Ever: is a measure's mean on the wrong side of a level that somebody has set? Answered at any time, with a promise.

Bets on the windows' values against the level (`stats.evidence.e_detector`). Three procedures, each with its promise:

========== =========================================================================================
``once``   one answer, which stays: wrong *ever* with probability at most ``alpha``
``e-sr``   again and again: a false alarm at most every ``mean_time`` windows on average
``e-cusum`` the same, with fewer and later alarms
========== =========================================================================================

Each holds if a window's mean, given those before it, stays on the right side of the level; windows need not be
independent, and nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from watchkeeper.decisions.rules.condition import Context, waiting
from watchkeeper.decisions.rules.memory import moment
from watchkeeper.decisions.rules.series import Series, number, verdict_of
from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.rule import Evaluation, Reads
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.e_cusum import ECUSUM
from watchkeeper.stats.evidence.e_sr import ESR
from watchkeeper.stats.evidence.ever_test import EverTest

_ALARMS = 1_000
_PROCEDURES: dict[str, Any] = {"once": EverTest, "e-sr": ESR, "e-cusum": ECUSUM}


@dataclass(frozen=True, slots=True, kw_only=True)
class EverMemory:
    """The bets' state after some windows, and the windows in which they won."""

    test: str
    state: Any
    rising: bool
    folded: int = 0
    first: int = 0
    """Windows that were folded before it began: another baseline came then."""
    alarms: tuple[int, ...] = ()
    """Numbers of the last windows with an alarm."""

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> EverMemory:
        """Read what `to_payload` wrote."""
        state = _PROCEDURES[payload["test"]].of_payload(payload["state"])
        return cls(**{**payload, "state": state, "alarms": tuple(payload["alarms"])})

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "test": self.test,
            "state": self.state.to_payload(),
            "rising": self.rising,
            "folded": self.folded,
            "first": self.first,
            "alarms": list(self.alarms),
        }

    def update(self, value: float, error: float | None = None, *, stratum: int = 0) -> EverMemory:
        """Return the state after one more window's value in [0, 1]."""
        loss = np.array([value if self.rising else 1 - value], float)
        state, found = self.state.update_many(loss)
        fired = found is not None if self.test == "once" else len(found) > 0
        folded = self.folded + 1
        alarms = (*self.alarms, folded)[-_ALARMS:] if fired else self.alarms
        return replace(self, state=state, folded=folded, alarms=alarms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ever:
    """Fails where bets that the measure's mean is above ``above``, or below ``below``, have won."""

    kind: ClassVar[str] = "ever"
    needs_measure: ClassVar[bool] = True
    reads: ClassVar[Reads] = "series"
    may_page: ClassVar[bool] = True

    above: float | None = None
    """The mean must not exceed this; strictly between 0 and 1."""
    below: float | None = None
    """The mean must not be less than this; strictly between 0 and 1."""
    test: Literal["once", "e-sr", "e-cusum"] = "once"
    """``once``: one answer that stays; ``e-sr``, ``e-cusum``: alarms again and again."""
    alpha: float = 0.05
    """For ``once``: the chance of ever failing falsely."""
    mean_time: float = 1000
    """For ``e-sr`` and ``e-cusum``: windows between false alarms on average, at least."""
    min_rows: float = 20

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise BadInput("A rule of this kind needs one level.", "Say above = 0.2, or below = 0.7.")
        if self.mean_time <= 1:
            raise BadInput("A mean time between false alarms must be above 1 window.")
        self.begin(None)

    @property
    def guarantee(self) -> str:
        """What it promises, in words."""
        return str(self.begin(None).state.guarantee)

    def begin(self, described: Measure | None, own: Sequence[tuple[float, float, int]] = ()) -> EverMemory:
        """The memory before the first window."""
        level = self.above if self.above is not None else 1 - (self.below or 0.0)
        alpha = self.alpha if self.test == "once" else 1 / self.mean_time
        state = _PROCEDURES[self.test](level=level, alpha=alpha)
        return EverMemory(test=self.test, state=state, rising=self.above is not None)

    memory_of = staticmethod(EverMemory.of_payload)

    def evaluate(self, context: Context) -> Evaluation:
        """Say whether the bets have won by the last window (``once``), or in it."""
        rule, series, folded = context.rule, context.judged, context.folded
        undecided = verdict_of(series, rule, min_rows=self.min_rows) or waiting(context)
        if undecided is not None:
            return undecided
        assert folded is not None
        memory: EverMemory = folded.evidence
        at = folded.number_of(series.last.window)
        if at is None:
            return series.evaluation(
                rule,
                Verdict.INCONCLUSIVE,
                f"{series.title} of this window came after later windows were taken, and bets are made in order.",
            )
        level = self.above if self.above is not None else self.below
        side = "above" if self.above is not None else "below"
        won = [n for n in memory.alarms if n <= at] if self.test == "once" else [at] * (at in memory.alarms)
        given: dict[str, Any] = {
            "limit": level,
            "guarantee": memory.state.guarantee,
            "assumption": self._assumption(series),
            "details": {"windows": memory.folded - memory.first},
        }
        if not won:
            return series.evaluation(
                rule, Verdict.PASS, f"{series.title} is not shown to be {side} {number(level)}.", **given
            )
        place = folded.starts.index(series.last.window.start.timestamp()) - (at - won[0])
        return series.evaluation(
            rule,
            Verdict.FAIL,
            f"{series.title} is {side} {number(level)} on average: {number(series.last.value)} in this window.",
            since=moment(folded.starts[max(place, 0)]),
            **given,
        )

    def _assumption(self, series: Series) -> str:
        side, level = ("below", self.above) if self.above is not None else ("above", self.below)
        return f"if a window's mean, given those before it, stays at or {side} {number(level)}"
