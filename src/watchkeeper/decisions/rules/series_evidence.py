r"""Evidence over time for one series of windowed numbers: has this measure stopped looking like its baseline?

The same procedure as for columns (`stats.evidence.column_evidence`), with the measured value itself as the
window's one score: the rank e-process for evidence, the mean of the last four windows for effect.

- evidence: :math:`M_t \ge C/\beta` in the direction that is worse, C series sharing the budget :math:`\beta`;
- effect: that mean is off the baseline's by more than what matters, three times the variation that the
  baseline's windows showed beyond sampling, and three times the sampling error.

*Break*: three windows in a row (one, where rows are declared independent) further off than what matters plus
:math:`z_{1-\beta w_t/2C}` standard errors, and than three times the baseline's widest window. It takes the
interval's standard error as normal, so its promise is approximate.

*Rise*, where the rule names a mean time and the measure lies in [0, 1]: e-SR with one bet a window
(`stats.evidence.rise`). It promises a mean time between false alarms instead of none ever, and says so; it sees within
weeks what the ranks need most of a year for when bad days come in runs.

What was folded stays folded: outcomes that come later are shown beside the evidence and do not alter it, so its
guarantee holds for the windows as they were when they matured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.autocorrelation import lag_one, lag_one_interval, prewhiten
from watchkeeper.stats.evidence.column_evidence import EFFECT_WINDOWS, FEWEST_WINDOWS, correlations
from watchkeeper.stats.evidence.rank_e_process import change_weight, log_evidence
from watchkeeper.stats.evidence.rise import rise_of
from watchkeeper.stats.evidence.window_scores import jitter
from watchkeeper.stats.intervals import normal_quantile

_MEMORY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReading:
    """What the evidence of one series says after its last window."""

    windows: int
    log_evidence: float
    log_threshold: float
    effect: float
    tolerated: float
    usual: float
    recent: float
    since: int
    """How many windows ago the change most likely began (1: with the last one); 0: no suspect yet."""
    persistent: bool
    broken: bool
    break_distance: float
    break_threshold: float
    guarantee: str
    assumption: str

    @property
    def share_of_threshold(self) -> float:
        """ln evidence over ln threshold; never below 0."""
        return max(0.0, self.log_evidence / self.log_threshold) if self.log_threshold > 0 else inf


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesEvidence:
    """The state: values of the baseline's windows, then of production, oldest first.

    ``sign`` is 1 where higher is worse, -1 where lower is, 0 for either. Without 20 baseline windows the first
    production windows become the baseline, and say so.

    >>> rng = np.random.default_rng(3)
    >>> state = SeriesEvidence.of(0.9 + 0.01 * rng.normal(size=30), name="accuracy", sign=-1)
    >>> for value in 0.85 + 0.01 * rng.normal(size=8):
    ...     state = state.update(value, 0.01)
    >>> reading = state.reading(columns=4, budget=0.015, matters=0.02)
    >>> reading.persistent, reading.since
    (True, 8)
    """

    name: str
    sign: int
    values: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    """Standard errors of sampling, 0 where unknown."""
    strata: tuple[int, ...] = ()
    reference: int = 0
    """Values at the front that are the baseline."""
    prior: int = 0
    """Production values after them that are not suspected any more."""
    folded: int = 0
    """Production windows ever folded (without those that became the baseline)."""
    own_baseline: bool = True
    """False: the first production windows stand in for a baseline."""

    @classmethod
    def of(
        cls,
        values: Sequence[float] | NDArray[np.float64] = (),
        errors: Sequence[float] | None = None,
        *,
        name: str,
        sign: int,
        strata: Sequence[int] | None = None,
    ) -> SeriesEvidence:
        """Begin from the baseline's windows; fewer than 20 are left aside."""
        known = [float(v) for v in values]
        if len(known) < FEWEST_WINDOWS:
            return cls(name=name, sign=sign, own_baseline=False)
        return cls(
            name=name,
            sign=sign,
            values=tuple(known),
            errors=tuple(float(e) for e in errors) if errors is not None else (0.0,) * len(known),
            strata=tuple(strata) if strata is not None else (0,) * len(known),
            reference=len(known),
        )

    @property
    def ready(self) -> bool:
        """Whether there is a baseline to rank against."""
        return self.reference >= FEWEST_WINDOWS

    def update(self, value: float, error: float | None = None, *, stratum: int = 0) -> SeriesEvidence:
        """Return the state after one more window.

        Raises
        ------
        BadInput
            the value is not finite.
        """
        if not np.isfinite(value):
            raise BadInput(f"A window's value must be a number, not {value!r}.")
        state = self._with_room()
        if not self.ready:
            state = replace(state, reference=state.reference + 1)
        else:
            state = replace(state, folded=state.folded + 1)
        return replace(
            state,
            values=(*state.values, float(value)),
            errors=(*state.errors, float(error or 0.0)),
            strata=(*state.strata, stratum),
        )

    def reading(
        self,
        *,
        columns: float,
        budget: float,
        matters: float = 0.0,
        break_budget: float = 0.0,
        independent_rows: bool = False,
        mean_time: float = 0.0,
    ) -> SeriesReading:
        """What it says now, with *columns* series sharing *budget*; *mean_time* in windows asks for the rise too.

        Raises
        ------
        BadInput
            there are not yet 20 windows to compare with.
        """
        if not self.ready:
            raise BadInput(f"Evidence needs {FEWEST_WINDOWS} windows to compare with, not {self.reference}.")
        values, errors = np.array(self.values), np.array(self.errors)
        strata = np.array(self.strata) if any(self.strata) else None
        base = values[: self.reference]
        left = self._centred(values, strata)
        scale = float(np.abs(values).max()) or 1.0
        start = self.folded - (len(values) - self.reference)
        ticks = np.arange(-self.reference, len(values) - self.reference) + max(start, 0)
        scored = (left + jitter(self.name, ticks, 1)[:, 0] * scale)[None, :]
        groups = None if strata is None else strata[: self.reference]
        r, rho = correlations(scored[:, : self.reference], groups)
        ranked = prewhiten(scored, rho) if rho.any() else scored
        not_suspect = self.reference + self.prior
        log_m, length = log_evidence(
            ranked, reference=not_suspect, first=self.folded - (len(values) - not_suspect) + 1, strata=strata
        )
        threshold = log(columns / budget)
        high, low = float(log_m[0, 0]), float(log_m[0, 1])
        if self.sign == 0:
            high, low = high - log(2), low - log(2)
        side = 0 if self.sign > 0 or (self.sign == 0 and high >= low) else 1
        evidence = (high, low)[side]
        suspects = len(values) - not_suspect
        recent = left[-min(EFFECT_WINDOWS, suspects) :] if suspects else np.zeros(1)
        effect = float(recent.mean())
        tolerated = self._tolerated(left[: self.reference], errors, errors[-len(recent) :], matters)
        worse = effect if side == 0 else -effect
        distance, limit, broken = self._break(
            left, errors, columns, break_budget, matters, 1 if independent_rows else 3
        )
        usual = float(base.mean())
        assumption = self._assumption(ranked[0], int(length[0, side]), float(r[0]), float(rho[0]), strata)
        lasting = evidence >= threshold and worse > tolerated
        if mean_time and not lasting and self.sign and values.min() >= 0 and values.max() <= 1:
            risen = self._rise(values, mean_time, matters, assumption)
            if risen is not None:
                return replace(
                    risen,
                    windows=suspects,
                    broken=broken,
                    break_distance=distance,
                    break_threshold=limit,
                )
        return SeriesReading(
            windows=suspects,
            log_evidence=evidence,
            log_threshold=threshold,
            effect=effect,
            tolerated=tolerated,
            usual=usual,
            recent=usual + effect,
            since=int(length[0, side]),
            persistent=lasting,
            broken=broken,
            break_distance=distance,
            break_threshold=limit,
            guarantee=(
                f"at most a 1 in {1 / budget:.3g} chance of ever firing falsely in this deployment "
                f"({columns:g} series)"
            ),
            assumption=assumption,
        )

    def is_near(self, matters: float) -> bool:
        """Whether the last windows' effect is within a hundredth of what `reading` would tolerate, or beyond.

        Far cheaper than a reading: where it is False, nothing lasting is found (a *rise* may be). Without seasons.
        """
        values, errors = np.array(self.values), np.array(self.errors)
        suspects = len(values) - self.reference - self.prior
        if not suspects:
            return False
        usual = float(values[: self.reference].mean())
        last = slice(-min(EFFECT_WINDOWS, suspects), None)
        off = abs(float(values[last].mean()) - usual)
        return off >= 0.99 * self._tolerated(values[: self.reference] - usual, errors, errors[last], matters)

    def first_rise(self, values: Sequence[float], *, mean_time: float, matters: float) -> float:
        """Return after how many further *values* the rise begins that `reading` looks for; infinity for never."""
        if not mean_time or not self.sign:
            return inf
        every = np.array([*self.values, *values], float)
        if not self.ready or len(every) - self.reference >= _MEMORY:
            return 0
        losses = every if self.sign > 0 else 1 - every
        rise = rise_of(
            losses[: self.reference], losses[self.reference :], mean_time=mean_time, matters=matters
        )
        before = len(self.values) - self.reference
        return max(0, rise.alarms[0] - before) if rise.alarms else inf

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values; `of_payload` reads them back."""
        return {
            "name": self.name,
            "sign": self.sign,
            "values": list(self.values),
            "errors": list(self.errors),
            "strata": list(self.strata) if any(self.strata) else [],
            "reference": self.reference,
            "prior": self.prior,
            "folded": self.folded,
            "own_baseline": self.own_baseline,
        }

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> SeriesEvidence:
        """Read what `to_payload` wrote."""
        return cls(
            name=payload["name"],
            sign=payload["sign"],
            values=tuple(payload["values"]),
            errors=tuple(payload["errors"]),
            strata=tuple(payload["strata"]) or (0,) * len(payload["values"]),
            reference=payload["reference"],
            prior=payload["prior"],
            folded=payload["folded"],
            own_baseline=payload["own_baseline"],
        )

    # ---------------------------------------------------------------------------------------- inside

    def _tolerated(
        self,
        base: NDArray[np.float64],
        errors: NDArray[np.float64],
        recent: NDArray[np.float64],
        matters: float,
    ) -> float:
        """What matters, three times the baseline's variation beyond sampling, or three times the sampling error."""
        sampling = float((errors[: self.reference] ** 2).mean())
        spread = sqrt(max(0.0, float(np.var(base, ddof=1)) - sampling))
        noise = sqrt(float((recent**2).mean()) / len(recent) + sampling / self.reference)
        return max(matters, 3 * spread, 3 * noise)

    def _rise(
        self, values: NDArray[np.float64], mean_time: float, matters: float, assumption: str
    ) -> SeriesReading | None:
        """The reading of a risen loss, or None while it has not risen."""
        losses = values if self.sign > 0 else 1 - values
        rise = rise_of(
            losses[: self.reference], losses[self.reference :], mean_time=mean_time, matters=matters
        )
        if not rise.active:
            return None
        usual, recent, level = (x if self.sign > 0 else 1 - x for x in (rise.usual, rise.recent, rise.level))
        bound = "below" if self.sign > 0 else "above"
        said = f"if a window's mean, given those before it, stays at or {bound} {level:.4g}"
        if assumption.startswith("heuristic"):
            said = f"{assumption}; otherwise {said}"
        return SeriesReading(
            windows=0,
            log_evidence=rise.log_evidence,
            log_threshold=rise.log_threshold,
            effect=recent - usual,
            tolerated=matters,
            usual=usual,
            recent=recent,
            since=rise.since,
            persistent=True,
            broken=False,
            break_distance=0.0,
            break_threshold=inf,
            guarantee=f"a false alarm at most every {mean_time:,.0f} windows on average, for this measure",
            assumption=said,
        )

    def _with_room(self) -> SeriesEvidence:
        """When memory is full the older half goes, and only later windows are suspected: a new epoch."""
        production = len(self.values) - self.reference
        if production < _MEMORY:
            return self
        keep = [*range(self.reference), *range(len(self.values) - _MEMORY // 2, len(self.values))]
        return replace(
            self,
            values=tuple(self.values[i] for i in keep),
            errors=tuple(self.errors[i] for i in keep),
            strata=tuple(self.strata[i] for i in keep),
            prior=_MEMORY // 2,
        )

    def _centred(self, values: NDArray[np.float64], strata: NDArray[Any] | None) -> NDArray[np.float64]:
        base = values[: self.reference]
        if strata is None:
            return values - base.mean()
        seasons = strata[: self.reference]
        means = {
            s: base[seasons == s].mean() if (seasons == s).any() else base.mean()
            for s in set(strata.tolist())
        }
        return values - np.array([means[s] for s in strata.tolist()])

    def _break(
        self,
        left: NDArray[np.float64],
        errors: NDArray[np.float64],
        columns: float,
        budget: float,
        matters: float,
        windows: int,
    ) -> tuple[float, float, bool]:
        suspects = min(self.folded, windows, len(left) - self.reference - self.prior)
        widest = 3 * float(np.abs(left[: self.reference]).max())
        base_error = sqrt(float((errors[: self.reference] ** 2).mean()) / self.reference)
        distance, limit, past = 0.0, inf, 0
        for back in range(suspects, 0, -1):
            if not budget or not errors[-back]:
                return distance, limit, False
            off = float(left[-back])
            distance = abs(off) if self.sign == 0 else off * self.sign
            chance = budget * float(change_weight(self.folded - back + 1)) / columns
            z = normal_quantile(1 - chance)
            limit = max(matters + z * sqrt(float(errors[-back]) ** 2 + base_error**2), widest)
            past += distance > limit
        return distance, limit, suspects == windows and past == windows

    def _assumption(
        self, ranked: NDArray[np.float64], length: int, r: float, rho: float, strata: NDArray[Any] | None
    ) -> str:
        """As `ColumnEvidence`'s: what the promise rests on, and whether the windows deny it."""
        own = "the baseline's" if self.own_baseline else f"the first {self.reference} windows"
        within = "" if strata is None else " of the same season"
        before = ranked[: len(ranked) - length]
        seasons = None if strata is None else strata[: len(before)]
        still = lag_one_interval(float(lag_one(before, seasons)), len(before), level=0.99)
        if still.low > 0 or (rho > 0 and (rho > 0.75 or self.reference < 100)):
            return (
                f"heuristic: windows are dependent (lag-1 correlation {r:.2f}); "
                "a baseline of at least 100 windows, or longer windows, would help"
            )
        text = f"if windows{within} are exchangeable with {own}"
        return text if rho == 0 else f"approximately, {text} after a correction for their correlation"
