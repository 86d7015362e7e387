"""River's detectors behind our interface, for those that it does well: ADWIN, KSWIN, HDDM-A, HDDM-W.

Values in, indices of alarms out. DDM, EDDM, Page-Hinkley, CUSUM and EWMA are ours (`stats.detectors`), since
they run over a batch as array operations. The state of these is River's own object and lives in memory: fold
the stream again to resume.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, MissingExtra, nearest
from watchkeeper.stats.detectors.detector import finite

KINDS: dict[str, tuple[str, bool]] = {
    "adwin": ("ADWIN", False),
    "kswin": ("KSWIN", False),
    "hddm_a": ("HDDMA", True),
    "hddm_w": ("HDDMW", True),
}
"""Our names: River's class, and whether it takes errors (true or false) rather than numbers."""


class RiverDetector:
    """One of River's detectors.

    Parameters
    ----------
    kind : ``"adwin"``, ``"kswin"``, ``"hddm_a"`` or ``"hddm_w"``.
    parameters : handed to River, under its names. KSWIN draws at random: give it a ``seed``.

    Raises
    ------
    MissingExtra
        River is not installed.
    BadInput
        the kind, or a parameter, is not known.
    """

    def __init__(self, kind: str, **parameters: Any) -> None:
        if kind not in KINDS:
            raise BadInput(
                f"There is no detector {kind!r}.{nearest(kind, KINDS)}", f"Known: {', '.join(KINDS)}."
            )
        name, self._takes_errors = KINDS[kind]
        self.kind = kind
        module = _river().binary if self._takes_errors else _river()
        try:
            self._detector = getattr(module, name)(**parameters)
        except TypeError as cause:
            raise BadInput(f"River's {name} does not take these parameters: {cause}.") from cause

    def update(self, value: float) -> bool:
        """Take one value; return whether it alarms."""
        return bool(len(self.update_many(np.array([value]))))

    def update_many(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Take *values* ``(n,)``; return the indices of alarms."""
        x = finite(values)
        if self._takes_errors and ((x != 0) & (x != 1)).any():
            raise BadInput(f"{self.kind} takes errors of 0 and 1.")
        listed: list[Any] = (x != 0).tolist() if self._takes_errors else x.tolist()
        detector, found = self._detector, []
        for i, value in enumerate(listed):
            detector.update(value)
            if detector.drift_detected:
                found.append(i)
        return np.array(found, dtype=np.intp)


def _river() -> Any:
    try:
        from river import drift
    except ImportError as cause:
        raise MissingExtra(
            adapter="River detector",
            library="river",
            extra="river",
            instead="Or use DDM, EDDM, Page-Hinkley, CUSUM, EWMA or e-SR, which need nothing more.",
        ) from cause
    return drift
