"""Replay the windows of a baseline through the rules of a model: drawn anew, or with a shift put into them.

`calibration` cuts the work into parts and puts the answer together; here is what one part does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.rules.evaluate import evaluate
from watchkeeper.decisions.rules.memory import Folded
from watchkeeper.decisions.rules.preset import watched_columns
from watchkeeper.decisions.rules.series import Point, Series
from watchkeeper.decisions.rules.series_alarm import alarms, begun, first_reference, ranks_among_baseline
from watchkeeper.decisions.rules.shares import (
    Shares,
    evidence_of,
    folds,
    reads_rows,
    remembering,
    remembers,
    season_of,
    watches_columns,
)
from watchkeeper.decisions.rules.threshold import Threshold
from watchkeeper.documents.calibration_report import OURS
from watchkeeper.domain.duration import duration_words
from watchkeeper.domain.measurement import Family, Interval, Measurement
from watchkeeper.domain.rule import Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.loop.alerting.baseline_windows import BaselineWindows
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.alerting.plan import AlertingPlan, alerting_plan
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.measures.drift.evaluation import drift_entries, measure_column_drift
from watchkeeper.measures.quality.evaluation import measure_quality
from watchkeeper.stats.evidence.column_evidence import EFFECT_WINDOWS, FEWEST_WINDOWS, EvidenceRules
from watchkeeper.stats.evidence.injection import Shift
from watchkeeper.stats.evidence.replay import replay
from watchkeeper.stats.evidence.usual_defaults import usual_defaults
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile

Ints = NDArray[np.integer[Any]]

Part = Callable[[np.random.Generator], dict[str, Any]]
"""One part of the work: random numbers in, plain JSON values out."""

WORSE = (0.02, 0.05, 0.1)
"""How much worse performance gets: of a share or an area in points, of an error in proportion."""
SETTLE = 10
"""Windows before a shift begins."""
FEWEST_TO_REPLAY = 8
_NULL_PART, _SHIFT_PART = 20, 50
_AT_ONCE = 2_000
"""Columns of all deployments of one part: what bounds the memory."""


# ---- what is replayed ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class _Group:
    """Columns that are counted alike: ``counts`` (C, B, K), ``missing`` (C, B)."""

    ordered: bool
    names: tuple[str, ...]
    counts: NDArray[np.float64]
    missing: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _ColumnRule:
    rule: Rule
    evidence: EvidenceRules
    strata: Ints | None
    waits: int

    @property
    def breaks(self) -> bool:
        return self.rule.kind == "break"

    @property
    def alike(self) -> tuple[Any, ...]:
        """Rules of which one replay tells both."""
        strata = None if self.strata is None else self.strata.tobytes()
        return (self.evidence, strata)


@dataclass(eq=False)
class _Seen:
    """First alarms of some deployments, by procedure and by rule; 0 is never."""

    firsts: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    alarmed: dict[str, int] = field(default_factory=dict)
    rules: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def note(self, name: str, pages: bool, first: NDArray[np.int64]) -> None:
        """Add what one rule said ``(R,)``."""
        known = self.rules.get(name)
        self.rules[name] = first if known is None else _sooner(known, first)
        for procedure in ("paging",) if pages else ("notices",):
            known = self.firsts.get(procedure)
            self.firsts[procedure] = first if known is None else _sooner(known, first)

    def to_dict(self) -> dict[str, Any]:
        return {
            "firsts": {k: v.tolist() for k, v in self.firsts.items()},
            "alarmed": dict(self.alarmed),
            "rules": {k: v.tolist() for k, v in self.rules.items()},
        }


class Replayer:
    """The baseline's windows, the rules, and the parts that the replay is cut into."""

    def __init__(
        self,
        baseline: Baseline,
        model: WatchedModel | None,
        plan: AlertingPlan | None,
        *,
        windows: int,
        within: int,
        seed: int,
    ) -> None:
        self.baseline = baseline
        self.model = model or _model_of(baseline)
        self.measures = described_measures()
        plan = plan or alerting_plan({self.model.name: self.model})
        judge = AlertJudge(plan, measures=self.measures)
        self.rules = judge.rules_of(self.model, baseline)
        self.budget = plan.budget
        self.windows, self.within, self.seed = windows, within, seed
        self.own = BaselineWindows.of(baseline, self.model)
        self.count = len(self.own.windows)
        if self.count < FEWEST_TO_REPLAY:
            raise BadInput(
                f"The baseline has {self.count} windows of {duration_words(self.model.judge_every)} of its own, and "
                f"{FEWEST_TO_REPLAY} are the fewest that can be replayed.",
                f"Take a baseline of at least {FEWEST_WINDOWS} windows from rows with a time column:  watchkeeper "
                "baseline DATA --role COLUMN=time",
            )
        self.length = self.own.windows[-1].length
        self.many = max(self.count, FEWEST_WINDOWS)
        """Windows of a replayed baseline."""
        self.groups = self._groups()
        self.columns = [n for g in self.groups for n in g.names]
        if not self.columns:
            raise BadInput(
                "The baseline has no column that can be watched for drift.",
                "Numbers, categories and booleans can; see watchkeeper show BASELINE.",
            )
        self.shares = Shares.of(
            self.rules,
            columns=len(watched_columns(baseline.schema)),
            max_segments=self.model.max_segments,
            budget=plan.budget,
        )
        self.strata = self._strata()
        self.column_rules, self.series_rules, self.left_out = self._sorted_rules()
        self._shifted: dict[tuple[str, str, Shift], list[Measurement]] = {}
        self._verdicts: dict[tuple[Any, ...], bool] = {}
        self.table = self._table()
        for rule in list(self.series_rules):
            if not self._keys(rule):
                self.series_rules.remove(rule)
                self.left_out[rule.name] = "the baseline's windows do not hold what it reads"

    def key(self, runs: int, shifts: Sequence[Shift], target: Shift) -> str:
        """What the answer depends on: a state of another question is not gone on with."""
        words = [
            self.baseline.name,
            self.baseline.created_at,
            f"{self.baseline.profile.rows:g}",
            repr([(w.start, w.end) for w in self.own.windows]),
            repr(self.rules),
            repr(self.model),
            repr((runs, self.windows, self.within, self.seed, shifts, target)),
        ]
        digest = blake2b("\n".join(words).encode(), digest_size=16)
        for group in self.groups:
            digest.update(group.counts.tobytes() + group.missing.tobytes())
        return digest.hexdigest()

    def parts(self, runs: int, shifts: Sequence[Shift], target: Shift) -> dict[str, Part]:
        """All parts by name, in order. Each is independent of the others."""
        out: dict[str, Part] = {}
        if self.count >= FEWEST_WINDOWS + EFFECT_WINDOWS:
            out["as it was/0"] = partial(self._as_it_was)
        for how in ("by window", "by block"):
            for i, size in enumerate(_sizes(runs, max(1, min(_NULL_PART, _AT_ONCE // len(self.columns))))):
                out[f"{how}/{i}"] = partial(self._null, how=how, runs=size)
        half = max(10, runs // 2)
        for shift in shifts:
            for i, size in enumerate(_sizes(half, _SHIFT_PART)):
                out[f"{shift.words}/{i}"] = partial(self._column_shift, shift=shift, runs=size)
        for worse in WORSE if self.performance_rules() else ():
            for i, size in enumerate(_sizes(half, _SHIFT_PART)):
                out[f"performance {worse:g} worse/{i}"] = partial(
                    self._performance_shift, worse=worse, runs=size
                )
        for n, option in enumerate(self.options()):
            out[f"option {n}/0"] = partial(self._try, option=option, target=target, runs=max(60, half))
        return out

    # ---- setting up

    def _groups(self) -> list[_Group]:
        alike: dict[tuple[bool, int], list[tuple[str, Any, Any]]] = {}
        for name, binning in self.own.binnings.items():
            counts, missing = binning.many([p.columns[name] for p in self.own.profiles])
            alike.setdefault((binning.ordered, counts.shape[1]), []).append((name, counts, missing))
        return [
            _Group(
                ordered=ordered,
                names=tuple(n for n, _, _ in found),
                counts=np.stack([c for _, c, _ in found]).astype(float),
                missing=np.stack([m for _, _, m in found]).astype(float),
            )
            for (ordered, _), found in alike.items()
        ]

    def _strata(self) -> Ints:
        """The season of each baseline window, over all seasons that rules have ``(B,)``."""
        seasons = sorted({season_of(r) for r in self.rules} - {"none"})
        codes = [self.own.strata(s) for s in seasons]
        held = [c for c in codes if c is not None]
        if not held:
            return np.zeros(self.count, np.int64)
        return np.unique(np.array(held).T, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def _sorted_rules(self) -> tuple[list[_ColumnRule], list[Rule], dict[str, str]]:
        columns: list[_ColumnRule] = []
        series: list[Rule] = []
        left: dict[str, str] = {}
        for rule in self.rules:
            condition = rule.condition
            if watches_columns(rule):
                columns.append(self._column_rule(rule))
            elif isinstance(condition, Threshold) and condition.exact:
                left[rule.name] = "exact: it counts, and there is no chance in it"
            elif reads_rows(rule):
                left[rule.name] = "it reads rows, and the baseline's windows hold none"
            elif rule.kind == "broken":
                left[rule.name] = (
                    "it judges each window by itself, and promises how many a year are called broken that are not"
                )
            elif rule.kind in ("absence", "composite"):
                left[rule.name] = (
                    "it is about rows that do not come"
                    if rule.kind == "absence"
                    else "it joins rules that are replayed one by one"
                )
            elif "" not in rule.selector.segments or "" not in rule.selector.versions:
                left[rule.name] = "it reads segments or versions, and the baseline's windows hold all rows"
            else:
                series.append(rule)
        return columns, series, left

    def _column_rule(self, rule: Rule) -> _ColumnRule:
        strata = self.own.strata(season_of(rule))
        return _ColumnRule(
            rule=rule,
            evidence=self.shares.column_rules(rule),
            strata=None if strata is None else np.array(strata, np.int64),
            waits=self._waits(rule),
        )

    def _waits(self, rule: Rule) -> int:
        return ceil(rule.hold / self.length)

    def _table(self) -> dict[tuple[str, str], list[Measurement]]:
        """What rules on measures read, of each baseline window: by (measure, column)."""
        names = {r.selector.measure for r in self.series_rules}
        of_family = {
            family: [n for n in names if n in self.measures and self.measures[n].family is family]
            for family in Family
        }
        out: dict[tuple[str, str], list[Measurement]] = {}
        drift = _known_drift(of_family[Family.DRIFT])
        performance = self.own.performance(of_family[Family.PERFORMANCE])
        for profile, found in zip(self.own.profiles, performance):
            for name in self.columns if drift else ():
                found += measure_column_drift(
                    self.baseline.profile.columns[name], profile.columns[name], drift
                )
            if of_family[Family.QUALITY]:
                found += measure_quality(profile, self.baseline.profile, names=of_family[Family.QUALITY])
            for m in found:
                out.setdefault((m.measure, m.subject), []).append(m)
        return {
            key: found
            for key, found in out.items()
            if len(found) == self.count and any(m.value is not None for m in found)
        }

    def _keys(self, rule: Rule) -> list[tuple[str, str]]:
        return [key for key in self.table if rule.selector.takes(*key, "", "")]

    def performance_rules(self) -> list[Rule]:
        return [
            r
            for r in self.series_rules
            if (m := self.measures.get(r.selector.measure)) is not None and m.family is Family.PERFORMANCE
        ]

    # ---- drawing windows

    def _drawn(self, rng: np.random.Generator, how: str, after: int) -> tuple[Ints, Ints]:
        """Which windows stand in the replayed baseline, and which come after it."""
        wanted = self.strata[np.arange(self.many + after) % self.count]
        places = {s: np.flatnonzero(self.strata == s) for s in np.unique(wanted).tolist()}
        if how == "by window":
            drawn = np.empty(len(wanted), np.int64)
            for season, source in places.items():
                at = np.flatnonzero(wanted == season)
                drawn[at] = rng.choice(source, len(at))
        else:
            steps: list[int] = []
            while len(steps) < len(wanted):
                start = int(rng.choice(places[int(wanted[len(steps)])]))
                for j in range(start, min(start + self.block, self.count)):
                    if len(steps) == len(wanted) or self.strata[j] != wanted[len(steps)]:
                        break
                    steps.append(j)
            drawn = np.array(steps, np.int64)
        return drawn[: self.many], drawn[self.many :]

    @property
    def block(self) -> int:
        """Windows that stay together when blocks are shuffled: a week of days, a day of hours, or a quarter."""
        natural = 7 if self.length >= timedelta(hours=20) else max(2, round(timedelta(days=1) / self.length))
        return max(2, min(natural, self.count // 4))

    # ---- replaying

    def _null(self, rng: np.random.Generator, how: str, runs: int) -> dict[str, Any]:
        drawn = [self._drawn(rng, how, self.windows) for _ in range(runs)]
        return self._deployments(np.array([b for b, _ in drawn]), np.array([a for _, a in drawn]), f"{how}")

    def _as_it_was(self, rng: np.random.Generator) -> dict[str, Any]:
        first = max(FEWEST_WINDOWS, self.count // 2)
        return self._deployments(np.arange(first)[None, :], np.arange(first, self.count)[None, :], "")

    def _deployments(self, before: Ints, after: Ints, salt: str) -> dict[str, Any]:
        """Replay deployments of all columns: *before* ``(R, B)`` and *after* ``(R, T)`` are baseline windows."""
        runs, total = after.shape
        seen = _Seen()
        rivals = {name: np.zeros((runs, total), bool) for name in ("ks", "psi", "chunks")}
        correlated = 0
        for rule in self.column_rules:
            seen.note(rule.rule.name, rule.rule.severity.pages, np.zeros(runs, np.int64))
        for group in self.groups:
            base, gone = _taken(group.counts, group.missing, before)
            new, new_gone = _taken(group.counts, group.missing, after)
            many = len(group.names)
            # Ties are broken as the watch breaks them, in every deployment but the first in another way.
            names = [f"{salt}|{r}|{name}" if salt or r else name for r in range(runs) for name in group.names]
            for name, fires in usual_defaults(base, new, ordered=group.ordered).items():
                rivals[name] |= fires.reshape(runs, many, total).any(1)
            found: dict[tuple[Any, ...], Any] = {}
            for rule in self.column_rules:
                if rule.alike not in found:
                    strata = None if rule.strata is None else (rule.strata[before[0]], rule.strata[after[0]])
                    found[rule.alike] = replay(
                        base,
                        new,
                        rules=rule.evidence,
                        ordered=group.ordered,
                        names=names,
                        strata=strata,
                        missing=(gone, new_gone),
                    )
                run = found[rule.alike]
                correlated = max(correlated, int(run.correlated.reshape(runs, many).sum(1).max()))
                first = (run.broken if rule.breaks else run.persistent).reshape(runs, many)
                watched = np.array([rule.rule.selector.takes("", n, "", "") for n in group.names])
                first = _soonest(np.where(watched, first, 0))
                first = np.where((first > 0) & (first + rule.waits <= total), first + rule.waits, 0)
                seen.note(rule.rule.name, rule.rule.severity.pages, first)
        for measured in self.series_rules:
            first = np.zeros(runs, np.int64)
            for key in self._keys(measured):
                for r in range(runs):
                    fires = self._series_alarms(
                        measured,
                        key,
                        [self.table[key][i] for i in before[r]],
                        [self.table[key][i] for i in after[r]],
                        before[r],
                        after[r],
                        until_first=True,
                    )
                    first[r] = _sooner(first[r : r + 1], _first(fires[None, :]))[0]
            seen.note(measured.name, measured.severity.pages, first)
        for procedure in OURS:
            seen.firsts.setdefault(procedure, np.zeros(runs, np.int64))
            seen.alarmed[procedure] = int((seen.firsts[procedure] > 0).sum())
        rivals |= {"always": np.ones((runs, total), bool), "never": np.zeros((runs, total), bool)}
        for name, fires in rivals.items():
            seen.firsts[name], seen.alarmed[name] = _first(fires), int(fires.sum())
        return seen.to_dict() | {"runs": runs, "windows": total, "correlated": correlated}

    def _column_shift(self, rng: np.random.Generator, shift: Shift, runs: int) -> dict[str, Any]:
        """One column of a deployment shifts, in every run another one."""
        delays: dict[str, list[float]] = {}
        fitting = [g for g in self.groups if shift.fits(ordered=g.ordered)]
        names = [(g, c) for g in fitting for c in range(len(g.names))]
        turns = rng.permutation(len(names))[np.arange(runs) % len(names)]
        total = SETTLE + self.within
        for group in fitting:
            mine = [names[t][1] for t in turns if names[t][0] is group]
            if not mine:
                continue
            drawn = [self._drawn(rng, "by window", total) for _ in mine]
            before, after = np.array([b for b, _ in drawn]), np.array([a for _, a in drawn])
            at = np.array(mine)
            base, gone = group.counts[at[:, None], before], group.missing[at[:, None], before]
            new, new_gone = group.counts[at[:, None], after], group.missing[at[:, None], after]
            new[:, SETTLE:], new_gone[:, SETTLE:] = shift.of(new[:, SETTLE:], new_gone[:, SETTLE:])
            seen = _Seen()
            for rule in self.column_rules:
                strata = None if rule.strata is None else (rule.strata[before[0]], rule.strata[after[0]])
                run = replay(
                    base,
                    new,
                    rules=rule.evidence,
                    ordered=group.ordered,
                    names=[f"{shift.words}|{r}|{group.names[c]}" for r, c in enumerate(mine)],
                    strata=strata,
                    missing=(gone, new_gone),
                )
                first = run.broken if rule.breaks else run.persistent
                watched = np.array([rule.rule.selector.takes("", group.names[c], "", "") for c in mine])
                first = np.where((first > 0) & watched, first + rule.waits, 0)
                seen.note(rule.rule.name, rule.rule.severity.pages, first)
            for measured in self.series_rules:
                first = np.zeros(len(mine), np.int64)
                for r, c in enumerate(mine):
                    for key in [k for k in self._keys(measured) if k[1] == group.names[c]]:
                        moved = self._moved(key, shift)
                        if moved is None:
                            continue
                        own = self.table[key]
                        late = [(moved if t >= SETTLE else own)[i] for t, i in enumerate(after[r].tolist())]
                        marks = after[r] + np.where(np.arange(total) >= SETTLE, self.count, 0)
                        fires = self._series_alarms(
                            measured,
                            key,
                            [own[i] for i in before[r]],
                            late,
                            before[r],
                            marks,
                            salt=shift.words,
                        )
                        first[r] = _sooner(first[r : r + 1], _first_shifted(measured, fires))[0]
                seen.note(measured.name, measured.severity.pages, first)
            for procedure in OURS:
                first = seen.firsts.get(procedure, np.zeros(len(mine), np.int64))
                delays.setdefault(procedure, []).extend(_delays(first, SETTLE, total))
            for name, fires in usual_defaults(base, new, ordered=group.ordered).items():
                delays.setdefault(name, []).extend(_delays(_first_after(fires, SETTLE), SETTLE, total))
        delays |= {"always": [1.0] * runs, "never": [0.0] * runs}
        return {"delays": delays}

    def _performance_shift(self, rng: np.random.Generator, worse: float, runs: int) -> dict[str, Any]:
        """The model gets worse: every measure of performance by *worse*, in points or in proportion."""
        delays: dict[str, list[float]] = {p: [] for p in (*OURS, "chunks")}
        total = SETTLE + self.within
        rules = self.performance_rules()
        for _ in range(runs):
            before, after = self._drawn(rng, "by window", total)
            firsts = {True: np.zeros(1, np.int64), False: np.zeros(1, np.int64)}
            chunks = np.zeros(1, np.int64)
            for rule in rules:
                for key in self._keys(rule):
                    own = self.table[key]
                    moved = [self._worse(m, worse) for m in own]
                    late = [(moved if t >= SETTLE else own)[i] for t, i in enumerate(after.tolist())]
                    marks = after + np.where(np.arange(total) >= SETTLE, self.count, 0)
                    early = [own[i] for i in before]
                    fires = self._series_alarms(
                        rule, key, early, late, before, marks, salt=f"worse {worse:g}"
                    )
                    pages = rule.severity.pages
                    firsts[pages] = _sooner(firsts[pages], _first_shifted(rule, fires))
                    chunks = _sooner(chunks, _first_after(_beyond(early, late)[None, :], SETTLE))
            for procedure, first in (
                ("paging", firsts[True]),
                ("notices", firsts[False]),
                ("chunks", chunks),
            ):
                delays[procedure] += _delays(first, SETTLE, total)
        delays |= {"always": [1.0] * runs, "never": [0.0] * runs}
        return {"delays": delays}

    def _worse(self, m: Measurement, by: float) -> Measurement:
        if m.value is None:
            return m
        described = self.measures[m.measure]
        share = described.high is not None and described.high <= 1
        step = by if share else by * abs(m.value)
        step = -step if described.direction.value == "lower_is_worse" else step
        interval = m.interval and Interval(m.interval.low + step, m.interval.high + step, m.interval.level)
        return replace(m, value=m.value + step, interval=interval)

    def _moved(self, key: tuple[str, str], shift: Shift) -> list[Measurement] | None:
        """A drift measure of each baseline window of which a column was shifted; None for other measures."""
        measure, column = key
        entries = _known_drift([measure])
        if not entries or column not in self.own.binnings:
            return None
        if (measure, column, shift) not in self._shifted:
            before = self.baseline.profile.columns[column]
            found = []
            for profile in self.own.profiles:
                found += measure_column_drift(before, _shifted(profile.columns[column], shift), entries)
            self._shifted[measure, column, shift] = found
        return self._shifted[measure, column, shift]

    # ---- rules on series

    def _series_alarms(
        self,
        rule: Rule,
        key: tuple[str, str],
        early: Sequence[Measurement],
        late: Sequence[Measurement],
        before: Ints,
        marks: Ints,
        *,
        salt: str = "",
        until_first: bool = False,
    ) -> NDArray[np.bool_]:
        """In which of the *late* windows the rule fires ``(T,)``; *marks* tell equal windows apart from others."""
        out = np.zeros(len(late), bool)
        if folds(rule):
            found: Iterable[bool] = self._evidence_alarms(rule, key, early, late, before, marks)
        elif isinstance(rule.condition, Threshold):
            found = self._threshold_alarms(rule, key, late, marks, salt)
        elif remembers(rule):
            found = self._alarms_of_memory(rule, key, self._points(early, late), len(early))
        else:
            found = self._alarms_of_history(rule, key, self._points(early, late), len(early))
        # The alert fires once the rule has failed for so many windows on end.
        waits, run = self._waits(rule), 0
        for t, fails in enumerate(found):
            run = run + 1 if fails else 0
            out[t] = run > waits
            if until_first and out[t]:
                break
        return out

    def _series(
        self, rule: Rule, key: tuple[str, str], points: Sequence[Point], firing: bool = False
    ) -> Series:
        return Series(
            model=self.model.name,
            measure=key[0],
            subject=key[1],
            points=points,
            described=self.measures.get(key[0]),
            timezone=self.model.timezone,
            firing=firing,
        )

    def _points(self, early: Sequence[Measurement], late: Sequence[Measurement]) -> list[Point]:
        start = self.own.windows[0].start
        return [
            Point.of(Window(start + t * self.length, start + (t + 1) * self.length), m)
            for t, m in enumerate([*early, *late])
        ]

    def _alarms_of_history(
        self, rule: Rule, key: tuple[str, str], points: Sequence[Point], early: int
    ) -> Iterator[bool]:
        """Whether a rule that reads the past fires after each of *points* but the *early* ones."""
        firing = False
        for t in range(early, len(points)):
            said = evaluate(rule, self._series(rule, key, points[: t + 1], firing))
            firing = said.verdict is Verdict.FAIL
            yield firing

    def _alarms_of_memory(
        self, rule: Rule, key: tuple[str, str], points: Sequence[Point], early: int
    ) -> Iterator[bool]:
        """The same of a rule that keeps a memory of its own: the *early* windows are folded first."""
        folded = Folded(evidence=remembering(rule).begin(self.measures.get(key[0])))
        for t in range(len(points)):
            series = self._series(rule, key, points[: t + 1])
            folded = folded.seen(series, stale_after_s=0.0)
            if t >= early:
                yield evaluate(rule, series, folded=folded).verdict is Verdict.FAIL

    def _threshold_alarms(
        self, rule: Rule, key: tuple[str, str], late: Sequence[Measurement], marks: Ints, salt: str
    ) -> Iterator[bool]:
        firing = False
        for m, mark in zip(late, marks.tolist()):
            known = (rule.name, key, salt if mark >= self.count else "", mark, firing)
            if known not in self._verdicts:
                said = evaluate(rule, self._series(rule, key, self._points([], [m]), firing))
                self._verdicts[known] = said.verdict is Verdict.FAIL
            firing = self._verdicts[known]
            yield firing

    def _evidence_alarms(
        self,
        rule: Rule,
        key: tuple[str, str],
        early: Sequence[Measurement],
        late: Sequence[Measurement],
        before: Ints,
        marks: Ints,
    ) -> Iterator[bool]:
        """As the watch folds: from the baseline's windows, or from the first 20 where it would have to."""
        strata = self.own.strata(season_of(rule)) or [0] * self.count
        measure, subject = key
        described = self.measures.get(measure)
        points = self._points(early, late)
        seasons = [strata[i % self.count] for i in (*before.tolist(), *marks.tolist())]
        scored = [
            None if p.value is None else (p.value, p.standard_error or 0.0, season)
            for p, season in zip(points, seasons)
        ]
        own = [w for w in scored[: len(early)] if w is not None]
        among = ranks_among_baseline(described, subject=subject, segment="")
        evidence = begun(described, measure=measure, subject=subject, own=own if among else ())
        if not among:
            evidence = first_reference(evidence, own)
        enough = [p.rows >= evidence_of(rule).min_rows for p in points[len(early) :]]
        found = alarms(rule, evidence, scored[len(early) :], self.shares)
        return (fires and rests for fires, rests in zip(found, enough))

    # ---- what could be better

    def options(self) -> list[dict[str, Any]]:
        """Cadences, sample sizes and baseline lengths that are worth a try."""
        own = {"what": "as it is", "merged": 1, "rows": 1.0, "baseline": self.many}
        out = [own]
        out += [own | {"what": "rows", "rows": f} for f in (0.1, 0.25, 0.5, 2.0, 4.0, 10.0)]
        out += [own | {"what": "cadence", "merged": m} for m in (2, 4, 7)]
        lengths = sorted({20, 50, 100, 200} - {self.many})
        return out + [own | {"what": "baseline", "baseline": b} for b in lengths]

    def _try(
        self, rng: np.random.Generator, option: Mapping[str, Any], target: Shift, runs: int
    ) -> dict[str, Any]:
        """How soon the target is found with other windows. Beside the rules on columns nothing is replayed."""
        fitting = [g for g in self.groups if target.fits(ordered=g.ordered)]
        rules = [r for r in self.column_rules if r.rule.severity.pages]
        total, merged = SETTLE + self.within, int(option["merged"])
        # Windows that are merged are neighbours, as they would be.
        how = "by window" if merged == 1 else "by block"
        delays: list[float] = []
        rows = 0.0
        share = [len(g.names) / sum(len(f.names) for f in fitting) for g in fitting]
        for group, part in zip(fitting, share):
            many = max(1, round(runs * part))
            need = (int(option["baseline"]) + total) * merged
            picked = np.array(
                [np.concatenate(self._drawn(rng, how, max(1, need - self.many)))[:need] for _ in range(many)]
            )
            at = rng.integers(0, len(group.names), many)[:, None]
            counts, gone = group.counts[at, picked], group.missing[at, picked]
            if merged > 1:
                counts = counts.reshape(many, -1, merged, counts.shape[-1]).sum(2)
                gone = gone.reshape(many, -1, merged).sum(2)
            counts, gone = _resized(rng, counts, gone, float(option["rows"]))
            rows = float(np.median(counts.sum(-1) + gone))
            cut = int(option["baseline"])
            base, new = counts[:, :cut], counts[:, cut:]
            base_gone, new_gone = gone[:, :cut], gone[:, cut:]
            new[:, SETTLE:], new_gone[:, SETTLE:] = target.of(new[:, SETTLE:], new_gone[:, SETTLE:])
            first = np.zeros(many, np.int64)
            for rule in rules:
                run = replay(
                    base, new, rules=rule.evidence, ordered=group.ordered, missing=(base_gone, new_gone)
                )
                first = _sooner(first, run.broken if rule.breaks else run.persistent)
            delays += _delays(first, SETTLE, total)
        return {"delays": delays, "rows": rows}


# ---- arithmetic ------------------------------------------------------------------------------------------


def _model_of(baseline: Baseline) -> WatchedModel:
    """A model as a baseline alone tells it: its own windows are the judged ones."""
    length = timedelta(days=1)
    if baseline.windows:
        length = timedelta(microseconds=baseline.windows[0].end_us - baseline.windows[0].start_us)
    name = Path(baseline.name or "model").stem or "model"
    return WatchedModel(name=name, task=baseline.schema.task, cadence=length, judge_every=length)


def number_of(label: str) -> int:
    return int.from_bytes(blake2b(label.encode(), digest_size=4).digest(), "big")


def _sizes(runs: int, most: int) -> list[int]:
    return [min(most, runs - done) for done in range(0, runs, most)]


def _taken(counts: Any, missing: Any, picked: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windows *picked* ``(R, n)`` of every column: ``(R * C, n, K)`` and ``(R * C, n)``."""
    n = picked.shape[1]
    chosen = np.swapaxes(counts[:, picked], 0, 1).reshape(-1, n, counts.shape[-1])
    return chosen, np.swapaxes(missing[:, picked], 0, 1).reshape(-1, n)


def _sooner(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smaller of two first windows, where 0 is never."""
    never = np.iinfo(np.int64).max
    both = np.minimum(np.where(a > 0, a, never), np.where(b > 0, b, never))
    return np.where(both < never, both, 0)


def _soonest(firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Over the last axis."""
    never = np.iinfo(np.int64).max
    least = np.where(firsts > 0, firsts, never).min(-1)
    return np.where(least < never, least, 0)


def _first(fires: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first window ``(R,)`` that fires in ``(R, T)``, from 1; 0 for never."""
    return np.where(fires.any(-1), fires.argmax(-1) + 1, 0).astype(np.int64)


def _first_after(fires: NDArray[np.bool_], settle: int) -> NDArray[np.int64]:
    """The same, of windows after the change: a rule without memory may have fired before."""
    late = _first(fires[:, settle:])
    return np.where(late > 0, late + settle, 0)


def _first_shifted(rule: Rule, fires: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first window ``(1,)`` that tells of the shift. A rule that remembers is silent once it has fired."""
    return _first(fires[None, :]) if remembers(rule) else _first_after(fires[None, :], SETTLE)


def _delays(first: NDArray[np.int64], settle: int, total: int) -> list[float]:
    """Windows from the change to the alarm; 0 where it was not found, or had fired before."""
    return [float(f - settle) if settle < f <= total else 0.0 for f in first.tolist()]


def _known_drift(names: Sequence[str]) -> tuple[Any, ...]:
    """Entries of those that are measured column by column, from the column's own states."""
    out: list[Any] = []
    for name in names:
        try:
            out += drift_entries([name])
        except NotFound:
            continue
    return tuple(out)


def _shifted(column: ColumnProfile, shift: Shift) -> ColumnProfile:
    """A column's window after *shift*, for measures that read histograms or frequencies."""
    state = column.distribution
    if isinstance(state, Histogram):
        counts, missing = shift.of(state.counts, 0.0)
        new: Any = replace(state, counts=counts, nulls=state.nulls + float(missing))
        return replace(column, states={**column.states, "histogram": new})
    if isinstance(state, Frequencies):
        names = list(state.counts)
        whole = np.array([*(state.counts[n] for n in names), state.other], float)
        counts, missing = shift.of(whole, 0.0)
        new = replace(
            state,
            counts=dict(zip(names, counts[:-1].tolist())),
            other=float(counts[-1]),
            nulls=state.nulls + float(missing),
        )
        return replace(column, states={**column.states, "frequencies": new})
    return column


def _resized(
    rng: np.random.Generator, counts: NDArray[np.float64], gone: NDArray[np.float64], factor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windows with *factor* times their rows: a part of them, or more drawn from their own shares."""
    if factor == 1.0:
        return counts.copy(), gone.copy()
    both = np.concatenate([counts, gone[..., None]], axis=-1)
    if factor < 1:
        out = rng.binomial(np.round(both).astype(np.int64), factor).astype(float)
    else:
        rows = both.sum(-1, keepdims=True)
        out = rng.multinomial(np.round(rows[..., 0] * factor).astype(np.int64), both / rows).astype(float)
    # A window that lost all its rows would stop the replay; half a row of the usual kind stands in.
    empty = out[..., :-1].sum(-1) == 0
    out[empty, :-1] = both[empty, :-1] / np.maximum(both[empty, :-1].sum(-1, keepdims=True), 1)
    return out[..., :-1], out[..., -1]


def _beyond(early: Sequence[Measurement], late: Sequence[Measurement]) -> NDArray[np.bool_]:
    """Further from the baseline's mean than three standard deviations of its windows."""
    base = np.array([m.value for m in early if m.value is not None])
    values = np.array([np.nan if m.value is None else m.value for m in late])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(values - base.mean()) > 3 * base.std(ddof=1))
