"""Whether a difference is worth a sentence: large enough, beyond chance, and beyond what baseline windows did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt

from watchkeeper.stats.states.profile import ColumnProfile

_SURPRISE = 4.75
"""Standard errors: one difference in a million by chance, since many columns and values are looked at."""
_GAP = 2.7
"""The same for a Kolmogorov-Smirnov distance, times the root of the rows."""
_ROOM = 1.5
"""How much further than the widest baseline window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a difference must pass. With ``known`` something else has judged already: only words are wanted."""

    usual: Sequence[ColumnProfile] = ()
    """The column in the baseline's own windows."""
    known: bool = False
    least_share: float = 0.01
    least_gap: float = 0.06

    def share(self, hits: float, rows: float, usual_hits: float, usual_rows: float, name: str = "") -> bool:
        """Whether a share of rows moved; *name* is the category, for what it did in baseline windows."""
        now, then = hits / max(rows, 1), usual_hits / max(usual_rows, 1)
        if abs(now - then) < (0.002 if self.known else self.least_share):
            return False
        if sqrt(2 * _surprise(hits, rows, usual_hits, usual_rows)) < (2.5 if self.known else _SURPRISE):
            return False
        return (
            self.known
            or not name
            or abs(now - then) > _ROOM * self._widest(then, lambda c: _share_of(c, name))
        )

    def missing(self, hits: float, rows: float, usual_hits: float, usual_rows: float) -> bool:
        """Whether the share of rows without a value moved."""
        then = usual_hits / max(usual_rows, 1)
        off = abs(hits / max(rows, 1) - then)
        widest = self._widest(then, lambda c: c.missing / c.rows if c.rows else None)
        return self.share(hits, rows, usual_hits, usual_rows) and (self.known or off > _ROOM * widest)

    def gap(self, distance: float, rows: float, usual_rows: float, widest: float = 0.0) -> bool:
        """Whether a distance of distribution functions is one; *widest* is the baseline windows' largest."""
        if self.known:
            return distance > 0.01
        chance = _GAP / sqrt(max(rows * usual_rows / max(rows + usual_rows, 1), 1))
        return distance > max(self.least_gap, chance, _ROOM * widest)

    def error(self, share: float, rows: float, usual_rows: float) -> float:
        """Four standard errors of a difference of shares near *share*."""
        p = min(max(share, 0.01), 0.99)
        return 4 * sqrt(p * (1 - p) * (1 / max(rows, 1) + 1 / max(usual_rows, 1)))

    def _widest(self, then: float, of: Callable[[ColumnProfile], float | None]) -> float:
        return max((abs(s - then) for c in self.usual if (s := of(c)) is not None), default=0.0)


def _share_of(column: ColumnProfile, name: str) -> float | None:
    f = column.frequencies
    if f is None or not f.n or name.startswith("\0"):
        return None
    return f.counts.get(name, 0) / f.n


def _surprise(x: float, m: float, x0: float, n0: float) -> float:
    """Half the likelihood ratio of two shares."""
    pooled = (x + x0) / max(m + n0, 1)

    def kl(p: float) -> float:
        out = 0.0
        if p > 0 and pooled > 0:
            out += p * log(p / pooled)
        if p < 1 and pooled < 1:
            out += (1 - p) * log((1 - p) / (1 - pooled))
        return out

    return max(m * kl(min(x / max(m, 1), 1.0)) + n0 * kl(min(x0 / max(n0, 1), 1.0)), 0.0)
