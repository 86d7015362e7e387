"""One model: how it does, what moved, and what happened when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.series import ALIKE
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import WatchkeeperError
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.measures.performance.evaluation import measure_performance
from watchkeeper.ports.page_reads import NewestValue
from watchkeeper.web.charts_data import EPOCH
from watchkeeper.web.dashboard.fleet import main_measure
from watchkeeper.web.dashboard.health import health_of, pressing
from watchkeeper.web.dashboard.kit.filters import Period, period
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.dashboard.kit.words import moment, per_cent, seconds, span_of_days, with_unit
from watchkeeper.web.dashboard.operate.alert_view import alert_row

SERVICE = (("request_rate", ""), ("error_rate", ""), ("latency", "p95"), ("outcome_delay", "p50"))
QUALITY = (
    "missing",
    "new_categories",
    "out_of_range",
    "misfits",
    "infinite",
    "vanished_categories",
    "duplicate_ids",
)
DRIFT_MAPS = ("psi", "jensen_shannon", "wasserstein_sd", "ks", "missing")
MANY_SEGMENTS = 60
LOOK_BACK = 60
"""Windows among which the newest mature one is looked for."""


def newest_moment(room: Room, name: str) -> datetime:
    """The end of the model's newest window; now, before there is one."""
    return room.last_window(name) or room.now()


def span_of(room: Room, name: str, query: Mapping[str, str]) -> Period:
    """The period that a page or chart of this model shows; a usual one begins no earlier than the model's first window."""
    shown = period(query, newest=newest_moment(room, name))
    first = room.first_window(name)
    if not shown.name or first is None or not shown.start < first < shown.end:
        return shown
    return Period(first, shown.end, shown.name)


def estimate_of(measure: str, having: set[str]) -> str | None:
    """The measure that estimates *measure* without outcomes, if the model has one."""
    return next(
        (n for n in (f"estimated_{measure}", f"expected_{measure}", f"{measure}_estimate") if n in having),
        None,
    )


def family_of(measure: str) -> str:
    """The room that a measure comes from; a measure of a later version belongs to none."""
    described = described_measures().get(measure)
    return described.family.value if described is not None else ""


def model_page(room: Room, request: Request) -> Page:
    """Everything about one model over one period."""
    name = room.known_model(request.path_params["model"])
    query, now = request.query_params, room.now()
    shown = span_of(room, name, query)
    model = room.watch.models.get(name)
    series = room.series_of(name)
    whole = {m for m, subject, segment, _, _ in series if not segment and not subject}
    segments = sorted({segment for _, _, segment, _, _ in series if segment})
    segment = query.get("segment", "")
    segment = segment if segment in segments else ""
    tally = room.alert_tally().get(name, {})
    last = room.last_window(name)
    health = health_of(model, tally, last, now, pressing=pressing(room.open_alerts(model=name))[name])
    described = described_measures()
    newest = _newest(room, name, segment)
    main = main_measure(model.task if model else None, whole)
    performance = [m for m in described if m in whole and described[m].family is Family.PERFORMANCE]
    measure = query.get("measure", "")
    measure = measure if measure in performance else (main or "")
    window = judged_window(room, name, measure)
    newest |= {(m, ""): r for m, r in _in_window(room, name, window, performance, segment).items()}
    usual = baseline_values(room, name, performance) if not segment else {}
    firing = sorted(
        (alert_row(d) for d in room.open_alerts(model=name, limit=20)),
        key=lambda a: bool(a["acknowledged_by"]),
    )
    maps = [m for m in DRIFT_MAPS if any(n == m and subject for n, subject, _, _, _ in series)]
    data = {
        "model": name,
        "about": _about(model),
        "health": health.to_dict(),
        "answer": _answer(room, name, measure, newest, described, shown, segment),
        "todo": firing,
        "period": shown.to_dict(),
        "period_query": urlencode(shown.query),
        "last_window": last.isoformat() if last else None,
        "segment": segment,
        "segments": segments[:MANY_SEGMENTS],
        "segments_left_out": max(0, len(segments) - MANY_SEGMENTS),
        "measure": measure,
        "performance": [
            {**_cell(newest.get((m, "")), described[m]), "baseline": usual.get(m)} for m in performance
        ],
        "performance_window": _window_of(room, name, window),
        "change_window": window_query(window) if window and room_has_baseline(room, name) else "",
        "tiles": _tiles(measure, newest, described, usual),
        "estimated": bool(measure and estimate_of(measure, whole)),
        "drift_maps": [{"name": m, "title": _title(m, described)} for m in maps],
        "drift_map": query["map"] if query.get("map") in maps else (maps[0] if maps else ""),
        "columns": _columns(room, name, segment) if maps else [],
        "quality": _quality(room, name, newest, described),
        "service": [
            {"measure": m, "subject": subject, **_cell(newest[m, subject], described[m])}
            for m, subject in SERVICE
            if (m, subject) in newest and (newest[m, subject]["value"] is not None or m == "outcome_delay")
        ],
        "by_segment": _by_segment(room, name, measure, described) if segments and measure else [],
        "all_rows": _value_of_all_rows(room, name, measure),
        "versions": room.versions(name),
        "baseline": _baseline(room, name),
        "windows": _windows(room, name, shown),
    }
    return Page(template="model.html.j2", title=name, data=data, here="fleet")


def _value_of_all_rows(room: Room, name: str, measure: str) -> float | None:
    row = room.reads.last_known([name], [measure]).get((name, measure))
    return row["value"] if row is not None else None


def room_has_baseline(room: Room, name: str) -> bool:
    """Whether the model's window can be held against a baseline."""
    try:
        return name in room.watch.models and room.watch.baseline_path(name).is_file()
    except WatchkeeperError:
        return False


def judged_window(room: Room, name: str, measure: str) -> Window | None:
    """The newest window in which *measure* is known and whose outcomes have come; without one, where it is known."""
    row = room.reads.last_known([name], [measure]).get((name, measure)) if measure else None
    if row is None:
        return None
    start, length = EPOCH + timedelta(microseconds=row["start_us"]), timedelta(microseconds=row["length_us"])
    known = Window(start, start + length)
    states = room.watch.ledger.windows.windows(
        name, start=known.end - LOOK_BACK * length, end=known.end, limit=20_000
    )
    mature = [
        s.key.window
        for s in states
        if s.mature
        and s.rows
        and not s.key.version
        and not s.key.segment
        and s.key.window.length >= ALIKE * length
    ]
    return max(mature, key=lambda w: w.start, default=known)


def window_query(window: Window) -> str:
    """A window as the URL of a page writes it."""
    return f"{window.start:%Y-%m-%dT%H:%MZ}/{window.end:%Y-%m-%dT%H:%MZ}"


def _in_window(
    room: Room, name: str, window: Window | None, measures: Sequence[str], segment: str
) -> dict[str, NewestValue]:
    """What each of *measures* was in one window: a table never mixes windows."""
    if window is None or not measures:
        return {}
    table = room.watch.ledger.measurements.table(
        name,
        start=window.start,
        end=window.start + timedelta(microseconds=1),
        measures=measures,
        subjects=[""],
        segments=[segment],
        versions=[""],
    )
    us = timedelta(microseconds=1)
    return {
        r["measure"]: {
            "model": name,
            "measure": r["measure"],
            "subject": "",
            "segment": segment,
            "length_us": (r["end"] - r["start"]) // us,
            "start_us": (r["start"] - EPOCH) // us,
            "value": r["value"],
            "low": r["low"],
            "high": r["high"],
            "margin": r["margin"],
            "rows": r["rows"],
            "reason": r["reason"],
            "details": None,
        }
        for r in table.to_pylist()
        if r["end"] - r["start"] >= ALIKE * window.length
    }


def _window_of(room: Room, name: str, window: Window | None) -> dict[str, Any] | None:
    """The window in words, and how many of its outcomes have come."""
    if window is None:
        return None
    states = room.watch.ledger.windows.windows(name, start=window.start, end=window.end, limit=1_000)
    state = next(
        (s for s in states if s.key.window == window and not s.key.version and not s.key.segment), None
    )
    return {
        "title": span_of_days(window.start, window.end, now=room.now()),
        "coverage": state.coverage if state is not None else None,
        "mature": state.mature if state is not None else False,
    }


def baseline_values(room: Room, name: str, measures: Sequence[str]) -> dict[str, float]:
    """What the baseline itself says of performance measures."""

    def ask() -> dict[str, float]:
        model = room.watch.models.get(name)
        try:
            made = room.watch.baseline(name) if model is not None else None
            if model is None or made is None:
                return {}
            found = measure_performance(
                made.profile.performance,
                **made.scoring_of(model.scoring).options,
                names=list(measures),
            )
        except WatchkeeperError:
            return {}
        return {m.measure: m.value for m in found if m.value is not None and not m.subject}

    return room.kept(("baseline values", name, tuple(measures)), ask, seconds=60) if measures else {}


def _tiles(
    measure: str,
    newest: Mapping[tuple[str, str], Mapping[str, Any]],
    described: Mapping[str, Measure],
    usual: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Performance, its estimate, traffic, errors and latency: the value, and what it is held against."""
    wanted = [(measure, ""), (f"estimated_{measure}", ""), *SERVICE[:3]]
    tiles = []
    for name, subject in wanted:
        row = newest.get((name, subject))
        if row is None or row["value"] is None or name not in described:
            continue
        cell = _cell(row, described[name])
        before = usual.get(name.removeprefix("estimated_")) if not subject else None
        tiles.append({**cell, "subject": subject, "baseline": before})
    return tiles


def _about(model: WatchedModel | None) -> dict[str, Any]:
    if model is None:
        return {"configured": False}
    return {
        "configured": True,
        "task": model.task.value if model.task else None,
        "owner": model.owner,
        "labels": dict(model.labels),
        "judge_every_s": model.judge_every.total_seconds(),
        "cadence_s": model.cadence.total_seconds(),
        "timezone": model.timezone,
        "maturity": {"share": model.maturity.share, "after_s": model.maturity.after.total_seconds()},
    }


def _newest(room: Room, name: str, segment: str) -> dict[tuple[str, str], NewestValue]:
    """The newest value of each series of one segment (or of all rows), by (measure, subject)."""
    wanted = [m for m, d in described_measures().items() if d.family is not Family.DRIFT]
    rows = room.reads.latest([name], wanted, whole=False, segment=segment)
    return {(r["measure"], r["subject"]): r for r in rows}


def _title(measure: str, described: Mapping[str, Measure]) -> str:
    return described[measure].title if measure in described else measure


def _cell(row: Mapping[str, Any] | None, measure: Measure) -> dict[str, Any]:
    """One newest value with all that is needed to say it."""
    row = row or {}
    return {
        "name": measure.name,
        "title": measure.title,
        "unit": measure.unit,
        "sentence": measure.sentence,
        "better": {Direction.HIGHER_IS_WORSE: "lower", Direction.LOWER_IS_WORSE: "higher"}.get(
            measure.direction, ""
        ),
        "value": row.get("value"),
        "low": row.get("low"),
        "high": row.get("high"),
        "rows": row.get("rows"),
        "reason": row.get("reason"),
    }


def _answer(
    room: Room,
    name: str,
    measure: str,
    newest: Mapping[tuple[str, str], Mapping[str, Any]],
    described: Mapping[str, Measure],
    shown: Period,
    segment: str,
) -> list[str]:
    """What the charts below will show, in sentences."""
    said = []
    row = newest.get((measure, "")) if measure else None
    if row is not None and measure in described:
        title, unit = described[measure].title, described[measure].unit
        if row["value"] is None:
            said.append(f"{title} has not been measured yet: {str(row['reason']).rstrip('.')}.")
        else:
            when = moment(EPOCH + timedelta(microseconds=row["start_us"]), now=room.now())
            said.append(
                f"{title} is {with_unit(row['value'], unit)}{_between(row, unit)}, from {row['rows']:,.0f} predictions "
                f"with outcomes in the window of {when}."
            )
    guess = newest.get((f"estimated_{measure}", ""))
    if guess is not None and measure in described:
        title, unit = described[measure].title, described[measure].unit
        if guess["value"] is not None:
            said.append(
                f"Without outcomes, it is estimated at {with_unit(guess['value'], unit)}{_between(guess, unit)}."
            )
            said += _trust(guess, newest, measure, unit)
            if row is not None and _apart(room, name, measure, row):
                said.append(
                    "The two differ by more than chance: what the rows mean for the outcome may have changed."
                )
        else:
            said.append(f"It cannot be estimated without outcomes now: {str(guess['reason']).rstrip('.')}.")
    rate, errors, latency = (
        newest.get(k) for k in (("request_rate", ""), ("error_rate", ""), ("latency", "p95"))
    )
    served = []
    if rate is not None and rate["value"] is not None:
        served.append(f"It answers {with_unit(rate['value'], '1/s')}")
    if latency is not None and latency["value"] is not None:
        served.append(f"95% within {seconds(latency['value'])}")
    if errors is not None and errors["value"] is not None:
        served.append(
            "without errors" if errors["value"] == 0 else f"{per_cent(errors['value'])} of requests fail"
        )
    if served:
        said.append(", ".join(served) + ".")
    return said


def _trust(
    guess: Mapping[str, Any], newest: Mapping[tuple[str, str], Mapping[str, Any]], measure: str, unit: str
) -> list[str]:
    """Whether the estimate is to be believed, and how good its like have been."""
    said = []
    details = json.loads(guess["details"]) if guess.get("details") else {}
    if not details.get("reliable", True):
        said.append(f"That estimate is unreliable: {' '.join(details.get('reasons', ()))}".rstrip(". ") + ".")
    off, held = (newest.get((name, measure)) for name in ("estimate_error", "estimate_coverage"))
    if off is None or held is None or off["value"] is None or held["value"] is None:
        said.append("No estimate of it has been held against outcomes yet.")
        return said
    windows = round(held["rows"])
    said.append(
        f"In the last {windows} windows whose outcomes came, estimates were off by {with_unit(off['value'], unit)} on "
        f"average, and the interval held {round(held['value'] * windows)} times (95% is stated)."
        if windows > 1
        else f"In the one window whose outcomes came, the estimate was off by {with_unit(off['value'], unit)}."
    )
    return said


def _apart(room: Room, name: str, measure: str, row: Mapping[str, Any]) -> bool:
    """Whether the estimate of the window that *row* is about lies apart from what was realised in it."""
    if row["low"] is None or row["high"] is None:
        return False
    start = EPOCH + timedelta(microseconds=row["start_us"])
    length = timedelta(microseconds=row["length_us"])
    found = room.watch.ledger.measurements.series(
        name, f"estimated_{measure}", start=start, end=start + length, length=length
    ).to_pylist()
    return any(
        g["low"] is not None and g["high"] is not None and (g["low"] > row["high"] or g["high"] < row["low"])
        for g in found
    )


def _between(row: Mapping[str, Any], unit: str) -> str:
    if row["low"] is None or row["high"] is None:
        return ""
    return f" (between {with_unit(row['low'], unit)} and {with_unit(row['high'], unit)} with 95% confidence)"


def _columns(room: Room, name: str, segment: str) -> list[dict[str, Any]]:
    """Columns by how far they are from the baseline, for the table beside the map."""
    rows = [r for r in room.reads.latest([name], ["psi"], whole=False, segment=segment) if r["subject"]]
    newest = {r["subject"]: r for r in rows}
    missing = room.reads.latest([name], ["missing"], whole=False, segment=segment)
    gone = {r["subject"]: r["value"] for r in missing}
    order = sorted(
        newest.values(), key=lambda r: (-(r["value"] if r["value"] is not None else -1), r["subject"])
    )
    return [
        {
            "name": r["subject"],
            "psi": r["value"],
            "margin": r["margin"],
            "beyond_noise": r["value"] is not None and r["margin"] is not None and r["value"] > r["margin"],
            "missing": gone.get(r["subject"]),
            "reason": r["reason"],
        }
        for r in order[:500]
    ]


def _quality(
    room: Room,
    name: str,
    newest: Mapping[tuple[str, str], Mapping[str, Any]],
    described: Mapping[str, Measure],
) -> list[dict[str, Any]]:
    """What the newest window's data has wrong, furthest above the baseline first; what is as it was is not listed."""
    made = room.watch.baseline(name) if room_has_baseline(room, name) else None
    usual = {c: p.missing / p.rows for c, p in made.profile.columns.items() if p.rows} if made else {}
    found = []
    for (measure, subject), row in newest.items():
        if measure not in QUALITY or not row["value"]:
            continue
        before = usual.get(subject) if measure == "missing" else None
        if before is None or row["value"] > before:
            found.append({**_cell(row, described[measure]), "column": subject, "baseline": before})
    return sorted(found, key=lambda r: (r["baseline"] or 0.0) - float(r["value"]))[:12]


def _by_segment(room: Room, name: str, measure: str, described: Mapping[str, Measure]) -> list[NewestValue]:
    """The main measure in each segment, worst first."""
    worse = -1 if described[measure].direction is Direction.HIGHER_IS_WORSE else 1
    rows = room.kept(("segments", name, measure), lambda: room.reads.by_segment(name, measure))
    return sorted(rows, key=lambda r: worse * (r["value"] or 0.0))[:MANY_SEGMENTS]


def _baseline(room: Room, name: str) -> dict[str, Any] | None:
    """Who set the baseline, and when."""
    facts = room.kept(
        ("baseline", name), lambda: room.reads.facts(kinds=["baseline.set"], model=name, limit=1), seconds=10
    )
    if not facts:
        return None
    body = facts[0].body
    return {
        "at": facts[0].at.isoformat(),
        "by": facts[0].actor,
        "rows": body.get("rows"),
        "windows": body.get("windows"),
    }


def _windows(room: Room, name: str, shown: Period) -> dict[str, Any]:
    """How mature the newest windows are: realised numbers rest on the outcomes that have come."""
    model = room.watch.models.get(name)
    length = model.judge_every if model else timedelta(days=1)
    states = room.watch.ledger.windows.windows(
        name, start=shown.end - 14 * length, end=shown.end, limit=5_000
    )
    rows = [
        {
            "start": s.key.window.start.isoformat(),
            "end": s.key.window.end.isoformat(),
            "rows": s.rows,
            "coverage": s.coverage,
            "mature": s.mature,
            "dirty": s.dirty,
            "reason": s.reason,
        }
        for s in states
        if not s.key.version and not s.key.segment and s.key.window.length >= length * 0.9
    ]
    young = [r for r in rows if not r["mature"] and r["rows"]]
    return {"newest": rows[-7:], "not_mature": len(young), "looked_at": len(rows)}
