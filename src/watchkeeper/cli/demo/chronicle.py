"""The nights of the replay: tick, tell what is new, and do what an operator would do the next morning.

The operator follows a few plain rules, and reads nothing but what Watchkeeper says:

- of an incident every runbook is followed that one of its alerts names, one a day, the gravest kind first;
- it is resolved when no alert of it fires any more; or after a week, when nothing of it fires but columns that stay
  moved: then the world is another, and no alarm says that the model is hurt;
- what is learnt is written down with the numbers of that time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from watchkeeper.cli.demo.receivers import Receivers
from watchkeeper.cli.demo.replay import MODEL, OUTCOME_DELAY, Episode
from watchkeeper.cli.demo.teller import Teller
from watchkeeper.cli.demo.truth import Truth

DAY = timedelta(days=1)
PERFORMANCE = ("brier rose", "accuracy fell", "roc_auc fell")
BROKEN = ("column broke", "carrier missing")
GRAVEST_FIRST = ("performance", "data-quality", "drift")
"""Runbooks; an alert says which is its own."""
MOVED = "column changed"
TOUCHED = ("carrier", "distance", "score", "prediction")
"""Columns that the episode changes, and what is made of them."""


class Clock:
    """The replay's time."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Chronicle:
    """Runs the nights, and remembers what came out of them."""

    def __init__(
        self, watch: Any, clock: Clock, tell: Teller, truth: Truth, receivers: Receivers, episode: Episode
    ) -> None:
        from watchkeeper.loop.incidents.incidents import Incidents
        from watchkeeper.loop.incidents.runbooks import Runbooks
        from watchkeeper.wiring.telling import outbox_of

        self.watch, self.clock, self.tell, self.truth = watch, clock, tell, truth
        self.receivers, self.episode = receivers, episode
        facts = watch.ledger.facts
        self.incidents = Incidents(facts, watch.ledger.measurements, models=watch.models, clock=clock)
        self.runbooks = Runbooks(
            facts, self.incidents, watch=watch, channels=tuple(watch.config.channels), clock=clock
        )
        self.outbox = outbox_of(watch)
        self.read_until = 0
        self.alarms: list[dict[str, Any]] = []
        self.unreliable: dict[datetime, str] = {}
        self.runs: list[dict[str, Any]] = []
        self.first_month = clock.now.month
        self.months: list[dict[str, Any]] = []
        self.seen_first: list[dict[str, Any]] = []
        self.told_mail = False

    def night(self, day: datetime) -> None:
        """Tick, follow the alerts, work on incidents, send what is due, and tell what is new."""
        if day == self.episode.start:
            self.tell.happened(
                day,
                "injected",
                "BY THE DEMO, for a week: an upstream feed loses the carrier of every other flight, and sends "
                "kilometres where miles belong.",
            )
        for problem in self.watch.tick().problems:
            self.tell.happened(day, "problem", str(problem))
        if day == self.episode.start:
            self._look_before_outcomes(day)
        self.incidents.follow()
        for fact in self.watch.ledger.facts.facts(
            after=self.read_until, kinds=["alert.fired", "alert.resolved", "incident.opened"], limit=10_000
        ):
            self.read_until = fact.sequence
            self._note(fact, day)
        self._look_at_estimates(day)
        self._work_on_incidents(day)
        if self.outbox is not None:
            self.outbox.deliver(10)
        self._show_mail()
        self.end_months(day - 3 * DAY, on=day)

    # ---- what is new -------------------------------------------------------------------------------------

    def _note(self, fact: Any, day: datetime) -> None:
        if fact.kind == "incident.opened":
            self.tell.happened(day, "incident", f"{fact.subject} is opened.")
            return
        document = self.watch.ledger.facts.document("alert", fact.subject)
        alert = dict(document.body) if document is not None else {}
        labels, what = alert.get("labels", {}), alert.get("what", {})
        name = " of ".join(x for x in (labels.get("rule", ""), labels.get("column", "")) if x)
        if fact.kind == "alert.resolved":
            for alarm in self.alarms:
                if alarm["fingerprint"] == fact.subject and alarm["resolved"] is None:
                    alarm["resolved"] = day.isoformat()
            self.tell.happened(day, "over", f"{name}.")
            return
        self._fired(fact.subject, name, alert, labels, what, day)

    def _fired(
        self,
        fingerprint: str,
        name: str,
        alert: dict[str, Any],
        labels: dict[str, str],
        what: dict[str, Any],
        day: datetime,
    ) -> None:
        since = datetime.fromisoformat(what["since"]) if what.get("since") else day
        injected = self.episode.start <= day < self.episode.end and (
            since >= self.episode.start - DAY or labels.get("column", "") in TOUCHED
        )
        pages = alert.get("severity") != "notice"
        cause = (what.get("details") or {}).get("cause")
        alarm = {
            "fingerprint": fingerprint,
            "name": name,
            "rule": labels.get("rule", ""),
            "column": labels.get("column", ""),
            "measure": what.get("measure", ""),
            "segment": labels.get("segment", ""),
            "severity": alert.get("severity", ""),
            "pages": pages,
            "runbook": alert.get("runbook", ""),
            "fired": day.isoformat(),
            "since": since.isoformat(),
            "resolved": None,
            "sentence": what.get("sentence", ""),
            "evidence": what.get("evidence"),
            "guarantee": what.get("guarantee", ""),
            "assumption": what.get("assumption", ""),
            "cause": cause,
            "injected": injected,
            "outcomes_known": self.truth.outcomes_known(
                max(since, day), day + DAY, by=day + DAY, delay=OUTCOME_DELAY
            ),
            "independent": self._behind(
                labels, what, max(since, self.episode.start) if injected else since, day
            ),
        }
        self.alarms.append(alarm)
        details = [f"since {since:%d %b}{'; part of what the demo injected' if injected else ''}"]
        if cause:
            details.append(cause["sentence"])
        if what.get("guarantee"):
            assumed = what.get("assumption", "").partition(";")[0]
            details.append(f"guarantee: {what['guarantee']}{f'; {assumed}' if assumed else ''}")
        details.append(f"the flights themselves: {moved_by(alarm, self.truth.baseline)}")
        self.tell.happened(day, "ALARM" if pages else "notice", alarm["sentence"], *details)

    def _behind(
        self, labels: dict[str, str], what: dict[str, Any], since: datetime, day: datetime
    ) -> dict[str, Any]:
        """What scikit-learn and scipy say of the flights that an alarm is about."""
        end = day + DAY
        column, measure = labels.get("column", ""), what.get("measure", "")
        start = min(max(since, end - 28 * DAY), day)
        if column in ("carrier", "origin", "distance", "hour", "score"):
            if labels.get("rule", "") in BROKEN:
                start = day
            return {
                "from": start.isoformat(),
                "until": end.isoformat(),
                **self.truth.column(column, start, end, category=_category(what.get("sentence", ""))),
            }
        if measure.startswith("estimated_"):
            before = self.truth.if_calibrated(start - 28 * DAY, start)
            now = self.truth.if_calibrated(start, end)
            return {
                "from": start.isoformat(),
                "until": end.isoformat(),
                "before": before,
                "if_calibrated": now,
            }
        if measure == "row_count":
            return self.truth.flights_on(datetime.fromisoformat(what["window"][0]))
        start = min(since, day - 6 * DAY)
        return {"from": start.isoformat(), "until": end.isoformat(), **self.truth.between(start, end)}

    def _look_at_estimates(self, day: datetime) -> None:
        """Whether the estimate without labels is believed, and since when it is not."""
        for row in self._daily(("estimated_brier",), day - 6 * DAY, day + DAY):
            details = json.loads(row["details"] or "{}")
            if details.get("reliable") is not False or row["start"] in self.unreliable:
                continue
            why = " ".join(details.get("reasons", []))
            if not self.unreliable:
                self.tell.happened(
                    day, "estimate", f"without labels, of {row['start']:%d %b}, calls itself unreliable.", why
                )
            self.unreliable[row["start"]] = why

    def _look_before_outcomes(self, day: datetime) -> None:
        """What data quality, drift and the estimate say of the first broken day, none of whose outcomes is known."""
        asked = (
            ("quality", "missing", "carrier"),
            ("drift", "jensen_shannon", "carrier"),
            ("drift", "jensen_shannon", "distance"),
            ("estimate", "estimated_roc_auc", ""),
        )
        midnight = day.replace(hour=0)
        known = self.truth.outcomes_known(day, day + DAY, by=self.clock.now, delay=OUTCOME_DELAY)
        rows = self._daily({m for _, m, _ in asked}, midnight - 14 * DAY, midnight + DAY)
        said = []
        for kind, measure, column in asked:
            series = {r["start"]: r for r in rows if (r["measure"], r["subject"]) == (measure, column)}
            usual = [r["value"] for s, r in series.items() if s < midnight and r["value"] is not None]
            now = series.get(midnight)
            if now is None or now["value"] is None or not usual:
                continue
            details = json.loads(now["details"] or "{}") if kind == "estimate" else {}
            seen = {
                "kind": kind,
                "measure": measure,
                "column": column,
                "window": midnight.isoformat(),
                "value": now["value"],
                "usual": float(np.median(usual)),
                "reliable": details.get("reliable", True),
                "reasons": details.get("reasons", []),
                "outcomes_known": known,
            }
            self.seen_first.append(seen)
            name = f"{measure} of {column}" if column else measure
            why = "" if seen["reliable"] else f", and unreliable: {' '.join(seen['reasons'])}".rstrip(".")
            said.append(f"{name} {seen['value']:.2f} (usually {seen['usual']:.2f}){why}")
        self.tell.happened(day, "before", f"any outcome of these flights is known: {'; '.join(said)}.")

    def _show_mail(self) -> None:
        """The first mail about the model's performance, as it arrived."""
        if self.told_mail:
            return
        for message in self.receivers.messages:
            if message.channel == "mail" and "conditional change" in message.text.lower():
                self.told_mail = True
                self.tell.letter(f"Mail: {message.subject}", message.text)
                return

    def end_months(self, until: datetime, *, on: datetime | None = None) -> None:
        """Tell of each month that has ended by *until* and was not told of."""
        for number in range(len(self.months) + self.first_month, 13):
            start = datetime(2013, number, 1, tzinfo=UTC)
            end = datetime(2013 + number // 12, number % 12 + 1, 1, tzinfo=UTC)
            if end > until:
                return
            m = self.month(start, end)
            self.months.append(m)
            self.tell.happened(
                on or until,
                "month",
                f"{start:%B}: accuracy {m['accuracy']:.2f} where {m['estimated_accuracy']:.2f} was estimated, "
                f"Brier {m['brier']:.3f}, {m['independent']['late_share']:.0%} late.",
            )

    def month(self, start: datetime, end: datetime) -> dict[str, Any]:
        """A month as the merge of its measured days, and by the flights themselves."""
        names = ("accuracy", "brier", "estimated_accuracy", "estimated_brier")
        rows = self._daily(names, start, end)
        out: dict[str, Any] = {"month": f"{start:%Y-%m}", "independent": self.truth.between(start, end)}
        for name in names:
            known = [(r["rows"], r["value"]) for r in rows if r["measure"] == name and r["value"] is not None]
            total = sum(n for n, _ in known)
            out[name] = sum(n * v for n, v in known) / total if total else None
        return out

    def _daily(self, measures: Iterable[str], start: datetime, end: datetime) -> list[dict[str, Any]]:
        table = self.watch.measurements(
            MODEL, start=start, end=end, measures=list(measures), segments=[""], versions=[""]
        )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    # ---- the operator --------------------------------------------------------------------------------------

    def _work_on_incidents(self, day: datetime) -> None:
        from watchkeeper.domain.incident import Phase

        for incident in self.incidents.find(model=MODEL, limit=100):
            if incident.phase in (Phase.CLOSED, Phase.MERGED, Phase.POST_MORTEM):
                continue
            mine = [a for a in self.alarms if a["fingerprint"] in incident.alerts and a["runbook"]]
            books = {a["runbook"] for a in mine} or {"drift"}
            followed = {r["runbook"] for r in self.runs if r["incident"] == incident.number}
            if left := [b for b in (*GRAVEST_FIRST, *sorted(books)) if b in books - followed]:
                self._run_book(left[0], incident.number, day)
            elif not incident.is_firing:
                self._finish(incident, "No alert of it fires any more.", day)
            elif self.clock.now - incident.detected_at >= 7 * DAY:
                firing = {n for n, state in incident.alerts.items() if state == "firing"}
                moved = {a["column"] for a in mine if a["fingerprint"] in firing and a["rule"] == MOVED}
                if len(moved) == len(firing):
                    self._finish(
                        incident,
                        f"A week on, nothing of it fires but moved columns ({', '.join(sorted(moved))}), and no "
                        "alarm says that the model is hurt.",
                        day,
                    )

    def _run_book(self, book: str, number: int, day: datetime) -> None:
        run = self.runbooks.run(book, actor="operator", incident=number)
        self.runs.append({"runbook": book, "incident": number, "state": run.state, "at": day.isoformat()})
        assessed = self.incidents.get(number).assessment
        cost = (assessed.get("cost") or {}) if assessed else {}
        excess = cost.get("excess")
        way = "more" if excess is not None and excess > 0 else "less"
        details = [f"its errors cost about {abs(excess):,.0f} USD {way} than usual"] if excess else []
        self.tell.happened(day, "runbook", f"'{book}' for incident {number}: {run.state}.", *details)

    def _finish(self, incident: Any, why: str, day: datetime) -> None:
        from watchkeeper.domain.incident import Phase

        self.incidents.enter(incident.number, Phase.RESOLUTION, actor="operator", text=why)
        self.incidents.enter(incident.number, Phase.POST_MORTEM, actor="operator")
        lesson = self._lesson(incident)
        self.incidents.learn(incident.number, lesson, actor="operator")
        self.tell.happened(
            day,
            "incident",
            f"{incident.number} is resolved, its post-mortem drafted. {why}",
            f"learnt: {lesson}",
        )

    def _lesson(self, incident: Any) -> str:
        mine = [a for a in self.alarms if a["fingerprint"] in incident.alerts]
        if any(a["injected"] for a in mine):
            return (
                "A broken feed shows in the inputs days before it shows in outcomes [injected by the demo]."
            )
        if any(a["rule"] in PERFORMANCE for a in mine):
            start = min(datetime.fromisoformat(a["since"]) for a in mine)
            days = [
                r["value"] for r in self._daily(("brier",), start, self.clock.now) if r["value"] is not None
            ]
            r = float(np.corrcoef(days[:-1], days[1:])[0, 1]) if len(days) > 7 else 0.0
            return (
                f"Bad days come in runs (correlation {r:.2f} from one day to the next): judge this model by "
                "weeks, not by days."
            )
        names = sorted({a["column"] for a in mine if a["column"]})
        return f"{', '.join(names)}: the schedule changes with the season; a new baseline follows it."


def _category(sentence: str) -> str:
    """The category that an alarm is about.

    >>> _category("origin changed: the share of 'LGA' went up by 0.0272 (0.0229 is tolerated).")
    'LGA'
    """
    found = re.search(r"the share of '(.+)' went", sentence)
    return found[1] if found else ""


def moved_by(alarm: dict[str, Any], baseline: dict[str, float]) -> str:
    """The independent numbers behind an alarm, in words."""
    found = alarm["independent"]
    if "category" in found:
        then, now = found["share"]
        gone = f", {found['missing']:.0%} missing" if found["missing"] else ""
        return f"share of {found['category']} {then:.1%} to {now:.1%}{gone}"
    if "ks" in found:
        then, now = found["mean"]
        return f"mean {then:.4g} to {now:.4g}, Kolmogorov-Smirnov distance {found['ks']:.3f}"
    if "if_calibrated" in found:
        return (
            f"AUC {found['if_calibrated']['auc']:.3f} if the scores are true, "
            f"{found['before']['auc']:.3f} in the four weeks before"
        )
    if "usual" in found:
        return f"{found['flights']:,} flights that day, usually {found['usual'] or 0:,.0f}"
    if "brier" in found:
        return (
            f"Brier {found['brier']:.3f} (baseline {baseline['brier']:.3f}), accuracy {found['accuracy']:.3f} "
            f"({baseline['accuracy']:.3f}), {found['late_share']:.0%} late ({baseline['late_share']:.0%})"
        )
    return f"{found.get('flights', 0):,} flights"
