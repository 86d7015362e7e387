r"""What moved, and what it cost: a change of the mean loss split into rows, concept, and columns.

Formula
-------
With baseline rows weighted to look like the window's (:math:`w`), and :math:`\ell` the loss of a row,

.. math:: R_w - R_b = \underbrace{\bar\ell_w^{\,\text{weighted}} - R_b}_{\text{other rows}}
          + \underbrace{R_w - \bar\ell_w^{\,\text{weighted}}}_{\text{another concept}}

The first part is shared out among columns by Shapley's value of "weight the baseline by these columns only".

Reads: sampled rows of baseline (with outcomes) and window. Losses: 0/1 of decisions (classes), absolute error
(numbers). Cost: some seconds. Intervals by influence. ``subject`` is the column.

Limits
------
Columns that move together share what they cost; weights that rest on few rows are called unreliable.

References
----------
H. Zhang et al., *"Why did the model fail?"*, ICML 2023 (arXiv:2210.10769).
T. Cai, H. Namkoong, S. Yadlowsky, *Diagnosing model performance under distribution shift*, 2023.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.stats.estimation.attribution import Part, attribute_change

REST = "(other columns)"
MOST_COLUMNS = 5


def change_parts(
    baseline_losses: Any,
    baseline_rows: Any,
    window_rows: Any,
    columns: Any,
    *,
    window_losses: Any = None,
    window_known: Any = None,
    level: float = 0.95,
) -> list[Measurement]:
    """Return the two parts of the change, and each column's share of the first.

    The arguments are those of `attribute_change`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2000, 2)), rng.normal([0.7, 0.0], 1, size=(2000, 2))
    >>> for m in change_parts(x[:, 0], x, y, ["a", "b"], window_losses=y[:, 0] + 0.3):
    ...     print(m.measure, m.subject, round(m.value, 1) + 0.0)
    performance_change_covariate  0.7
    performance_change_concept  0.3
    performance_change_of_column a 0.7
    performance_change_of_column b 0.0
    """
    found = attribute_change(
        baseline_losses,
        baseline_rows,
        window_rows,
        list(columns),
        window_losses=window_losses,
        window_known=window_known,
        level=level,
    )
    facts: dict[str, Any] = {"rows": float(len(window_rows)), "baseline_rows": float(len(baseline_rows))}
    details = {
        "reliable": found.reliable,
        "reasons": list(found.reasons),
        "effective_rows": found.effective_rows,
        "domain_auc": found.domain_auc,
        "baseline_loss": found.baseline,
        "window_loss": found.window,
    }
    out = [_part("performance_change_covariate", "", found.covariate, facts, details)]
    if found.conditional is None:
        reason = "No outcome of the window has arrived."
        out.append(Measurement.missing("performance_change_concept", reason, details=details, **facts))
    else:
        out.append(_part("performance_change_concept", "", found.conditional, facts, details))
    ranked = sorted(found.columns.items(), key=lambda item: -abs(item[1].value))
    own = {**details, "exact": found.exact}
    out += [_part("performance_change_of_column", name, part, facts, own) for name, part in ranked]
    return out


def _part(name: str, subject: str, part: Part, facts: Any, details: Any) -> Measurement:
    return Measurement(
        measure=name, subject=subject, value=part.value, interval=part.interval, details=details, **facts
    )
