"""The measures of what the data looks like, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.schema import Kind
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.quality.cardinality import became_constant, cardinality, constant, rare_values
from watchkeeper.measures.quality.categories import new_categories, vanished_categories
from watchkeeper.measures.quality.completeness import infinite, misfits, missing
from watchkeeper.measures.quality.duplicate_rows import duplicate_ids, duplicate_rows
from watchkeeper.measures.quality.expectations import expectation
from watchkeeper.measures.quality.far_dates import far_dates
from watchkeeper.measures.quality.freshness import freshness
from watchkeeper.measures.quality.impossible_scores import impossible_scores
from watchkeeper.measures.quality.median import median
from watchkeeper.measures.quality.out_of_range import out_of_range
from watchkeeper.measures.quality.outliers import fence_outliers, robust_z_outliers
from watchkeeper.measures.quality.rows import row_count
from watchkeeper.measures.quality.schema_changes import extra_column, missing_column, type_changed
from watchkeeper.measures.quality.text_shape import text_length, text_shapes

_NUMBERS = (Kind.NUMERIC, Kind.INTEGER)
_NAMED = (Kind.CATEGORICAL, Kind.BOOLEAN)
_SINGLE = tuple(kind for kind in Kind if kind not in (Kind.VECTOR, Kind.UNKNOWN))
"""Whose distinct values are counted; of vectors nobody does."""


def _entry(
    function: Callable[..., Any],
    reads: str,
    title: str,
    sentence: str,
    reference: str,
    *,
    kinds: Iterable[Kind] = (),
    unit: str = "share of rows",
    direction: Direction = Direction.HIGHER_IS_WORSE,
    low: float | None = 0.0,
    high: float | None = 1.0,
    default: bool = True,
) -> Entry:
    measure = Measure(
        name=function.__name__,
        family=Family.QUALITY,
        title=title,
        unit=unit,
        direction=direction,
        sentence=sentence,
        low=low,
        high=high,
    )
    return Entry(
        measure=measure,
        function=function,
        reads=reads,
        kinds=frozenset(kinds),
        default=default,
        reference=reference,
    )


_WILSON = "Wilson 1927"
_NEITHER = Direction.NEITHER

CATALOGUE: tuple[Entry, ...] = (
    _entry(row_count, "profile", "Row count", "How many rows there are.", "a count", unit="rows", high=None,
           direction=_NEITHER),
    _entry(missing_column, "profiles", "Missing column", "A column of the baseline is not there.",
           "Breck et al. 2019", unit=""),
    _entry(extra_column, "profiles", "Extra column", "A column is there that the baseline does not have.",
           "Breck et al. 2019", unit=""),
    _entry(type_changed, "columns", "Type changed", "The column holds another kind of value than before.",
           "Breck et al. 2019", unit=""),
    _entry(missing, "column", "Missing share", "Share of null, NaN and misfitting values.", _WILSON),
    _entry(misfits, "column", "Misfit share", "Share of values that are not of the column's kind.", _WILSON),
    _entry(infinite, "column", "Infinite share", "Share of infinite values.", _WILSON, kinds=(Kind.NUMERIC,)),
    _entry(constant, "column", "Constant", "Every row has the same value.", "a count", unit="", kinds=_SINGLE),
    _entry(became_constant, "columns", "Became constant",
           "Every row has the same value, and the baseline had several.", "a count", unit="", kinds=_SINGLE),
    _entry(cardinality, "column", "Distinct values", "How many distinct values there are.",
           "Beyer et al. 2007", unit="values", high=None, direction=_NEITHER, kinds=_SINGLE),
    _entry(new_categories, "columns", "New categories",
           "Share of rows whose category the baseline did not have.", "Good 1953", kinds=_NAMED),
    _entry(vanished_categories, "columns", "Vanished categories",
           "Share of the baseline's rows whose category is gone.", "Good 1953", kinds=_NAMED),
    _entry(rare_values, "column", "Rare values", "Share of rows whose category is rare.", "a count",
           kinds=_NAMED, default=False),
    _entry(out_of_range, "columns", "Out of range", "Share of values beyond all that the baseline has seen.",
           "Wilks 1941", kinds=_NUMBERS),
    _entry(impossible_scores, "profiles", "Impossible scores", "Share of scores that lie outside 0 to 1.", _WILSON),
    _entry(far_dates, "columns", "Far dates",
           "Share of moments that lie 20 years or more outside all that the baseline has seen.",
           "Kim et al. 2003", kinds=(Kind.DATETIME,)),
    _entry(text_length, "column", "Text length", "Mean length of the texts.", "a mean", kinds=(Kind.TEXT,),
           unit="characters", high=None, direction=_NEITHER),
    _entry(text_shapes, "column", "Text shapes", "Share of the texts of each shape.", _WILSON,
           kinds=(Kind.TEXT,), direction=_NEITHER),
    _entry(freshness, "span", "Freshness", "Age of the newest row.", "Batini et al. 2009",
           kinds=(Kind.DATETIME,), unit="s", high=None),
    _entry(duplicate_ids, "duplicates", "Duplicate ids", "Share of rows whose id occurred before.",
           "Gibbons 2001"),
    _entry(duplicate_rows, "duplicates", "Duplicate rows", "Share of rows equal to an earlier one.",
           "Gibbons 2001", default=False),
    _entry(median, "column", "Median", "The value in the middle: half of the rows lie below it.", "Conover 1999",
           kinds=_NUMBERS, unit="", low=None, high=None, direction=_NEITHER, default=False),
    _entry(robust_z_outliers, "column", "Outliers (robust z)",
           "Share of values far from the median, measured in median absolute deviations.",
           "Iglewicz and Hoaglin 1993", kinds=_NUMBERS, default=False),
    _entry(fence_outliers, "column", "Outliers (fences)", "Share of values beyond Tukey's fences.",
           "Tukey 1977", kinds=_NUMBERS, default=False),
    _entry(expectation, "expectation", "Expectation", "Share of values that break what is expected of them.",
           "Schelter et al. 2018"),
)  # fmt: skip
"""What each line's function reads: ``column`` one `ColumnProfile`, and the baseline's if there is one; ``columns``
both; ``profile`` and ``profiles`` the same of whole profiles; ``span`` a column and the time of day it is;
``duplicates`` what a `DuplicateCounter` found; ``expectation`` a column and what is expected of it."""
