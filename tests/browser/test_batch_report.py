"""The batch check's page in a real browser: phone and desktop, light and dark, keyboard, no network.

Screenshots are kept under tests/browser/screenshots, to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import watchkeeper as wk

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parent / "screenshots"
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
SCHEMES = ("light", "dark")


def rows(count: int, seed: int, drift: float = 0.0) -> dict[str, Any]:
    """A model of customers, with a column that tries to break out of the page."""
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    region = random.choice(["north", "south", "east", "west"], count)
    rate = np.where(random.random(count) < 0.15 * drift, np.nan, x)
    score = 1 / (1 + np.exp(-x))
    truth = np.where((region == "west") & (drift > 0), 0.5, score)
    return {
        "age": random.integers(18, 90, count),
        "income": random.lognormal(10 + 0.25 * drift, 0.6, count),
        "rate": rate,
        "plan": random.choice(["basic", "plus", "pro", "<b>max</b>"], count, p=[0.5 - 0.2 * drift, 0.3, 0.15 + 0.2 * drift, 0.05]),
        "<script>alert(1)</script>": random.normal(size=count),
        "signed_up": np.datetime64("2026-01-01", "s") + random.integers(0, 30 * 86_400, count),
        "region": region,
        "score": score,
        "prediction": (score > 0.5).astype(int),
        "outcome": (random.random(count) < truth).astype(int),
    }  # fmt: skip


REPORTS = {
    "changed": lambda: wk.compare(rows(20_000, 0), rows(8_000, 1, 1.0), segments=["region"], compat="evidently", multivariate=True),
    "steady": lambda: wk.compare(rows(20_000, 0), rows(8_000, 2)),
    "tiny": lambda: wk.compare(rows(20_000, 0), rows(40, 3)),
    "empty": lambda: wk.compare(rows(2_000, 0), {name: v[:0] for name, v in rows(10, 0).items()}),
}  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, make in REPORTS.items():
        make().to_html(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in REPORTS}


class Visit:
    """An open page, with all that it complained about and asked the network for."""

    def __init__(self, browser: Any, path: Path, size: str = "desktop", scheme: str = "light") -> None:
        width, height = SIZES[size]
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda failure: self.said.append(str(failure)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def visit(chromium: Any, pages: dict[str, Path]) -> Iterator[Any]:
    opened: list[Visit] = []

    def open_page(name: str, **how: str) -> Visit:
        opened.append(Visit(chromium, pages[name], **how))
        return opened[-1]

    yield open_page
    for one in opened:
        one.page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", REPORTS)
class TestEveryView:
    def test_it_is_quiet_fits_and_needs_no_network(self, visit, name, size, scheme):
        seen = visit(name, size=size, scheme=scheme)
        SCREENSHOTS.mkdir(exist_ok=True)
        if name == "changed":
            seen.page.locator(".col summary").first.click()
        seen.page.screenshot(path=SCREENSHOTS / f"batch-{name}-{size}-{scheme}.png", full_page=True)
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
        wide = seen.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide == 0

    def test_it_is_accessible(self, visit, name, size, scheme):
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        seen = visit(name, size=size, scheme=scheme)
        for summary in seen.page.locator("summary").all()[:3]:
            summary.click()
        # The page's own policy lets no script in from outside; the debugger's evaluate is not bound by it.
        results = axe.Axe().run(seen.page, options={"resultTypes": ["violations"]})
        assert results.violations_count == 0, results.generate_report()


def test_the_verdict_can_be_read_at_a_glance(visit):
    page = visit("changed").page
    assert page.locator("h1").inner_text().startswith("The model got worse")
    assert page.locator("h1").bounding_box()["y"] < 300
    first = page.locator(".findings > li h3").first.inner_text()
    assert first.startswith("All rows")  # the whole before its parts


def test_names_are_text(visit):
    seen = visit("changed")
    assert seen.page.get_by_text("<script>alert(1)</script>").count() >= 1
    assert seen.page.locator(".cats b b").count() == 0
    assert seen.said == []


def test_the_search_finds_columns_and_says_how_many(visit):
    page = visit("changed").page
    columns = page.locator(".col:visible")
    everything = columns.count()
    page.get_by_label("Find a column").fill("INC")
    assert columns.count() == 1
    assert columns.first.locator("b").first.inner_text() == "income"
    assert page.get_by_role("status").inner_text() == f"1 of {everything}"
    page.get_by_label("Find a column").fill("")
    page.get_by_label("Show").select_option("changed")
    assert 0 < columns.count() < everything
    assert set(page.locator(".col:visible .row .chip").all_inner_texts()) == {"changed"}


def test_details_open_by_keyboard(visit):
    page = visit("changed").page
    page.locator(".col summary").first.focus()
    assert page.locator("details[open]").count() == 0
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1
    assert page.locator("details[open] .curve, details[open] .cats").first.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert page.locator("details[open]").count() == 0


def test_the_first_tab_skips_to_the_columns(visit):
    page = visit("changed").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the columns"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#columns"


def test_a_notebook_frame_shows_the_page(chromium, tmp_path):
    report = wk.compare(rows(500, 0), rows(500, 1))
    (tmp_path / "notebook.html").write_text(
        f"<!doctype html><title>n</title>{report._repr_html_()}", encoding="utf-8"
    )
    seen = Visit(chromium, tmp_path / "notebook.html")
    frame = seen.page.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == report.headline
    frame.get_by_label("Find a column").fill("income")
    assert frame.locator(".col:visible").count() == 1
    assert seen.said == []
    seen.page.close()


@pytest.mark.slow
def test_three_thousand_columns_are_searched_without_a_wait(chromium, tmp_path):
    random = np.random.default_rng(0)
    sides = [{f"x{i:04d}": random.normal(size=300) for i in range(3_000)} for _ in range(2)]
    wk.compare(*sides).to_html(tmp_path / "wide.html")
    seen = Visit(chromium, tmp_path / "wide.html")
    assert seen.page.locator(".col").count() == 3_000
    seen.page.get_by_label("Find a column").fill("x2999")
    assert seen.page.get_by_role("status").inner_text() == "1 of 3,000"
    assert seen.said == []
    seen.page.close()
