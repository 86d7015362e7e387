"""Classical change detectors for streams by hand, ours and River's, behind one interface.

    import watchkeeper as wk

    detector = wk.detectors.Detector("adwin", delta=0.002)
    for error in errors:
        if detector.update(error):
            ...

`update_many` takes a batch and returns the indices of alarms; `to_payload` and `of_payload` save and load the state.
None of them bounds its false alarms over time. Under watch they are rules: ``kind = "detector"``.
"""

from __future__ import annotations

from watchkeeper.stats.detectors.catalogue import KINDS, OF_ERRORS, Detector
from watchkeeper.stats.detectors.detector import NO_GUARANTEE

__all__ = ["KINDS", "NO_GUARANTEE", "OF_ERRORS", "Detector"]
