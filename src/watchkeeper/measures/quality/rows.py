"""How many rows there are.

Formula
-------
A count. Reads: one `Profile`. Exact; weighted where capture is sampled.

Limits
------
A count has no scale of its own: it is judged against what the same window usually has.

References
----------
None needed.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.stats.states.profile import Profile


def row_count(window: Profile, baseline: Profile | None = None) -> Measurement:
    """Return the number of rows.

    >>> from watchkeeper.domain.schema import Schema
    >>> row_count(Profile(schema=Schema(columns=()), rows=7)).value
    7
    """
    return Measurement(
        measure="row_count",
        value=window.rows,
        rows=window.rows,
        baseline_rows=None if baseline is None else baseline.rows,
        bound=0.0,
    )
