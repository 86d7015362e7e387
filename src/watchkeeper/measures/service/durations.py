r"""How long requests took, and how late outcomes came: quantiles.

Formula
-------
The quantile of a histogram on a fixed geometric lattice, values taken as evenly spread within a bin. The interval
holds the quantile with probability 95%: its ends are the quantiles at :math:`q \pm 1.96\sqrt{q(1-q)/n}`, from the
binomial count of values below.

Reads: one `ServiceState`, so a day's quantile is that of all its requests, not a mean of hours. Bound: two per cent
of the value.

Limits
------
A request that was never answered has no latency; it is an error instead.

References
----------
W. J. Conover, *Practical Nonparametric Statistics*, 3rd ed., 1999, section 3.2.
"""

from __future__ import annotations

from math import sqrt

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.service import RELATIVE_BOUND, ServiceState

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def latency(state: ServiceState, *, seconds: float = 0.0) -> list[Measurement]:
    """Return the median, 95th and 99th percentile of latency in seconds; the subject names the quantile.

    >>> s = ServiceState.of(latency_s=[0.010] * 99 + [2.0], failed=[False] * 100)
    >>> [(m.subject, round(m.value, 2)) for m in latency(s)]
    [('p50', 0.01), ('p95', 0.01), ('p99', 0.01)]
    """
    return _quantiles("latency", state.latency, "no latency was recorded")


def outcome_delay(state: ServiceState, *, seconds: float = 0.0) -> list[Measurement]:
    """Return quantiles of the time from a prediction to its outcome, in seconds, of the outcomes that are there.

    >>> s = ServiceState.of(latency_s=[], failed=[], delay_s=[3600.0] * 10)
    >>> round(outcome_delay(s)[0].value / 3600, 1)
    1.0
    """
    return _quantiles("outcome_delay", state.delay, "no outcome has arrived")


def _quantiles(name: str, histogram: Histogram, otherwise: str) -> list[Measurement]:
    n = histogram.n
    if not n:
        return [Measurement.missing(name, otherwise, subject=subject) for subject in QUANTILES]
    out = []
    for subject, q in QUANTILES.items():
        value = float(histogram.quantile(q))
        half = 1.96 * sqrt(q * (1 - q) / n)
        low, high = (float(histogram.quantile(min(1.0, max(0.0, q + sign * half)))) for sign in (-1, 1))
        out.append(
            Measurement(
                measure=name,
                subject=subject,
                value=value,
                rows=n,
                bound=RELATIVE_BOUND * value,
                interval=Interval(low, high),
            )
        )
    return out
