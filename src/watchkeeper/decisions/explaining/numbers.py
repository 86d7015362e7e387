r"""What happened to a numeric column: read from two histograms, without rows.

A change :math:`T(x) = a x + b` explains the window if the baseline's distribution function, transformed, is the
window's: :math:`\sup_c |F_w(c) - F_0(T^{-1}(c))|` over the baseline's cuts is small beside
:math:`\sup_c |F_w(c) - F_0(c)|`, and mean and standard deviation are those of :math:`T(x)` (beyond the baseline's
range the cuts see nothing). Units that people mix up are tried by name, then any factor, offset and spread. Where
part of the rows changed, :math:`F_w = (1 - p) F_0 + p F_0 T^{-1}` is fitted by least squares in p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log, sqrt

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.explaining.explanation import Cause, Explanation
from watchkeeper.decisions.explaining.significance import Gate
from watchkeeper.decisions.explaining.wording import figure, percent, times
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.moments import Moments

Floats = NDArray[np.float64]

_NAMED: tuple[tuple[float, float, str], ...] = (
    (1.609344, 0.0, "as kilometres are to miles"),
    (0.45359237, 0.0, "as kilograms are to pounds"),
    (0.3048, 0.0, "as metres are to feet"),
    (2.54, 0.0, "as centimetres are to inches"),
    (60.0, 0.0, "as minutes are to hours, or seconds to minutes"),
    (3600.0, 0.0, "as seconds are to hours"),
    (24.0, 0.0, "as hours are to days"),
    (7.0, 0.0, "as days are to weeks"),
    (12.0, 0.0, "as months are to years"),
    (1.8, 32.0, "as Fahrenheit is to Celsius"),
    (1.0, 273.15, "as kelvin is to Celsius"),
)
_TENS = tuple(10.0**k for k in (1, 2, 3, 4, 6, 9))


@dataclass(frozen=True, slots=True)
class Change:
    """x becomes ``factor`` x + ``offset``; ``unit`` names a known pair of units."""

    factor: float
    offset: float = 0.0
    unit: str = ""

    @property
    def inverse(self) -> Change:
        """The way back."""
        turned = self.unit.replace(" are to ", "|").replace(" is to ", "|")
        if self.unit and ", or " not in self.unit:
            one, other = turned.removeprefix("as ").split("|")
            verb = "is" if " is to " in self.unit else "are"
            turned = f"as {other} {verb} to {one}"
        elif self.unit:
            turned = "as hours are to minutes, or minutes to seconds"
        return Change(1 / self.factor, -self.offset / self.factor, turned)


_UNITS = [Change(f) for f in _TENS] + [Change(*named) for named in _NAMED]
KNOWN = [*_UNITS, *(c.inverse for c in _UNITS), Change(-1.0)]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """One side: the finite values of a column."""

    histogram: Histogram
    moments: Moments

    @property
    def rows(self) -> float:
        """Finite values."""
        return float(self.histogram.n)

    def below(self, at: Floats) -> Floats:
        """Share of values below each point, for points in any order."""
        order = np.argsort(at, kind="stable")
        out = np.empty(len(at))
        out[order] = self.histogram.share_below(at[order])
        return out

    @property
    def middle(self) -> float:
        """The median."""
        return float(self.histogram.quantile(0.5))

    @property
    def half(self) -> float:
        """Width of the middle half."""
        low, high = self.histogram.quantile([0.25, 0.75])
        return float(high - low)

    @property
    def middle_is_known(self) -> bool:
        """Whether the median lies between cuts, and not in an open bin of which only the mean is known."""
        inside = np.cumsum(self.histogram.counts) / max(self.rows, 1)
        first, last = float(inside[0]), float(inside[-2]) if len(inside) > 1 else 1.0
        tails = (self.histogram.low, self.histogram.high)
        if first >= 0.5:
            return tails[0].min == tails[0].max
        return last >= 0.5 or tails[1].min == tails[1].max


def explain_numbers(
    column: str, before: Numbers, after: Numbers, gate: Gate, *, widest: float = 0.0
) -> list[Explanation]:
    """Return what happened, the most telling first; nothing where the two differ by chance.

    *widest* is the largest distance of a baseline window from the baseline. Both sides have the same edges.
    """
    if before.rows < 2 or after.rows < 2:
        return []
    cuts = before.histogram.edges.cuts.astype(float)
    if not len(cuts):
        return []
    fit = _Fit(before, after, cuts)
    if not gate.gap(fit.gap, after.rows, before.rows, widest):
        return _out_of_range(column, before, after, gate)
    if (
        after.moments.n
        and after.moments.min == after.moments.max < np.inf
        and before.moments.min < before.moments.max
    ):
        return [_constant(column, after)]
    offsets, factors, spreads = fit.free()
    for changes in (KNOWN, [*offsets, *factors]):
        exact = fit.best(changes, strict=True)
        if exact is not None:
            return [_changed(column, exact, before, after, exact=True)]
    beyond = _out_of_range(column, before, after, gate)
    for part in (_filled(column, before, after, fit), _part_scaled(column, before, after, fit)):
        if part is not None:
            return [part]
    low, high = _outside(before, after)
    if beyond and min(low, high) < 0.2 * max(low, high) and fit.rest_as_before(low, high):
        return beyond
    exact = fit.best(spreads, strict=True)
    if exact is not None and not (beyond and abs(log(exact.factor)) > 4):
        return [_changed(column, exact, before, after)]
    mixed = _mixed(column, fit)
    if mixed is not None:
        return beyond if beyond and beyond[0].share >= 0.4 * mixed.share else [mixed]
    for changes in ([*KNOWN, *offsets, *factors], spreads):
        loose = fit.best(changes, strict=False)
        if loose is not None:
            return [_changed(column, loose, before, after)]
    return beyond or [_shape(column, fit)]


class _Fit:
    """Distances of the window from the baseline, and from the baseline after a change."""

    def __init__(self, before: Numbers, after: Numbers, cuts: Floats) -> None:
        self.before, self.after, self.cuts = before, after, cuts
        self.base, self.now = before.below(cuts), after.below(cuts)
        self.gap = float(np.abs(self.now - self.base).max())
        # Where a change takes each cut is subject to rounding. A cut just after a value that has a bin of its own stays
        # just after it; integers, which were rounded, are told apart half way.
        atoms = before.histogram.edges.atoms[1:-1]
        self.at, self.room = cuts.copy(), np.zeros(len(cuts))
        if before.histogram.edges.cuts.dtype.kind in "iu":
            self.at -= 0.5
        else:
            self.at[1:][atoms] = cuts[:-1][atoms]
            self.room[1:][atoms] = 1.0
            self.room[:-1][atoms] = -1.0
        m, n = after.rows, before.rows
        self.noise = 1.8 * sqrt(1 / m + 1 / n) + before.histogram.fullest_share
        a = before.moments
        kurtosis = a.m4 * a.n / a.m2**2 if a.m2 > 0 else 3.0
        self.sd = a.sd if a.n > 1 else 0.0
        self.sd_error = sqrt(max(kurtosis - 1, 1) * (1 / m + 1 / n) / 4)
        self.mean_error = sqrt(1 / m + 1 / n)

    def predicted(self, change: Change) -> Floats:
        """The baseline's distribution function at the cuts, after *change*."""
        back = (self.at - change.offset) / change.factor
        room = self.room * (1e-9 * np.abs(back) + 1e-12 * (self.sd + 1e-300))
        if change.factor > 0:
            return self.before.below(back + room)
        return 1 - self.before.below(back - room)

    def error(self, change: Change) -> tuple[float, bool, bool]:
        """How badly a change explains the window, whether well enough, and whether at least mostly."""
        gap = float(np.abs(self.now - self.predicted(change)).max())
        then, now = self.before.moments, self.after.moments
        sd = abs(change.factor) * self.sd
        if not (sd > 0 and isfinite(now.mean)):
            return gap, False, False
        off_mean = abs(now.mean - (change.factor * then.mean + change.offset)) / sd
        off_sd = abs(log(max(now.sd, 1e-300) / sd)) if now.n > 1 and now.sd > 0 else 9.0
        close = off_mean <= 0.1 + 5 * self.mean_error and off_sd <= 0.1 + 4 * self.sd_error
        near = off_mean <= 0.4 + 5 * self.mean_error and off_sd <= 0.35 + 4 * self.sd_error
        strict = gap <= min(max(self.noise, 0.1 * self.gap), 0.6 * self.gap) and close
        loose = gap <= 0.4 * self.gap and near
        return gap + 0.3 * min(off_mean, 1.0) + 0.2 * min(off_sd, 1.0), strict, loose

    def rest_as_before(self, low: float, high: float) -> bool:
        """Whether the rows within the baseline's range look as before, with shares *low* and *high* beyond it."""
        inside = 1 - low - high
        if inside <= 0.02:
            return False
        left = np.clip((self.now - low) / inside, 0, 1) - self.base
        return float(np.abs(left).max()) <= 1.8 * sqrt(1 / (inside * self.after.rows) + 1 / self.before.rows)

    def best(self, changes: Sequence[Change], *, strict: bool) -> Change | None:
        """The change that explains the window best; a plain offset before a factor where both do."""
        best, lowest = None, np.inf
        signed = self.before.moments.min < 0 < self.before.moments.max
        for change in changes:
            if signed and change.unit and change.offset == 0:
                continue  # of a column around 0 a factor is a spread, unless it is a power of ten
            error, fits, nearly = self.error(change)
            if not (fits if strict else nearly):
                continue
            penalty = (
                0.0
                if change.factor in _PLAIN
                else 0.01
                if change.unit
                else 0.02
                if change.factor == 1
                else 0.04
            )
            if error + penalty < lowest:
                best, lowest = change, error + penalty
        return best

    def free(self) -> tuple[list[Change], list[Change], list[Change]]:
        """Offsets, factors, and changes of spread that the two sides suggest."""
        then, now = self.before, self.after
        known = now.middle_is_known
        pairs = [(getattr(then.moments, end), getattr(now.moments, end)) for end in ("mean", "min", "max")]
        ends = [(was, becomes) for was, becomes in pairs if isfinite(was) and isfinite(becomes)]
        offsets = [becomes - was for was, becomes in ends]
        factors = [becomes / was for was, becomes in ends if was]
        spreads = [now.moments.sd / self.sd] if self.sd else []
        if known:
            offsets.append(now.middle - then.middle)
            factors += [now.middle / then.middle] if then.middle else []
            spreads += [now.half / then.half] if then.half > 0 else []
        one_signed = then.moments.min >= 0 or then.moments.max <= 0
        centres = [(then.moments.mean, now.moments.mean), *([(then.middle, now.middle)] if known else [])]
        return (
            [Change(1.0, o) for o in offsets if isfinite(o)],
            [Change(f) for f in factors if one_signed and isfinite(f) and f > 0 and abs(log(f)) > 0.05],
            [
                Change(s, new - s * old)
                for s in spreads
                for old, new in centres
                if isfinite(s) and s > 0 and abs(log(s)) > 0.15 and isfinite(new - s * old)
            ],
        )


_OF_PARTS = {-1.0, *(f for unit in _TENS for f in (unit, 1 / unit))}
_PLAIN = {*_TENS, *(1 / f for f in _TENS), -1.0}


# -- sentences ---------------------------------------------------------------------------------------------


def _became(before: Numbers, after: Numbers) -> str:
    if after.middle_is_known:
        return f"median {figure(before.middle)} became {figure(after.middle)}"
    return f"mean {figure(before.moments.mean)} became {figure(after.moments.mean)}"


def _beyond(before: Numbers, after: Numbers) -> str:
    """A clause for rows beyond the baseline's range; "" if there are hardly any."""
    low, high = _outside(before, after)
    for share, side in ((high, "above"), (low, "below")):
        if share > 0.999:
            return f"; every row is {side} anything in the baseline"
        if share >= 0.1:
            return f"; {percent(share)} of rows are {side} anything in the baseline"
    return ""


def _outside(before: Numbers, after: Numbers) -> tuple[float, float]:
    ends = np.array([before.moments.min, np.nextafter(before.moments.max, np.inf)])
    below = after.histogram.share_below(ends)
    low = float(below[0]) if after.moments.min < before.moments.min else 0.0
    high = float(1 - below[1]) if after.moments.max > before.moments.max else 0.0
    edges = after.histogram
    if edges.edges.low == before.moments.min and edges.n:
        low = edges.low.outside / edges.n
    if edges.edges.high == before.moments.max and edges.n:
        high = edges.high.outside / edges.n
    return low, high


def _changed(
    column: str, change: Change, before: Numbers, after: Numbers, *, exact: bool = False
) -> Explanation:
    details = {"factor": change.factor, "offset": change.offset, "exact": exact}
    beyond = _beyond(before, after)
    unit = f", {change.unit}" if change.unit else ""
    if change.factor == -1:
        return Explanation(
            cause=Cause.SIGN,
            column=column,
            sentence=f"{column} has the opposite sign: {_became(before, after)}{beyond}.",
            advice=f"Check where {column} is computed: a difference may be the wrong way round.",
            share=1.0,
            details=details,
        )
    if change.factor == 1:
        way = "higher" if change.offset > 0 else "lower"
        return Explanation(
            cause=Cause.SCALE if unit else Cause.SHIFT,
            column=column,
            sentence=(
                f"{column} is about {figure(abs(change.offset))} {way}{unit}: {_became(before, after)}, "
                f"and it varies as before{beyond}."
            ),
            advice=f"Check what {column} is measured from." if not unit else _units(column),
            share=1.0 if unit else _moved(before, after),
            details=details,
        )
    if change.offset == 0 or unit:
        way = "larger" if change.factor > 1 else "smaller"
        size = times(change.factor if change.factor > 1 else 1 / change.factor)
        by = unit.removeprefix(", ") if change.offset else f"about {size} times {way}{unit}"
        return Explanation(
            cause=Cause.SCALE,
            column=column,
            sentence=f"{column} is {by}: {_became(before, after)}{beyond}.",
            advice=_units(column),
            share=1.0 if unit or change.factor in _PLAIN else _moved(before, after),
            details=details,
        )
    wider = change.factor > 1
    size = times(change.factor if wider else 1 / change.factor)
    centre = before.middle if after.middle_is_known else before.moments.mean
    moved = abs((change.factor - 1) * centre + change.offset)
    still = moved < 0.1 * max(before.half, 1e-300)
    where = "around the same middle" if still else _became(before, after)
    return Explanation(
        cause=Cause.SPREAD,
        column=column,
        sentence=(
            f"{column} varies {size} times {'as much' if wider else 'less'}: standard deviation "
            f"{figure(before.moments.sd)} became {figure(after.moments.sd)}, {where}{beyond}."
        ),
        advice=f"Check whether {column} is rounded, clipped, averaged or noisier than before.",
        share=_moved(before, after),
        details=details,
    )


def _units(column: str) -> str:
    return f"Check the unit of {column} where it comes from."


def _moved(before: Numbers, after: Numbers) -> float:
    cuts = before.histogram.edges.cuts.astype(float)
    return float(np.abs(after.below(cuts) - before.below(cuts)).max()) if len(cuts) else 0.0


def _constant(column: str, after: Numbers) -> Explanation:
    return Explanation(
        cause=Cause.CONSTANT,
        column=column,
        sentence=f"{column} is {figure(after.moments.min)} in every row; the baseline has many values.",
        advice=f"Check whether {column} is still filled, or holds a default.",
        share=1.0,
        details={"value": after.moments.min},
    )


def _filled(column: str, before: Numbers, after: Numbers, fit: _Fit) -> Explanation | None:
    """One value that holds many more rows than it did."""
    h, b = after.histogram, before.histogram
    now, then = h.counts / max(h.n, 1), b.counts / max(b.n, 1)
    if len(now) != len(then):
        return None
    at = int(np.argmax(now - then))
    if at in (0, len(now) - 1):
        tail = h.low if at == 0 else h.high
        value = tail.min if at == 0 else tail.max
        border = float(b.edges.cuts[0 if at == 0 else -1])
        usual_end = before.moments.min if at == 0 else before.moments.max
        others = tail.count - tail.outside
        if not tail.outside:
            return None
        # What lies beyond the baseline is one value if its mean is that value, wherever the others lie in this bin.
        means = [(tail.sum - others * end) / tail.outside for end in (border, usual_end)]
        if not min(means) - 1e-6 * abs(value) <= value <= max(means) + 1e-6 * abs(value):
            return None
        now = now.copy()
        now[at], usual = tail.outside / h.n, 0.0
    elif b.edges.atoms[at] or (now[at] > 20 * then[at] and now[at] > 0.05):
        value, usual = float(b.edges.cuts[at - 1]), float(then[at])
    else:
        return None
    jump = float(now[at]) - usual
    if jump < max(0.02, 0.6 * fit.gap):
        return None
    if usual > 0.01 and now[at] < 1.5 * usual:
        return None
    # Without those rows, of which some had that value anyway, the others look as before.
    part = min(jump / max(1 - usual, 1e-9), 0.99)
    rest = np.clip((fit.now - part * (fit.cuts > value)) / (1 - part), 0, 1)
    if float(np.abs(rest - fit.base).max()) > max(fit.noise / sqrt(1 - part), 0.15 * fit.gap):
        return None
    return Explanation(
        cause=Cause.FILLED,
        column=column,
        sentence=f"{column}: {percent(float(now[at]))} of rows are {figure(value)}, usually {percent(usual)}.",
        advice=f"Check whether {figure(value)} stands for a missing value.",
        share=part,
        details={"value": value, "new": usual < 0.01},
    )


def _part_scaled(column: str, before: Numbers, after: Numbers, fit: _Fit) -> Explanation | None:
    """A part of the rows in another unit, the others as before."""
    best: tuple[float, float, Change] | None = None
    then, now = before.moments, after.moments
    if not then.mean or not fit.sd:
        return None
    for change in KNOWN:
        if change.factor not in _OF_PARTS:
            continue
        direction = fit.predicted(change) - fit.base
        power = float(direction @ direction)
        if power <= 0:
            continue
        part = float(direction @ (fit.now - fit.base)) / power
        if not 0.02 < part < 0.97:
            continue
        left = float(np.abs(fit.now - fit.base - part * direction).max())
        mean = then.mean + part * ((change.factor - 1) * then.mean + change.offset)
        spread = part * abs(change.factor) * fit.sd + fit.sd
        off = abs(now.mean - mean) / max(abs(mean - then.mean), 1e-300)
        second = (1 - part + part * change.factor**2) * (then.mean**2 + fit.sd**2)
        off_second = abs(log(max(now.mean**2 + now.sd**2, 1e-300) / second))
        if abs(change.factor) > 1 and off_second > 0.5 + 4 * fit.sd_error / sqrt(part):
            continue
        if left > max(0.7 * fit.noise, 0.15 * fit.gap) or off > 0.25 + 4 * fit.mean_error * spread / max(
            abs(mean - then.mean), 1e-300
        ):
            continue
        score = left + 0.2 * off
        if best is None or score < best[0]:
            best = score, part, change
    if best is None:
        return None
    _, part, change = best
    if change.factor == -1:
        how = "have the opposite sign"
    else:
        size = times(change.factor if change.factor > 1 else 1 / change.factor)
        how = f"are about {size} times {'larger' if change.factor > 1 else 'smaller'}"
    return Explanation(
        cause=Cause.MIXTURE,
        column=column,
        sentence=f"{column}: about {percent(part)} of rows {how}; the others are as before.",
        advice=f"Find the source or version that sends {column} differently.",
        share=part,
        details={"factor": change.factor, "part": part, "new": True},
    )


def _mixed(column: str, fit: _Fit) -> Explanation | None:
    """Most rows as before, and a part that is all in one place."""
    quantiles = np.unique(fit.before.histogram.quantile(np.linspace(0, 1, 21)[1:-1]))
    ends = [fit.before.moments.min, *quantiles, np.nextafter(fit.before.moments.max, np.inf)]
    points = np.unique(np.array(ends, dtype=float))
    if len(points) < 8:
        return None
    then, now = np.diff(fit.before.below(points)), np.diff(fit.after.below(points))
    known = then > 0
    ratio = np.where(known, now / np.where(known, then, 1), np.inf)
    calm = np.argsort(ratio)[: max(4, int(0.6 * len(ratio)))]
    keep = float(now[calm].sum() / max(then[calm].sum(), 1e-12))
    part = 1 - keep
    if not 0.05 <= part <= 0.6:
        return None
    error = np.sqrt(np.maximum(then, 1e-9) * (1 / fit.after.rows + 1 / fit.before.rows))
    if (np.abs(now - keep * then)[calm] > 4 * error[calm] + 0.1 * keep * then[calm]).any():
        return None
    outside = float(fit.after.below(points[:1])[0]), float(1 - fit.after.below(points[-1:])[0])
    excess = np.concatenate([[outside[0]], np.maximum(now - keep * then, 0), [outside[1]]])
    if excess.sum() < 0.8 * part:
        return None
    low, high = fit.after.moments.min, fit.after.moments.max
    borders = np.concatenate([[min(low, points[0])], points, [max(high, points[-1])]])
    rising = np.cumsum(excess) / excess.sum()
    first, last = int(np.searchsorted(rising, 0.1)), int(np.searchsorted(rising, 0.9))
    return Explanation(
        cause=Cause.MIXTURE,
        column=column,
        sentence=(
            f"{column}: about {percent(part)} of rows are unlike the baseline, most between {figure(borders[first])} and "
            f"{figure(borders[last + 1])}; the others are as before."
        ),
        advice="Find out which rows these are: another source, product or group.",
        share=part,
        details={"part": part},
    )


def _out_of_range(column: str, before: Numbers, after: Numbers, gate: Gate) -> list[Explanation]:
    out = []
    low, high = _outside(before, after)
    for share, side, now, then, most in (
        (high, "above", after.moments.max, before.moments.max, "largest"),
        (low, "below", after.moments.min, before.moments.min, "smallest"),
    ):
        if share and gate.share(share * after.rows, after.rows, 0.0, before.rows):
            out.append(
                Explanation(
                    cause=Cause.OUT_OF_RANGE,
                    column=column,
                    sentence=(
                        f"{column}: {percent(share)} of rows are {side} anything in the baseline: up to "
                        f"{figure(now)}, and the {most} was {figure(then)}."
                    ).replace("up to", "down to" if side == "below" else "up to"),
                    advice=f"Check whether such values of {column} are possible.",
                    share=share,
                    details={side: now, "baseline": then},
                )
            )
    return out


def _shape(column: str, fit: _Fit) -> Explanation:
    at = int(np.argmax(np.abs(fit.now - fit.base)))
    now, then = float(fit.now[at]), float(fit.base[at])
    side = "below" if now > then else "at or above"
    if now <= then:
        now, then = 1 - now, 1 - then
    return Explanation(
        cause=Cause.SHAPE,
        column=column,
        sentence=f"{column}: {percent(now)} of rows are {side} {figure(fit.cuts[at])}, usually {percent(then)}.",
        advice="Check whether the mix of rows that reach the model has changed.",
        share=abs(now - then),
        details={"at": float(fit.cuts[at])},
    )
