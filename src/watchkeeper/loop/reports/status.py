"""What is watched, how fresh it is, and what is wrong: the state of a project in one look."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from watchkeeper.capture.journal import journals, journals_set_aside
from watchkeeper.decisions.alerting.story import alert_story
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, day_of
from watchkeeper.errors import WatchkeeperError
from watchkeeper.loop.effects.notifications import outbox_problems
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records
from watchkeeper.loop.watch.drain import WAITING
from watchkeeper.loop.watch.quarantine import QUARANTINE
from watchkeeper.loop.watch.tick import LAST_TICK

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


RECENT = timedelta(days=45)
AHEAD = timedelta(hours=1)
"""Clocks differ by less."""
LOST = {"missing": "without a time", "ahead": "ahead of the clock", "early": "before 2 January 1970"}
QUIET_AFTER = 3
"""Judged windows without a row after which a model is called quiet."""
WAITING_TOO_LONG = timedelta(hours=1)
SHOWN = (
    "row_count", "outcome_coverage", "error_rate", "latency", "accuracy", "roc_auc", "log_loss", "brier",
    "mae", "rmse",
)  # fmt: skip
"""Measures of the freshest judged window that one screen has room for, where they could be measured."""


def status(watch: Watch) -> dict[str, Any]:
    """Every model's state, and what is wrong with the project as a whole; plain values."""
    now = watch.clock()
    models = [model_status(watch, name, now) for name in watch.models]
    problems = [] if models else ["No model is configured yet. Add [models.NAME] to watchkeeper.toml."]
    kept = Records(watch.ledger.facts, LAST_TICK).get("last")
    last = None if kept is None else kept.value
    ticked = None if last is None else last.at.isoformat()
    if ticked is None and models:
        problems.append("Nothing has been measured yet. Run:  watchkeeper tick")
    elif last is not None:
        problems += [f"The last tick met: {said}" for said in last.problems]
        age = now - last.at
        if age > WAITING_TOO_LONG and any(m["waiting_windows"] for m in models):
            problems.append(f"The last tick was {_age(age)} ago. Run:  watchkeeper serve")
    problems += outbox_problems(watch.ledger.facts)
    return {
        "project": watch.config.project.name if watch.config is not None else "",
        "path": str(watch.path),
        "at": now.isoformat(),
        "last_tick": ticked,
        "models": models,
        "problems": problems,
        "healthy": not problems and not any(m["problems"] for m in models),
    }


def model_status(watch: Watch, name: str, now: datetime) -> dict[str, Any]:
    """One model: freshest window, what waits, what fires, what is wrong."""
    model, problems = watch.model(name), list[str]()
    try:
        baseline = watch.baseline(name)
    except WatchkeeperError as problem:
        baseline = None
        problems.append(problem.what)
    if baseline is None and not problems and not model.baseline:
        problems.append(
            "It has no baseline yet; it takes its first mature windows as one, or take one:  watchkeeper baseline"
        )
    states = watch.ledger.windows.windows(name, start=now - RECENT, limit=100_000)
    if not any(s.generation for s in states):
        states = watch.ledger.windows.windows(name, limit=1_000_000)  # nothing recent: then what there is
    measured = [s for s in states if s.generation]
    judged = [s for s in measured if is_judged(model, s.key.window)]
    freshest = max(judged, key=lambda s: s.key.window.end, default=None)
    newest_rows = max((s.key.window.end for s in measured if s.rows), default=None)
    waiting = [s for s in states if s.dirty and s.key.window.end <= now]
    stuck = [s for s in states if not s.rebuildable]
    if newest_rows is not None and now - newest_rows > QUIET_AFTER * max(model.judge_every, model.cadence):
        problems.append(f"No new rows for {_age(now - newest_rows)}.")
    found = Records(watch.ledger.facts, ALERT).some(states=("pending", "firing"), model=name, limit=200)
    alerts = [kept.value for kept in found]
    for alert in alerts:
        if alert.is_firing:
            headline = alert_story(alert).headline
            problems.append(f"Alarm: {headline.removeprefix(f'{name}: ')}")
    dropped = _latest_value(watch, name, "dropped_events")
    if dropped:
        problems.append(
            f"{100 * dropped:.3g}% of the last window's events were dropped before they could be kept."
        )
    rescued = _latest_value(watch, name, "rescued_rows")
    if rescued:
        problems.append(
            f"{100 * rescued:.3g}% of the last window's rows hold values that do not fit their column."
        )
    notes = list[str]()
    held = Records(watch.ledger.facts, QUARANTINE).get(name)
    quarantined = 0 if held is None else held.value.rows
    if held is not None and quarantined:
        problems.append(
            f"{quarantined:,} recorded rows could not be stored and are in quarantine ({held.value.reason}). "
            f"See them:  watchkeeper quarantine list {name}"
        )
    for aside in journals_set_aside(watch.data, name):
        problems.append(f"A damaged journal was set aside: {aside}. What could be read of it was kept.")
    lonely = Records(watch.ledger.facts, WAITING).get(name)
    unmatched = 0 if lonely is None else lonely.value.outcomes
    if unmatched:
        what = "1 outcome meets" if unmatched == 1 else f"{unmatched:,} outcomes meet"
        most = unmatched >= sum(s.outcomes or 0 for s in judged)
        (problems if most else notes).append(f"{what} no prediction: are their ids those of the predictions?")
    look = watch.ledger.facts.document("table_look", name) if model.table is not None else None
    lost = {k: v for k, v in ({} if look is None else look.body.get("in_no_window", {})).items() if v}
    if lost:
        of_them = ", ".join(f"{count:,} {LOST[what]}" for what, count in lost.items())
        problems.append(f"Rows of the table are in no window: {of_them}.")
    ahead = max(
        (s.key.window.end for s in states if s.dirty and s.key.window.start > now + AHEAD), default=None
    )
    if ahead is not None:
        problems.append(
            f"Rows lie ahead of the clock, as far as {ahead:%Y-%m-%d %H:%M} UTC: their times are wrong, or the clock is."
        )
    return {
        "model": name,
        "task": (model.task or (baseline.schema.task if baseline is not None else None)),
        "baseline": None if baseline is None else {"name": baseline.name, "rows": baseline.profile.rows},
        "freshest": None if freshest is None else _window(model, freshest, now),
        "newest_rows": None if newest_rows is None else newest_rows.isoformat(),
        "measured_windows": len(measured),
        "waiting_windows": len(waiting),
        "quarantined_rows": quarantined,
        "immature_windows": sum(1 for s in judged if not s.mature),
        "not_rebuildable_windows": len(stuck),
        "journal_bytes": sum(p.stat().st_size for p in journals(watch.data, name) if p.exists()),
        "unmatched_outcomes": unmatched,
        "firing": sum(1 for a in alerts if a.is_firing),
        "pending": sum(1 for a in alerts if not a.is_firing),
        "measurements": {} if freshest is None else _shown(watch, name, freshest.key.window),
        "problems": problems,
        "notes": notes,
    }


def is_judged(model: WatchedModel, window: Any) -> bool:
    """Whether *window* is one that is judged, by its length and place."""
    if model.rows_per_window:
        return bool(window.length != model.cadence)
    return model.judged_window(window) == window


def _window(model: WatchedModel, state: Any, now: datetime) -> dict[str, Any]:
    window = state.key.window
    return {
        "window": window.label,
        "day": _day(model, window),
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "age": _age(now - window.end),
        "rows": state.rows,
        "outcomes": state.outcomes,
        "coverage": state.coverage,
        "mature": state.mature,
        "judged_from": None if state.mature else (window.end + model.maturity.after).isoformat(),
    }


def _day(model: WatchedModel, window: Window) -> str | None:
    """The date of a window that is a day of the model's zone; None of others."""
    if day_of(window.start, model.timezone) != window:
        return None
    return window.start.astimezone(ZoneInfo(model.timezone)).date().isoformat()


def _shown(watch: Watch, name: str, window: Any) -> dict[str, float]:
    table = watch.ledger.measurements.table(
        name, start=window.start, end=window.end, measures=SHOWN, segments=("",), versions=("",)
    )
    return {
        f"{row['measure']} {row['subject']}".strip(): row["value"]
        for row in table.to_pylist()
        if (row["start"], row["end"]) == (window.start, window.end) and row["value"] is not None
    }


def _latest_value(watch: Watch, name: str, measure: str) -> float:
    latest = watch.ledger.measurements.latest(model=name, measures=[measure], segment="").to_pylist()
    newest = max((r for r in latest if not r["version"]), key=lambda r: r["end"], default=None)
    return float(newest["value"] or 0) if newest else 0.0


def _age(age: timedelta) -> str:
    """A length of time as people say it.

    >>> _age(timedelta(hours=50)), _age(timedelta(seconds=90))
    ('2 days', '1 minute')
    """
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
