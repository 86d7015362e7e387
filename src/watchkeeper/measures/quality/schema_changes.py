"""Columns that came, went, or changed their type.

Formula
-------
1 for each column that is concerned; one measurement with 0 when none is.

Reads: two `Profile` (or `ColumnProfile`); only their schemas. Exact.

Limits
------
Whole and fractional numbers are one type here: a null turns a whole column into a fractional one in pandas. The
details name both storage types.

References
----------
E. Breck et al., *Data validation for machine learning*, MLSys 2019 (schema anomalies).
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Column, Kind, Role
from watchkeeper.stats.states.profile import ColumnProfile, Profile


def type_changed(window: ColumnProfile, baseline: ColumnProfile) -> Measurement:
    """Return 1 when the column's kind is another than the baseline's, else 0.

    >>> from watchkeeper.domain.schema import Column
    >>> new = ColumnProfile(column=Column(name="age", kind=Kind.CATEGORICAL, dtype="string"))
    >>> old = ColumnProfile(column=Column(name="age", kind=Kind.INTEGER, dtype="int64"))
    >>> type_changed(new, old).value
    1.0
    """
    now, then = window.column, baseline.column
    changed = _type(now.kind) != _type(then.kind)
    details = {"kind": now.kind.value, "baseline_kind": then.kind.value}
    if now.dtype or then.dtype:
        details |= {"dtype": now.dtype, "baseline_dtype": then.dtype}
    if changed:
        details["sentence"] = f"{window.name} {_was(then)} in the baseline, and {_is(now)} now."
    return Measurement(
        measure="type_changed",
        subject=window.name,
        value=float(changed),
        rows=window.rows,
        baseline_rows=baseline.rows,
        bound=0.0,
        details=details,
    )


def missing_column(window: Profile, baseline: Profile) -> list[Measurement]:
    """Return a measurement of 1 for each column that only the baseline has, or a single 0.

    >>> from watchkeeper.domain.schema import Column, Schema
    >>> old = Profile(schema=Schema(columns=(Column(name="age", kind=Kind.INTEGER),)))
    >>> [(m.subject, m.value) for m in missing_column(Profile(schema=Schema(columns=())), old)]
    [('age', 1.0)]
    """
    return _one_sided("missing_column", baseline, window, "The baseline has a column {!r}; this one has not.")


def extra_column(window: Profile, baseline: Profile) -> list[Measurement]:
    """Return a measurement of 1 for each column that the baseline does not have, or a single 0.

    >>> from watchkeeper.domain.schema import Column, Schema
    >>> new = Profile(schema=Schema(columns=(Column(name="age", kind=Kind.INTEGER),)))
    >>> [(m.subject, m.value) for m in extra_column(new, Profile(schema=Schema(columns=())))]
    [('age', 1.0)]
    """
    return _one_sided("extra_column", window, baseline, "There is a column {!r} that the baseline has not.")


def _one_sided(name: str, has: Profile, has_not: Profile, sentence: str) -> list[Measurement]:
    # A batch without outcomes is the usual case, and no fault of its schema.
    names = [
        c.name for c in has.schema.columns if c.name not in has_not.schema and c.role is not Role.OUTCOME
    ]
    out = [
        Measurement(
            measure=name,
            subject=column,
            value=1.0,
            rows=has.rows,
            bound=0.0,
            details={"sentence": sentence.format(column)},
        )
        for column in names
    ]
    return out or [Measurement(measure=name, value=0.0, rows=has.rows, bound=0.0)]


def _was(column: Column) -> str:
    if column.dtype == "null":
        return "held nothing but nulls"
    return f"was {column.kind} ({column.dtype or 'unknown type'})"


def _is(column: Column) -> str:
    if column.dtype == "null":
        return "holds nothing but nulls"
    return f"is {column.kind} ({column.dtype or 'unknown type'})"


def _type(kind: Kind) -> Kind:
    return Kind.NUMERIC if kind is Kind.INTEGER else kind
