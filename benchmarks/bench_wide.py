"""3,000 columns x 10,000 rows, the HTML page included: well under a minute, and the page under 4 MB.

Run:  python -m benchmarks.bench_wide [--quick]
"""

from __future__ import annotations

import sys

from benchmarks.peers import run_job
from benchmarks.results import keep, machine, show
from benchmarks.tables import CACHE, model_table, wide_table


def main() -> None:
    """Compare a wide table and write its page; then the page of a usual table."""
    columns, on = (300 if "--quick" in sys.argv else 3000), machine()
    wide, page = CACHE / f"wide-{columns}.baseline", CACHE / f"wide-{columns}.html"
    made = run_job(
        sys.executable,
        "watchkeeper_compare",
        "make",
        str(wide),
        str(wide_table(columns, 10_000, drifted=False)),
    )
    rows = str(wide_table(columns, 10_000, drifted=True))
    compared = run_job(sys.executable, "watchkeeper_compare", "compare", str(wide), rows, "1")
    written = run_job(sys.executable, "watchkeeper_compare", "page", str(wide), rows, str(page))
    usual, usual_page = CACHE / "usual.baseline", CACHE / "usual.html"
    run_job(
        sys.executable, "watchkeeper_compare", "make", str(usual), str(model_table(50_000, drifted=False))
    )
    run_job(
        sys.executable,
        "watchkeeper_compare",
        "page",
        str(usual),
        str(model_table(50_000, drifted=True)),
        str(usual_page),
    )
    size, usual_size = page.stat().st_size / 1e6, usual_page.stat().st_size / 1e6
    show(
        f"{columns:,} columns x 10,000 rows",
        ["what", "seconds", "peak MB", "page MB", "promised"],
        [
            ["baseline made and saved", f"{made['first_s']:.1f}", f"{made['peak_mb']:.0f}", "", ""],
            ["compared", f"{compared['first_s']:.1f}", f"{compared['peak_mb']:.0f}", "", ""],
            [
                "compared and page written",
                f"{written['first_s']:.1f}",
                f"{written['peak_mb']:.0f}",
                f"{size:.2f}",
                "well under 60 s, page < 4 MB",
            ],
            ["page of 23 columns", "", "", f"{usual_size:.2f}", "< 1.5 MB"],
        ],
    )
    keep(
        "wide",
        {"baseline": made, "compared": compared, "page": {**written, "mb": size, "usual_mb": usual_size}},
        on=on,
    )


if __name__ == "__main__":
    main()
