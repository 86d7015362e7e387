r"""What e-SR and e-CUSUM share: a grid of bets on a bounded loss against a level, and the bookkeeping.

Each bet :math:`\lambda` is a fair or losing game while the mean loss is at most :math:`m_0`:

.. math:: e_t = 1 + \lambda (x_t - m_0),\qquad x_t \in [0, 1],\ \lambda \in [0, 1/m_0).

The grid is :math:`\lambda = f / m_0`, `FRACTIONS`: bets for changes from 2% to 40% of what is possible.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.levels import bounded

Floats = NDArray[np.float64]

FRACTIONS: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4)

_SPAN = 32_768


def log_bets(losses: Floats, level: float, fractions: tuple[float, ...] = FRACTIONS) -> Floats:
    """Return ln e ``(bets, n)`` of *losses* ``(n,)``."""
    stakes = np.array(fractions)[:, None] / level
    out: Floats = np.log1p(stakes * (losses - level))
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class EDetector:
    """The state: capital by bet. It alarms at ``1 / alpha`` and then begins again.

    The guarantee: while the mean loss given the past is at most ``level``, the mean number of losses between
    false alarms is at least ``1 / alpha``; with a level that is an upper bound at ``1 - delta``, at least
    ``(1 - delta) / alpha``. A mean time of 1,000 still means about an even chance of one within 1,000.
    """

    name: ClassVar[str] = ""

    level: float
    alpha: float = 1e-3
    delta: float = 0.0
    """Chance that ``level`` is below the true one; 0 if it is known."""
    independent_rows: bool = False
    """Whether a loss is one row. By default it is the mean loss of one window."""
    capital: tuple[float, ...] = field(default=())
    seen: int = 0
    alarms: int = 0
    since_alarm: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise BadInput(
                f"The usual loss lies strictly between 0 and 1, not at {self.level!r}.",
                "A baseline without any error still has an upper bound above 0: use upper_rate.",
            )
        if not 0 < self.alpha < 1:
            raise BadInput(f"alpha lies between 0 and 1, not at {self.alpha!r}.", "Give 1 / (a mean time).")
        if not self.capital:
            object.__setattr__(self, "capital", (0.0,) * len(FRACTIONS))

    @property
    def value(self) -> float:
        """The capital, averaged over bets; an alarm at ``1 / alpha``."""
        return float(np.mean(self.capital))

    @property
    def mean_time(self) -> float:
        """The stated mean time between false alarms, in losses."""
        return (1 - self.delta) / self.alpha

    @property
    def guarantee(self) -> str:
        """The promise in words."""
        unit = "rows" if self.independent_rows else "windows"
        return f"a false alarm at most every {self.mean_time:,.0f} {unit} on average"

    @property
    def assumption(self) -> str:
        """What the promise rests on, in words."""
        unit = "row" if self.independent_rows else "window"
        text = f"if the mean loss of a {unit}, given those before it, stays at or below {self.level:.4g}"
        if self.independent_rows:
            text += ", rows being independent as declared"
        return text

    def update(self, loss: float) -> Self:
        """Return the state after one loss; ``alarms`` rises by one if it alarms."""
        return self.update_many(np.array([loss], dtype=float))[0]

    def update_many(self, losses: NDArray[Any]) -> tuple[Self, NDArray[np.intp]]:
        """Return the state after *losses* ``(n,)``, and the indices in *losses* at which it alarmed.

        Raises
        ------
        BadInput
            a loss is outside [0, 1].
        """
        x = bounded(losses)
        capital = np.array(self.capital)
        found: list[int] = []
        start, span = 0, _SPAN
        since = self.since_alarm
        while start < len(x):
            part = x[start : start + span]
            path, after = self._path(part, capital)
            stop = int((path >= 1 / self.alpha).argmax())
            if path[stop] >= 1 / self.alpha:
                # After an alarm the rest is computed again from nothing: short spans while alarms are dense.
                found.append(start + stop)
                start += stop + 1
                capital = np.zeros_like(capital)
                since = 0
                span = max(128, min(span, 4 * (stop + 1)))
            else:
                capital = after
                start += len(part)
                since += len(part)
                span = min(_SPAN, 2 * span)
        state = replace(
            self,
            capital=tuple(capital.tolist()),
            seen=self.seen + len(x),
            alarms=self.alarms + len(found),
            since_alarm=since,
        )
        return state, np.array(found, dtype=np.intp)

    def path(self, losses: NDArray[Any]) -> Floats:
        """Return the averaged capital after each of *losses* ``(n,)``, without alarms and restarts."""
        x = bounded(losses)
        out = np.empty(len(x))
        capital = np.array(self.capital)
        for start in range(0, len(x), _SPAN):
            out[start : start + _SPAN], capital = self._path(x[start : start + _SPAN], capital)
        return out

    def to_payload(self) -> dict[str, Any]:
        """Plain values; `of_payload` reads them back."""
        return {
            "detector": self.name,
            "level": self.level,
            "alpha": self.alpha,
            "delta": self.delta,
            "independent_rows": self.independent_rows,
            "capital": list(self.capital),
            "seen": self.seen,
            "alarms": self.alarms,
            "since_alarm": self.since_alarm,
        }

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> Self:
        """Read what `to_payload` wrote.

        Raises
        ------
        BadInput
            the payload is of another detector.
        """
        if payload["detector"] != cls.name:
            raise BadInput(f"This state is of {payload['detector']!r}, not of {cls.name!r}.")
        rest = {key: value for key, value in payload.items() if key not in ("detector", "capital")}
        return cls(capital=tuple(payload["capital"]), **rest)

    def _path(self, losses: Floats, capital: Floats) -> tuple[Floats, Floats]:
        """The averaged capital ``(n,)`` after each of *losses*, and the bets' ``(bets,)`` after the last."""
        raise NotImplementedError
