"""The evidence of one model's series and columns: kept in the ledger, and folded with each judged window.

Evidence belongs to a baseline. When another comes, its windows are numbered on from those of the one before, so that
both together keep to one budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from watchkeeper.decisions.rules.memory import Folded, Values
from watchkeeper.decisions.rules.preset import watched_columns
from watchkeeper.decisions.rules.series import Series
from watchkeeper.decisions.rules.series_alarm import begun, ranks_among_baseline
from watchkeeper.decisions.rules.series_evidence import SeriesEvidence
from watchkeeper.decisions.rules.shares import Shares, evidence_of, folds, remembering, remembers, season_of
from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.domain.rule import Rule
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, WatchkeeperError
from watchkeeper.loop.alerting.baseline_windows import BaselineWindows
from watchkeeper.loop.records.records import Kept, Kind, Records
from watchkeeper.stats.evidence.column_evidence import ColumnEvidence, EvidenceRules, Reading, read_all
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile

_MOST_STARTS = 1000

Place = tuple[str, str]
"""Version and segment."""
ColumnReading = tuple[str, Reading, Sequence[datetime], Sequence[str]]
"""A column, what its evidence says, the starts of its folded windows, its categories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """The evidence of one series (``folded``), or of one column (``state``, the starts of its windows, until when)."""

    key: str
    model: str
    baseline: str
    folded: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    starts: tuple[float, ...] = ()
    until: float = 0.0


EVIDENCE = Kind("evidence", Fold, key="key", model="model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """How often the evidence of a model was folded again from a corrected past, and why last."""

    model: str
    revision: int
    reason: str = ""
    by: str = ""


REVISION = Kind("revision", Revision, key="model", model="model")


def baseline_name(baseline: Baseline | None) -> str:
    """What tells one baseline from another; empty without one."""
    b = baseline
    return "" if b is None else f"{b.name}|{b.created_at}|{b.profile.rows:g}|{len(b.windows)}"


def revision_of(facts: Any, model: str) -> int:
    """How often the evidence of *model* was folded again from a corrected past (see `refolding`)."""
    kept = Records(facts, REVISION).get(model)
    return 0 if kept is None else kept.value.revision


class KeptEvidence:
    """The evidence of *model* up to *window*; what was folded is written by whoever takes `documents`."""

    def __init__(
        self,
        facts: Any,
        model: WatchedModel,
        window: Window,
        *,
        baseline: Baseline | None,
        own: BaselineWindows | None,
    ) -> None:
        self.own = own
        """The baseline's own windows; None without a baseline."""
        self._model, self._window, self._baseline = model, window, baseline
        self._name = baseline_name(baseline)
        self._columns = () if baseline is None else watched_columns(baseline.schema)
        self._changed: dict[str, Fold] = {}
        self._readings: dict[tuple[Place, str, EvidenceRules], list[ColumnReading]] = {}
        self._kept = {kept.key: kept for kept in Records(facts, EVIDENCE).all(model=model.name)}

    def changed(self) -> list[Kept[Fold]]:
        """What this window changed, to be written."""
        return [
            self._kept[key].to(fold) if key in self._kept else EVIDENCE.new(fold)
            for key, fold in self._changed.items()
        ]

    def _fold(self, key: str) -> Fold | None:
        return self._changed.get(key) or (self._kept[key].value if key in self._kept else None)

    # ---- series

    def series(self, rule: Rule, series: Series, *, rows: Values | None = None) -> Folded | None:
        """What *rule* keeps of a series, with this window in it; None where it needs nothing. *rows*: fold those."""
        if not remembers(rule):
            return None
        season, condition = season_of(rule), rule.condition
        read: Callable[[dict[str, Any]], Any]
        if folds(rule):
            name, read = season, SeriesEvidence.of_payload
        else:
            name = f"{rule.kind} {blake2b(repr(condition).encode(), digest_size=6).hexdigest()}"
            read = remembering(rule).memory_of
        place = (series.version, series.segment, series.measure, series.subject)
        key = "|".join(("series", self._model.name, *place, name))
        fold = self._fold(key)
        known = None if fold is None or fold.folded is None else Folded.of_payload(fold.folded, read)
        if fold is not None and known is not None and fold.baseline == self._name:
            folded = known
        else:
            evidence: Any = (
                self._begun(series, season) if folds(rule) else remembering(rule).begin(series.described)
            )
            folded = Folded(evidence=evidence)
            if known is not None:
                many = known.evidence.folded
                on = {"folded": many} if folds(rule) else {"folded": many, "first": many}
                folded = replace(known, evidence=replace(evidence, **on))
        stale_after_s = self._model.maturity.after.total_seconds()
        after = folded.seen(series, stale_after_s=stale_after_s, season=season, rows=rows)
        if after is not folded:
            self._changed[key] = Fold(
                key=key, model=self._model.name, baseline=self._name, folded=after.to_payload()
            )
        return after

    def _begun(self, series: Series, season: str) -> SeriesEvidence:
        """Begin from the baseline's own windows, measured as this one is."""
        own = []
        if self.own is not None and ranks_among_baseline(
            series.described, subject=series.subject, segment=series.segment
        ):
            own = self.own.scored(series.measure, season)
        return begun(series.described, measure=series.measure, subject=series.subject, own=own)

    # ---- columns

    def columns(self, place: Place, profile: Profile, rule: Rule, shares: Shares) -> list[ColumnReading]:
        """Fold this window's *profile* into every column of *place*, once, and read them all together."""
        own = self.own
        if own is None:
            return []
        season = season_of(rule)
        independent = evidence_of(rule).independent_rows
        rules = shares.column_rules(rule)
        cached = self._readings.get((place, season, rules))
        if cached is not None:
            return cached
        stratum = own.stratum(self._window, season)
        states, kept = [], []
        for column in self._columns:
            if column not in profile.columns or column not in own.binnings:
                continue
            binning = own.binnings[column]
            key = "|".join(("column", self._model.name, *place, column, season, str(independent)))
            try:
                state, starts, until = self._column_state(self._fold(key), column, own, season, rules)
                if self._window.start.timestamp() >= until:
                    counts, missing = binning.counts(profile.columns[column])
                    before = state.folded
                    state = state.update(counts, missing, stratum=stratum)
                    if state.folded > before:
                        starts = [*starts, self._window.start.timestamp()][-_MOST_STARTS:]
                    self._changed[key] = Fold(
                        key=key,
                        model=self._model.name,
                        baseline=self._name,
                        state=state.to_payload(),
                        starts=tuple(starts),
                        until=self._window.end.timestamp(),
                    )
            except WatchkeeperError:
                continue  # quality measures tell that the column changed its kind
            if state.folded:
                states.append(state)
                kept.append((column, starts, binning.categories))
        out: list[ColumnReading] = [
            (column, reading, [datetime.fromtimestamp(s, UTC) for s in starts], categories)
            for reading, (column, starts, categories) in zip(read_all(states), kept)
        ]
        self._readings[place, season, rules] = out
        return out

    def _column_state(
        self,
        fold: Fold | None,
        column: str,
        own: BaselineWindows,
        season: str,
        rules: EvidenceRules,
    ) -> tuple[ColumnEvidence, list[float], float]:
        """The state before this window, the starts of its windows, and until when it was folded."""
        known = None if fold is None or fold.state is None else ColumnEvidence.of_payload(fold.state)
        if fold is not None and known is not None and fold.baseline == self._name:
            state = known if known.rules == rules else replace(known, rules=rules)
            return state, list(fold.starts), fold.until
        binning: Binning = own.binnings[column]
        counts, missing = binning.many([p.columns[column] for p in own.profiles])
        strata = own.strata(season)
        begun = ColumnEvidence.of(
            counts, missing, column=column, ordered=binning.ordered, strata=strata, rules=rules
        )
        if fold is None or known is None:
            return begun, [], 0.0
        before = replace(known, rules=rules)
        try:
            state = before.rebased(counts, missing, strata=strata)
        except BadInput:
            state = begun
        return state, list(fold.starts), fold.until
