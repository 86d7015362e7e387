"""What a rule keeps of one series from window to window, and the windows that are in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.rules.series import Series
from watchkeeper.domain.window import Window
from watchkeeper.stats.evidence.seasons import season_codes

_KEPT = 1_000

Values = Callable[[Window], NDArray[np.float64]]
"""The values of a window's rows in order of time."""


class Memory(Protocol):
    """A state that takes one window after another; it is immutable, and the same again from the same windows."""

    @property
    def folded(self) -> int:
        """How many windows were ever taken."""

    def update(self, value: float, error: float | None = None, *, stratum: int = 0) -> Self:
        """Return the state after one more window's value, with its standard error and season."""

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values."""


class RowMemory(Memory, Protocol):
    """A memory that takes the rows of a window."""

    def update_many(self, values: NDArray[np.float64]) -> Self:
        """Return the state after one more window of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A memory of one series, and which windows are in it.

    A window is folded once it is mature, in order of time: one that waits for outcomes holds back those after
    it. What was folded stays folded.
    """

    evidence: Any
    """A `Memory`: `SeriesEvidence`, or what the rule's condition keeps."""
    starts: tuple[float, ...] = ()
    """Seconds since 1970 of the windows folded last, 1,000 at most."""
    until: float = 0.0
    """End of the newest folded window."""
    waiting: tuple[tuple[float, float, float | None, float, bool], ...] = ()
    """Windows that wait: start, end, value, standard error, mature."""

    def seen(
        self, series: Series, *, stale_after_s: float, season: str = "none", rows: Values | None = None
    ) -> Folded:
        """Return the state after the last window of *series* was measured, mature or not.

        With *rows* a window is folded by the values of its rows instead of its own.
        """
        point = series.points[-1]
        start, end = point.window.start.timestamp(), point.window.end.timestamp()
        if end <= self.until:
            return self
        now = series.now.timestamp() if series.now is not None else end
        entry = (start, end, point.value, point.standard_error or 0.0, series.mature)
        rest = [(s, e, v, se, m or now > e + stale_after_s) for s, e, v, se, m in self.waiting if e != end]
        waiting = sorted([*rest, entry])
        evidence, starts, until = self.evidence, list(self.starts), self.until
        while waiting and waiting[0][4]:
            begins, ends, value, error, _ = waiting.pop(0)
            until = ends
            if value is None:
                continue
            window = Window(moment(begins), moment(ends))
            if rows is not None:
                evidence = evidence.update_many(rows(window))
            else:
                code = 0
                if season != "none":
                    at = replace(point, window=window)
                    code = int(season_codes(series.local_starts([at]), season)[0])
                evidence = evidence.update(value, error, stratum=code)
            starts.append(begins)
        return Folded(evidence=evidence, starts=tuple(starts[-_KEPT:]), until=until, waiting=tuple(waiting))

    def number_of(self, window: Window) -> int | None:
        """The number (1, 2, ...) of a folded window; None where it is not among the last 1,000."""
        start = window.start.timestamp()
        if start not in self.starts:
            return None
        return int(self.evidence.folded) - len(self.starts) + self.starts.index(start) + 1

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values; `of_payload` reads them back."""
        return {
            "evidence": self.evidence.to_payload(),
            "starts": list(self.starts),
            "until": self.until,
            "waiting": [list(w) for w in self.waiting],
        }

    @classmethod
    def of_payload(cls, payload: dict[str, Any], memory: Callable[[dict[str, Any]], Any]) -> Folded:
        """Read what `to_payload` wrote; *memory* reads the state itself."""
        return cls(
            evidence=memory(payload["evidence"]),
            starts=tuple(payload["starts"]),
            until=payload["until"],
            waiting=tuple((s, e, v, se, bool(m)) for s, e, v, se, m in payload["waiting"]),
        )


def moment(seconds: float) -> datetime:
    """The time of so many *seconds* since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
