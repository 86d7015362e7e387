r"""Copies: ids, or whole rows, that occur more than once.

Formula
-------
.. math:: \frac{n - \#\text{distinct}}{n}

Reads: the result of a `DuplicateCounter`, which saw one hash of every id (or row). Exact while all hashes fit in
memory or are spilled to files; else an estimate with its interval, and the details say which.

Limits
------
Two different ids may share a 64-bit hash: one million of them do with probability 3e-8.

References
----------
P. Gibbons, *Distinct sampling for highly-accurate answers to distinct values queries*, VLDB 2001.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.stats.duplicates import Duplicates
from watchkeeper.stats.intervals import normal_quantile


def duplicate_ids(found: Duplicates, *, subject: str = "", level: float = 0.95) -> Measurement:
    """Return the share of rows whose id an earlier row has too; *subject* is the id's column.

    >>> duplicate_ids(Duplicates(rows=200, copies=10)).value
    0.05
    """
    return _measured("duplicate_ids", found, subject, level, "ids")


def duplicate_rows(found: Duplicates, *, subject: str = "", level: float = 0.95) -> Measurement:
    """Return the share of rows that are equal to an earlier one in every column.

    >>> duplicate_rows(Duplicates(rows=200, copies=10)).value
    0.05
    """
    return _measured("duplicate_rows", found, subject, level, "rows")


_COUNTED = {"exact": "counted exactly", "spilled": "counted exactly, on disk", "sampled": "estimated"}


def _measured(name: str, found: Duplicates, subject: str, level: float, what: str) -> Measurement:
    if not found.rows:
        return Measurement.missing(name, "There are no rows.", subject=subject)
    half = normal_quantile(level) * found.standard_error / found.rows
    details: dict[str, object] = {"how": found.how, "copies": found.copies}
    if not found.exact:
        details["kept_share"] = found.kept_share
    if found.copies:
        about = "" if found.exact else "about "
        details["sentence"] = (
            f"{about}{found.copies:,.0f} of {found.rows:,} {what} are copies of an earlier one ({_COUNTED[found.how]})."
        ).capitalize()
    return Measurement(
        measure=name,
        subject=subject,
        value=found.share,
        rows=found.rows,
        interval=Interval(max(0.0, found.share - half), min(1.0, found.share + half), level),
        bound=0.0 if found.exact else None,
        details=details,
    )
