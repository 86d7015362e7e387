"""Judging: rules over a measured window, alerts out of what they say, and messages out of alerts.

The shell around `decisions`: it reads measurements, evidence and alerts from the ledger, asks the pure parts, and
writes facts, alerts, evidence and groups in *one* transaction. Everything is keyed by window and state, so a
step that crashed is done again with the same result, and one that was done changes nothing.

`AlertJudge` is handed to the watch (``judges``; see `ports.judge`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.alerting.cause import cause_of
from watchkeeper.decisions.alerting.grouping import assign
from watchkeeper.decisions.alerting.state_machine import (
    alert_labels,
    identity,
    retrospective_labels,
    step,
)
from watchkeeper.decisions.alerting.whom import whom_of
from watchkeeper.decisions.rules.broken_now import BrokenNow, columns_broken, series_broken
from watchkeeper.decisions.rules.composite import in_order
from watchkeeper.decisions.rules.condition import Arrivals, ColumnFinding, Context, Trouble
from watchkeeper.decisions.rules.evaluate import evaluate
from watchkeeper.decisions.rules.preset import default_rules, watched_columns
from watchkeeper.decisions.rules.series import Point, Series
from watchkeeper.decisions.rules.shares import Shares, reads_rows, remembers, watches_columns
from watchkeeper.documents.incident.runbook import runbook_for
from watchkeeper.domain.alert import Alert, Transition, fingerprint
from watchkeeper.domain.fact import Lease
from watchkeeper.domain.measurement import Family, Measure
from watchkeeper.domain.rule import Category, Evaluation, Rule, Severity
from watchkeeper.domain.schema import Role
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import WatchkeeperError
from watchkeeper.loop.alerting.baseline_windows import BaselineWindows
from watchkeeper.loop.alerting.kept_evidence import KeptEvidence, baseline_name, revision_of
from watchkeeper.loop.alerting.notifying import notify
from watchkeeper.loop.alerting.plan import AlertingPlan
from watchkeeper.loop.alerting.points import points_of_table
from watchkeeper.loop.alerting.row_errors import ROW_ERROR, row_errors
from watchkeeper.loop.records.kinds import ALERT, ALERT_FACTS, GROUP
from watchkeeper.loop.records.records import Kept, Kind, Records, retried, write
from watchkeeper.ports.judge import JudgedWindow, Watching
from watchkeeper.ports.ledger import Ledger
from watchkeeper.stats.evidence.broken_window import FEWEST_WINDOWS as FEWEST_TO_JUDGE_ONE
from watchkeeper.stats.evidence.column_evidence import (
    FEWEST_WINDOWS,
)
from watchkeeper.stats.states.baseline import Baseline

_OUTCOME_FAMILIES = (Family.PERFORMANCE, Family.FAIRNESS, Family.COST)
_ACTOR = "watchkeeper"
_LATELY = 2_000
"""Alerts that are over and are read with every window; older ones are looked up when they fail again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedLast:
    """What the rules said of a model's newest window: for pages, and for knowing which window is an old one."""

    model: str
    newest: datetime
    window: str
    verdicts: Mapping[str, int]
    rules: Mapping[str, str]
    """The worst verdict of each."""
    evaluations: tuple[Mapping[str, Any], ...]
    """Those that did not pass, the worst first."""


JUDGED = Kind("judged", JudgedLast, key="model", model="model", state=lambda _: "judged")


BROKEN = Rule(
    name="evaluation failed",
    kind="error",
    condition=Trouble(),
    severity=Severity.WARNING,
    about="The watching itself is broken: these numbers could not be judged.",
)
"""One alert for everything that went wrong with one model's window."""


SOURCE_FAILED = Rule(
    name="source failed",
    kind="error",
    condition=Trouble(),
    severity=Severity.WARNING,
    hold=timedelta(minutes=5),
    about="What is watched cannot be read or kept, so nothing is measured until it is mended.",
)
"""One alert for one broken source, however many models read it; a moment's trouble is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came out of one window."""

    evaluations: tuple[Evaluation, ...] = ()
    changes: tuple[tuple[Alert, Transition], ...] = ()

    @property
    def verdicts(self) -> dict[str, int]:
        """How many of each."""
        return dict(Counter(e.verdict.value for e in self.evaluations))


class AlertJudge:
    """Judges windows and keeps alerts. Call it as the watch's tick does, or use its methods.

    With *only* the other rules are not evaluated, though they share the budget: for replays.
    """

    def __init__(
        self,
        plan: AlertingPlan,
        *,
        measures: Mapping[str, Measure] | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        self.plan, self.only = plan, only
        if measures is None:
            from watchkeeper.measures.catalogue import described_measures

            measures = described_measures()
        self.measures = {**measures, ROW_ERROR.name: ROW_ERROR}
        self._baselines: dict[str, tuple[str, BaselineWindows]] = {}

    # ---- called by the tick ----------------------------------------------------------------------------

    def judge(self, window: JudgedWindow) -> Judged:
        """Evaluate every rule on one window, and move the alerts; one transaction, and the same when repeated."""
        # Where somebody acknowledges an alert meanwhile, it is read again and the same is done.
        return retried(
            lambda: _Run(self, window.ledger, window.model, window.now, window.lease, window).judge()
        )

    def sources(self, at: Watching, troubles: Mapping[str, str]) -> int:
        """Tell sources apart that could not be read in a tick (model -> why); return how many changes of alerts.

        Models whose rows come from the same table location, or are kept in the lake, share one alert.
        """
        sources: dict[str, list[WatchedModel]] = {}
        for model in at.models.values():
            sources.setdefault(model.table.location if model.table else "", []).append(model)
        changes = 0
        for source, models in sources.items():
            failed = [m.name for m in models if m.name in troubles]
            if failed or at.ledger.facts.count("alert", states=["pending", "firing"]):
                changes += len(retried(self._judge_source, at, source, models, failed, troubles).changes)
        return changes

    def _judge_source(
        self,
        at: Watching,
        source: str,
        models: Sequence[WatchedModel],
        failed: Sequence[str],
        troubles: Mapping[str, str],
    ) -> Judged:
        run = _Run(self, at.ledger, models[0], at.now, at.lease)
        return run.judge_source(source, models, failed, troubles)

    def after(self, at: Watching) -> int:
        """What needs no window: quiet sources, ended silences, due messages. Returns how many messages were queued."""
        for model in at.models.values():
            self.judge_arrivals(at.ledger, model, now=at.now, lease=at.lease)
        return self.notify(at.ledger, now=at.now, lease=at.lease)

    # ---- judging ----------------------------------------------------------------------------------------

    def rules_of(self, model: WatchedModel, baseline: Baseline | None = None) -> tuple[Rule, ...]:
        """The rules of a model: its owner's, and those of the preset that were not replaced."""
        own = self.plan.rules.get(model.name, ())
        if not self.plan.preset:
            return own
        schema = None if baseline is None else baseline.schema
        task = model.task or (schema.task if schema is not None else None)
        return (
            *own,
            *default_rules(
                task,
                schema,
                measures=self.measures,
                judge_every=model.judge_every,
                maturity=model.maturity.after,
                leave_out=self.plan.left_out.get(model.name, ()),
            ),
        )

    def judge_arrivals(
        self, ledger: Ledger, model: WatchedModel, *, now: datetime, lease: Lease | None = None
    ) -> Judged:
        """Evaluate the rules on what did not come."""
        return retried(lambda: _Run(self, ledger, model, now, lease).judge_arrivals())

    # ---- telling ----------------------------------------------------------------------------------------

    def notify(self, ledger: Ledger, *, now: datetime, lease: Lease | None = None) -> int:
        """Queue the messages of every group that is due; return how many outbox entries were written."""
        return notify(ledger, self.plan, now=now, lease=lease)


def _plain(patterns: Sequence[Sequence[str]]) -> list[str]:
    """The names in all *patterns*, for a store to look for; none, for everything, where one of them has a wildcard."""
    names = sorted({p for some in patterns for p in some})
    return [] if any(c in p for p in names for c in "*?[") else names


class _Run:
    """One window of one model (or none: what did not come)."""

    def __init__(
        self,
        judge: AlertJudge,
        ledger: Ledger,
        model: WatchedModel,
        now: datetime,
        lease: Lease | None,
        judged: JudgedWindow | None = None,
    ) -> None:
        self.judged_by, self.ledger, self.model = judge, ledger, model
        self.now, self.lease, self.judged = now, lease, judged
        self.window = None if judged is None else judged.window
        self.placed = () if judged is None else judged.measurements
        self.profiles = {} if judged is None else judged.profiles
        self.baseline = None if judged is None else judged.baseline
        self.mature = judged is None or judged.mature
        schema = None if self.baseline is None else self.baseline.schema
        self.columns = () if schema is None else watched_columns(schema)
        self.outcomes = set() if schema is None else {c.name for c in schema.of_role(Role.OUTCOME)}
        self.shares = Shares.of(
            (), columns=len(self.columns), max_segments=model.max_segments, budget=judge.plan.budget
        )
        self.points: dict[tuple[str, str, str, str], list[Point]] = {}
        self.measures = judge.measures
        self.alerts = Records(ledger.facts, ALERT)
        self.before: dict[str, Kept[Alert] | None] = {}
        self.after: dict[str, Alert] = {}
        self.all_loaded = False
        self.evidence: KeptEvidence | None = None
        self.errors_of: dict[Window, NDArray[np.float64]] = {}
        self.changes: list[tuple[Alert, Transition]] = []

    def _load_alerts(self) -> None:
        """Alerts that are live or ended lately; of the others, those that a failing rule asks for (`_alert`)."""
        live = self.alerts.all(states=["firing", "pending"], model=self.model.name)
        lately = self.alerts.some(states=["resolved", "inactive"], model=self.model.name, limit=_LATELY)
        self.all_loaded = len(lately) < _LATELY
        self.before |= {kept.key: kept for kept in (*live, *lately)}

    def _alert(self, name: str, *, look: bool = True) -> Alert | None:
        """An alert as it was before this window; *look* for it in the ledger where it was not loaded."""
        if name not in self.before:
            if self.all_loaded or not look:
                return None
            self.before[name] = self.alerts.get(name)
        kept = self.before[name]
        return None if kept is None else kept.value

    # ---- a window

    def judge(self) -> Judged:
        assert self.window is not None
        self._load_alerts()
        self.evidence = KeptEvidence(
            self.ledger.facts, self.model, self.window, baseline=self.baseline, own=self._baseline_windows()
        )
        rules = self.judged_by.rules_of(self.model, self.baseline)
        budget = self.judged_by.plan.budget.revised(revision_of(self.ledger.facts, self.model.name))
        self.shares = Shares.of(
            rules, columns=len(self.columns), max_segments=self.model.max_segments, budget=budget
        )
        if self.judged_by.only is not None:
            rules = tuple(r for r in rules if r.name in self.judged_by.only)
        self.points = self._points(rules)
        evaluations: list[tuple[Rule, Evaluation]] = []
        for rule in rules:
            if rule.condition.reads in ("series", "evidence"):
                evaluations += [(rule, e) for e in self._evaluate(rule)]
        by_rule: dict[str, Evaluation] = {}
        for rule, evaluation in evaluations:
            seen = by_rule.get(rule.name)
            if seen is None or Verdict.worst([seen.verdict, evaluation.verdict]) is not seen.verdict:
                by_rule[rule.name] = evaluation
        for rule in in_order(rules):
            evaluation = rule.condition.evaluate(Context(rule=rule, model=self.model.name, said=by_rule))
            evaluation = replace(evaluation, window=evaluation.window or self.window)
            by_rule[rule.name] = evaluation
            evaluations.append((rule, evaluation))
        self._move(evaluations)
        self._move_broken([e for _, e in evaluations])
        self._write([e for _, e in evaluations])
        return Judged(evaluations=tuple(e for _, e in evaluations), changes=tuple(self.changes))

    def _points(self, rules: Sequence[Rule]) -> dict[tuple[str, str, str, str], list[Point]]:
        """Series by (measure, subject, segment, version), up to this window; the past only where a rule reads it."""
        assert self.window is not None
        out: dict[tuple[str, str, str, str], list[Point]] = {}
        historic = [r.selector for r in rules if r.kind in ("anomaly", "predictive") and r.selector.measure]
        if historic:
            span = 400 * self.window.length
            table = self.ledger.measurements.table(
                self.model.name,
                measures=sorted({s.measure for s in historic}),
                subjects=_plain([s.subjects for s in historic]),
                segments=_plain([s.segments for s in historic]),
                versions=_plain([s.versions for s in historic]),
                start=self.window.start - span,
                end=self.window.start,
            )
            out = points_of_table(table, self.window.length)
        for p in self.placed:
            if p.key.window != self.window:
                continue
            m = p.measurement
            name = (m.measure, m.subject, p.key.segment or m.segment, p.key.version)
            out.setdefault(name, []).append(Point.of(self.window, m))
        return {name: points for name, points in out.items() if points[-1].window == self.window}

    def _waits(self, described: Measure | None, subject: str) -> bool:
        """Whether a number rests on outcomes: the early ones are no fair sample, in quality as in performance."""
        return described is not None and (described.family in _OUTCOME_FAMILIES or subject in self.outcomes)

    def _evaluate(self, rule: Rule) -> list[Evaluation]:
        if watches_columns(rule):
            return self._evaluate_columns(rule)
        if isinstance(rule.condition, BrokenNow) and not rule.selector.measure:
            return self._columns_broken(rule)
        assert self.evidence is not None
        out = []
        found = {name: points for name, points in self.points.items() if rule.selector.takes(*name)}
        if reads_rows(rule):
            found = {(ROW_ERROR.name, "", "", ""): [self._row_point()]}
        for (measure, subject, segment, version), points in found.items():
            described = self.measures.get(measure)
            series = Series(
                model=self.model.name,
                measure=measure,
                subject=subject,
                segment=segment,
                version=version,
                points=points,
                described=described,
                timezone=self.model.timezone,
                now=self.now,
                mature=self.mature or not self._waits(described, subject),
                firing=self._fires(rule, measure, subject, segment, version),
            )
            try:
                if isinstance(rule.condition, BrokenNow):
                    out.append(self._series_broken(rule, series))
                    continue
                folded = self.evidence.series(rule, series, rows=self._errors if reads_rows(rule) else None)
                out.append(evaluate(rule, series, folded=folded, shares=self.shares))
            except Exception as fault:
                # A rule that raises must neither stop the others nor pass for healthy.
                said = (
                    fault.what if isinstance(fault, WatchkeeperError) else f"{type(fault).__name__}: {fault}"
                )
                out.append(
                    series.evaluation(
                        rule, Verdict.ERROR, f"{rule.name} of {series.title} failed: {said.rstrip('.')}."
                    )
                )
        return out

    def _errors(self, window: Window) -> NDArray[np.float64]:
        """The errors of a window's rows in order of time; each window is read once."""
        if window not in self.errors_of:
            self.errors_of[window] = np.zeros(0) if self.judged is None else row_errors(self.judged, window)
        return self.errors_of[window]

    def _row_point(self) -> Point:
        """The mean error of this window's rows, for rules that read each of them."""
        assert self.window is not None
        try:
            errors = self._errors(self.window)
        except WatchkeeperError as fault:
            return Point(self.window, None, reason=fault.what, failed=True)
        if not len(errors):
            return Point(self.window, None, reason="no row has an outcome")
        return Point(self.window, float(errors.mean()), len(errors))

    def _fires(self, rule: Rule, measure: str, subject: str, segment: str, version: str) -> bool:
        """Whether this rule's alert on that series fires, as it was before this window."""
        place = Evaluation(
            rule=rule.name,
            model=self.model.name,
            verdict=Verdict.PASS,
            sentence="",
            measure=measure,
            subject=subject,
            segment=segment,
            version=version,
        )
        alert = self._alert(identity(alert_labels(place, rule, self.model.labels)), look=False)
        if alert is None or self.window is None:
            return False
        if alert.window_end == self.window.end:
            # Judged before: what counts is how it stood when this window came.
            return len(alert.flips) > 1 and alert.flips[-2] == "1"
        return alert.is_firing

    # ---- columns

    def _baseline_windows(self) -> BaselineWindows | None:
        if self.baseline is None or self.window is None:
            return None
        known, name = self.judged_by._baselines, baseline_name(self.baseline)
        kept = known.get(self.model.name)
        if kept is None or (kept[0], kept[1].model) != (name, self.model):
            kept = known[self.model.name] = (name, BaselineWindows.of(self.baseline, self.model))
        return kept[1]

    def _evaluate_columns(self, rule: Rule) -> list[Evaluation]:
        assert self.window is not None
        assert self.evidence is not None
        windows = self.evidence.own
        if windows is None or not self.columns:
            return []
        out = []
        for place in self.profiles:
            version, segment = place
            if not any(rule.selector.takes("", c, segment, version) for c in self.columns):
                continue
            blank = Series(
                model=self.model.name,
                measure="",
                points=[Point(self.window, None, reason="-")],
                segment=segment,
                version=version,
                now=self.now,
            )
            if segment:
                # Beside the whole baseline every segment that differs from the others would alarm at once.
                sentence = f"The baseline keeps no windows of {segment} by itself, so its columns are not judged; its performance is."
                out.append(blank.evaluation(rule, Verdict.INCONCLUSIVE, sentence))
                continue
            if len(windows.profiles) < FEWEST_WINDOWS:
                sentence = (
                    f"The baseline has {len(windows.profiles)} windows of this length, and evidence over time "
                    f"needs {FEWEST_WINDOWS}."
                )
                out.append(blank.evaluation(rule, Verdict.INCONCLUSIVE, sentence))
                continue
            read = self.evidence.columns(place, self.profiles[place], rule, self.shares)
            for column, reading, starts, categories in read:
                if rule.selector.takes("", column, segment, version):
                    series = replace(blank, subject=column)
                    if starts and starts[-1] != self.window.start:
                        continue  # too few rows to fold, or an older window: nothing new is known
                    out.append(
                        rule.condition.evaluate(
                            Context(
                                rule=rule,
                                model=self.model.name,
                                series=series,
                                column=ColumnFinding(reading=reading, starts=starts, categories=categories),
                                shares=self.shares,
                            )
                        )
                    )
        return out

    # ---- one window that is plainly broken

    @property
    def _windows_a_year(self) -> float:
        assert self.window is not None
        return timedelta(days=365) / max(self.window.length, timedelta(minutes=1))

    def _columns_broken(self, rule: Rule) -> list[Evaluation]:
        assert self.window is not None
        windows = self._baseline_windows()
        if windows is None:
            return []
        out: list[Evaluation] = []
        for (version, segment), profile in self.profiles.items():
            if segment:
                continue  # columns of a segment have no windows of their own in the baseline
            place = Series(
                model=self.model.name,
                measure="",
                points=[Point(self.window, None, reason="-")],
                version=version,
                now=self.now,
            )
            if not windows.columns.columns:
                sentence = (
                    f"The baseline has {len(windows.profiles)} windows of this length, and judging one window needs "
                    f"{FEWEST_TO_JUDGE_ONE}."
                )
                if any(rule.selector.takes("", c, segment, version) for c in self.columns):
                    out.append(place.evaluation(rule, Verdict.INCONCLUSIVE, sentence))
                continue
            columns = profile.with_arrived_outcomes().columns
            series = [
                replace(place, subject=c, firing=self._fires(rule, "", c, segment, version))
                for c in windows.columns.columns
                if c in columns
                and rule.selector.takes("", c, segment, version)
                and (self.mature or c not in self.outcomes)
            ]
            for one in series:
                try:
                    out += columns_broken(
                        rule, [one], windows.columns, columns, windows_a_year=self._windows_a_year
                    )
                except WatchkeeperError:
                    continue  # quality measures tell that the column changed its kind
        return out

    def _series_broken(self, rule: Rule, series: Series) -> Evaluation:
        windows = self._baseline_windows()
        own = [] if windows is None else windows.measured(series.measure, series.segment)
        return series_broken(
            rule,
            series,
            own,
            tests=self.shares.broken_segments if series.segment else self.shares.broken_measures,
            windows_a_year=self._windows_a_year,
        )

    # ---- what did not come

    def judge_arrivals(self) -> Judged:
        rules = [r for r in self.judged_by.rules_of(self.model) if r.condition.reads == "arrivals"]
        if not rules:
            return Judged()
        arrivals = self._arrivals()
        evaluations = [
            (r, r.condition.evaluate(Context(rule=r, model=self.model.name, arrivals=arrivals)))
            for r in rules
        ]
        self._move(evaluations)
        self._write([], judged=False)
        return Judged(evaluations=tuple(e for _, e in evaluations), changes=tuple(self.changes))

    def judge_source(
        self, source: str, models: Sequence[WatchedModel], failed: Sequence[str], troubles: Mapping[str, str]
    ) -> Judged:
        """One source that these models share: it failed for some of them, or for none."""
        alone = len(models) == 1
        if not failed:
            said = "Everything could be read."
        elif alone:
            said = f"{failed[0]} could not be measured: {troubles[failed[0]]}"
        else:
            said = f"{len(failed)} of {len(models)} models could not be measured. {failed[0]}: {troubles[failed[0]]}"
        evaluation = Evaluation(
            rule=SOURCE_FAILED.name,
            model=models[0].name if alone else "",
            verdict=Verdict.FAIL if failed else Verdict.PASS,
            sentence=said,
            since=self.now if failed else None,
            guarantee="exact: it failed",
            category=Category.ERROR,
            value=float(len(failed)),
            details={"models": list(failed[:50])},
        )
        labels = alert_labels(evaluation, SOURCE_FAILED, models[0].labels if alone else None)
        if not alone:
            # An address may hold a secret: its fingerprint tells sources apart as well.
            labels["source"] = fingerprint({"source": source})[:8] if source else "lake"
        self._step(SOURCE_FAILED, evaluation, labels, None)
        self._write([], judged=False)
        return Judged(evaluations=(evaluation,), changes=tuple(self.changes))

    def _arrivals(self) -> Arrivals:
        windows = self.ledger.windows.windows(
            self.model.name, start=self.now - timedelta(days=120), limit=1_000_000
        )
        stored = [w for w in windows if not w.key.version and not w.key.segment]
        return Arrivals(
            model=self.model.name,
            now=self.now,
            predictions_until=max((w.key.window.end for w in stored if w.rows), default=None),
            outcomes_until=max((w.key.window.end for w in stored if w.outcomes), default=None),
            watched_since=min((w.key.window.start for w in stored), default=None),
        )

    # ---- alerts

    def _move(self, evaluations: Sequence[tuple[Rule, Evaluation]]) -> None:
        recent = 3 * self.model.judge_every + timedelta(days=1)
        newest = self._newest_judged()
        for rule, evaluation in evaluations:
            if evaluation.verdict is Verdict.ERROR:
                continue  # told together, by `BROKEN`
            labels = alert_labels(evaluation, rule, self.model.labels)
            horizon = recent
            described = self.measures.get(evaluation.measure)
            if described is not None and described.family in _OUTCOME_FAMILIES:
                horizon = recent + self.model.maturity.after
            old = (
                evaluation.window is not None
                and newest is not None
                and evaluation.window.end < newest
                and not remembers(rule)
                # outcomes come late to every window: their own order counts
                and not (rule.kind == "broken" and self._waits(described, evaluation.subject))
            )
            if old:
                labels = retrospective_labels(labels, evaluation)
            self._step(rule, evaluation, labels, horizon, retrospective=old)

    def _newest_judged(self) -> datetime | None:
        kept = Records(self.ledger.facts, JUDGED).get(self.model.name)
        return None if kept is None else kept.value.newest

    def _move_broken(self, evaluations: Sequence[Evaluation]) -> None:
        """All evaluations that went wrong, as one alert of the model."""
        faults = [e for e in evaluations if e.verdict is Verdict.ERROR]
        first = faults[0].sentence if faults else ""
        evaluation = Evaluation(
            rule=BROKEN.name,
            model=self.model.name,
            verdict=Verdict.FAIL if faults else Verdict.PASS,
            sentence=f"{len(faults)} of {len(evaluations)} evaluations failed. The first: {first}"
            if faults
            else "Every evaluation worked.",
            window=self.window,
            since=self.window.start if faults and self.window else None,
            guarantee="exact: they failed",
            category=Category.ERROR,
            value=float(len(faults)),
            details={"failed": sorted({e.rule for e in faults})[:50]},
        )
        newest = self._newest_judged()
        if newest is not None and self.window is not None and self.window.end < newest:
            return
        self._step(BROKEN, evaluation, alert_labels(evaluation, BROKEN, self.model.labels), None)

    def _step(
        self,
        rule: Rule,
        evaluation: Evaluation,
        labels: dict[str, str],
        recent: timedelta | None,
        *,
        retrospective: bool = False,
    ) -> None:
        name = identity(labels)
        fails = evaluation.verdict is Verdict.FAIL
        before = self.after.get(name) or self._alert(name, look=fails or self.window is None)
        if before is None and not fails:
            return
        whom = None
        if fails:
            whom = {} if self.window is None else whom_of(evaluation, self.points, self.measures)
        if fails and not rule.runbook:
            described = self.measures.get(evaluation.measure)
            family = described.family.value if described is not None else ""
            name_of_book = runbook_for(category=evaluation.category.value, kind=rule.kind, family=family)
            rule = replace(rule, runbook=name_of_book)
        evaluation = self._with_cause(evaluation) if fails else evaluation
        # A quiet rule may speak of any window; nobody is woken by it.
        after, found = step(
            before,
            evaluation,
            replace(rule, hold=timedelta(0)) if retrospective else rule,
            now=self.now,
            labels=labels,
            recent=recent,
            retrospective=retrospective,
            whom=whom,
        )
        if after is None or after is before:
            return
        self.after[name] = after
        self.changes += [(after, t) for t in found]

    def _with_cause(self, evaluation: Evaluation) -> Evaluation:
        """Whether the inputs explain a change of performance, by the estimate that assumes nothing else changed."""
        described, estimate = self.measures.get(evaluation.measure), f"estimated_{evaluation.measure}"
        if (
            described is None
            or described.family is not Family.PERFORMANCE
            or estimate not in self.measures
            or evaluation.baseline is None
            or self.window is None
        ):
            return evaluation
        names = (evaluation.measure, estimate)
        table = self.ledger.measurements.table(
            self.model.name,
            measures=names,
            subjects=[evaluation.subject],
            segments=[evaluation.segment],
            versions=[evaluation.version],
            start=evaluation.since or self.window.start,
            end=self.window.start,
        )
        by_window: dict[Window, dict[str, Point]] = {}
        for series in (points_of_table(table, self.window.length), self.points):
            for name in names:
                place = (name, evaluation.subject, evaluation.segment, evaluation.version)
                for point in series.get(place, ()):
                    by_window.setdefault(point.window, {})[name] = point
        found = cause_of(
            evaluation.baseline,
            [
                (realised.rows, realised.value, estimated.value)
                for both in by_window.values()
                if (realised := both.get(names[0])) and (estimated := both.get(names[1]))
                if realised.value is not None and estimated.value is not None
            ],
        )
        if found is None:
            return evaluation
        return replace(evaluation, details={**evaluation.details, "cause": found.to_dict()})

    # ---- writing

    def _write(self, evaluations: Sequence[Evaluation], *, judged: bool = True) -> None:
        where = self.window.label if self.window is not None else self.now.isoformat()
        facts = [
            ALERT_FACTS[t.kind](
                {
                    "text": t.text,
                    "rule": alert.rule,
                    "severity": alert.severity.value,
                    "window": where,
                    "retrospective": alert.retrospective,
                    "state": alert.state.value,
                    "flapping": alert.flapping,
                },
                at=self.now,
                actor=_ACTOR,
                model=alert.model,
                subject=alert.fingerprint,
                key=f"alert.{t.kind}:{alert.fingerprint}:{where}:{alert.episode}",
            )
            for alert, t in self.changes
        ]
        records: list[Kept[Any]] = [
            (self.before.get(name) or ALERT.new(alert)).to(alert) for name, alert in self.after.items()
        ]
        if self.evidence is not None:
            records += self.evidence.changed()
        records += self._groups()
        if judged and self.window is not None:
            known = Records(self.ledger.facts, JUDGED).get(self.model.name)
            if known is None or self.window.end >= known.value.newest:
                new = self._judged(evaluations, self.window)
                records.append(JUDGED.new(new) if known is None else known.to(new))
        write(self.ledger.facts, facts, records, now=self.now, lease=self.lease)

    def _judged(self, evaluations: Sequence[Evaluation], window: Window) -> JudgedLast:
        order = list(Verdict)
        loud = sorted(
            (e for e in evaluations if e.verdict is not Verdict.PASS), key=lambda e: -order.index(e.verdict)
        )
        return JudgedLast(
            model=self.model.name,
            newest=window.end,
            window=window.label,
            verdicts=dict(Counter(e.verdict.value for e in evaluations)),
            rules={
                r: Verdict.worst([e.verdict for e in evaluations if e.rule == r]).value
                for r in dict.fromkeys(e.rule for e in evaluations)
            },
            evaluations=tuple(e.to_dict() for e in loud[:200]),
        )

    def _groups(self) -> list[Kept[Any]]:
        told = {"fired", "reopened", "resolved", "flapping", "calmed", "current"}
        changed = {a.fingerprint: self.after[a.fingerprint] for a, t in self.changes if t.kind in told}
        if not changed or not self.judged_by.plan.routes:
            return []
        known = {kept.key: kept for kept in Records(self.ledger.facts, GROUP).all()}
        groups = {key: kept.value for key, kept in known.items()}
        made = assign(changed.values(), self.judged_by.plan.routes, groups, now=self.now)
        return [known[key].to(group) if key in known else GROUP.new(group) for key, group in made.items()]
