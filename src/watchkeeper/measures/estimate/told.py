"""From an `Estimate` to the measurement that decisions, pages and stores know."""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.stats.estimation.estimate import Estimate

PREFIX = "estimated_"


def told(estimate: Estimate, *, subject: str = "") -> Measurement:
    """The measurement ``estimated_<metric>``; ``details`` say whether it is reliable, and why not.

    >>> told(Estimate(metric="accuracy", value=0.9, reasons=("Few rows.",), reliable=False)).details["reasons"]
    ['Few rows.']
    """
    details = {
        "reliable": estimate.reliable,
        "reasons": list(estimate.reasons),
        "method": estimate.method,
        **estimate.details,
    }
    if estimate.reliable_beforehand != estimate.reliable:
        details["reliable_beforehand"] = estimate.reliable_beforehand
    if estimate.parts:
        details["variance_shares"] = {name: round(share, 4) for name, share in estimate.parts.items()}
    return Measurement(
        measure=PREFIX + estimate.metric,
        subject=subject,
        value=estimate.value,
        rows=estimate.rows,
        baseline_rows=estimate.baseline_rows,
        interval=None if estimate.value is None else estimate.interval,
        reason=None if estimate.value is not None else (estimate.reasons or ("It cannot be estimated.",))[0],
        details=details,
    )
