r"""Rates by group, and how far apart the groups are, with intervals that hold for all of them together.

Formula
-------
Each of :math:`K` groups has :math:`k_g` of :math:`n_g` rows. With Clopper and Pearson's interval
:math:`[l_g, u_g]` at level :math:`(1-\alpha)^{1/K}` all of them hold together with probability :math:`1-\alpha`
(groups are independent: no row is in two), and then

.. math:: \max_g p_g - \min_g p_g \in \left[\max(0, \max_g l_g - \min_g u_g),\ \max_g u_g - \min_g l_g\right]

.. math:: \frac{\min_g p_g}{\max_g p_g} \in
          \left[\frac{\min_g l_g}{\max_g u_g},\ \min\left(1, \frac{\min_g u_g}{\max_g l_g}\right)\right]

Limits
------
The observed difference of the extremes is biased upwards: with equal rates it is never 0. The interval is not: its
lower end is 0 unless the groups differ. A bootstrap of the difference has its lower end above 0 nearly always.

References
----------
C. Clopper, E. Pearson, *The use of confidence or fiducial limits*, Biometrika 26, 1934.
Z. Šidák, *Rectangular confidence regions for the means of multivariate normal distributions*, JASA 62, 1967.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.schema import Schema
from watchkeeper.errors import BadInput
from watchkeeper.measures.groups import Groups
from watchkeeper.measures.performance.decided import decided
from watchkeeper.stats.intervals import clopper_pearson
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.score_table import ConfusionCounts
from watchkeeper.stats.states.state import State


def example(**counts: tuple[int, int, int, int]) -> Groups:
    """Groups of sex with these counts of (true positive, false positive, false negative, true negative) rows.

    >>> [p.performance["confusion"].n for p in example(f=(30, 10, 20, 40), m=(40, 20, 10, 30)).profiles.values()]
    [100, 100]
    """
    profiles = {}
    for name, (tp, fp, fn, tn) in counts.items():
        decisions = [1] * (tp + fp) + [0] * (fn + tn)
        outcomes = [1] * tp + [0] * fp + [1] * fn + [0] * tn
        states: dict[str, State] = {"confusion": Confusion.of_labels(outcomes, decisions)}
        profiles[name] = Profile(schema=Schema(columns=()), performance=states)
    return Groups(axis="sex", profiles=profiles)


FEWEST_ROWS = 10
"""Groups with fewer rows behind their rate are listed and not compared."""

Rate = Callable[[ConfusionCounts], tuple[float, float]]
"""How many rows of a group have it, out of how many."""


def selected(c: ConfusionCounts) -> tuple[float, float]:
    """Predicted positive, of all rows."""
    return c.tp + c.fp, sum(c)


def found(c: ConfusionCounts) -> tuple[float, float]:
    """Predicted positive, of those that are (true positive rate)."""
    return c.tp, c.tp + c.fn


def falsely_selected(c: ConfusionCounts) -> tuple[float, float]:
    """Predicted positive, of those that are not (false positive rate)."""
    return c.fp, c.fp + c.tn


def confirmed(c: ConfusionCounts) -> tuple[float, float]:
    """Positive, of those that were predicted so (positive predictive value)."""
    return c.tp, c.tp + c.fp


def right(c: ConfusionCounts) -> tuple[float, float]:
    """Predicted as they are, of all rows."""
    return c.tp + c.tn, sum(c)


def counts_of(groups: Groups, *, threshold: float, positive: str | None) -> dict[str, ConfusionCounts | str]:
    """Each group's decisions and outcomes, or why there are none."""
    out: dict[str, ConfusionCounts | str] = {}
    for name, profile in groups.profiles.items():
        states = profile.performance
        state: Any = states.get("confusion", states.get("score_table"))
        if state is None:
            out[name] = "no decisions with outcomes"
            continue
        try:
            out[name] = decided(state, threshold=threshold, positive=positive).counts
        except BadInput as problem:
            out[name] = problem.what
    return out


def compared(
    name: str,
    groups: Groups,
    rate: Rate,
    *,
    ratio: bool = False,
    threshold: float = 0.5,
    positive: str | None = None,
    level: float = 0.95,
) -> Measurement:
    """The largest difference of a rate between groups, or the smallest rate over the largest.

    ``details`` holds every group's rate, rows and interval, and why a group was left out.
    """
    rates, left_out = rates_of(groups, rate, threshold=threshold, positive=positive)
    details: dict[str, Any] = {"left_out": left_out} if left_out else {}
    if len(rates) < 2:
        why = f"Fewer than two groups of {groups.axis} have {FEWEST_ROWS} rows to be compared by."
        return Measurement.missing(name, why, subject=groups.axis, details=details)
    spans = intervals_of(rates, level=level)
    shares = {g: k / n for g, (k, n) in rates.items()}
    low, high = min(shares, key=lambda g: (shares[g], g)), max(shares, key=lambda g: (shares[g], g))
    details |= {
        "lowest": low,
        "highest": high,
        "groups": {
            g: {"value": shares[g], "rows": rates[g][1], "low": spans[g].low, "high": spans[g].high}
            for g in sorted(rates)
        },
    }
    return Measurement(
        measure=name,
        subject=groups.axis,
        value=_ratio(shares[low], shares[high]) if ratio else shares[high] - shares[low],
        rows=sum(n for _, n in rates.values()),
        interval=ratio_interval(spans, level) if ratio else difference_interval(spans, level),
        bound=None,
        details=details,
        reason="No group has any." if ratio and shares[high] == 0 else None,
    )


def rates_of(
    groups: Groups, rate: Rate, *, threshold: float, positive: str | None
) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Each group's counts behind its rate; and the groups that cannot be compared, with the reason."""
    rates, left_out = {}, {}
    for group, counts in counts_of(groups, threshold=threshold, positive=positive).items():
        if isinstance(counts, str):
            left_out[group] = counts
            continue
        k, n = rate(counts)
        if n < FEWEST_ROWS:
            left_out[group] = f"{n:,.0f} rows, and {FEWEST_ROWS} are needed"
        else:
            rates[group] = (k, n)
    return rates, left_out


def intervals_of(rates: Mapping[str, tuple[float, float]], *, level: float = 0.95) -> dict[str, Interval]:
    """An interval for each group that hold together with probability *level*.

    >>> spans = intervals_of({"a": (50, 100), "b": (60, 100)})
    >>> {g: (round(s.low, 3), round(s.high, 3)) for g, s in spans.items()}
    {'a': (0.385, 0.615), 'b': (0.483, 0.709)}
    """
    each = level ** (1 / max(1, len(rates)))
    return {g: clopper_pearson(k, n, level=each) for g, (k, n) in rates.items()}


def difference_interval(spans: Mapping[str, Interval], level: float) -> Interval:
    """Where the difference of the largest and the smallest rate lies, from simultaneous intervals."""
    low = max(s.low for s in spans.values()) - min(s.high for s in spans.values())
    return Interval(
        max(0.0, low), max(s.high for s in spans.values()) - min(s.low for s in spans.values()), level
    )


def ratio_interval(spans: Mapping[str, Interval], level: float) -> Interval:
    """Where the smallest rate over the largest lies, from simultaneous intervals."""
    least, most = min(s.high for s in spans.values()), max(s.low for s in spans.values())
    return Interval(
        _ratio(min(s.low for s in spans.values()), max(s.high for s in spans.values())),
        1.0 if least >= most else least / most,
        level,
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
