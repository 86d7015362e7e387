r"""Area under the ROC curve: how often a positive row is scored above a negative one.

Formula
-------
.. math:: \mathrm{AUC} = P(s_+ > s_-) + \tfrac12 P(s_+ = s_-)

Reads: one `ScoreTable` (binary), or one for each class (one against the rest). Cost: O(cells). Rows in one
cell of the table count as tied, which is wrong by at most the measurement's ``bound``. Interval: DeLong's, from
the cells.

Limits
------
Says nothing about calibration nor about the threshold in use; with few rows of a class it is very uncertain.

References
----------
E. DeLong, D. DeLong, D. Clarke-Pearson, *Comparing the areas under two or more correlated ROC curves*, 1988.
J. Hanley, B. McNeil, *The meaning and use of the area under a ROC curve*, 1982.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.performance.decided import UNLABELLED
from watchkeeper.stats.intervals import auc_interval
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable


def roc_auc(table: ScoreTable, *, level: float = 0.95) -> Measurement:
    """Return the area; 0.5 is what guessing gives.

    >>> scores = np.array([0.1, 0.4, 0.35, 0.8])
    >>> roc_auc(ScoreTable.of(scores, np.array([False, False, True, True]))).value
    0.75
    """
    if not table.labelled:
        return Measurement.missing("roc_auc", UNLABELLED)
    if not (table.positives and table.negatives):
        return Measurement.missing("roc_auc", "All outcomes are of one class.", rows=table.labelled)
    value, bound = table.auc()
    return Measurement(
        measure="roc_auc",
        value=value,
        rows=table.labelled,
        interval=auc_interval(table.counts[POSITIVE], table.counts[NEGATIVE], level=level),
        bound=bound,
        details={"positives": table.positives, "negatives": table.negatives},
    )


def roc_auc_per_class(tables: Mapping[str, ScoreTable], *, level: float = 0.95) -> list[Measurement]:
    """Return the area of each class against the rest; ``subject`` is the class.

    >>> three = {"a": ScoreTable.of(np.array([0.8, 0.3]), np.array([True, False]))}
    >>> roc_auc_per_class(three)[0].subject, roc_auc_per_class(three)[0].value
    ('a', 1.0)
    """
    out = []
    for name, table in tables.items():
        one = roc_auc(table, level=level)
        out.append(
            Measurement(
                measure="roc_auc_per_class",
                subject=name,
                value=one.value,
                rows=one.rows,
                interval=one.interval,
                bound=one.bound,
                reason=one.reason,
                details=one.details,
            )
        )
    return out


def roc_auc_ovr(tables: Mapping[str, ScoreTable], *, level: float = 0.95) -> Measurement:
    """Return the mean of the classes' areas, each against the rest (scikit-learn's ``ovr``, ``macro``).

    The classes' areas share their rows, so the interval takes them as fully dependent: it is on the safe side.

    >>> three = {"a": ScoreTable.of(np.array([0.8, 0.3]), np.array([True, False]))}
    >>> roc_auc_ovr(three).value
    1.0
    """
    parts = roc_auc_per_class(tables, level=level)
    without = [p.subject for p in parts if p.value is None]
    if not parts or without:
        reason = f"The class {without[0]!r} has no rows on one side." if without else "There are no scores."
        return Measurement.missing("roc_auc_ovr", reason, rows=max((p.rows for p in parts), default=0))
    mean = {
        "value": float(np.mean([p.value for p in parts])),
        "bound": float(np.mean([p.bound for p in parts])),
        "low": float(np.mean([p.interval.low for p in parts if p.interval])),
        "high": float(np.mean([p.interval.high for p in parts if p.interval])),
    }
    return Measurement(
        measure="roc_auc_ovr",
        value=mean["value"],
        rows=parts[0].rows,
        interval=Interval(mean["low"], mean["high"], level),
        bound=mean["bound"],
        details={"classes": len(parts)},
    )
