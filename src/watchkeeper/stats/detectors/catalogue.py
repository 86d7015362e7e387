"""Every classical change detector by name, behind one interface: values in, alarms out, one by one or in batches.

None bounds its false alarms over time (`NO_GUARANTEE`); `stats.evidence` holds procedures that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, nearest
from watchkeeper.stats.detectors import river
from watchkeeper.stats.detectors.cusum import CUSUM
from watchkeeper.stats.detectors.ddm import DDM
from watchkeeper.stats.detectors.detector import finite
from watchkeeper.stats.detectors.eddm import EDDM
from watchkeeper.stats.detectors.ewma import EWMA
from watchkeeper.stats.detectors.page_hinkley import PageHinkley

OURS: dict[str, Any] = {
    "ddm": DDM,
    "eddm": EDDM,
    "page_hinkley": PageHinkley,
    "cusum": CUSUM,
    "ewma": EWMA,
}
"""Those that run over a batch as array operations, and need nothing more."""
KINDS: tuple[str, ...] = (*OURS, *river.KINDS)
OF_ERRORS = ("ddm", "eddm", "hddm_a", "hddm_w")
"""Those that read errors of 0 and 1; the others read any numbers."""

USUAL = 30
"""Values that a chart (CUSUM, EWMA) takes as what is usual, where it is given no target and standard deviation."""
KEPT = {"kswin": 800}
"""Values that one of River's detectors is rebuilt from (20,000 if it is not named); of as many, the older half is forgotten."""


class Detector:
    """One detector over one stream.

    Parameters
    ----------
    kind : one of `KINDS`.
    parameters : the detector's own, under the names of its class here, or of River's. A chart (``"cusum"``, ``"ewma"``)
        without ``target`` and ``sd`` takes the first 30 values as what is usual.

    Raises
    ------
    BadInput
        the kind or a parameter is not known.
    MissingExtra
        it is one of River's (adwin, kswin, hddm_a, hddm_w), and River is not installed.

    >>> detector = Detector("page_hinkley", threshold=5)
    >>> detector.update_many(np.r_[np.zeros(100), np.ones(20)])
    array([105])
    >>> detector.seen, detector.update(0.0)
    (120, False)
    """

    def __init__(self, kind: str, **parameters: Any) -> None:
        if kind not in KINDS:
            raise BadInput(
                f"There is no detector {kind!r}.{nearest(kind, KINDS)}", f"Known: {', '.join(KINDS)}."
            )
        self.kind, self.parameters = kind, dict(parameters)
        self.seen = 0
        """Values taken so far."""
        self._kept: list[float] = []
        self._state: Any = None
        if kind in river.KINDS:
            self._state = self._rivers()
        elif self._is_chart and not {"target", "sd"} & parameters.keys():
            self._ours(target=0.0, sd=1.0)  # a wrong parameter is reported now, not after 30 values
        else:
            self._state = self._ours()

    def update(self, value: float) -> bool:
        """Take one value; return whether it alarms."""
        return bool(len(self.update_many(np.array([value], float))))

    def update_many(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Take *values* ``(n,)`` in order of time; return the indices in *values* of alarms.

        Raises
        ------
        BadInput
            a value is not finite, or is neither 0 nor 1 where errors are read.
        """
        x = finite(values)
        found: list[int] = []
        start = 0
        while start < len(x):
            stop = len(x)
            if self.kind in river.KINDS:
                most = KEPT.get(self.kind, 20_000)
                stop = min(stop, start + most - len(self._kept))
                found += [start + int(i) for i in self._state.update_many(x[start:stop])]
                self._kept += x[start:stop].tolist()
                if len(self._kept) == most:
                    self._rebuild(self._kept[most // 2 :])
            elif self._state is None:
                stop = min(stop, start + USUAL - len(self._kept))
                self._kept += x[start:stop].tolist()
                if len(self._kept) == USUAL:
                    usual = np.array(self._kept)
                    self._state = self._ours(
                        target=float(usual.mean()), sd=max(float(usual.std(ddof=1)), 1e-12)
                    )
            else:
                self._state, alarms = self._state.update_many(x[start:])
                found += [start + int(i) for i in alarms]
            start = stop
        self.seen += len(x)
        return np.array(found, dtype=np.intp)

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values; `of_payload` reads them back."""
        state = None if self._state is None or self.kind in river.KINDS else self._state.to_payload()
        return {
            "kind": self.kind,
            "parameters": self.parameters,
            "seen": self.seen,
            "kept": self._kept,
            "state": state and {k: repr(v) if isinstance(v, float) else v for k, v in state.items()},
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read what `to_payload` wrote; River's detectors go through the kept values again."""
        made = cls(payload["kind"], **payload["parameters"])
        made.seen = payload["seen"]
        if made.kind in river.KINDS:
            made._rebuild(payload["kept"])
            return made
        made._kept = list(payload["kept"])
        if payload["state"] is not None:
            detector = OURS[made.kind]
            floats = {f.name for f in fields(detector) if f.type == "float"}
            made._state = detector.of_payload(
                {k: float(v) if k in floats else v for k, v in payload["state"].items()}
            )
        return made

    @property
    def _is_chart(self) -> bool:
        return self.kind in ("cusum", "ewma")

    def _ours(self, **more: float) -> Any:
        try:
            return OURS[self.kind](**self.parameters, **more)
        except TypeError as cause:
            raise BadInput(f"{self.kind} does not take these parameters: {cause}.") from cause

    def _rivers(self) -> Any:
        # KSWIN draws at random: without a seed the same stream would not give the same alarms.
        seed = {"seed": 0} if self.kind == "kswin" else {}
        return river.RiverDetector(self.kind, **(seed | self.parameters))

    def _rebuild(self, values: list[float]) -> None:
        self._state, self._kept = self._rivers(), list(values)
        self._state.update_many(np.array(values, float))
