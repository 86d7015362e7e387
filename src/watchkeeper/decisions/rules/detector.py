"""Detector: a classical change detector, over the errors of rows in order of time or over any series of measurements.

Ours and River's (`stats.detectors.catalogue`). They are quick, and promise nothing: on a stream that never changes each
alarms some day. So such a rule is a notice unless its owner says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.rules.condition import Context, waiting
from watchkeeper.decisions.rules.series import number, verdict_of
from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.rule import NO_GUARANTEE, Evaluation, Reads, Selector
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.catalogue import OF_ERRORS, Detector

_ALARMS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorMemory:
    """The detector's state after some windows, and the windows in which it alarmed."""

    state: Mapping[str, Any]
    folded: int = 0
    first: int = 0
    """Windows that were folded before it began: another baseline came then."""
    alarms: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Of the last windows with an alarm, by number: the mean since the last alarm before it, and that of the window."""
    mean: float = 0.0
    count: int = 0
    """Mean and number of the values since the last alarm."""

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> DetectorMemory:
        """Read what `to_payload` wrote."""
        alarms = {int(number): (usual, now) for number, (usual, now) in payload["alarms"].items()}
        return cls(**{**payload, "alarms": alarms})

    def to_payload(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "state": dict(self.state),
            "folded": self.folded,
            "first": self.first,
            "alarms": {str(number): list(means) for number, means in self.alarms.items()},
            "mean": self.mean,
            "count": self.count,
        }

    def update(self, value: float, error: float | None = None, *, stratum: int = 0) -> DetectorMemory:
        """Return the state after one more window's value."""
        return self.update_many(np.array([value], float))

    def update_many(self, values: NDArray[np.float64]) -> DetectorMemory:
        """Return the state after the values of one more window, in order of time."""
        detector = Detector.of_payload(self.state)
        found = detector.update_many(values)
        after, number = replace(self, state=detector.to_payload(), folded=self.folded + 1), self.folded + 1
        mean, count = float(values.mean()), len(values)
        if len(found):
            alarms = {**self.alarms, number: (self.mean if self.count else mean, mean)}
            return replace(after, alarms=dict(list(alarms.items())[-_ALARMS:]), mean=mean, count=count)
        total = self.count + count
        return replace(after, mean=self.mean + (mean - self.mean) * count / total, count=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDetector:
    """Fails in a window in which the detector alarms; without a measure it reads the errors of rows in order of time.

    An error is 1 where the prediction is not the outcome, and for regression how far apart they are.
    """

    kind: ClassVar[str] = "detector"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "series"
    may_page: ClassVar[bool] = False
    guarantee: ClassVar[str] = f"{NO_GUARANTEE}: a classical detector"

    detector: Literal["adwin", "ddm", "eddm", "hddm_a", "hddm_w", "kswin", "page_hinkley", "cusum", "ewma"]
    """Which one; adwin, hddm_a, hddm_w and kswin are River's, which must be installed."""
    parameters: dict[str, int | float | str | bool] = field(default_factory=dict)
    """The detector's own, by name; see `watchkeeper.detectors`."""
    min_rows: float = 1

    def __post_init__(self) -> None:
        Detector(self.detector, **self.parameters)

    def check(self, selector: Selector) -> None:
        """Refuse what it cannot read.

        Raises
        ------
        BadInput
            it reads errors of 0 and 1 and was given a measure, or rows of segments or versions.
        """
        if selector.measure and self.detector in OF_ERRORS:
            raise BadInput(
                f"{self.detector} reads errors of 0 and 1, and the windows of a measure are neither.",
                "Leave the measure out: then it reads the errors of rows.",
            )
        if not selector.measure and (selector.segments != ("",) or selector.versions != ("",)):
            raise BadInput(
                "A detector reads the errors of all rows together.", "Leave segments and versions out."
            )

    def begin(
        self, described: Measure | None, own: Sequence[tuple[float, float, int]] = ()
    ) -> DetectorMemory:
        """The memory before the first window."""
        return DetectorMemory(state=Detector(self.detector, **self.parameters).to_payload())

    memory_of = staticmethod(DetectorMemory.of_payload)

    def evaluate(self, context: Context) -> Evaluation:
        """Say whether the detector alarmed in the last window."""
        rule, series, folded = context.rule, context.judged, context.folded
        undecided = verdict_of(series, rule, min_rows=self.min_rows) or waiting(context)
        if undecided is not None:
            return undecided
        assert folded is not None
        at = folded.number_of(series.last.window)
        if at is None:
            return series.evaluation(
                rule,
                Verdict.INCONCLUSIVE,
                f"{series.title} of this window came after later windows were read, and a detector reads in order.",
            )
        memory: DetectorMemory = folded.evidence
        if at not in memory.alarms:
            return series.evaluation(
                rule, Verdict.PASS, f"{self.detector} finds no change in {series.title}."
            )
        usual, now = memory.alarms[at]
        return series.evaluation(
            rule,
            Verdict.FAIL,
            f"{series.title} changed, says {self.detector}: {number(now)} in this window, {number(usual)} before.",
            baseline=usual,
            effect=now - usual,
            guarantee=self.guarantee,
            since=series.last.window.start,
            details={"detector": self.detector, "windows": memory.folded - memory.first},
        )
