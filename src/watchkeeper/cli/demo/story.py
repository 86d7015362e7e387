"""The demo from end to end: prepare, replay the year, say what was seen, and leave the dashboard running."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from watchkeeper.cli.demo.flights import Flights, load_flights
from watchkeeper.cli.demo.model import LateModel, out_of_fold_scores, train
from watchkeeper.cli.demo.receivers import Receivers
from watchkeeper.cli.demo.replay import MODEL, Episode, Replay, baseline_rows, day_start, serving
from watchkeeper.cli.demo.truth import Truth
from watchkeeper.errors import BadInput

__all__ = ["EPISODE", "Teller", "run_demo"]

MARK = ".watchkeeper-demo"
"""The file by which we know that a folder is ours to empty."""
EPISODE = Episode(start=day_start(10, 14), end=day_start(10, 21))
DAY = timedelta(days=1)

CONFIG = """\
# Written by `watchkeeper demo`. Everything here can be changed; `watchkeeper config check` says what is wrong.
[project]
name = "The demo: flights from New York, 2013"

[models.late-flights]
task = "binary"
positive = "1"
baseline = "baselines/late-flights.wkb"   # January and February, with their 59 days kept apart
cadence = "1d"                            # a stored window is a day ...
judge_every = "1d"                        # ... and is judged as it is
segments = ["origin"]
owner = "flights@example.org"
cost_of_errors = {{ false_positive = 20, false_negative = 60 }}
currency = "USD"

[models.late-flights.maturity]
share = 0.9                               # judge when nine flights in ten have told their outcome ...
after = "3d"                              # ... or after three days

[channels.mail]
url = "mailto://127.0.0.1:{smtp}/?from=watch@example.org&to=flights@example.org&mode=insecure"

[channels.chat]
kind = "webhook"
url = "http://127.0.0.1:{webhook}/"

[[routes]]
channels = ["mail", "chat"]
group_by = ["model"]
group_wait = "1m"
repeat_interval = "30d"
"""


@dataclass(slots=True)
class Teller:
    """Says what happens, with the date of the replay before it; silent when headless."""

    quiet: bool = False
    _console: Any = None
    _bar: Any = None
    _task: Any = None
    lines: list[str] = field(default_factory=list)

    def say(self, text: str, *, at: datetime | None = None, style: str = "") -> None:
        """One line of the story."""
        line = f"{at:%d %b}  {text}" if at is not None else text
        self.lines.append(line)
        if self.quiet:
            return
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False)
        (self._bar.console if self._bar is not None else self._console).print(line, style=style, markup=False)

    def start(self, total: int) -> None:
        """Show a bar of *total* days on a terminal."""
        if self.quiet:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = self._console or Console(highlight=False)
        if not console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} days"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("2013", total=total)
        self._bar.start()

    def advance(self, at: datetime) -> None:
        """One day is done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"{at:%d %B}")

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@dataclass(slots=True)
class _Prepared:
    flights: Flights
    model: LateModel
    truth: Truth


def run_demo(
    folder: str | Path = "watchkeeper-demo",
    *,
    speed: float | None = None,
    until: datetime | None = None,
    headless: bool = False,
    port: int = 8471,
    quiet: bool = False,
    serve: Callable[[Any, int, Teller], None] | None = None,
) -> dict[str, Any]:
    """Run the demo in *folder*; return its summary as plain JSON values.

    Parameters
    ----------
    speed : days of 2013 a second at most; None for as fast as this machine goes.
    until : where the replay ends; the end of 2013 otherwise.
    headless : end after the summary instead of leaving the dashboard running.
    serve : runs the dashboard until it is stopped: (watch, port, teller).

    Raises
    ------
    MissingExtra
        the demo extra is not installed.
    BadInput
        the folder holds something that is not a demo.
    """
    tell = Teller(quiet=quiet)
    place = _emptied(Path(folder))
    begun = time.perf_counter()
    tell.say(
        "Watchkeeper's demo: will a flight from New York arrive more than 15 minutes late?", style="bold"
    )
    tell.say("Reading 336,776 flights of 2013, training on January and February ...")
    ready = _prepare(place)
    end = until or day_start(1, 1, 2014)
    with ExitStack() as stack:
        receivers = stack.enter_context(Receivers())
        (place / "watchkeeper.toml").write_text(
            CONFIG.format(smtp=receivers.smtp_port, webhook=receivers.webhook_port), encoding="utf-8"
        )
        clock = _Clock(day_start(3))
        from watchkeeper.wiring import open_project

        watch = stack.enter_context(open_project(place, clock=clock))
        address = stack.enter_context(serving(ready.model, place, watch.data))
        tell.say(
            f"The model answers at {address}/predict, watched with one line. The days begin to pass.",
            style="dim",
        )
        stack.callback(tell.stop)
        chronicle = _Chronicle(watch, clock, tell, ready.truth, receivers)
        with Replay(ready.flights, address, watch.data, episode=EPISODE) as replay:
            tell.start((end - clock.now).days)
            day = clock.now
            while day < end:
                started = time.perf_counter()
                replay.day(day)
                clock.now = day + DAY + timedelta(minutes=10)
                chronicle.night(day)
                tell.advance(day)
                day += DAY
                if speed:
                    time.sleep(max(0.0, 1 / speed - (time.perf_counter() - started)))
            tell.stop()
            summary = chronicle.summary(replay, end)
        summary["seconds"] = round(time.perf_counter() - begun, 1)
        summary["folder"] = str(place)
        summary |= {"files": chronicle.write_documents(place)}
        (place / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False), encoding="utf-8")
        chronicle.tell_summary(summary)
        if not headless and serve is not None:
            serve(watch, port, tell)
    return summary


class _Clock:
    """The replay's time."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def _emptied(folder: Path) -> Path:
    """A folder of our own, empty. One that holds anything but an earlier demo is left alone."""
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists()):
            raise BadInput(
                f"{folder} exists, and is not an earlier demo.",
                "Name another folder:  watchkeeper demo --folder FOLDER",
            )
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / MARK).touch()
    except OSError as cause:
        raise BadInput(f"The folder {folder} cannot be made: {cause.strerror}.") from cause
    return folder.resolve()


def _prepare(folder: Path) -> _Prepared:
    from watchkeeper.loop.profiling import baseline, save_baseline

    flights = load_flights()
    past = flights.between(day_start(1), day_start(3))
    model = train(past)
    unseen = out_of_fold_scores(past)
    made = baseline(
        baseline_rows(past, unseen),
        roles={"at": "time"},
        window=DAY,
        name="January and February 2013",
        segments=["origin"],
    )
    (folder / "baselines").mkdir()
    save_baseline(made, folder / "baselines" / f"{MODEL}.wkb")
    future = flights.between(day_start(3), day_start(1, 1, 2014))
    truth = Truth.of(future, model.scores(future.rows), baseline=(unseen, past.late))
    return _Prepared(flights, model, truth)


class _Chronicle:
    """Runs the nights of the replay, does what an operator would do, and remembers what came out of it."""

    def __init__(self, watch: Any, clock: _Clock, tell: Teller, truth: Truth, receivers: Receivers) -> None:
        from watchkeeper.loop.incidents import Incidents
        from watchkeeper.loop.runbooks import Runbooks
        from watchkeeper.wiring import outbox_of

        self.watch, self.clock, self.tell, self.truth, self.receivers = watch, clock, tell, truth, receivers
        facts = watch.ledger.facts
        self.incidents = Incidents(facts, watch.ledger.measurements, models=watch.models, clock=clock)
        self.runbooks = Runbooks(
            facts, self.incidents, watch=watch, channels=tuple(watch.config.channels), clock=clock
        )
        self.outbox = outbox_of(watch)
        self.read_until = 0
        self.alarms: dict[str, dict[str, Any]] = {}
        self.unreliable: list[datetime] = []
        self.runs: list[dict[str, Any]] = []
        self.change: list[Any] = []
        self.worked_on: set[int] = set()

    def night(self, day: datetime) -> None:
        """Tick, follow the alerts, send what is due, and say what is new in the ledger."""
        done = self.watch.tick()
        for problem in done.to_dict()["problems"]:
            self.tell.say(f"problem: {problem}", at=day, style="red")
        self.incidents.follow()
        for fact in self.watch.ledger.facts.facts(
            after=self.read_until, kinds=["alert.*", "incident.opened"], limit=10_000
        ):
            self.read_until = fact.sequence
            self._note(fact, day)
        self._look_at_estimates(day)
        self._work_on_incidents(day)
        if self.outbox is not None:
            self.outbox.deliver(10)

    def _note(self, fact: Any, day: datetime) -> None:
        if fact.kind == "incident.opened":
            self.tell.say(f"An incident is opened: {fact.body.get('title', fact.subject)}", at=day)
            return
        if fact.kind not in ("alert.fired", "alert.resolved"):
            return
        alert = self.watch.ledger.facts.document("alert", fact.subject)
        body = dict(alert.body) if alert is not None else {}
        labels = body.get("labels", {})
        name = " ".join(x for x in (labels.get("rule", ""), labels.get("column", "")) if x)
        if fact.kind == "alert.resolved":
            for alarm in self.alarms.values():
                if alarm["fingerprint"] == fact.subject and alarm["resolved"] is None:
                    alarm["resolved"] = day.isoformat()
            self.tell.say(f"Over: {name}", at=day, style="dim")
            return
        what = body.get("what", {})
        injected = EPISODE.start <= day < EPISODE.end + 3 * DAY
        since = _instant(what.get("since")) or day
        self.alarms[f"{fact.subject}:{day:%Y-%m-%d}"] = {
            "fingerprint": fact.subject,
            "rule": labels.get("rule", ""),
            "column": labels.get("column", ""),
            "segment": labels.get("segment", ""),
            "severity": body.get("severity", ""),
            "fired": day.isoformat(),
            "since": since.isoformat(),
            "resolved": None,
            "sentence": what.get("sentence") or body.get("sentence") or fact.body.get("text", ""),
            "guarantee": what.get("guarantee", ""),
            "assumption": what.get("assumption", ""),
            "during_injected_episode": injected,
            "independent": self.truth.between(min(since, day - 13 * DAY), day + DAY),
        }
        mark = "  [injected by the demo]" if injected else ""
        self.tell.say(
            f"ALARM  {self.alarms[f'{fact.subject}:{day:%Y-%m-%d}']['sentence']}{mark}", at=day, style="bold"
        )
        if what.get("guarantee"):
            self.tell.say(f"        {what['guarantee']}; {what.get('assumption', '')}", style="dim")

    def _look_at_estimates(self, day: datetime) -> None:
        """Whether the estimate without labels is believed, and since when it is not."""
        table = self.watch.measurements(
            MODEL,
            start=day - 6 * DAY,
            end=day + DAY,
            measures=["estimated_brier"],
            segments=[""],
            versions=[""],
        )
        for row in table.to_pylist():
            details = json.loads(row["details"] or "{}")
            if details.get("reliable") is False and row["start"] not in self.unreliable:
                if not self.unreliable:
                    why = "; ".join(details.get("reasons", []))
                    self.tell.say(f"The estimate without labels calls itself unreliable: {why}", at=day)
                self.unreliable.append(row["start"])

    def _work_on_incidents(self, day: datetime) -> None:
        """What an operator does the next morning: assess, find the cause, run the runbook, and finish."""
        from watchkeeper.decisions.incidents import noted, with_lesson
        from watchkeeper.domain.incident import Phase

        for incident in self.incidents.find(model=MODEL, limit=100):
            if incident.phase in (Phase.CLOSED, Phase.MERGED, Phase.POST_MORTEM):
                continue
            if incident.number not in self.worked_on:
                self.worked_on.add(incident.number)
                worse = any(
                    a["rule"].startswith(("brier", "accuracy", "roc_auc")) for a in self.alarms.values()
                )
                book = "performance" if worse else "drift"
                run = self.runbooks.run(book, actor="operator", incident=incident.number)
                self.runs.append(
                    {"runbook": book, "incident": incident.number, "state": run.state, "at": day.isoformat()}
                )
                self.tell.say(
                    f"The runbook '{book}' was run for incident {incident.number}: {run.state}.", at=day
                )
                if worse:
                    said = self._cause(day)
                    pin = partial(noted, text=said, now=self.clock(), actor="watchkeeper", pin=True)
                    self.incidents.change(incident.number, pin, actor="watchkeeper", verb="noted")
                    self.tell.say(said, at=day)
            elif not incident.is_firing:
                self.incidents.enter(
                    incident.number, Phase.RESOLUTION, actor="operator", text="The alerts are over."
                )
                self.incidents.enter(incident.number, Phase.POST_MORTEM, actor="operator")
                self.incidents.change(
                    incident.number,
                    lambda i: with_lesson(
                        i,
                        "Bad days come in runs: judge this model by weeks.",
                        now=self.clock(),
                        actor="operator",
                    ),
                    actor="operator",
                    verb="reviewed",
                )
                self.tell.say(f"Incident {incident.number} is resolved; its post-mortem is drafted.", at=day)

    def _cause(self, day: datetime) -> str:
        """Split the change of the last thirty days into what the inputs explain and what they do not."""
        from watchkeeper.domain.window import Window
        from watchkeeper.loop.change import explain_change

        self.change = explain_change(self.watch, MODEL, Window(day - 30 * DAY, day + DAY))
        parts = {m.measure: m for m in self.change if not m.subject}
        inputs, concept = (parts.get(f"performance_change_{k}") for k in ("covariate", "concept"))
        if inputs is None or concept is None or inputs.value is None or concept.value is None:
            return "The change could not be split into inputs and conditional change."
        larger = (
            "conditional change (the same flights are late more often)"
            if abs(concept.value) > abs(inputs.value)
            else "the inputs"
        )
        return (
            f"What moved: mostly {larger}. Of the change of the mean loss, inputs explain {inputs.value:+.4f} "
            f"and conditional change {concept.value:+.4f}."
        )

    # ---- the end ---------------------------------------------------------------------------------------

    def summary(self, replay: Replay, end: datetime) -> dict[str, Any]:
        """What happened, in figures that were counted twice: by the watch, and from the flights."""
        start = day_start(3)
        incidents = [
            {
                "number": i.number,
                "title": i.title,
                "phase": i.phase.value,
                "severity": i.severity.value,
                "detected": i.detected_at.isoformat(),
                "timeline": len(i.timeline),
                "tasks": len(i.tasks),
                "assessed": bool(i.assessment),
            }
            for i in self.incidents.find(model=MODEL, limit=100)
        ]
        return {
            "model": MODEL,
            "from": start.isoformat(),
            "until": end.isoformat(),
            "predictions": replay.predictions,
            "outcomes": replay.outcomes,
            "baseline": {
                "brier": round(self.truth.baseline_brier, 4),
                "auc": round(self.truth.baseline_auc, 4),
            },
            "injected": {"from": EPISODE.start.isoformat(), "until": EPISODE.end.isoformat()},
            "alarms": list(self.alarms.values()),
            "quiet": self._quiet(start, end),
            "estimate_unreliable": {
                "days": len(self.unreliable),
                "first": self.unreliable[0].isoformat() if self.unreliable else None,
            },
            "change": [m.to_dict() for m in self.change],
            "incidents": incidents,
            "runbooks": self.runs,
            "messages": {
                channel: sum(m.channel == channel for m in self.receivers.messages)
                for channel in ("mail", "webhook")
            },
            "examples": [
                {"channel": m.channel, "subject": m.subject, "text": m.text[:2000]}
                for m in self.receivers.messages[:2]
            ],
        }

    def _quiet(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """The stretches without an alarm, with the independent numbers of each."""
        spans = sorted(
            (datetime.fromisoformat(a["fired"]), datetime.fromisoformat(a["resolved"] or end.isoformat()))
            for a in self.alarms.values()
        )
        out, at = [], start
        for first, last in [*spans, (end, end)]:
            if (first - at).days >= 7:
                out.append(
                    {
                        "from": at.isoformat(),
                        "until": first.isoformat(),
                        "independent": self.truth.between(at, first),
                    }
                )
            at = max(at, last)
        return out

    def write_documents(self, folder: Path) -> dict[str, str]:
        """The drift report, the model card and the post-mortems."""
        from watchkeeper.documents.postmortem import postmortem_html
        from watchkeeper.loop.card import write_card
        from watchkeeper.loop.compare import compare
        from watchkeeper.loop.window_profiles import renamed_rows

        reports = folder / "reports"
        reports.mkdir()
        files = {}
        last = self.clock.now
        rows = renamed_rows(self.watch, MODEL, last - 31 * DAY, last)
        baseline = self.watch.baseline(MODEL)
        made = compare(baseline, rows, title="Flights: the last month against January and February")
        made.to_html(reports / "drift_report.html")
        files["drift_report"] = str(reports / "drift_report.html")
        write_card(self.watch, MODEL, reports / "model_card.md")
        files["model_card"] = str(reports / "model_card.md")
        for incident in self.incidents.find(model=MODEL, limit=100):
            path = reports / f"postmortem_{incident.number}.html"
            path.write_text(postmortem_html(incident, project="The demo"), encoding="utf-8")
            files[f"postmortem_{incident.number}"] = str(path)
        return files

    def tell_summary(self, summary: dict[str, Any]) -> None:
        """The short end of the story."""
        say = self.tell.say
        say(
            f"\nA year in {summary['seconds']:.0f} seconds: {summary['predictions']:,} predictions, "
            f"{summary['outcomes']:,} outcomes, {len(summary['alarms'])} alarms, "
            f"{summary['messages']['mail']} mails and {summary['messages']['webhook']} webhook calls received.",
            style="bold",
        )
        for alarm in summary["alarms"]:
            truth = alarm["independent"]
            say(f"  {alarm['fired'][:10]}  {alarm['sentence']}")
            if "brier" in truth:
                say(
                    f"              by the flights themselves: Brier {truth['brier']:.3f} "
                    f"(baseline {summary['baseline']['brier']:.3f}), late {truth['late_share']:.0%}",
                    style="dim",
                )
        for name, path in summary["files"].items():
            say(f"  {name:<16} {path}")


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None
