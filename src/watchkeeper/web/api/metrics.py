"""``/metrics``: the newest measurements, and what this process itself did, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from watchkeeper.capture.journal import journals
from watchkeeper.domain.window import Window

if TYPE_CHECKING:
    from watchkeeper.loop.watch.tick import Ticked
    from watchkeeper.loop.watch.watch import Watch


class OwnMetrics:
    """Counters of one serving process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.accepted = Counter(
            "watchkeeper_rows_accepted", "Rows committed to a journal.", ["model", "what"], registry=r
        )
        self.refused = Counter(
            "watchkeeper_rows_refused", "Rows refused, told by line.", ["what"], registry=r
        )
        self.unavailable = Counter(
            "watchkeeper_requests_unavailable", "Requests not acknowledged: no commit in time.", registry=r
        )
        self.commit_s = Histogram("watchkeeper_commit_seconds", "Time from body to commit.", registry=r)
        self.ticks = Counter("watchkeeper_ticks", "Ticks of this process.", ["result"], registry=r)
        self.tick_s = Gauge("watchkeeper_tick_seconds", "Length of the last tick.", registry=r)
        self.ticked_at = Gauge(
            "watchkeeper_last_tick_timestamp_seconds", "When the last tick ended.", registry=r
        )
        self.drained = Counter(
            "watchkeeper_rows_drained", "Rows moved into the lake.", ["model", "what"], registry=r
        )
        self.duplicates = Counter("watchkeeper_rows_duplicate", "Repeats left out.", ["model"], registry=r)
        self.problems = Gauge("watchkeeper_tick_problems", "Problems that the last tick met.", registry=r)

    def ticked(self, done: Ticked, seconds: float, at: float) -> None:
        """Count one tick."""
        self.ticks.labels("held_by_another" if done.held_by_another else "done").inc()
        self.tick_s.set(seconds)
        self.ticked_at.set(at)
        self.problems.set(len(done.to_dict()["problems"]))
        for model, drained in done.drained.items():
            self.drained.labels(model, "predictions").inc(drained.predictions)
            self.drained.labels(model, "outcomes").inc(drained.outcomes)
            self.duplicates.labels(model).inc(drained.duplicates)


def measurement_registry(watch: Watch, *, segments: bool = False) -> CollectorRegistry:
    """A registry with the newest value of every series; segments only when they are asked for, they are many."""
    registry = CollectorRegistry()
    registry.register(_Measurements(watch, segments))
    return registry


class _Measurements(Collector):
    def __init__(self, watch: Watch, segments: bool) -> None:
        self.watch, self.segments = watch, segments

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        labels = ["model", "version", "segment", "measure", "subject", "window"]
        value = GaugeMetricFamily("watchkeeper_measurement", "The newest value of a measure.", labels=labels)
        end = GaugeMetricFamily(
            "watchkeeper_measurement_window_end_timestamp_seconds",
            "End of the newest judged window.",
            labels=["model"],
        )
        table = self.watch.ledger.measurements.latest(segment=None if self.segments else "")
        newest: dict[str, float] = {}
        for row in table.to_pylist():
            at = row["end"].timestamp()
            newest[row["model"]] = max(at, newest.get(row["model"], 0.0))
            if row["value"] is not None:
                length = Window(row["start"], row["end"]).label.partition("/")[2]
                value.add_metric(
                    [row["model"], row["version"], row["segment"], row["measure"], row["subject"], length],
                    row["value"],
                    timestamp=None,
                )
        for model, at in newest.items():
            end.add_metric([model], at)
        yield value
        yield end
        waiting = GaugeMetricFamily(
            "watchkeeper_windows_waiting", "Windows to be measured.", labels=["model"]
        )
        held = GaugeMetricFamily(
            "watchkeeper_journal_bytes", "Size of journals on the disk.", labels=["model"]
        )
        now = self.watch.clock()
        for name in self.watch.models:
            due = self.watch.ledger.windows.dirty(model=name, before=now, limit=100_000)
            waiting.add_metric([name], len(due))
            held.add_metric(
                [name], sum(p.stat().st_size for p in journals(self.watch.data, name) if p.exists())
            )
        yield waiting
        yield held
