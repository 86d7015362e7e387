r"""How many distinct values a column has, whether that is one, and how many of them are rare.

Formula
-------
Cardinality is the number of distinct values. A column is constant when it is 1. The rare share is

.. math:: \frac1n\sum_{c:\; n_c < t\,n} n_c,\qquad t = 0.01.

Reads: one `ColumnProfile`, exactly while names or distinct values are few; else the distinct count is an
estimate, and the measurement's ``bound`` its error (in 99.7% of cases).

Limits
------
A single row is no constant: it takes two. Rows of categories whose names were not kept are rare ones, since the
most frequent names are kept.

References
----------
K. Beyer et al., *On synopses for distinct-value estimation under multiset operations*, SIGMOD 2007.
"""

from __future__ import annotations

from dataclasses import replace

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.quality.completeness import share_of_rows
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.profile import ColumnProfile

RARE = 0.01


def cardinality(window: ColumnProfile, baseline: ColumnProfile | None = None) -> Measurement:
    """Return the number of distinct values.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> f = Frequencies.of_counts({"a": 5, "b": 3})
    >>> city = ColumnProfile(column=Column(name="city", kind=Kind.CATEGORICAL), states={"frequencies": f}, rows=8)
    >>> cardinality(city).value
    2
    """
    distinct = window.distinct
    if distinct is None:
        return Measurement.missing(
            "cardinality", "Distinct values of this column are not counted.", subject=window.name
        )
    relative, state = 0.0, window.states.get("distinct")
    if not float(distinct).is_integer() and state is not None:
        relative = state.accuracy.bound or 0.0
    details = {}
    if baseline is not None and baseline.distinct is not None:
        details["baseline"] = baseline.distinct
    return Measurement(
        measure="cardinality",
        subject=window.name,
        value=distinct,
        rows=window.rows,
        baseline_rows=None if baseline is None else baseline.rows,
        bound=relative * distinct,
        details=details,
    )


def constant(window: ColumnProfile, baseline: ColumnProfile | None = None) -> Measurement:
    """Return 1 when the column holds one single value, else 0.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> f = Frequencies.of_counts({"a": 5})
    >>> constant(ColumnProfile(column=Column(name="x", kind=Kind.CATEGORICAL), states={"frequencies": f}, rows=5)).value
    1.0
    """
    return _constant("constant", window, window.is_constant)


def became_constant(window: ColumnProfile, baseline: ColumnProfile) -> Measurement:
    """Return 1 when the column holds one single value now and held several before, else 0.

    Where windows of the baseline held one single value themselves, it is 0.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> def x(**counts):
    ...     states = {"frequencies": Frequencies.of_counts(counts)}
    ...     return ColumnProfile(column=Column(name="x", kind=Kind.CATEGORICAL), states=states, rows=50)
    >>> became_constant(x(a=50), x(a=25, b=25)).value
    1.0
    """
    now, then = window.is_constant, baseline.is_constant
    # A date or a price list is constant within each of the baseline's windows too: that is no news.
    became = None if now is None or then is None else now and not then and not baseline.constant_windows
    found = _constant("became_constant", window, became)
    if found.value is None:
        return found
    if not became:
        return replace(found, p_value=1.0)  # so that it counts among the columns that were looked at
    # After the first row each other one must repeat it, which none does likelier than the most frequent value.
    most, others = _largest_share(baseline), max(window.rows - window.missing - 1, 0)
    return Measurement(
        measure=found.measure,
        subject=found.subject,
        value=1.0,
        rows=window.rows,
        baseline_rows=baseline.rows,
        p_value=None if most is None else most**others,
        bound=0.0,
        details={"sentence": f"{window.name} has the same value in every row; the baseline had several."},
    )


def rare_values(
    window: ColumnProfile, baseline: ColumnProfile | None = None, *, below: float = RARE
) -> Measurement:
    """Return the share of rows whose category holds less than the share *below* of the rows.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> f = Frequencies.of_counts({"a": 995, "b": 3, "c": 2})
    >>> rare_values(ColumnProfile(column=Column(name="x", kind=Kind.CATEGORICAL), states={"frequencies": f}, rows=1000)).value
    0.005
    """
    if window.frequencies is None:
        return Measurement.missing("rare_values", "Its values are not counted by name.", subject=window.name)
    before = None
    if baseline is not None and baseline.frequencies is not None:
        before = (_rare(baseline.frequencies, below), baseline.frequencies.n)
    f = window.frequencies
    return share_of_rows("rare_values", window.name, (_rare(f, below), f.n), before, {"below": below})


def _rare(f: Frequencies, below: float) -> float:
    return sum(count for count in f.counts.values() if count < below * f.n) + f.other


def _constant(name: str, window: ColumnProfile, is_constant: bool | None) -> Measurement:
    if is_constant is None:
        return Measurement.missing(
            name, "Distinct values of this column are not counted.", subject=window.name
        )
    return Measurement(
        measure=name, subject=window.name, value=float(is_constant), rows=window.rows, bound=0.0
    )


def _largest_share(column: ColumnProfile) -> float | None:
    f, h = column.frequencies, column.histogram
    if f is not None and f.n:
        return max(f.counts.values(), default=0) / f.n
    return float(h.shares.max()) if h is not None and h.n else None
