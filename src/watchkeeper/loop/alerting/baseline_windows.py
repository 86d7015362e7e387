"""The baseline's own windows at the length that is judged: what new windows are ranked among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from watchkeeper.decisions.rules.broken_now import OwnColumns, own_columns
from watchkeeper.decisions.rules.preset import watched_columns
from watchkeeper.decisions.rules.series import Point
from watchkeeper.decisions.rules.series_alarm import ScoredWindow
from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Role
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.stats.evidence.seasons import season_codes
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile


@dataclass(frozen=True, eq=False, kw_only=True)
class BaselineWindows:
    """The baseline's own windows at the length that is judged, and how each column is counted."""

    baseline: Baseline
    model: WatchedModel
    windows: tuple[Window, ...]
    profiles: tuple[Profile, ...]
    binnings: Mapping[str, Binning]

    @classmethod
    def of(cls, baseline: Baseline, model: WatchedModel) -> BaselineWindows:
        """Merge shorter windows to the judged length; longer ones cannot be used."""

        merged: dict[Window, Profile] = {}
        spans: dict[Window, timedelta] = {}
        for w in baseline.windows:
            start = datetime.fromtimestamp(w.start_us / 1e6, UTC)
            own = Window(start, datetime.fromtimestamp(w.end_us / 1e6, UTC))
            target = own if model.rows_per_window else model.judged_window(own)
            if own.length > target.length:
                continue
            merged[target] = merged[target].merge(w.profile) if target in merged else w.profile
            spans[target] = spans.get(target, timedelta(0)) + own.length
        # A day of which half is missing is not like the others.
        whole = sorted(w for w in merged if spans[w] >= 0.75 * w.length and merged[w].rows > 0)
        columns = {}
        for name in watched_columns(baseline.schema):
            column = baseline.profile.columns.get(name)
            binning = None if column is None else Binning.of(column)
            if binning is not None and all(name in merged[w].columns for w in whole):
                columns[name] = binning
        return cls(
            baseline=baseline,
            model=model,
            windows=tuple(whole),
            profiles=tuple(merged[w] for w in whole),
            binnings=columns,
        )

    def strata(self, season: str) -> list[int] | None:
        """The season of each window, in the model's time zone; None where there is none."""
        return None if season == "none" else [self.stratum(w, season) for w in self.windows]

    def stratum(self, window: Window, season: str) -> int:
        """The season of one window."""
        start = window.start.astimezone(ZoneInfo(self.model.timezone)).replace(tzinfo=None)
        return int(season_codes(np.array([start], "datetime64[s]"), season)[0])

    def performance(self, names: Sequence[str], segment: str = "") -> list[list[Measurement]]:
        """The measures of performance *names* of each window, or of a *segment* in it, as later windows are measured."""
        from watchkeeper.measures.performance.evaluation import measure_performance

        return [
            measure_performance(
                profile.segments.get(segment, {}) if segment else profile.performance,
                **self.baseline.scoring_of(self.model.scoring).options,
                names=names,
            )
            for profile in self.profiles
        ]

    @cached_property
    def columns(self) -> OwnColumns:
        """The columns, counted for rules on one broken window."""
        whole = self.baseline.profile.columns
        outcomes = [c.name for c in self.baseline.schema.of_role(Role.OUTCOME)]
        binnings = dict(self.binnings)
        for name in outcomes:
            binning = Binning.of(whole[name].without_missing()) if name in whole else None
            if binning is not None and all(name in p.columns for p in self.profiles):
                binnings[name] = binning
        windows = [p.with_arrived_outcomes().columns for p in self.profiles]
        return own_columns(binnings, self.baseline.profile.with_arrived_outcomes().columns, windows)

    def measured(self, measure: str, segment: str) -> list[tuple[float, float, float]]:
        """One measure of performance, of all rows or of a *segment*: value, standard error and rows of each window."""
        if measure == "row_count" and not segment:
            return [(float(p.rows), 0.0, float(p.rows)) for p in self.profiles]
        return [
            (m.value, Point.of(window, m).standard_error or 0.0, float(m.rows))
            for window, found in zip(self.windows, self.performance([measure], segment))
            for m in found
            if m.value is not None and not m.subject
        ]

    def scored(self, measure: str, season: str) -> list[ScoredWindow]:
        """One measure of performance of all rows: value, standard error and season of each window that has one."""
        return [
            (m.value, Point.of(window, m).standard_error or 0.0, self.stratum(window, season))
            for window, found in zip(self.windows, self.performance([measure]))
            for m in found
            if m.value is not None and not m.subject
        ]
