"""Why a window's numbers are what they are: which rows, which baseline, which parts, and what moved in a column."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from watchkeeper.domain.duration import duration_text, duration_words
from watchkeeper.domain.series import WindowState
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window, floor_to
from watchkeeper.errors import BadInput, NotFound, nearest
from watchkeeper.loop.reports.status import is_judged
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch


_LENGTH = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
BINS = 16


def instant(text: str, timezone: str) -> datetime:
    """A date or time as people write it; without an offset it is one of *timezone*.

    >>> instant("2026-03-29", "Europe/Berlin").isoformat(), instant("2026-03-01T12:00Z", "UTC").isoformat()
    ('2026-03-28T23:00:00+00:00', '2026-03-01T12:00:00+00:00')

    Raises
    ------
    BadInput
        it is neither.
    """
    zone = ZoneInfo(timezone)
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.combine(date.fromisoformat(text), time.min, tzinfo=zone).astimezone(UTC)
        at = datetime.fromisoformat(text)
        if not 1970 <= at.year <= 2200:  # digits that count since 1970 may be read as some date
            raise ValueError(text)
    except ValueError as cause:
        raise BadInput(f"{text!r} is no date or time.", "Write 2026-03-01 or 2026-03-01T12:00Z.") from cause
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def find_window(watch: Watch, model: WatchedModel, said: str) -> WindowState:
    """The window that *said* names: a label, ``latest``, a day, or a moment within a stored window.

    Raises
    ------
    NotFound
        there is no such window; the text names what there is.
    """
    windows = watch.ledger.windows
    if said == "latest":
        newest = [s for s in windows.windows(model.name, limit=1_000_000) if s.generation]
        judged = [s for s in newest if is_judged(model, s.key.window)] or newest
        if not judged:
            raise NotFound(f"No window of {model.name!r} has been measured yet.", "Run:  watchkeeper tick")
        return max(judged, key=lambda s: (s.key.window.end, s.key.window.length))
    head, slash, tail = said.partition("/")
    start = instant(head, model.timezone)
    if slash:
        found = _LENGTH.fullmatch(tail)
        if not found or not any(found.groups()):
            raise BadInput(f"{said!r} is no window.", "Write for example 2026-03-01T00:00Z/P1D.")
        d, h, m, s = (int(g or 0) for g in found.groups())
        window = Window(start, start + timedelta(days=d, hours=h, minutes=m, seconds=s))
    else:
        stored = Window(floor_to(start, model.cadence), floor_to(start, model.cadence) + model.cadence)
        window = model.judged_window(stored) if len(head) <= 10 else stored
    around = windows.windows(model.name, start=window.start, end=window.end)
    for state in around:
        if state.key.window == window:
            return state
    near = [s for s in around if is_judged(model, s.key.window)] or windows.windows(model.name, limit=1)
    hint = f"For example:  {near[0].key.window.label}" if near else "Nothing was recorded yet."
    raise NotFound(f"There is no window {window.label} of {model.name!r}.", hint)


def explain(watch: Watch, name: str, said: str, *, subject: str | None = None) -> dict[str, Any]:
    """All that bears on one window, as plain values.

    Parameters
    ----------
    said : the window (see `find_window`).
    subject : a column: also show its shares beside the baseline's, and what each bin adds to PSI.
    """
    model = watch.model(name)
    state = find_window(watch, model, said)
    window, baseline = state.key.window, watch.baseline(name)
    inside = [
        s
        for s in watch.ledger.windows.windows(name, start=window.start, end=window.end)
        if s.key.window.length == model.cadence and not s.key.version
    ]
    expected = int(window.length / model.cadence) if window.length >= model.cadence else 1
    table = watch.ledger.measurements.table(name, start=window.start, end=window.end).to_pylist()
    rows = [r for r in table if r["start"] == window.start and r["end"] == window.end]
    whole = [r for r in rows if not r["segment"] and not r["version"]]
    out = {
        "model": name,
        "window": window.label,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "local": _local(window, model.timezone),
        "kind": "judged" if is_judged(model, window) else "stored",
        "rows": state.rows,
        "outcomes": state.outcomes,
        "coverage": state.coverage,
        "mature": state.mature,
        "maturity": _maturity(model, state, watch.clock()),
        "measured_at": None if state.measured_at is None else state.measured_at.isoformat(),
        "generation": state.generation,
        "waits": state.dirty,
        "why_it_waits": state.reason if state.dirty else "",
        "notes": [] if state.dirty or not state.reason else state.reason.split("; "),
        "rebuildable": state.rebuildable,
        "stored_windows": {
            "cadence": duration_text(model.cadence),
            "expected": expected,
            "with_rows": sum(1 for s in inside if s.rows),
            "waiting": sum(1 for s in inside if s.dirty),
        },
        "baseline": None
        if baseline is None
        else {
            "name": baseline.name,
            "rows": baseline.profile.rows,
            "created_at": baseline.created_at,
            "source": baseline.source,
            "path": str(watch.baseline_path(name)),
        },
        "versions": sorted({r["version"] for r in rows} - {""}),
        "segments": sorted({r["segment"] for r in rows} - {""}),
        "measurements": [_told(r) for r in whole],
        "history": [
            {"at": f.at.isoformat(), "kind": f.kind, **f.body}
            for f in watch.ledger.facts.facts(model=name, subject=window.label, newest_first=True, limit=10)
        ],
    }
    if subject is not None:
        out["column"] = _column(watch, model, window, subject)
    return out


def _told(row: dict[str, Any]) -> dict[str, Any]:
    from watchkeeper.measures.catalogue import entries

    sentences = {e.name: e.measure.sentence for e in entries()}
    out = {
        n: row[n]
        for n in ("measure", "subject", "value", "low", "high", "margin", "p_value", "rows", "reason")
    }
    out["sentence"] = sentences.get(row["measure"], "")
    value, margin = row["value"], row["margin"]
    # How far beyond what sampling alone gives; what explains a window stands first.
    out["beyond_noise"] = None if value is None or not margin else abs(value) / margin
    return out


def _maturity(model: WatchedModel, state: WindowState, now: datetime) -> str:
    rule, end = model.maturity, state.key.window.end
    share = f"{100 * (state.coverage or 0):.3g}% of its {state.rows:,} rows have outcomes"
    if not state.rows:
        return "It has no rows."
    if (state.coverage or 0) >= rule.share:
        return f"Mature: {share}; {100 * rule.share:.3g}% are asked for."
    if now >= end + rule.after:
        return f"Mature by age: {share}, and {duration_words(rule.after)} have passed since its end."
    return f"Not mature: {share}; judged at {100 * rule.share:.3g}%, or from {end + rule.after:%Y-%m-%d %H:%M} UTC on."


def _local(window: Window, timezone: str) -> str:
    zone = ZoneInfo(timezone)
    start, end = (at.astimezone(zone) for at in (window.start, window.end))
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {timezone}"


def _column(watch: Watch, model: WatchedModel, window: Window, subject: str) -> dict[str, Any]:
    """Shares of one column in the window beside those of the baseline, the most telling bin first."""
    baseline = watch.baseline(model.name)
    names = list(baseline.profile.columns) if baseline is not None else []
    if subject not in names:
        raise NotFound(
            f"The baseline of {model.name!r} has no column {subject!r}.{nearest(subject, names)}",
            f"Known: {', '.join(names) or 'none, there is no baseline yet'}.",
        )
    assert baseline is not None
    merged = None
    for stored in watch.windows(model.name, window, parts=[f"column:{subject}"]):
        if stored.key.window.length == model.cadence:
            merged = stored if merged is None else merged.merge(stored)
    if merged is None:
        raise NotFound(f"No profile of {subject!r} is stored for {window.label}.")
    here, there = merged.profile.estimate()[subject], baseline.profile[subject]
    out: dict[str, Any] = {
        "name": subject,
        "missing": {
            "baseline": there.missing / max(1, there.rows),
            "window": here.missing / max(1, here.rows),
        },
    }
    for side, column in (("baseline", there), ("window", here)):
        if column.moments is not None and column.moments.n:
            out.setdefault("mean", {})[side] = column.moments.mean
    names_of, q, p = _shares(there.distribution, here.distribution)
    floor = 1e-6
    add = (p - q) * np.log(np.maximum(p, floor) / np.maximum(q, floor))
    out["bins"] = [
        {"bin": names_of[i], "baseline": float(q[i]), "window": float(p[i]), "adds_to_psi": float(add[i])}
        for i in np.argsort(-np.abs(add))[:BINS]
    ]
    return out


def _shares(baseline: Any, window: Any) -> tuple[list[str], np.ndarray, np.ndarray]:
    if isinstance(baseline, Frequencies) and isinstance(window, Frequencies):
        names = list(dict.fromkeys([*dict(baseline.top(100)), *dict(window.top(100))]))
        q, p = (
            np.array([f.counts.get(n, 0) / max(1, f.n) for n in names], float) for f in (baseline, window)
        )
        return names, q, p
    if isinstance(baseline, Histogram) and isinstance(window, Histogram):
        left, right = baseline.coarsen(BINS), window.coarsen(BINS)
        cuts = left.edges.cuts
        names = _bins(cuts)
        q, p = (h.counts / max(1, h.counts.sum()) for h in (left, right))
        if len(q) == len(p):
            return names, q, p
    return [], np.empty(0), np.empty(0)


def _bins(cuts: Any) -> list[str]:
    words = [f"{float(c):.6g}" for c in cuts]
    if not words:
        return ["all"]
    middle = [f"{a} to {b}" for a, b in pairwise(words)]
    return [f"below {words[0]}", *middle, f"{words[-1]} and above"]
