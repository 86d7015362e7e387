"""The values of one column in one batch, as they cross from rows to statistics.

Rows know Arrow, statistics know arrays, and neither knows the other: this is what passes between them.
The arrays are numpy's, but nothing here imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from watchkeeper.domain.schema import Kind

__all__ = ["Values"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """One column of one batch.

    ``data`` by ``kind``:

    - numeric: float64 ``(rows,)``; integer: int64 or uint64 ``(rows,)``; datetime: int64 ``(rows,)``
      microseconds since 1970 UTC; boolean: bool ``(rows,)``;
    - categorical and text: int32 codes ``(rows,)`` into ``dictionary`` (a numpy object array of ``str``);
    - vector: float64 ``(rows, dimensions)``; unknown: None.

    ``valid`` is a bool mask ``(rows,)``, or None when no value is null. Under a null, data is unspecified.
    NaN and infinities stay in ``data``: they are values, not nulls. ``misfits`` counts values that did not fit
    the kind (text in a numeric column, a vector of another length); they are marked as null in ``valid``.
    ``words`` are those that stood for 1 and 0 in a column of classes that are numbers ("yes", "False").
    """

    kind: Kind
    rows: int
    data: Any
    valid: Any = None
    dictionary: Any = None
    misfits: int = 0
    misfit_example: str | None = None
    words: tuple[str, ...] = ()
