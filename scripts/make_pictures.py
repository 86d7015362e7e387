"""Draw the pictures of README.md from the product itself: docs/images/*.png.

    python scripts/make_pictures.py                    runs the demo first (minutes)
    python scripts/make_pictures.py watchkeeper-demo   with the demo that has ended there

The report: a model that says which flights from New York will be late is trained on February 2013; July is then
checked against February. The dashboard: the page of the demo's model after its year. Needs the demo's environment
(``make demo`` or ``make test`` build it) and Debian's Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

import watchkeeper as wk
from watchkeeper.cli.demo.flights import NEW_YORK, Flights, load_flights
from watchkeeper.cli.demo.model import out_of_fold_scores, train

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 300_000
"""Pictures are kept in the repository, and must not weigh it down."""


@contextmanager
def batch_report(folder: Path) -> Iterator[list[str]]:
    """July's flights against February's, as the page that ``watchkeeper compare --html`` writes."""
    flights = load_flights()
    february, july = month(flights, 2), month(flights, 7)
    model = train(february)
    report = wk.compare(
        table(february, out_of_fold_scores(february)),
        table(july, model.scores(july.rows)),
        roles={"id": "id", "late": "outcome", "score": "score"},
        task="binary",
        segments=["origin", "carrier"],
        title="Late flights: July against February 2013",
    )
    folder.mkdir()
    page = folder / "report.html"
    report.to_html(page)
    yield [page.as_uri()]


def month(flights: Flights, number: int) -> Flights:
    start = datetime(2013, number, 1, tzinfo=NEW_YORK)
    return flights.between(start, datetime(2013, number + 1, 1, tzinfo=NEW_YORK))


def table(flights: Flights, scores: np.ndarray) -> pa.Table:
    late = pa.array(flights.late == 1, mask=flights.late < 0)
    return flights.rows.append_column("score", pa.array(scores)).append_column("late", late)


@contextmanager
def dashboard(folder: Path) -> Iterator[list[str]]:
    """The year of the demo's model. The first address signs in."""
    watchkeeper = [sys.executable, "-m", "watchkeeper", "demo", "--folder"]
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
    else:
        subprocess.run([*watchkeeper, str(folder), "--headless"], check=True, stdout=subprocess.DEVNULL)
    command = [*watchkeeper, str(folder), "--show", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            lines = iter(server.stdout or ())
            link = next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
            yield [link, link.partition("/sign-in")[0] + "/models/late-flights?period=1y&measure=brier"]
        finally:
            server.send_signal(signal.SIGINT)


PICTURES: dict[str, tuple[Callable[[Path], AbstractContextManager[list[str]]], int, int]] = {
    "report": (batch_report, 1000, 860),
    "dashboard": (dashboard, 1180, 1090),
}
"""Name -> (what makes its page and yields the addresses to open, width, height)."""


def main() -> int:
    from playwright.sync_api import sync_playwright

    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        print("Chromium is not installed; run scripts/install_debian.sh", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=["--headless", "--no-sandbox"])
        for name, (make, width, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            target = IMAGES / f"{name}.png"
            with tempfile.TemporaryDirectory() as folder, make(Path(folder, "demo")) as addresses:
                for address in addresses:
                    page.goto(address)
                page.wait_for_timeout(2_000)  # charts draw themselves
                page.screenshot(path=target)
            page.close()
            size = target.stat().st_size
            print(f"{target.relative_to(ROOT)}: {size:,} bytes")
            if size > MOST_BYTES:
                print(f"That is over {MOST_BYTES:,} bytes.", file=sys.stderr)
                return 1
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
