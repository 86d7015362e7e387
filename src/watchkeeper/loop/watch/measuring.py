"""All measures of one measured window, by version and segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.measures.catalogue import entries
from watchkeeper.measures.drift.evaluation import measure_drift
from watchkeeper.measures.estimate.evaluation import measure_estimates
from watchkeeper.measures.fairness.evaluation import measure_fairness
from watchkeeper.measures.groups import Groups
from watchkeeper.measures.performance.evaluation import measure_performance
from watchkeeper.measures.quality.evaluation import measure_quality
from watchkeeper.measures.service.evaluation import measure_service
from watchkeeper.profiles.stored_window import StoredWindow
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.sample import Sample
from watchkeeper.stats.states.service import ServiceState

SEGMENT_DRIFT = ("psi", "missing_drift")
"""Drift measures of a segment: the full list for each of fifty segments would drown what matters."""


def measure_stored(
    stored: StoredWindow,
    baseline: Baseline | None,
    model: WatchedModel,
    *,
    now: datetime | None = None,
    sample: Sample | None = None,
    arrived: Sequence[Profile] = (),
) -> list[Measurement]:
    """All measures of one window, version and segment; of a segment only those that say where it hurts.

    *sample* are rows of the window, and *arrived* windows before it with their outcomes; estimates read both.
    """
    out: list[Measurement] = []
    whole = not stored.key.segment
    service = stored.service.estimate() if stored.service.states else ServiceState.empty()
    kept = float(stored.service.n_effective) if _is_sampled(stored.service) else None
    out += measure_service(service, rows=kept, seconds=stored.key.window.length.total_seconds())
    if not stored.profile.states:
        return out
    # Of sampled capture, sums are those of all rows, and intervals those of the rows that were kept.
    profile: Profile = stored.profile.effective().with_arrived_outcomes()
    scoring = model.scoring if baseline is None else baseline.scoring_of(model.scoring)
    if baseline is not None:
        names = None if whole else SEGMENT_DRIFT
        out += measure_drift(baseline.profile, profile, names=names)
    if whole:
        out += measure_quality(profile, baseline.profile if baseline is not None else None, now=None)
    # Where the values lie, also of each segment: a chart of a year reads these numbers instead of 8,760 profiles.
    spreads = measure_quality(profile, None, now=None, names=("median",))
    out += [m for m in spreads if m.value is not None]
    out += measure_performance(profile.performance, **scoring.options)
    if baseline is not None and whole:
        # How much the baseline's own windows differ is tolerated, so that a bad day alone contradicts nothing.
        own = [w.profile for w in baseline.windows]
        out += measure_estimates(
            baseline.profile, replace(profile, sample=sample), windows=own, arrived=arrived, **scoring.options
        )
    return list(_of_all_rows(out, stored)) if _is_sampled(stored.profile) else out


def measure_groups(
    windows: Sequence[StoredWindow], baseline: Baseline | None, model: WatchedModel
) -> list[Measurement]:
    """What compares the segments of one window with each other, column by column, and its versions."""
    scoring = model.scoring if baseline is None else baseline.scoring_of(model.scoring)
    axes: dict[str, dict[str, Profile]] = {}
    for stored in windows:
        key = stored.key
        if not stored.profile.states or bool(key.version) == bool(key.segment):
            continue
        axis = "version" if key.version else " & ".join(p.partition("=")[0] for p in key.segment.split(" & "))
        axes.setdefault(axis, {})[key.version or key.segment] = stored.profile.effective()
    out: list[Measurement] = []
    for axis, profiles in axes.items():
        groups = Groups(axis=axis, profiles=profiles)
        out += measure_fairness(groups, **scoring.options)
    return out


def _of_all_rows(found: Iterable[Measurement], stored: StoredWindow) -> Iterator[Measurement]:
    """Numbers of rows, which were measured on the rows kept, as those of all rows."""
    units = {e.name: e.measure.unit for e in entries()}
    factor = stored.profile.estimate().rows / max(stored.profile.n_effective, 1e-300)
    for m in found:
        if units.get(m.measure) != "rows" or m.value is None:
            yield m
            continue
        span = m.interval
        yield replace(
            m,
            value=m.value * factor,
            interval=None if span is None else replace(span, low=span.low * factor, high=span.high * factor),
        )


def _is_sampled(captured: ByRate[Any]) -> bool:
    return not set(captured.states) <= {1.0}
