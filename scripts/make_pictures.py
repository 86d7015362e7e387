"""Draw the pictures of README.md from the product itself: docs/images/*.png.

python scripts/make_pictures.py

A model that says which flights from New York will be late is trained on February 2013; July is then checked against
February. Needs the demo's environment (``make demo`` or ``make test`` build it) and Debian's Chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

import watchkeeper as wk
from watchkeeper.cli.demo.flights import NEW_YORK, Flights, load_flights
from watchkeeper.cli.demo.model import out_of_fold_scores, train

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MOST_BYTES = 300_000
"""Pictures are kept in the repository, and must not weigh it down."""


def batch_report(folder: Path) -> Path:
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
    page = folder / "report.html"
    report.to_html(page)
    return page


def month(flights: Flights, number: int) -> Flights:
    start = datetime(2013, number, 1, tzinfo=NEW_YORK)
    return flights.between(start, datetime(2013, number + 1, 1, tzinfo=NEW_YORK))


def table(flights: Flights, scores: np.ndarray) -> pa.Table:
    late = pa.array(flights.late == 1, mask=flights.late < 0)
    return flights.rows.append_column("score", pa.array(scores)).append_column("late", late)


PICTURES: dict[str, tuple[Callable[[Path], Path], int, int]] = {"report": (batch_report, 1000, 860)}
"""Name -> (what makes its page, width, height)."""


def main() -> int:
    from playwright.sync_api import sync_playwright

    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        print("Chromium is not installed; run scripts/install_debian.sh", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=["--headless", "--no-sandbox"])
        for name, (make, width, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.goto(make(Path(folder)).as_uri())
            target = IMAGES / f"{name}.png"
            page.screenshot(path=target)
            page.close()
            size = target.stat().st_size
            print(f"{target.relative_to(IMAGES.parents[1])}: {size:,} bytes")
            if size > MOST_BYTES:
                print(f"That is over {MOST_BYTES:,} bytes.", file=sys.stderr)
                return 1
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
