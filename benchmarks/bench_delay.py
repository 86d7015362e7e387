"""Promise: on days that differ, no usual default is both as quiet as ours and sooner.

Run: python -m benchmarks.bench_delay [--quick]. Draws docs/images/delay.svg: how long a shift of .2 standard deviations
goes on before it is found, against the chance of a false alarm in 100 windows of 500 rows, for one column. Each method
is retuned along its curve, and its default is marked on it. Every number is from a fixed seed.

Two worlds: rows that are all independent, and days that differ although nothing has drifted (day effects with a
standard deviation of .1).

- ours: evidence and effect, retuned by its budget; the mark is one column of a deployment of 100;
- KS: p-value of each window against the baseline (.05); PSI over 10 bins (.1); Jensen-Shannon distance above the
  mean and so many standard deviations of the baseline's windows (3, NannyML's default threshold). All three from
  the same 20 bins as ours;
- ADWIN of River, row by row on values brought to [0, 1], retuned by its delta (.002).
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
from scipy.special import ndtr

from benchmarks.peers import ROOT
from benchmarks.results import keep, machine, show
from watchkeeper.stats.evidence.column_evidence import EvidenceRules
from watchkeeper.stats.evidence.replay import replay
from watchkeeper.stats.evidence.usual_defaults import chunk_distances, ks_p_values, psi_values
from watchkeeper.testing.worlds import World

PICTURE = ROOT / "docs" / "images" / "delay.svg"
BASELINE, WINDOWS, SETTLE, WITHIN, ROWS, SHIFT, DAY_SD = 40, 100, 20, 60, 500, 0.2, 0.1
WORLDS = {"iid": "independent rows", "day_normal": "days that differ (sd .1)"}
OURS, ADWIN = "Watchkeeper", "ADWIN, delta 0.002"
DEFAULT = {OURS: 100 / 0.02, "KS, p < 0.05": 0.05, "PSI > 0.1": 0.1, "JS, mean + 3 sd": 3.0, ADWIN: 0.002}
TUNED = {
    OURS: [1.02, 1.5, 2, 4, 10, 30, 100, 300, 1_000, DEFAULT[OURS], 2e4, 1e5, 1e6],
    "KS, p < 0.05": [0.2, 0.1, 0.05, 0.02, 0.01, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-13],
    "PSI > 0.1": [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25],
    "JS, mean + 3 sd": [1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10],
    ADWIN: [0.3, 0.05, 0.002, 1e-5, 1e-9],
}


def ours(counts: np.ndarray, odds: float) -> np.ndarray:
    """First alarm ``(C,)`` of evidence that must reach *odds*; 0 for never."""
    rules = EvidenceRules(columns=max(1.0, 0.5 * odds), budget=max(1.0, 0.5 * odds) / odds)
    return replay(counts[:, :BASELINE], counts[:, BASELINE:], rules=rules).persistent


def statistics(counts: np.ndarray) -> dict[str, np.ndarray]:
    """What the window-by-window methods look at ``(C, T)``; larger is more suspect."""
    before, after = counts[:, :BASELINE].astype(float), counts[:, BASELINE:].astype(float)
    total = before.sum(1)
    usual, now = chunk_distances(before, after)
    return {
        "KS, p < 0.05": -ks_p_values(total, after),
        "PSI > 0.1": psi_values(total, after),
        "JS, mean + 3 sd": (now - usual.mean(1, keepdims=True)) / usual.std(1, ddof=1, keepdims=True),
    }


def level_of(method: str, tuned: float) -> float:
    return -tuned if method.startswith("KS") else tuned


def adwin(
    rng: np.random.Generator, day_sd: float, streams: int, windows: int, delta: float, at: int | None
) -> list:
    """First alarm of each stream in windows (from 1, of those after the change), 0 for never."""
    from watchkeeper.stats.detectors.river import RiverDetector

    out = []
    for _ in range(streams):
        detector = RiverDetector("adwin", delta=delta)
        found = 0
        for t in range(-BASELINE, windows):
            moved = SHIFT if at is not None and t >= at else 0.0
            rows = ndtr(rng.normal(size=ROWS) + rng.normal() * day_sd + moved)
            alarms = len(detector.update_many(rows))
            if t >= (at or 0) and alarms:
                found = t - (at or 0) + 1
                break
        out.append(found)
    return out


def median(delays: np.ndarray) -> float | None:
    """Of all runs; None where fewer than half were found."""
    middle = float(np.median(np.where(delays > 0, delays, np.inf)))
    return middle if np.isfinite(middle) else None


def point(world: str, method: str, tuned: float, false: np.ndarray, delays: np.ndarray) -> dict[str, Any]:
    return {
        "world": WORLDS[world],
        "method": method,
        "tuned": tuned,
        "default": tuned == DEFAULT[method],
        "false": float((false > 0).mean()),
        "runs": len(false),
        "found": float((delays > 0).mean()),
        "delay": median(delays),
    }


def measured(world: str, streams: int, adwin_streams: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng([20, list(WORLDS).index(world)])
    made = World(kind=world, rows=ROWS, day_sd=DAY_SD)
    null = made.counts(rng, columns=streams, windows=BASELINE + WINDOWS)
    begins = np.where(np.arange(BASELINE + SETTLE + WITHIN) >= BASELINE + SETTLE, SHIFT, 0.0)
    moved = made.counts(rng, columns=streams, windows=len(begins), shift=begins)
    out = []
    for odds in TUNED[OURS]:
        first = ours(moved, odds)
        # It remembers: what fired before the change is a false alarm and finds nothing.
        out.append(point(world, OURS, odds, ours(null, odds), np.where(first > SETTLE, first - SETTLE, 0)))
    quiet, loud = statistics(null), statistics(moved)
    for method in quiet:
        for tuned in TUNED[method]:
            fires, hits = (s[method] > level_of(method, tuned) for s in (quiet, loud))
            late = hits[:, SETTLE:]
            delays = np.where(late.any(1), late.argmax(1) + 1, 0)
            out.append(point(world, method, tuned, fires.any(1), delays))
    day_sd = DAY_SD if world == "day_normal" else 0.0
    for delta in TUNED[ADWIN]:
        false = adwin(rng, day_sd, adwin_streams, WINDOWS, delta, None)
        delays = adwin(rng, day_sd, adwin_streams, SETTLE + WITHIN, delta, SETTLE)
        out.append(point(world, ADWIN, delta, np.array(false), np.array(delays)))
    return out


def picture(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Two panels, false alarms across and delay upwards; lower left is best."""
    from watchkeeper.documents.drawing.charts import SCHEMA

    least = 1e-3
    rows = [
        {**p, "x": max(p["false"], least), "y": WITHIN if p["delay"] is None else p["delay"]} for p in points
    ]
    tones = ["#1f5fa8", "#9c2f1b", "#b8860b", "#3d7d5a", "#7a4f9a"]
    colour = {
        "field": "method",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(DEFAULT), "range": tones},
        "legend": {"orient": "bottom", "symbolSize": 120, "labelLimit": 300},
    }
    # Not by colour alone: each method has its own dash, and its default its own shape.
    dashes = [[1, 0], [8, 3], [2, 2], [6, 2, 1, 2], [12, 4]]
    dash = {**colour, "scale": {"domain": list(DEFAULT), "range": dashes}, "legend": None}
    shapes = ["circle", "square", "diamond", "triangle-up", "cross"]
    shape = {**colour, "scale": {"domain": list(DEFAULT), "range": shapes}}
    x = {
        "field": "x",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [least, 1]},
        "axis": {
            "values": [0.001, 0.01, 0.1, 1],
            "labelExpr": f"datum.value <= {least} ? 'none seen' : format(datum.value, '.1~%')",
        },
        "title": "chance of a false alarm in 100 windows",
    }
    y = {
        "field": "y",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [0.9, 70]},
        "axis": {
            "values": [1, 2, 5, 10, 20, 60],
            "labelExpr": f"datum.value >= {WITHIN} ? 'not by half' : datum.value",
        },
        "title": "median delay, windows",
    }

    def panel(world: str) -> dict[str, Any]:
        own = [r for r in rows if r["world"] == world]
        return {
            "title": {"text": world, "fontSize": 13, "fontWeight": 400, "anchor": "start"},
            "data": {"values": own},
            "width": 360,
            "height": 300,
            "layer": [
                {
                    "mark": {"type": "line", "strokeWidth": 2},
                    "encoding": {
                        "x": x,
                        "y": y,
                        "color": colour,
                        "strokeDash": dash,
                        "order": {"field": "tuned"},
                    },
                },
                {
                    "transform": [{"filter": "datum.default"}],
                    "mark": {"type": "point", "filled": True, "size": 150, "stroke": "#1b2127", "opacity": 1},
                    "encoding": {"x": x, "y": y, "color": colour, "shape": shape},
                },
            ],
        }

    return {
        "$schema": SCHEMA,
        "title": {
            "text": "A shift of .2 standard deviations: how soon it is found, and at what price",
            "subtitle": "Each method along its curve; the mark is its default. Lower left is best. None seen: in 1,000 runs (ADWIN: 40).",
            "anchor": "start",
        },
        "hconcat": [panel(w) for w in WORLDS.values()],
        "config": {"font": "sans-serif", "background": "#ffffff", "view": {"stroke": None}},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few streams; the picture is left as it is")
    options = parser.parse_args()
    on, start = machine(), time.perf_counter()
    streams, adwin_streams = (100, 4) if options.quick else (1_000, 40)
    points = [p for world in WORLDS for p in measured(world, streams, adwin_streams)]
    for world in WORLDS.values():
        rows = [
            (
                p["method"],
                f"{p['tuned']:g}" + (" (default)" if p["default"] else ""),
                f"{p['false']:.3f}",
                f"{p['found']:.3f}",
                "not by half" if p["delay"] is None else f"{p['delay']:g}",
            )
            for p in points
            if p["world"] == world
        ]
        show(world, ["method", "tuned to", "false alarms", "found in 60", "median delay"], rows)
    if not options.quick:
        from watchkeeper.documents.drawing.charts import render_svg

        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(render_svg(picture(points)), encoding="utf-8")
        print(f"\nThe picture: {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size:,} bytes")
    keep("delay", {"points": points, "seconds": round(time.perf_counter() - start, 1)}, on=on)
    days = [p for p in points if p["world"] == WORLDS["day_normal"] and p["default"]]
    own = next(p for p in days if p["method"] == OURS)
    beaten = [
        p["method"]
        for p in days
        if p["method"] != OURS and p["false"] <= own["false"] and (p["delay"] or 1e9) < (own["delay"] or 1e9)
    ]
    print("Kept." if not beaten else f"Not kept: {', '.join(beaten)} is no louder and sooner.")
    return 1 if beaten and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
