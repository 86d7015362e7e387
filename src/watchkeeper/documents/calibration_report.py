"""How often the rules cry wolf, what they find and how soon: the result of `watchkeeper calibrate` as a document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from watchkeeper.documents.drawing.charts import MESSAGE, SCHEMA, config_of, render_svg
from watchkeeper.domain.measurement import Interval

OURS = {"paging": "your rules that page", "notices": "your rules that only note"}
RIVALS = {
    "always": "always fire",
    "never": "never fire",
    "ks": "KS p < 0.05, any column",
    "psi": "PSI > 0.1, any column",
    "chunks": "mean + 3 sd of the baseline's windows",
}
"""What stands beside the owner's rules: the two ends of the scale, and what is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """One procedure on windows in which nothing was changed."""

    how: str
    """How windows were replayed: ``as it was``, ``by window``, ``by block``."""
    procedure: str
    deployments: int
    alarmed: int
    """Deployments with any alarm."""
    chance: Interval
    """95% interval of the chance of any alarm in a deployment of so many windows."""
    windows: int
    """Windows of one deployment."""
    alarmed_windows: float
    """Windows with a new alarm (rules that remember) or any alarm (those that do not), of all windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One procedure on one injected shift."""

    shift: str
    procedure: str
    runs: int
    found: int
    power: Interval
    """95% interval of the chance to find it within ``windows``."""
    windows: int
    delay: float | None
    """Median number of windows until it was found, of all runs; None where fewer than half found it."""
    delay_low: float | None
    delay_high: float | None
    """95% interval of the median; None: beyond the windows that were replayed."""

    @property
    def share(self) -> float:
        """Found, of all."""
        return self.found / self.runs if self.runs else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What the rules that page would find with another cadence, sample size or baseline."""

    what: str
    """``as it is``, ``cadence``, ``rows`` or ``baseline``."""
    merged: int
    """Windows that are judged as one."""
    rows: float
    """Rows of a judged window."""
    baseline_windows: int
    runs: int
    found: int
    power: Interval
    delay: float | None
    """Median, in judged windows."""
    length_s: float
    """Length of a judged window."""

    @property
    def delay_s(self) -> float | None:
        """The same as time."""
        return None if self.delay is None else self.delay * self.length_s

    @property
    def words(self) -> str:
        """In a line."""
        return (
            f"windows of {time_words(self.length_s)}, {self.rows:,.0f} rows each, "
            f"{self.baseline_windows} in the baseline"
        )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All of it; plain values."""

    model: str
    baseline: Mapping[str, Any]
    """Name, rows, windows, rows_per_window, window_s, columns."""
    options: Mapping[str, Any]
    """Seed, runs, windows, within: what the replay was asked for."""
    rules: tuple[Mapping[str, Any], ...]
    """Name, kind, pages, and ``replayed`` or why not."""
    false_alarms: tuple[FalseAlarms, ...]
    found: tuple[Found, ...]
    by_rule: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Rule -> way of replaying -> share of deployments in which it fired falsely."""
    tried: tuple[Option, ...] = ()
    target: str = ""
    """The shift that the recommendation is about."""
    recommendation: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created_at: str = ""

    def false_alarm(self, how: str, procedure: str) -> FalseAlarms | None:
        """One line, if it was replayed."""
        return next((f for f in self.false_alarms if (f.how, f.procedure) == (how, procedure)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        out: dict[str, Any] = {
            "format": "watchkeeper.calibration/1",
            "model": self.model,
            "created_at": self.created_at,
            "baseline": dict(self.baseline),
            "options": dict(self.options),
            "rules": [dict(r) for r in self.rules],
            "false_alarms": [asdict(f) | {"name": name_of(f.procedure)} for f in self.false_alarms],
            "found": [asdict(f) | {"name": name_of(f.procedure), "share": f.share} for f in self.found],
            "by_rule": {k: dict(v) for k, v in self.by_rule.items()},
            "tried": [asdict(o) | {"delay_s": o.delay_s} for o in self.tried],
            "target": self.target,
            "recommendation": list(self.recommendation),
            "notes": list(self.notes),
        }
        return out

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, also written to *path*."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """A page that stands alone, also written to *path*."""
        from watchkeeper.documents.batch.page import template_environment

        text = (
            template_environment()
            .get_template("calibration.html.j2")
            .render(
                c=self,
                picture=render_svg(calibration_picture(self)) if self.found else "",
                names=name_of,
                percent=percent,
                ways=WAYS,
                span=time_words,
            )
        )
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


WAYS = {
    "as it was": "as it was: the later windows against the earlier ones, in order",
    "by window": "shuffled by window: nothing can have changed",
    "by block": "shuffled by block: neighbours stay together, so that what carries over from window to window shows",
}


def name_of(procedure: str) -> str:
    """What people call a procedure."""
    return {**OURS, **RIVALS}.get(procedure, procedure)


def percent(share: float) -> str:
    """As a reader takes it in.

    >>> percent(0.0), percent(0.004), percent(0.256), percent(1.0)
    ('0%', '0.4%', '26%', '100%')
    """
    return f"{100 * share:.1f}%" if 0 < share < 0.0995 else f"{100 * share:.0f}%"


def time_words(seconds: float) -> str:
    """A length of time with at most one decimal, in the largest unit that it fills.

    >>> time_words(7.5 * 86_400), time_words(86_400), time_words(5_400)
    ('7.5 days', '1 day', '1.5 hours')
    """
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size, 1)
            return f"{count:g} {name}" + ("" if count == 1 else "s")
    return f"{seconds:.0f} seconds"


def calibration_picture(c: Calibration, *, width: int = 620) -> dict[str, Any]:
    """Above, each procedure's chance of a false alarm; below, which of the injected shifts it finds, and how soon."""
    false = {f.procedure: f for f in c.false_alarms if f.how == "by window"}
    found = [f for f in c.found if f.procedure in false]
    quiet = not any(f.found for f in found if f.procedure == "notices")
    names = [_SHORT[p] for p in false if not (quiet and p == "notices")]
    bars = [
        {
            "procedure": _SHORT[p],
            "share": f.alarmed / f.deployments,
            "low": f.chance.low,
            "high": f.chance.high,
        }
        for p, f in false.items()
    ]
    cells = [
        {
            "procedure": _SHORT[f.procedure],
            "shift": f.shift,
            "found": f.share,
            "text": percent(f.share) + ("" if f.delay is None else f" in {f.delay:g}"),
            "low": f.power.low,
            "high": f.power.high,
        }
        for f in found
    ]
    kept = set(names)
    shifts = list(dict.fromkeys(v["shift"] for v in cells))
    x: dict[str, Any] = {"field": "procedure", "type": "nominal", "sort": names, "title": None}
    bare = {**x, "axis": {"labels": False, "ticks": False, "domain": False}}
    y: dict[str, Any] = {
        "type": "quantitative",
        "axis": {"format": ".0%", "tickCount": 3},
        "scale": {"domain": [0, 1]},
    }
    where = {"field": "shift", "type": "nominal", "sort": shifts, "title": None, "axis": {"labelLimit": 260}}
    windows = next(iter(false.values())).windows if false else 0
    upper = {
        "title": {
            "text": f"chance of any false alarm in {windows} windows",
            "fontSize": 12,
            "fontWeight": 400,
        },
        "width": width,
        "height": 90,
        "data": {"name": "false", "values": [b for b in bars if b["procedure"] in kept]},
        "layer": [
            {
                "mark": {"type": "bar", "style": "fail", "size": 26},
                "encoding": {"x": bare, "y": {**y, "field": "share", "title": None}},
            },
            {
                "mark": {"type": "rule", "style": "ink"},
                "encoding": {"x": bare, "y": {**y, "field": "low", "title": None}, "y2": {"field": "high"}},
            },
        ],
    }
    lower = {
        "title": {
            "text": f"injected shifts found within {c.options['within']} windows, and the median delay",
            "fontSize": 12,
            "fontWeight": 400,
        },
        "width": width,
        "height": 24 * max(1, len(shifts)),
        "data": {"name": "found", "values": [v for v in cells if v["procedure"] in kept]},
        "encoding": {"x": {**x, "axis": {"labelAngle": 0, "labelLimit": 130}}, "y": where},
        "layer": [
            {
                "mark": {"type": "rect", "stroke": "#ffffff"},
                "encoding": {
                    "color": {
                        "field": "found",
                        "type": "quantitative",
                        "scale": {"domain": [0, 1], "range": ["#f4f1ea", "#1f5fa8"], "interpolate": "rgb"},
                        "legend": None,
                    },
                    "tooltip": [
                        {"field": "shift"},
                        {"field": "procedure"},
                        {"field": "text", "title": "found"},
                        {"field": "low", "type": "quantitative", "format": ".0%"},
                        {"field": "high", "type": "quantitative", "format": ".0%"},
                    ],
                },
            },
            {
                "mark": {"type": "text", "fontSize": 10},
                "encoding": {
                    "text": {"field": "text"},
                    "color": {
                        "condition": {"test": "datum.found > 0.55", "value": "#ffffff"},
                        "value": "#1b2127",
                    },
                },
            },
        ],
    }
    return {
        "$schema": SCHEMA,
        "title": {"text": f"What each finds, and how often it cries wolf: {c.model}"},
        "description": "Chance of a false alarm of each procedure, and the share of injected shifts that it finds",
        "vconcat": [upper, lower],
        "config": config_of(MESSAGE),
    }


_SHORT = {
    "paging": "your rules",
    "notices": "your notices",
    "always": "always fire",
    "never": "never fire",
    "ks": "KS p < 0.05",
    "psi": "PSI > 0.1",
    "chunks": "mean + 3 sd",
}
