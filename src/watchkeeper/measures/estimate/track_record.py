r"""How good estimates turned out to be: their error, and how often their intervals held.

Formula
-------
Over windows whose outcomes have arrived, with estimate :math:`\hat\theta_k` and realised value :math:`\theta_k`,

.. math:: \mathrm{error} = \frac1K\sum_k |\hat\theta_k - \theta_k|, \qquad
          \mathrm{coverage} = \frac1K\sum_k 1[\text{low}_k \le \theta_k \le \text{high}_k]

Reads: earlier measurements of an estimate and of what it estimated. Estimates that were called unreliable before
their outcomes came are left out unless asked for; those that only their own outcomes refuted are counted, or else
every miss that shows would be left out. ``subject`` names the metric.

Limits
------
Windows that follow each other are alike: with few of them the interval of the coverage is too narrow.

References
----------
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
"""

from __future__ import annotations

from collections.abc import Iterable

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.estimate.told import PREFIX
from watchkeeper.stats.estimation.track_record import Told, TrackRecord, score_estimates

_NOTHING = "No window has both an estimate and its outcomes yet."


def pairs_of(estimated: Iterable[Measurement], realised: Iterable[Measurement]) -> list[Told]:
    """Put each estimate with what was realised of it, in order; pairs that lack a side are left out.

    Both are given window by window, in the same order.

    >>> from watchkeeper.domain.measurement import Interval
    >>> e = Measurement(measure="estimated_f1", value=0.8, interval=Interval(0.7, 0.9), details={"reliable": True})
    >>> pairs_of([e], [Measurement(measure="f1", value=0.82)])[0].realised
    0.82
    """
    out = []
    for guess, real in zip(estimated, realised, strict=True):
        if guess.value is not None and guess.interval is not None and real.value is not None:
            believed = guess.details.get("reliable_beforehand", guess.details.get("reliable", True))
            out.append(Told(guess.value, guess.interval, real.value, bool(believed)))
    return out


def estimate_error(
    told: Iterable[Told], *, metric: str = "", level: float = 0.95, doubted: bool = False
) -> Measurement:
    """Return the mean absolute error of the estimates of *metric*, in its unit.

    >>> from watchkeeper.domain.measurement import Interval
    >>> estimate_error([Told(0.9, Interval(0.8, 1.0), 0.8), Told(0.7, Interval(0.6, 0.8), 0.7)]).value.__round__(3)
    0.05
    """
    record = score_estimates(told, level=level, doubted=doubted)
    if record is None:
        return Measurement.missing("estimate_error", _NOTHING, subject=metric)
    return Measurement(
        measure="estimate_error",
        subject=metric,
        value=record.error,
        rows=record.windows,
        interval=record.error_interval,
        details={"windows": record.windows, "bias": record.bias, "mean_width": record.width},
    )


def estimate_coverage(
    told: Iterable[Told], *, metric: str = "", level: float = 0.95, doubted: bool = False
) -> Measurement:
    """Return the share of windows in which the interval of *metric*'s estimate held.

    >>> from watchkeeper.domain.measurement import Interval
    >>> estimate_coverage([Told(0.9, Interval(0.8, 1.0), 0.8), Told(0.7, Interval(0.6, 0.8), 0.9)]).value
    0.5
    """
    record: TrackRecord | None = score_estimates(told, level=level, doubted=doubted)
    if record is None:
        return Measurement.missing("estimate_coverage", _NOTHING, subject=metric)
    return Measurement(
        measure="estimate_coverage",
        subject=metric,
        value=record.coverage,
        rows=record.windows,
        interval=record.coverage_interval,
        details={"windows": record.windows, "stated": record.level, "mean_width": record.width},
    )


def track_record(
    estimated: Iterable[Measurement], realised: Iterable[Measurement], *, metric: str = ""
) -> list[Measurement]:
    """Error and coverage of one metric's estimates, from measurements window by window.

    >>> track_record([], [], metric="f1")[0].reason
    'No window has both an estimate and its outcomes yet.'
    """
    told = pairs_of(estimated, realised)
    metric = metric.removeprefix(PREFIX)
    return [estimate_error(told, metric=metric), estimate_coverage(told, metric=metric)]
