"""The errors of a window's rows in order of time: what a detector reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.schema import Task
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.ports.judge import JudgedWindow
from watchkeeper.stats.classes import class_key

ROW_ERROR = Measure(
    name="row_error",
    family=Family.PERFORMANCE,
    title="The error of rows",
    direction=Direction.HIGHER_IS_WORSE,
    sentence="Whether a prediction was wrong, or how far it was off; in order of time.",
)


def row_errors(judged: JudgedWindow, window: Window) -> NDArray[np.float64]:
    """Return the errors ``(n,)`` of the rows of a *window* of the judged model whose outcomes have come, by time and id.

    1 where the prediction is not the outcome, 0 where it is; for regression how far they are apart.

    Raises
    ------
    BadInput
        rows hold no prediction.
    """
    names = ["wk_at", "wk_id", "wk_prediction", "wk_actual"]
    parts = []
    for batch in judged.read(window, names) if judged.read is not None else ():
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        if table.num_rows and "wk_actual" in table.column_names:
            if "wk_prediction" not in table.column_names:
                raise BadInput(
                    f"The rows of {judged.model.name!r} hold no prediction, so their errors are not known.",
                    "Record the prediction beside the score, or give the rule a measure.",
                )
            parts.append(table.select([n for n in names if n in table.column_names]))
    if not parts:
        return np.zeros(0)
    rows = pa.concat_tables(parts, promote_options="permissive")
    rows = rows.filter(pc.and_(rows["wk_actual"].is_valid(), rows["wk_prediction"].is_valid()))
    order = [(n, "ascending") for n in names[:2] if n in rows.column_names]
    rows = rows.sort_by(order) if order else rows
    actual, predicted = rows["wk_actual"], rows["wk_prediction"]
    model, baseline = judged.model, judged.baseline
    task = model.task or (baseline.schema.task if baseline is not None else None)
    if task is Task.REGRESSION:
        both = [np.asarray(pc.cast(c, pa.float64()).to_numpy(), float) for c in (predicted, actual)]
        off = np.abs(both[0] - both[1])
        return off[np.isfinite(off)]
    keys = [_keys(c) for c in (predicted, actual)]
    return np.asarray(keys[0] != keys[1], float)


def _keys(column: Any) -> NDArray[np.str_]:
    """Each class by what its name means, however it is spelled."""
    coded = pc.dictionary_encode(column.combine_chunks())
    names = np.array([class_key(str(v)) for v in coded.dictionary.to_pylist()] or [""])
    return names[coded.indices.to_numpy(zero_copy_only=False)]
