"""The demo from end to end: prepare, replay the year, say what was seen, and leave the dashboard running."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from watchkeeper.cli.demo.chronicle import Chronicle, Clock, moved_by
from watchkeeper.cli.demo.flights import Flights, load_flights
from watchkeeper.cli.demo.model import LateModel, one_thread, out_of_fold_scores, train
from watchkeeper.cli.demo.receivers import Receivers
from watchkeeper.cli.demo.replay import MODEL, Episode, Replay, baseline_rows, day_start, next_day, serving
from watchkeeper.cli.demo.teller import Teller
from watchkeeper.cli.demo.truth import Truth
from watchkeeper.errors import BadInput

MARK = ".watchkeeper-demo"
"""The file by which we know that a folder is ours to empty; it is locked while a demo runs there."""
EPISODE = Episode(start=day_start(10, 14), end=day_start(10, 21))
DAY = timedelta(days=1)
QUIET_DAYS = 14
"""A stretch without an alarm is worth a line from this length on."""

CONFIG = """\
# Written by `watchkeeper demo`. Everything here can be changed; `watchkeeper config check` says what is wrong.
[project]
name = "Flights from New York, 2013"

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

[models.late-flights.retention]
rows = "9999d"                            # 2013 is long ago
full_profiles = "9999d"

# Beside the rules that hold with no configuration, two of our own.
[[models.late-flights.rules]]
name = "carrier missing"
measure = "missing"
columns = ["carrier"]
above = 0.05
severity = "warning"
about = "The schedule always names a carrier: more than one in twenty without one is a broken feed."

[[models.late-flights.rules]]
name = "estimated AUC low"
measure = "estimated_roc_auc"
columns = ""
below = {lowest_auc:.3f}                             # as much under the baseline's as matters of roc_auc
severity = "warning"
about = "The model cannot tell flights apart as it did, and no outcome had to be waited for to know."

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
AUC_MATTERS = 0.02


@dataclass(slots=True)
class _Prepared:
    flights: Flights
    model: LateModel
    truth: Truth


def run_demo(
    folder: str | Path = "watchkeeper-demo",
    *,
    speed: float | None = None,
    start: datetime | None = None,
    until: datetime | None = None,
    episode: Episode = EPISODE,
    headless: bool = False,
    port: int = 8471,
    quiet: bool = False,
    serve: Callable[[Any, int, Teller], None] | None = None,
) -> dict[str, Any]:
    """Run the demo in *folder*; return its summary as plain JSON values.

    Parameters
    ----------
    speed : days of 2013 a second at most; None for as fast as this machine goes.
    start : where the replay begins; March otherwise.
    until : where it ends; the end of 2013 otherwise.
    episode : the week in which a feed breaks.
    headless : end after the summary instead of leaving the dashboard running.
    serve : runs the dashboard until it is stopped: (watch, port, teller).

    Raises
    ------
    MissingExtra
        the demo extra is not installed.
    BadInput
        the folder holds something that is not a demo, or a demo that is still running.
    """
    tell = Teller(quiet=quiet)
    with ExitStack() as stack:
        place = stack.enter_context(_emptied(Path(folder)))
        stack.callback(tell.stop)
        stack.enter_context(one_thread())
        begun = time.perf_counter()
        tell.say("Will a flight from New York arrive more than 15 minutes late?", style="bold")
        tell.say("Reading the 336,776 flights of 2013; training on January and February ...", style="dim")
        start, end = start or day_start(3), until or day_start(1, 1, 2014)
        ready = _prepare(place, episode, start)
        receivers = stack.enter_context(Receivers())
        (place / "watchkeeper.toml").write_text(
            CONFIG.format(
                smtp=receivers.smtp_port,
                webhook=receivers.webhook_port,
                lowest_auc=ready.truth.baseline["auc"] - AUC_MATTERS,
            ),
            encoding="utf-8",
        )
        clock = Clock(start)
        from watchkeeper.wiring import open_project

        watch = stack.enter_context(open_project(place, clock=clock))
        with serving(ready.model, place, watch.data) as address:
            tell.say(
                f"The model answers at {address}/predict, a FastAPI application that one line watches. "
                "The days of 2013 pass, from March on:\n",
                style="dim",
            )
            chronicle = Chronicle(watch, clock, tell, ready.truth, receivers, episode)
            # Windows are days of UTC; the last one is whole.
            last = end.replace(hour=0)
            with Replay(ready.flights, address, watch.data, episode=episode, last=last) as replay:
                tell.start((end - clock.now).days)
                day = clock.now
                while day < end:
                    started, tomorrow = time.perf_counter(), next_day(day)
                    replay.day(day, tomorrow)
                    clock.now = tomorrow + timedelta(minutes=10)
                    chronicle.night(day)
                    tell.advance(day)
                    day = tomorrow
                    if speed:
                        time.sleep(max(0.0, 1 / speed - (time.perf_counter() - started)))
                # One night more, for the last outcomes.
                replay.tell(end + DAY)
                clock.now = end + DAY + timedelta(minutes=10)
                chronicle.night(end)
                chronicle.end_months(end)
                tell.stop()
        files = write_documents(chronicle, place)
        summary = summary_of(chronicle, replay, start, end)
        summary |= {
            "seconds": round(time.perf_counter() - begun, 1),
            "folder": str(place),
            "files": files,
        }
        (place / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False), encoding="utf-8")
        tell_summary(summary, tell)
        if not headless and serve is not None:
            serve(watch, port, tell)
    return summary


@contextmanager
def finished_demo(folder: str | Path) -> Iterator[Any]:
    """The watch of an earlier demo, at the time of its end.

    Raises
    ------
    NotFound
        there is none that has ended.
    BadInput
        it is still running.
    """
    from watchkeeper.errors import NotFound
    from watchkeeper.wiring import open_project

    place = Path(folder)
    if not (place / MARK).exists() or not (place / "summary.json").exists():
        raise NotFound(f"There is no finished demo in {place}.", "Run it:  watchkeeper demo")
    with _locked(place):
        until = datetime.fromisoformat(json.loads((place / "summary.json").read_text())["until"])
        with open_project(place, clock=Clock(until + DAY + timedelta(minutes=10))) as watch:
            yield watch


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """A folder of our own, empty. One that holds anything but an earlier demo is left alone."""
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists()):
            raise BadInput(
                f"{folder} exists, and is not an earlier demo.",
                "Name another folder:  watchkeeper demo --folder FOLDER",
            )
        if (folder / MARK).exists():
            with _locked(folder):
                shutil.rmtree(folder)
        else:
            folder.rmdir()
    try:
        folder.mkdir(parents=True)
        (folder / MARK).touch()
    except OSError as cause:
        raise BadInput(f"The folder {folder} cannot be made: {cause.strerror}.") from cause
    with _locked(folder):
        yield folder.resolve()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold *folder* for this process; the lock ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (folder / MARK).open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            raise BadInput(
                f"A demo is running in {folder}.",
                "End it with Ctrl-C where it runs.",
                "Or name another folder:  watchkeeper demo --folder FOLDER",
            ) from cause
        yield


def _prepare(folder: Path, episode: Episode, start: datetime) -> _Prepared:
    from watchkeeper.loop.batch.profiling import baseline, save_baseline

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
    future = flights.between(start, day_start(1, 1, 2014).replace(hour=0))
    sent = episode.sent(future)
    truth = Truth.of(future, sent, model.scores(sent), past=past, unseen=unseen)
    return _Prepared(flights, model, truth)


# ---- the end -----------------------------------------------------------------------------------------------


def summary_of(chronicle: Chronicle, replay: Replay, start: datetime, end: datetime) -> dict[str, Any]:
    """What happened, in figures that were counted twice: by the watch, and from the flights."""
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
            "lessons": list(i.lessons),
        }
        for i in chronicle.incidents.find(model=MODEL, limit=100)
    ]
    messages = chronicle.receivers.messages
    return {
        "model": MODEL,
        "from": start.isoformat(),
        "until": end.isoformat(),
        "predictions": replay.predictions,
        "outcomes": replay.outcomes,
        "baseline": chronicle.truth.baseline,
        "months": chronicle.months,
        "alarms": chronicle.alarms,
        "quiet": _quiet(chronicle, start, end),
        "injected": {
            "from": chronicle.episode.start.isoformat(),
            "until": chronicle.episode.end.isoformat(),
            "seen_before_outcomes": chronicle.seen_first,
        },
        "estimate_unreliable": {
            "days": len(chronicle.unreliable),
            "first": min(chronicle.unreliable).isoformat() if chronicle.unreliable else None,
            "why": next(iter(chronicle.unreliable.values()), ""),
        },
        "incidents": sorted(incidents, key=lambda i: i["number"]),
        "runbooks": chronicle.runs,
        "messages": {c: sum(m.channel == c for m in messages) for c in ("mail", "webhook")},
        "examples": [
            {"channel": m.channel, "subject": m.subject, "text": m.text[:2000]} for m in messages[:2]
        ],
    }


def _quiet(chronicle: Chronicle, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The stretches in which no alarm was raised, with the independent numbers of each."""
    raised = sorted(datetime.fromisoformat(a["fired"]) for a in chronicle.alarms if a["pages"])
    out = []
    for first, last in zip([start, *(r + DAY for r in raised)], [*raised, end], strict=True):
        if (last - first).days >= QUIET_DAYS:
            known = chronicle.truth.between(first, last)
            out.append({"from": first.isoformat(), "until": last.isoformat(), "independent": known})
    return out


def write_documents(chronicle: Chronicle, folder: Path) -> dict[str, str]:
    """The drift report, the model card and the post-mortems."""
    from watchkeeper.documents.incident.postmortem import postmortem_html
    from watchkeeper.loop.batch.compare import compare
    from watchkeeper.loop.reports.card import write_card
    from watchkeeper.loop.watch.project import renamed_rows

    watch, last = chronicle.watch, chronicle.clock.now.replace(hour=0, minute=0) - DAY
    reports = folder / "reports"
    reports.mkdir()
    rows = renamed_rows(watch, MODEL, last - 31 * DAY, last)
    made = compare(
        watch.baseline(MODEL), rows, title="Flights: the last month against January and February", now=last
    )
    made.to_html(reports / "drift_report.html")
    write_card(watch, MODEL, reports / "model_card.md")
    files = {"drift_report": reports / "drift_report.html", "model_card": reports / "model_card.md"}
    for incident in chronicle.incidents.find(model=MODEL, limit=100):
        path = reports / f"postmortem_{incident.number}.html"
        path.write_text(postmortem_html(incident, project=watch.config.project.name), encoding="utf-8")
        files[path.stem] = path
    return {name: str(path) for name, path in sorted(files.items())}


def tell_summary(summary: dict[str, Any], tell: Teller) -> None:
    """The short end of the story."""
    alarms = [a for a in summary["alarms"] if a["pages"]]
    messages = summary["messages"]
    tell.say(
        f"\nThat was 2013, in {summary['seconds'] / 60:.1f} minutes: {summary['predictions']:,} predictions, "
        f"{summary['outcomes']:,} outcomes, {len(alarms)} alarms in {len(summary['incidents'])} incidents, "
        f"{messages['mail']} mails and {messages['webhook']} webhook calls delivered.",
        style="bold",
    )
    base = summary["baseline"]
    rows = [
        ("Jan, Feb", f"{base['late_share']:.0%}", f"{base['accuracy']:.3f}", "", f"{base['brier']:.3f}", "")
    ]
    for m in summary["months"]:
        month = datetime.fromisoformat(f"{m['month']}-01")
        raised = sum(a["fired"][:7] == m["month"] for a in alarms)
        rows.append(
            (
                f"{month:%B}",
                f"{m['independent']['late_share']:.0%}",
                f"{m['accuracy']:.3f}",
                f"{m['estimated_accuracy']:.3f}",
                f"{m['brier']:.3f}",
                str(raised or ""),
            )
        )
    tell.table(("", "late", "accuracy", "estimated", "Brier", "alarms"), rows)
    if alarms:
        tell.say("Each alarm, and what the flights themselves say:", style="bold")
    for alarm in alarms:
        tell.happened(
            datetime.fromisoformat(alarm["fired"]),
            "injected" if alarm["injected"] else "",
            alarm["sentence"],
            moved_by(alarm, base),
        )
    if summary["quiet"]:
        tell.say("\nStretches without an alarm:", style="bold")
    for stretch in summary["quiet"]:
        first, last = (datetime.fromisoformat(stretch[k]) for k in ("from", "until"))
        known = stretch["independent"]
        tell.happened(
            first,
            "",
            f"to {last - DAY:%d %b}: Brier {known['brier']:.3f} ({base['brier']:.3f}), "
            f"{known['late_share']:.0%} late ({base['late_share']:.0%})",
        )
    tell.say(f"\nWritten to {Path(summary['folder']) / 'reports'}:", style="bold")
    tell.say(", ".join(Path(p).name for p in summary["files"].values()))
