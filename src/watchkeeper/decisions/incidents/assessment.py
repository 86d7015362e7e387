"""The first draft of an assessment: who is hit, since when, after which change, and what it costs. Pure.

It is a draft: it says what the measurements say, and which of the usual questions they do not answer.

Cost of a window from accuracy, precision and recall alone: of ``n`` rows ``e = n (1 - accuracy)`` are wrong. With
``P`` positives, ``FN = P (1 - r)`` and ``FP = P r (1/p - 1)``; both add up to ``e``, which gives ``P``. A
regression costs ``per_unit`` times the mean absolute error times the rows. What is reported is the excess over the
same number of rows at the rate from before the change. Where outcomes are not known yet, the estimates without labels
stand in, and the draft says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.domain.measurement import Direction, Family, Measure

Row = Mapping[str, Any]
"""One measurement: measure, subject, segment, version, start, end, value, low, high, margin, rows, reason."""

DRIFT = ("psi", "missing_drift")
FIRST_NAMED = (
    "roc_auc",
    "accuracy",
    "mae",
    "rmse",
    "f1",
    "average_precision",
    "recall",
    "precision",
    "brier",
)
"""Measures of performance in the order in which people ask for them, where none has moved more than another."""
SUSPECT_WITHIN = timedelta(days=14)
MOST = 5
MOST_SAID = 4
"""Measures of performance that the words name; all of them are in ``performance``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is known so far. ``sentences`` say it; the rest is for pages."""

    since: datetime | None
    columns: tuple[Mapping[str, Any], ...] = ()
    segments: tuple[Mapping[str, Any], ...] = ()
    change: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    performance: tuple[Mapping[str, Any], ...] = ()
    """Label-free and realised, side by side: measure, estimated and realised before and since."""
    unknown: tuple[str, ...] = ()
    sentences: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""

        def plain(item: Any) -> Any:
            if isinstance(item, datetime):
                return item.isoformat()
            if isinstance(item, Mapping):
                return {k: plain(v) for k, v in item.items()}
            return [plain(v) for v in item] if isinstance(item, (tuple, list)) else item

        return {name: plain(getattr(self, name)) for name in self.__slots__}


def assess(
    rows: Iterable[Row],
    *,
    since: datetime | None,
    measures: Mapping[str, Measure],
    columns: Sequence[str] = (),
    segments: Sequence[str] = (),
    changes: Sequence[Mapping[str, Any]] = (),
    cost_of_errors: Mapping[str, float] | None = None,
    currency: str = "",
) -> Assessment:
    """Draft an assessment from measurements around *since*.

    Parameters
    ----------
    rows : measurements from before and after, of any measures; those of the longest windows are used.
    measures : what is known of each measure, by name: its title, and which way is worse.
    columns, segments : those that the alerts name; they come first.
    changes : what else changed, each with ``at`` and ``text`` (a baseline set, a rollout).
    cost_of_errors : ``false_positive``, ``false_negative``, ``per_unit``.
    """
    every = _longest(list(rows))
    if not every:
        return Assessment(
            since=since,
            unknown=("There are no measurements of this time.",),
            sentences=("There are no measurements of this time, so nothing can be said yet.",),
        )
    split = since or max(r["start"] for r in every)
    hit = _columns(every, split, columns, measures)
    groups = _segments(every, split, segments, measures)
    change = _change(every, split, changes)
    cost = _cost(every, split, cost_of_errors or {}, currency)
    if cost is None:
        cost = _cost(every, split, cost_of_errors or {}, currency, prefix="estimated_")
    side = _performance(every, split, measures)
    unknown = []
    if not side or all(s["realised"] is None for s in side):
        unknown.append("Realised performance is not known yet: no mature outcomes since then.")
    if not side or all(s["estimated"] is None for s in side):
        unknown.append("There is no estimate without labels for these windows.")
    if cost is None:
        unknown.append(
            "What it costs is not known: give the model cost_of_errors."
            if not cost_of_errors
            else "What it costs is not known: its windows have neither realised nor estimated performance yet."
        )
    if change is None:
        unknown.append(f"No version or baseline changed in the {SUSPECT_WITHIN.days} days before it.")
    draft = Assessment(
        since=since,
        columns=hit,
        segments=groups,
        change=change,
        cost=cost,
        performance=side,
        unknown=tuple(unknown),
    )
    return Assessment(
        **{n: getattr(draft, n) for n in draft.__slots__ if n != "sentences"}, sentences=_words(draft)
    )


def window_cost(
    values: Mapping[str, float], rows: float, cost_of_errors: Mapping[str, float]
) -> float | None:
    """What the errors of one window cost; None where its measures do not say.

    >>> values = {"accuracy": 0.9, "precision": 0.8, "recall": 0.5}
    >>> round(window_cost(values, 1000, {"false_positive": 1.0, "false_negative": 10.0}), 1)  # 20 FP, 80 FN
    820.0
    """
    per_unit = cost_of_errors.get("per_unit")
    if per_unit is not None and "mae" in values:
        return per_unit * values["mae"] * rows
    wrong = {"false_positive", "false_negative"} & set(cost_of_errors)
    if not wrong or not {"accuracy", "precision", "recall"} <= set(values):
        return None
    p, r = values["precision"], values["recall"]
    errors = rows * (1 - values["accuracy"])
    if p <= 0:
        return None
    weight = r * (1 / p - 1) + (1 - r)
    positives = errors / weight if weight > 0 else 0.0
    fp, fn = positives * r * (1 / p - 1), positives * (1 - r)
    return fp * cost_of_errors.get("false_positive", 0.0) + fn * cost_of_errors.get("false_negative", 0.0)


def _longest(rows: list[Row]) -> list[Row]:
    if not rows:
        return []
    length = max(r["end"] - r["start"] for r in rows)
    # A day of a time zone has 23 to 25 hours.
    return [
        r
        for r in rows
        if length - (r["end"] - r["start"]) <= timedelta(hours=2) or r["end"] - r["start"] == length
    ]


def _columns(
    rows: list[Row], split: datetime, named: Sequence[str], measures: Mapping[str, Measure]
) -> tuple[Mapping[str, Any], ...]:
    worst: dict[str, Row] = {}
    for r in rows:
        if r["measure"] not in DRIFT or not r["subject"] or r["segment"] or r["version"]:
            continue
        moved = r["value"] is not None and r["value"] > max(r.get("margin") or 0.0, 0.02)
        if r["start"] >= split and (moved or (r["subject"] in named and r["value"] is not None)):
            known = worst.get(r["subject"])
            if known is None or r["value"] > known["value"]:
                worst[r["subject"]] = r
    order = sorted(worst.values(), key=lambda r: (r["subject"] not in named, -r["value"]))
    found: list[Mapping[str, Any]] = [
        {
            "column": r["subject"],
            "measure": r["measure"],
            "title": measures[r["measure"]].title,
            "value": r["value"],
            "start": r["start"],
        }
        for r in order
    ]
    unmeasured = [{"column": c, "measure": "", "value": None, "start": None} for c in named if c not in worst]
    return tuple((*unmeasured, *found)[:MOST])


def _segments(
    rows: list[Row], split: datetime, named: Sequence[str], measures: Mapping[str, Measure]
) -> tuple[Mapping[str, Any], ...]:
    """Segments whose main measure fell most against their own past."""
    main = next(
        (
            m
            for m in ("roc_auc", "accuracy", "f1", "rmse", "mae")
            if any(r["measure"] == m and r["segment"] for r in rows)
        ),
        None,
    )
    moved = []
    if main is not None:
        for segment in sorted({r["segment"] for r in rows if r["segment"]}):
            own = [r for r in rows if r["measure"] == main and r["segment"] == segment and not r["version"]]
            before, after = _mean(own, split, False), _mean(own, split, True)
            if before is None or after is None:
                continue
            loss = after[0] - before[0]
            if measures[main].direction is Direction.LOWER_IS_WORSE:
                loss = -loss
            if loss > 0 or segment in named:
                moved.append(
                    {
                        "segment": segment,
                        "measure": main,
                        "title": measures[main].title,
                        "before": before[0],
                        "since": after[0],
                        "rows": after[1],
                        "loss": loss,
                    }
                )
        moved.sort(key=lambda s: (s["segment"] not in named, -s["loss"]))
    known = {m["segment"] for m in moved}
    moved += [{"segment": s, "measure": ""} for s in named if s and s not in known]
    return tuple(moved[:MOST])


def _change(
    rows: list[Row], split: datetime, changes: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The newest change before the trouble: a version's first window, or what else is known."""
    first: dict[str, datetime] = {}
    for r in rows:
        if r["version"]:
            first[r["version"]] = min(first.get(r["version"], r["start"]), r["start"])
    earliest = min(r["start"] for r in rows)
    found: list[Mapping[str, Any]] = [
        {"at": at, "text": f"version {version} began to serve", "version": version}
        for version, at in first.items()
        if at > earliest
    ]
    found += [dict(c) for c in changes]
    # A version that began within the window in which the trouble began did precede it, as far as windows can tell.
    found = [c for c in found if split - SUSPECT_WITHIN <= c["at"] <= split]
    return max(found, key=lambda c: c["at"], default=None)


def _cost(
    rows: list[Row],
    split: datetime,
    cost_of_errors: Mapping[str, float],
    currency: str,
    *,
    prefix: str = "",
) -> Mapping[str, Any] | None:
    """What errors cost since *split*, from realised measures; with *prefix*, from those of that name before theirs."""
    windows: dict[datetime, dict[str, float]] = {}
    sizes: dict[datetime, float] = {}
    for r in rows:
        whole = not r["segment"] and not r["version"] and not r["subject"]
        known = r["measure"].startswith(prefix) and r["measure"].removeprefix(prefix)
        if whole and known in ("accuracy", "precision", "recall", "mae") and r["value"] is not None:
            windows.setdefault(r["start"], {})[known] = r["value"]
            sizes[r["start"]] = max(sizes.get(r["start"], 0.0), r["rows"] or 0.0)
    before = [0.0, 0.0]
    after = [0.0, 0.0]
    for start, values in windows.items():
        spent = window_cost(values, sizes[start], cost_of_errors)
        if spent is not None:
            side = after if start >= split else before
            side[0] += spent
            side[1] += sizes[start]
    if not after[1]:
        return None
    usual = before[0] / before[1] * after[1] if before[1] else None
    return {
        "since": after[0],
        "usual": usual,
        "excess": None if usual is None else after[0] - usual,
        "rows": after[1],
        "currency": currency,
        "estimated": bool(prefix),
    }


def _performance(
    rows: list[Row], split: datetime, measures: Mapping[str, Measure]
) -> tuple[Mapping[str, Any], ...]:
    whole = [r for r in rows if not r["segment"] and not r["version"] and not r["subject"]]
    names = {r["measure"] for r in whole}
    out = []
    judged = (m for m in measures.values() if m.family is Family.PERFORMANCE)
    for name, title in sorted((m.name, m.title) for m in judged if m.direction is not Direction.NEITHER):
        twin = f"estimated_{name}"
        if not {name, twin} & names:
            continue
        own = [r for r in whole if r["measure"] == name]
        free = [r for r in whole if r["measure"] == twin]
        out.append(
            {
                "measure": name,
                "title": title,
                "realised_before": _first(_mean(own, split, False)),
                "realised": _first(_mean(own, split, True)),
                "estimated_before": _first(_mean(free, split, False)),
                "estimated": _first(_mean(free, split, True)),
            }
        )
    return tuple(out)


def _mean(rows: Sequence[Row], split: datetime, after: bool) -> tuple[float, float] | None:
    """Mean by rows, and how many rows, of the windows before or since *split*."""
    chosen = [r for r in rows if (r["start"] >= split) is after and r["value"] is not None]
    weight = sum(r["rows"] or 0.0 for r in chosen)
    if not chosen:
        return None
    if not weight:
        return sum(r["value"] for r in chosen) / len(chosen), 0.0
    return sum(r["value"] * (r["rows"] or 0.0) for r in chosen) / weight, weight


def _first(pair: tuple[float, float] | None) -> float | None:
    return None if pair is None else pair[0]


def _words(a: Assessment) -> tuple[str, ...]:
    out = []
    if a.since is not None:
        out.append(f"It began with the window of {a.since:%Y-%m-%d %H:%M} UTC.")
    if a.columns:
        told = [
            c["column"] if c["value"] is None else f"{c['column']} ({c['title'].lower()} {c['value']:.3g})"
            for c in a.columns
        ]
        out.append(f"Columns: {', '.join(told)}.")
    if a.segments:
        told = [
            f"{s['segment']} ({s['title']} {s['before']:.3g} to {s['since']:.3g})"
            if s["measure"]
            else s["segment"]
            for s in a.segments
        ]
        out.append(f"Segments: {', '.join(told)}.")
    else:
        out.append("Segments: none stands out.")
    if a.change is not None:
        out.append(f"Before it, on {a.change['at']:%Y-%m-%d %H:%M} UTC: {a.change['text']}.")
    known = [p for p in a.performance if p["realised"] is not None or p["estimated"] is not None]
    known.sort(key=_loudness)
    for p in known[:MOST_SAID]:
        out.append(
            f"{p['title']}: estimated without labels {_step(p['estimated_before'], p['estimated'])}, "
            f"realised {_step(p['realised_before'], p['realised'])}."
        )
    if len(known) > MOST_SAID:
        out.append(f"And {len(known) - MOST_SAID} more measures of performance.")
    if a.cost is not None:
        unit = f" {a.cost['currency']}" if a.cost["currency"] else ""
        said = f"Errors since then cost about {a.cost['since']:,.0f}{unit}"
        if a.cost["excess"] is not None:
            way = "more" if a.cost["excess"] >= 0 else "less"
            said += f", {abs(a.cost['excess']):,.0f}{unit} {way} than at the rate before"
        out.append(said + (", by the estimates without labels." if a.cost["estimated"] else "."))
    return (*out, *a.unknown)


def _loudness(p: Mapping[str, Any]) -> tuple[float, int]:
    """What moved most comes first, realised before estimated; then the order in which people ask."""
    moved = 0.0
    for side in ("realised", "estimated"):
        before, after = p[f"{side}_before"], p[side]
        if before is not None and after is not None:
            moved = abs(after - before) / max(abs(before), 1e-9)
            break
    name = p["measure"]
    return -round(moved, 3), FIRST_NAMED.index(name) if name in FIRST_NAMED else len(FIRST_NAMED)


def _step(before: float | None, after: float | None) -> str:
    if after is None:
        return "not known yet"
    return f"{after:.3g}" if before is None else f"{before:.3g} to {after:.3g}"
