"""How a test on a table of counts becomes a measurement."""

from __future__ import annotations

from collections.abc import Callable

from scipy.special import chdtri

from watchkeeper.domain.measurement import Measurement
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.measures.drift.alignment import Distribution, SharedBins, shared_bins
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats.contingency import TableTest


def table(
    baseline: Distribution, window: Distribution, rows: tuple[float, float] | None
) -> tuple[SharedBins, float, float]:
    """Shared bins whose counts add up to the rows behind them, and both numbers of rows."""
    bins = shared_bins(baseline, window)
    if rows is None:
        return bins, baseline.total, window.total
    n, m = rows
    return (
        SharedBins(
            bins.baseline * (n / bins.baseline.sum()), bins.window * (m / bins.window.sum()), bins.bound
        ),
        n,
        m,
    )


def measured_table(
    name: str,
    test: Callable[..., TableTest],
    baseline: Distribution,
    window: Distribution,
    *,
    rows: tuple[float, float] | None = None,
) -> Measurement:
    """Measure *test*, a function of `stats.contingency`, on two states."""
    try:
        bins, n, m = table(baseline, window, rows)
    except (BadInput, Incompatible) as problem:
        return Measurement.missing(name, problem.what, rows=window.total, baseline_rows=baseline.total)
    result = test(bins.baseline, bins.window)
    if not result.df and max(bins.baseline.max() / n, bins.window.max() / m) < 1:
        return Measurement.missing(
            name,
            f"With {m:g} rows against {n:g} there are not enough in each bin for the test.",
            rows=m,
            baseline_rows=n,
        )
    return Measurement(
        measure=name,
        value=result.statistic,
        rows=m,
        baseline_rows=n,
        margin=float(chdtri(result.df, 1 - MARGIN_LEVEL)) if result.df else 0.0,
        p_value=result.p_value,
        bound=0.0 if bins.bound == 0 else None,
        details={"expected": float(result.df), "df": result.df},
    )
