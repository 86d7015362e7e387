r"""Missing, misfitting and infinite values of a column, as shares of all rows.

Formula
-------
.. math:: \mathrm{missing} = \frac{\text{null} + \text{NaN} + \text{misfit}}{n},\quad
          \mathrm{misfits} = \frac{\text{misfit}}{n},\quad \mathrm{infinite} = \frac{+\infty + -\infty}{n}

A misfit had a value that is not of the column's kind (text in a column of numbers); it counts as missing too.

Reads: one `ColumnProfile`, and the baseline's where there is one: its share is then what is expected, and the
p-value says how surprising a larger one is. Exact. Interval: Wilson's.

Limits
------
Empty texts are values; the shapes of a text column say how many there are.

References
----------
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.quality.counting import more_than_baseline
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.profile import ColumnProfile


def missing(window: ColumnProfile, baseline: ColumnProfile | None = None) -> Measurement:
    """Return the share of missing values.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> missing(ColumnProfile(column=Column(name="x", kind=Kind.NUMERIC), rows=10, nulls=3)).value
    0.3
    """
    return share_of_rows(
        "missing",
        window.name,
        (window.missing, window.rows),
        None if baseline is None else (baseline.missing, baseline.rows),
    )


def misfits(window: ColumnProfile, baseline: ColumnProfile | None = None) -> Measurement:
    """Return the share of values that are not of the column's kind.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> age = Column(name="age", kind=Kind.NUMERIC)
    >>> found = misfits(ColumnProfile(column=age, rows=10, nulls=1, misfits=1, misfit_example="old"))
    >>> found.value, found.details["example"]
    (0.1, 'old')
    """
    details: dict[str, Any] = {}
    if window.misfits:
        details["example"] = window.misfit_example
        kind = (baseline or window).column.kind  # the kind by which both sides are counted
        details["sentence"] = f"{window.misfits:,.0f} values of {window.name} are not {kind}" + (
            f", for example {window.misfit_example!r}." if window.misfit_example is not None else "."
        )
    return share_of_rows(
        "misfits",
        window.name,
        (window.misfits, window.rows),
        None if baseline is None else (baseline.misfits, baseline.rows),
        details,
    )


def infinite(window: ColumnProfile, baseline: ColumnProfile | None = None) -> Measurement:
    """Return the share of values that are plus or minus infinity.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.stats.states.edges import Edges
    >>> from watchkeeper.stats.states.histogram import Histogram
    >>> h = Histogram.of([1.0, 2.0, float("inf"), 3.0], Edges.of_values([1.0, 2.0, 3.0]))
    >>> infinite(ColumnProfile(column=Column(name="x", kind=Kind.NUMERIC), states={"histogram": h}, rows=4)).value
    0.25
    """
    return share_of_rows(
        "infinite",
        window.name,
        (_infinite(window), window.rows),
        None if baseline is None else (_infinite(baseline), baseline.rows),
    )


def share_of_rows(
    name: str,
    subject: str,
    found: tuple[float, float],
    before: tuple[float, float] | None = None,
    details: dict[str, Any] | None = None,
    *,
    bound: float | None = 0.0,
) -> Measurement:
    """A share of rows as a measurement, against the same share of the baseline.

    ``details["expected"]`` is what of the share is no news: the baseline's own.
    """
    hits, rows = found
    details = {"count": hits, **(details or {})}
    if rows <= 0:
        return Measurement.missing(name, "There are no rows.", subject=subject)
    p_value = None
    if before is not None and before[1] > 0:
        details["baseline_share"] = before[0] / before[1]
        if before[0] > 0:
            # Where the baseline has none, a single one is news, and needs no test.
            details["expected"] = details["baseline_share"]
            p_value = more_than_baseline(hits, rows, *before)
    return Measurement(
        measure=name,
        subject=subject,
        value=hits / rows,
        rows=rows,
        baseline_rows=None if before is None else before[1],
        interval=wilson(hits, rows),
        p_value=p_value,
        bound=bound,
        details=details,
    )


def _infinite(column: ColumnProfile) -> float:
    return column.histogram.infinite if column.histogram is not None else 0
