"""The dashboard at full size: a year of hourly windows of 100 columns in 5 segments, 2,000 models, 50,000 alerts.

Every page under 300 KB of data and useful within a second; chart reads under 100 ms at the 95th percentile.

Run:  python -m benchmarks.bench_dashboard            (fills for some minutes, then measures)
      python -m benchmarks.bench_dashboard --small    (a tenth of it)
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.results import keep, show

NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
REPEATS = 12
CHROMIUM = "/usr/bin/chromium"


def project(folder: Path, size: Any, now: datetime = NOW) -> Any:
    from benchmarks.filled import model_names
    from watchkeeper.wiring import open_project

    tables = "\n".join(f'[models.{n}]\ntask = "binary"\njudge_every = "1h"' for n in model_names(size))
    (folder / "watchkeeper.toml").write_text(f'[project]\nname = "Full size"\n{tables}\n')
    return open_project(folder, clock=lambda: now)


@contextmanager
def served(watch: Any) -> Iterator[str]:
    """The server in a thread of this process, on a free port of loopback."""
    import uvicorn

    from watchkeeper.web.app import create_app

    settings = uvicorn.Config(create_app(watch), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def fill_profiles(watch: Any, size: Any) -> dict[str, float]:
    """The first model's stored profiles, hour by hour, then merged by day and month by its own upkeep.

    Every day has the same 24 hours; days older than 45 are kept coarse, as the upkeep would have made them.
    """
    from benchmarks.filled import SEGMENTS, column_names
    from watchkeeper.domain.series import WindowKey
    from watchkeeper.domain.window import Window
    from watchkeeper.loop.batch.profiling import baseline, profile, save_baseline
    from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
    from watchkeeper.loop.watch.profile_rollups import roll_up
    from watchkeeper.ports.lake import Origin
    from watchkeeper.profiles.stored_window import OLD_BINS, StoredWindow, known_edges, parts_of
    from watchkeeper.stats.states.by_rate import ByRate
    from watchkeeper.stats.states.service import ServiceState

    dice = np.random.default_rng(11)
    names = column_names(size.columns)

    def rows(count: int) -> dict[str, list[Any]]:
        return {
            n: dice.choice([f"{n} {c}" for c in "abcdefgh"], count).tolist()
            if n.startswith(("region", "plan", "device"))
            else dice.normal(20 + k, 6, count).tolist()
            for k, n in enumerate(names)
        }

    made = baseline(rows(50_000))
    save_baseline(made, watch.baseline_path("churn"))
    known, last = known_edges(made), NOW.replace(hour=0, minute=0)
    full: list[dict[str, Any]] = []
    coarse: list[dict[str, Any]] = []
    for hour in range(24):
        for segment in ("", *SEGMENTS[: size.segments]):
            stored = StoredWindow(
                key=WindowKey(
                    model="churn",
                    window=Window(last + hour * HOUR, last + (hour + 1) * HOUR),
                    segment=segment,
                ),
                profile=ByRate(states={1.0: profile(rows(240 if segment else 1200), plan=made.plan)}),
                service=ByRate(states={1.0: ServiceState.empty()}),
            )
            full += parts_of(stored, 1, known)
            coarse += parts_of(stored.coarsen(OLD_BINS), 1, known)
    store, begun = watch.lake.profiles("churn"), time.perf_counter()
    for back in range(size.days, -1, -1):
        moved = [
            {**part, "start": part["start"] - back * DAY, "end": part["end"] - back * DAY}
            for part in (full if back < 45 else coarse)
        ]
        now = NOW.replace(minute=0)
        number = size.days - back + 1
        origin = Origin(source="bench", first=number, last=number, token=1)
        store.put([m for m in moved if m["end"] <= now], origin=origin)
    stored_s, begun = time.perf_counter() - begun, time.perf_counter()
    lease = watch.lease(LEASE, LEASE_FOR)
    rolled = roll_up(watch, watch.model("churn"), lease, most=None)
    merged_s = time.perf_counter() - begun
    assert not rolled.left
    return {
        "profiles_stored_s": round(stored_s, 1),
        "spans_merged": rolled.merged,
        "merged_s_each": round(merged_s / max(rolled.merged, 1), 2),
    }


def addresses(watch: Any, size: Any) -> dict[str, list[str]]:
    """Pages and chart reads; each list is gone through in turn, so that no answer is only a kept one."""
    from benchmarks.filled import column_names

    there = column_names(size.columns)
    names = [c for c in ("age", "income", "tenure_2", "delay_9", "region_5") if c in there]
    many = [quote(c) for c in there[3 : 3 + REPEATS]]  # what is merged from the lake is kept for some seconds
    columns = [f"/models/churn/columns/{c}" for c in names]
    alerts = [d.key for d in watch.ledger.facts.documents("alert", states=["firing"], limit=5)]
    charts = "/models/churn/charts"
    return {
        "page: models, first of 40 pages": ["/"],
        "page: models, by name": ["/?sort=name&page=20", "/?q=19&sort=name"],
        "page: one model, a year": [
            "/models/churn?period=1y",
            "/models/churn?period=1y&segment=region%3Dnorth",
        ],
        "page: one column, a year": [f"{c}?period=1y" for c in columns],
        "page: alerts, open": ["/alerts"],
        "page: alerts, page 500 of 1,000": ["/alerts?state=resolved&page=500"],
        "page: one alert": [f"/alerts/{k}" for k in alerts],
        "page: facts": ["/facts", "/facts?kind=alert.*"],
        "page: outcomes": ["/labels", "/labels?page=7"],
        "page: settings": ["/settings", "/settings?model=churn"],
        "page: search": ["/search?q=model-19", "/search?q=delay", "/search?q=moved"],
        "chart: performance, a year": [f"{charts}/series.vega?measure=roc_auc&period=1y"],
        "chart: one column's drift, a year": [
            f"{charts}/series.vega?measure=psi&subject={c}&period=1y" for c in names
        ],
        "chart: one column in a segment, a quarter": [
            f"{charts}/series.vega?measure=psi&subject={c}&segment=region%3Dnorth&period=90d"
            for c in ("age", "income")
        ],
        "chart: drift map of 100 columns, a year": [
            f"{charts}/drift-map.vega?measure=psi&period=1y&columns=100",
            f"{charts}/drift-map.vega?measure=psi&period=1y&segment=region%3Dnorth",
        ],
        "chart: one column's quantiles, a year": [f"{charts}/bands.vega?column={c}&period=1y" for c in names],
        "chart: one column's quantiles in a segment, a quarter": [
            f"{charts}/bands.vega?column={c}&period=90d&segment=region%3Dnorth" for c in names
        ],
        "chart: one column's distribution, a year of hours": [
            f"{charts}/distribution.vega?column={c}&a=baseline&b=period&period=1y" for c in many
        ],
        "chart: one column's distribution in a segment, a quarter": [
            f"{charts}/distribution.vega?column={c}&b=period&period=90d&segment=region%3Dnorth" for c in many
        ],
        "chart: one column's distribution, two months of one's own": [
            f"{charts}/distribution.vega?column={c}&a=2025-08-03/2025-09-17&b=2025-12-05/2026-01-20"
            for c in many
        ],
        "chart: drift map, a month": [f"{charts}/drift-map.vega?measure=psi&period=30d"],
    }


def measure(base: str, paths: list[str]) -> dict[str, float]:
    """Milliseconds of the first answer and of all, of processor time (which other work on the machine does not
    stretch; the asking client's is in it), and the size of the largest."""
    import urllib.request

    taken, busy, size, packed = [], [], 0, 0
    for i in range(REPEATS):
        request = urllib.request.Request(
            base + paths[i % len(paths)], headers={"Accept": "text/html", "Accept-Encoding": "identity"}
        )
        begun, spent = time.perf_counter(), time.process_time()
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        taken.append(1000 * (time.perf_counter() - begun))
        busy.append(1000 * (time.process_time() - spent))
        size, packed = max(size, len(content)), max(packed, len(gzip.compress(content, 5)))
        time.sleep(0.05)
    return {
        "first_ms": round(taken[0], 1),
        "p50_ms": round(float(np.median(taken)), 1),
        "p95_ms": round(float(np.percentile(taken, 95)), 1),
        "cpu_p50_ms": round(float(np.median(busy)), 1),
        "cpu_p95_ms": round(float(np.percentile(busy, 95)), 1),
        "kB": round(size / 1000, 1),
        "kB_sent": round(packed / 1000, 1),
    }


def in_a_browser(base: str) -> dict[str, float]:
    """Seconds until the words stand and until the first chart is drawn, with nothing kept, in Chromium."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "plugins"))
    from playwright.sync_api import sync_playwright

    from real_servers import CHROMIUM_FLAGS

    out = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        for name, path in (
            ("models", "/"),
            ("one model, a year", "/models/churn?period=1y"),
            ("alerts", "/alerts"),
        ):
            page = browser.new_context().new_page()
            begun = time.perf_counter()
            page.goto(base + path, wait_until="domcontentloaded")
            page.locator("h1").first.wait_for()
            out[f"browser: {name}, words (s)"] = round(time.perf_counter() - begun, 2)
            if page.locator("figure[data-chart]").count():
                page.locator("figure[data-ready]").first.wait_for()
                out[f"browser: {name}, first chart (s)"] = round(time.perf_counter() - begun, 2)
            page.close()
        browser.close()
    return out


def main() -> None:
    """Fill, serve, measure."""
    from benchmarks.filled import Size, fill
    from watchkeeper.web.vega_bundle import vega_bundle

    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--small", action="store_true")
    given.add_argument("--folder", help="keep the filled project here, and use it again")
    for name, usual, about in (
        ("models", 2_000, "how many models"),
        ("days", 365, "how long the first model has been watched, by hours"),
        ("columns", 100, "of the first model"),
        ("segments", 5, "of the first model"),
        ("alerts", 50_000, "open and resolved"),
    ):
        given.add_argument(f"--{name}", type=int, default=usual, help=about)
    given.add_argument("--fill-only", action="store_true", help="fill the folder, and measure another time")
    asked = given.parse_args()
    asked_for = {n: getattr(asked, n) for n in ("models", "days", "columns", "segments", "alerts")}
    size = Size(**asked_for, firing=min(40, asked.alerts // 10))
    if asked.small:
        size = Size(models=200, days=60, columns=40, alerts=5_000, firing=10)
    bundle = vega_bundle()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(asked.folder or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        is_new = not (folder / "watchkeeper.toml").exists()
        profiles: dict[str, float] = {}
        begun = time.perf_counter()
        if is_new:
            with project(folder, size) as watch:
                fill(watch.ledger, now=NOW, size=size)
            with project(folder, size, NOW + 2 * HOUR) as watch:
                profiles = fill_profiles(watch, size)
        filled = time.perf_counter() - begun
        if asked.fill_only:
            return
        with project(folder, size) as watch:
            rows: dict[str, Any] = {}
            with served(watch) as base:
                for name, paths in addresses(watch, size).items():
                    rows[name] = measure(base, paths)
                seen = in_a_browser(base) if Path(CHROMIUM).exists() else {}
            figures = {
                "filled_s": round(filled, 1),
                **profiles,
                "ledger_MB": round((folder / ".watchkeeper" / "ledger.db").stat().st_size / 1e6, 1),
                "chart_library_kB_sent_once": round(len(bundle.gzipped) / 1000, 1),
                **seen,
                "answers": rows,
            }
    keep("dashboard-small" if asked.small else "dashboard", figures)
    show(
        "The dashboard at full size",
        ("what", "first ms", "p50 ms", "p95 ms", "cpu p50", "cpu p95", "kB", "kB sent"),
        [(name, *row.values()) for name, row in rows.items()],
    )
    show("In Chromium", ("what", "seconds"), list(seen.items()))


if __name__ == "__main__":
    main()
