"""The dashboard in Chromium: every page and button, light and dark, phone and desktop, by keyboard, checked with axe.

Pictures are kept in tests/browser/screenshots to be looked at. Anything that the console says is a failure.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
PICTURES = Path(__file__).with_name("screenshots")
DESKTOP, PHONE, WALL = (1280, 900), (390, 844), (3840, 2160)


def serve(app: Any) -> tuple[str, Any]:
    import uvicorn

    settings = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)

    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", stop


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A project with invented numbers, and real rows of one column, so that its distribution can be drawn."""
    from benchmarks.filled import Size, fill, model_names

    from watchkeeper.wiring import open_project

    folder = tmp_path_factory.mktemp("dashboard")
    size = Size(models=60, days=30, columns=12, segments=3, alerts=140)
    tables = "\n".join(
        f'[models.{n}]\ntask = "binary"\njudge_every = "1h"\nowner = "growth"' for n in model_names(size)
    )
    (folder / "watchkeeper.toml").write_text(f'[project]\nname = "Night watch"\n{tables}\n')
    with open_project(folder, clock=lambda: NOW) as opened:
        fill(opened.ledger, now=NOW, size=size)
        _columns(opened)
        yield opened


def _columns(watch: Any) -> None:
    """A baseline and stored profiles of two columns of ``churn``."""
    from datetime import timedelta

    import numpy as np

    from watchkeeper.domain.series import WindowKey
    from watchkeeper.domain.window import Window
    from watchkeeper.loop.batch.profiling import baseline, profile
    from watchkeeper.profiles.stored_window import StoredWindow, parts_of
    from watchkeeper.stats.states.by_rate import ByRate
    from watchkeeper.stats.states.service import ServiceState
    from watchkeeper.testing.contracts.lake import origin

    rng = np.random.default_rng(3)

    def rows(n: int, moved: float) -> dict[str, Any]:
        regions = ["north", "south", "east"] + (["islands"] if moved else [])
        return {"age": rng.normal(40 + 6 * moved, 10, n).tolist(), "region": rng.choice(regions, n).tolist()}

    made = baseline(rows(4000, 0.0))
    watch.set_baseline("churn", made, actor="ann")
    end = NOW.replace(minute=0)
    stored = []
    for i in range(72, 0, -1):
        window = Window(end - timedelta(hours=i), end - timedelta(hours=i - 1))
        found = profile(rows(300, 1.0 if i < 20 else 0.0), plan=made.plan)
        kept = StoredWindow(
            key=WindowKey(model="churn", window=window),
            profile=ByRate(states={1.0: found}),
            service=ByRate(states={1.0: ServiceState.empty()}),
        )
        stored += parts_of(kept, 1, made.known)
    watch.lake.profiles("churn").put(stored, origin=origin("test"))


@pytest.fixture(scope="module")
def base(watch: Any) -> Iterator[str]:
    from watchkeeper.web.app import create_app

    url, stop = serve(create_app(watch))
    yield url
    stop()


class Pages:
    """Opens pages, keeps what their consoles said, and takes their pictures."""

    def __init__(self, browser: Any, base: str) -> None:
        self.browser, self.base = browser, base
        self.said: list[str] = []
        self.contexts: list[Any] = []

    def open(self, path: str, *, size: tuple[int, int] = DESKTOP, theme: str = "light") -> Any:
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=theme, timezone_id="Asia/Tokyo"
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: self.said.append(f"{path}: {m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.said.append(f"{path}: {e}"))
        page.goto(self.base + path)
        return page

    def drawn(self, page: Any) -> Any:
        """Wait until every chart has been drawn."""
        figures = page.locator("figure[data-chart]")
        for i in range(figures.count()):
            figures.nth(i).scroll_into_view_if_needed()
            page.locator("figure[data-chart][data-ready]").nth(i).wait_for(timeout=20_000)
        assert page.locator(".plot.trouble").count() == 0, page.locator(".plot.trouble").all_inner_texts()
        page.evaluate("() => scrollTo(0, 0)")
        return page

    def picture(self, page: Any, name: str) -> None:
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"dashboard-{name}.png", full_page=True, animations="disabled")

    def close(self) -> None:
        for context in self.contexts:
            context.close()


@pytest.fixture
def pages(chromium: Any, base: str) -> Iterator[Pages]:
    opened = Pages(chromium, base)
    yield opened
    opened.close()
    assert opened.said == []


@pytest.fixture(scope="module")
def places(watch: Any) -> dict[str, str]:
    """Every page by name."""
    from watchkeeper.domain.rule import Severity
    from watchkeeper.loop.incidents.incidents import Incidents

    store = Incidents(watch.ledger.facts, watch.ledger.measurements, models=watch.models, clock=watch.clock)
    made = store.open(
        "Scores fell after the feed changed", actor="ann", model="churn", severity=Severity.CRITICAL
    )
    firing = watch.ledger.facts.documents("alert", states=["firing"], model="churn", order="-rank")[0]
    return {
        "models": "/",
        "model": "/models/churn",
        "column": "/models/churn/columns/age",
        "categories": "/models/churn/columns/region",
        "change": "/models/churn/change",
        "alerts": "/alerts",
        "alert": f"/alerts/{firing.key}",
        "silences": "/silences?matchers=model%3Dchurn",
        "incidents": "/incidents",
        "incident": f"/incidents/{made.key}?runbook=drift",
        "outcomes": "/labels",
        "compare": "/compare",
        "facts": "/facts",
        "settings": "/settings?model=churn",
        "nowhere": "/models/nothing",
    }


NAMES = (
    "models", "model", "column", "categories", "change", "alerts", "alert", "silences", "incidents", "incident", "outcomes",
    "compare", "facts", "settings",
)  # fmt: skip
LOOKS = {  # each size and each theme in every run, each with the other in the long tests
    "desktop-light": (DESKTOP, "light"),
    "desktop-dark": (DESKTOP, "dark"),
    "phone-light": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
RARE = ("desktop-light", "phone-dark")


@pytest.mark.parametrize(
    "look", [pytest.param(look, marks=pytest.mark.long if look in RARE else ()) for look in LOOKS]
)
@pytest.mark.parametrize("name", NAMES)
def test_every_page_in_both_themes_on_phone_and_desktop(pages, places, name, look):
    size, theme = LOOKS[look]
    page = pages.drawn(pages.open(places[name], size=size, theme=theme))
    assert page.evaluate("() => document.documentElement.scrollWidth") <= size[0], "the page scrolls sideways"
    pages.picture(page, f"{name}-{look}")
    if look != "phone-dark" or name in ("models", "model", "alert"):
        found = axe(page)
        assert found == [], found


def axe(page: Any) -> list[str]:
    """What axe finds against WCAG 2.2 AA, each with its place. Its script is handed over by the test, past the policy."""
    from axe_playwright_python.sync_playwright import Axe

    script = Path(__import__("axe_playwright_python").__file__).with_name("axe.min.js")
    assert Axe is not None
    # A page of its own context that may evaluate: the policy of the dashboard itself stays as it is.
    client = page.context.new_cdp_session(page)
    client.send("Runtime.evaluate", {"expression": script.read_text(), "allowUnsafeEvalBlockedByCSP": True})
    asked = {
        "expression": "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
        ".then(r => JSON.stringify(r.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))])))",
        "awaitPromise": True,
        "returnByValue": True,
        "allowUnsafeEvalBlockedByCSP": True,
    }
    import json

    return json.loads(client.send("Runtime.evaluate", asked)["result"]["value"])


def test_on_a_wall_it_fills_neither_the_width_nor_the_eye(pages):
    page = pages.drawn(pages.open("/models/churn", size=WALL))
    pages.picture(page, "model-wall")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= WALL[0]


def test_search_by_keyboard_alone(pages):
    page = pages.open("/")
    page.keyboard.press("/")
    box = page.get_by_role("combobox", name="Search models, columns and alerts")
    box.wait_for()
    page.keyboard.type("model-00")
    page.locator("#search-found [role=option]").nth(2).wait_for()
    page.keyboard.press("ArrowDown")
    chosen = page.locator("[role=option][aria-selected=true] b").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/models/{chosen}")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    assert not page.locator("#search").evaluate("d => d.open")


def test_a_slash_in_a_field_is_a_slash(pages):
    page = pages.open("/")
    field = page.locator("input[name=q]")
    field.fill("a")
    field.press("/")
    assert field.input_value() == "a/"


def test_the_theme_is_chosen_kept_and_charts_follow(pages):
    page = pages.drawn(pages.open("/models/churn"))
    button = page.get_by_role("button", name="Change between light and dark")
    line = "figure[data-chart] .plot svg path[stroke]"
    before = page.locator(line).first.get_attribute("stroke")
    button.click()
    page.wait_for_selector("html[data-theme=dark]")
    page.locator("figure[data-drawn$='theme=dark'][data-ready]").first.wait_for()
    page.wait_for_timeout(500)
    colours = set(page.locator(line).evaluate_all("paths => paths.map(p => p.getAttribute('stroke'))"))
    assert "#7db4f0" in colours, (before, colours)
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_drawing_a_span_on_a_chart_makes_it_the_period(pages):
    page = pages.drawn(pages.open("/models/churn"))
    plot = page.locator("figure[data-brush] .plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.45, y, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    page.mouse.up()
    page.wait_for_url("**start=2026-**")
    assert "end=2026-" in page.url
    pages.drawn(page)


def test_the_crosshair_says_the_window_under_it_at_78_places_along_a_year(pages):
    """By mouse at 78 places and by keyboard at every window of a page's last ones; the words are those of the data."""
    page = pages.drawn(pages.open("/models/churn?period=1y"))
    figure = page.locator("figure[data-chart]").first
    plot, box = figure.locator(".plot"), figure.locator(".readout")
    plot.scroll_into_view_if_needed()
    address = page.evaluate("f => `${f.dataset.chart}.vega?${f.dataset.query}`", figure.element_handle())
    said = page.request.get(pages.base + address).json()["readout"]
    assert len(said["windows"]) > 100
    place = page.evaluate(
        "p => { const r = p.querySelector('svg').getBoundingClientRect(); const b = p.querySelector('svg .background').getBoundingClientRect();"
        " return [b.left, b.width, b.top + b.height / 2]; }",
        plot.element_handle(),
    )
    seen = []
    for i in range(78):
        page.mouse.move(place[0] + place[1] * (i + 0.5) / 78, place[2])
        words = box.inner_text().splitlines()
        k = next(n for n, w in enumerate(said["windows"]) if w[2] == words[0])
        start, end, _ = said["windows"][k]
        following = said["windows"][k + 1][0] if k + 1 < len(said["windows"]) else end
        x = page.evaluate("b => b.previousElementSibling.getBoundingClientRect().left", box.element_handle())
        assert (
            abs(x - place[0] - place[1] * (i + 0.5) / 78) < place[1] * (following - start) / (90 * 3600e3) + 8
        )
        values = {a: t[k] for a, t in zip(said["labels"], said["texts"]) if t[k]}
        assert words[1:] == [w for pair in values.items() for w in pair]
        seen.append(start)
        inside = page.evaluate(
            "([p, b]) => { const r = p.getBoundingClientRect(), s = b.getBoundingClientRect(); return s.left >= r.left - 1 && s.right <= r.right + 1; }",
            [plot.element_handle(), box.element_handle()],
        )
        assert inside
    assert seen == sorted(seen)
    assert len(set(seen)) > 60
    page.mouse.move(5, 5)
    plot.focus()
    page.keyboard.press("End")
    for back in range(1, 6):
        page.keyboard.press("ArrowLeft")
        assert plot.get_attribute("aria-valuetext").startswith(said["windows"][-1 - back][2] + ": ")
    page.keyboard.press("Home")
    assert box.inner_text().startswith(said["windows"][0][2])
    page.keyboard.press("Escape")
    assert not box.is_visible()


def test_a_mark_leads_to_its_alert(pages):
    page = pages.drawn(pages.open("/models/churn"))
    page.locator("figure[data-chart]").first.locator(".mark-symbol path").first.click(force=True)
    page.wait_for_url("**/alerts/*")


def test_a_column_of_the_map_leads_to_its_page(pages):
    page = pages.drawn(pages.open("/models/churn"))
    page.locator("figure.map .plot .mark-rect path").nth(40).click()
    page.wait_for_url("**/models/churn/columns/**")


def test_every_chart_opens_as_data_and_as_a_picture(pages):
    page = pages.drawn(pages.open("/models/churn"))
    menu = page.locator("figure[data-chart] details.menu").first
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    for word, start in (("CSV", b'"start"'), ("JSON", b"[{"), ("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as waiting:
            menu.get_by_role("link", name=word, exact=True).click()
        assert Path(waiting.value.path()).read_bytes().startswith(start), word
    page.keyboard.press("Escape")
    assert not menu.evaluate("m => m.open")


def test_live_updates_come_by_themselves_and_pause_when_hidden(pages, watch):
    from watchkeeper.domain.fact import Fact

    def happens(name: str) -> None:
        watch.ledger.facts.append([Fact(kind="baseline.set", at=NOW, actor=name, model="churn")])

    page = pages.open("/facts")
    page.locator("#facts").wait_for()
    happens("dora")
    page.locator("#facts td", has_text="dora").first.wait_for(timeout=10_000)
    assert "Updated" in page.locator("#live").inner_text()
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    happens("emil")
    page.wait_for_timeout(3500)
    assert page.locator("#facts td", has_text="emil").count() == 0
    page.evaluate(hide, False)
    page.locator("#facts td", has_text="emil").first.wait_for(timeout=10_000)


def test_taking_an_alert_says_first_what_will_happen(pages, places):
    page = pages.open(places["alert"])
    page.get_by_text("Take it (acknowledge)").click()
    assert "reminders stop" in page.locator("details.act[open]").inner_text()
    page.get_by_label("Note (may be empty)").fill("looking at it")
    page.get_by_role("button", name="Take it", exact=True).click()
    page.get_by_text("You have it now").wait_for()
    pages.picture(page, "alert-taken")
    page.get_by_text("Give it back").first.click()
    page.get_by_role("button", name="Give it back").click()
    page.get_by_text("You have given it back").wait_for()


def test_silencing_by_keyboard(pages, places):
    page = pages.open(places["alert"])
    page.get_by_text("Silence it").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Why (others will want to know)").fill("migration until noon")
    page.keyboard.press("Enter")
    page.get_by_text("It still fires and resolves").wait_for()
    page.goto(pages.base + "/silences")
    page.get_by_text("End it", exact=True).click()
    page.get_by_role("button", name="End it now").click()
    page.get_by_text("The silence has ended").wait_for()


def test_an_incident_from_open_to_its_post_mortem(pages):
    page = pages.open("/incidents")
    page.get_by_text("Open an incident", exact=True).click()
    page.get_by_label("What is wrong").fill("Latency doubled")
    page.get_by_role("button", name="Open it").click()
    page.get_by_text("The incident is open").wait_for()
    page.get_by_text("Note something").click()
    page.get_by_label("What happened, or was found").fill("A node was lost")
    page.get_by_role("button", name="Note it").click()
    page.locator(".timeline", has_text="A node was lost").wait_for()
    page.get_by_text("Add a task").click()
    page.get_by_role("textbox", name="What to do").fill("Add a node")
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("button", name="Done: Add a node").click()
    page.get_by_text("done by local").wait_for()
    page.get_by_text("Go to resolution").first.click()
    page.get_by_role("button", name="Go to resolution").click()
    page.frame_locator("iframe.report").get_by_text("Latency doubled").first.wait_for()
    pages.drawn(page)
    pages.picture(page, "incident-over")


def test_a_runbook_step_with_its_commands_shown_before(pages, places):
    page = pages.open(places["incident"])
    page.locator(".steps details.act summary").first.click()
    command = page.locator(".steps details.act[open] code").first.inner_text()
    assert command
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_role("status").first.wait_for()
    assert page.locator("#h-run").count() == 1


def test_two_files_dropped_become_a_report(pages, tmp_path):
    first, second = tmp_path / "january.csv", tmp_path / "february.csv"
    first.write_text("age\n" + "\n".join(str(20 + i % 40) for i in range(600)))
    second.write_text("age\n" + "\n".join(str(45 + i % 40) for i in range(600)))
    page = pages.open("/compare")
    put = "text => { const d = new DataTransfer(); d.items.add(new File([text], 'january.csv')); return d; }"
    page.dispatch_event(
        ".slot >> nth=0", "drop", {"dataTransfer": page.evaluate_handle(put, first.read_text())}
    )
    page.get_by_label("After: the batch to look at").set_input_files(second)
    page.get_by_role("button", name="Compare", exact=True).first.click()
    page.frame_locator("iframe.report").get_by_text("january.csv").first.wait_for()
    pages.picture(page, "comparison")


def test_outcomes_are_handed_in(pages, tmp_path):
    file = tmp_path / "outcomes.csv"
    file.write_text("id,actual\nx-1,1\nx-2,0\n")
    page = pages.open("/labels")
    page.locator("#m").fill("churn")
    page.locator("#f").set_input_files(file)
    page.get_by_role("button", name="Hand in").click()
    page.get_by_text("2 outcomes were taken").wait_for()


def test_any_two_windows_of_a_column(pages):
    page = pages.open("/models/churn/columns/age")
    assert page.locator("[data-days=a]").is_hidden()
    for side, first, last in (("a", "2026-03-09", "2026-03-10"), ("b", "2026-03-11", "2026-03-12")):
        page.locator(f"select[name={side}]").select_option("own")
        page.locator(f"[name={side}_from]").fill(first)
        page.locator(f"[name={side}_to]").fill(last)
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="9 to 10 Mar and 11 to 12 Mar").wait_for()
    pages.drawn(page)
    pages.picture(page, "column-two-windows")
    page.locator("select[name=b]").select_option("newest")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(lambda url: "b=newest" in url and "b_from" not in url)
    pages.drawn(page)


def test_the_share_of_a_column_is_worked_out_when_asked(chromium, watch):
    """By a server that has not worked it out for another page before."""
    from watchkeeper.web.app import create_app

    base, stop = serve(create_app(watch))
    opened = Pages(chromium, base)
    try:
        page = opened.open("/models/churn/columns/age")
        page.get_by_role("link", name="Work it out").click()
        page.locator("#h-share + p.lead").wait_for()
        page.goto(base + "/models/churn/columns/age")
        page.locator("#h-share + p.lead").wait_for()
        assert opened.said == []
    finally:
        opened.close()
        stop()


@pytest.mark.parametrize("name", ["alerts", "facts", "incidents", "outcomes", "model"])
def test_tables_on_a_phone_are_read_without_moving_them_sideways(pages, places, name):
    page = pages.open(places[name], size=PHONE)
    wide = "e => e.scrollWidth > e.clientWidth + 1"
    assert [r.get_attribute("aria-label") for r in page.locator(".scroll").all() if r.evaluate(wide)] == []


def test_inside_another_application_under_a_prefix(chromium, watch):
    """Charts, search, buttons and live updates, with the other application's own sign-in."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    import watchkeeper as wk
    from watchkeeper.domain.fact import Fact
    from watchkeeper.web.security import Identity, Role

    inner = wk.dashboard_app(watch, authenticate=lambda request: Identity(name="emma", role=Role.OPERATOR))
    base, stop = serve(Starlette(routes=[Mount("/ml/watch", app=inner)]))
    opened = Pages(chromium, base)
    try:
        page = opened.drawn(opened.open("/ml/watch/models/churn"))
        page.keyboard.press("/")
        page.keyboard.type("model-0002")
        page.locator("#search-found [role=option]").first.wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url("**/ml/watch/models/model-0002")
        page.get_by_role("link", name="Incidents", exact=True).click()
        page.get_by_text("Open an incident", exact=True).click()
        page.get_by_label("What is wrong").fill("Seen from elsewhere")
        page.get_by_role("button", name="Open it").click()
        page.wait_for_url("**/ml/watch/incidents/*")
        page.get_by_role("link", name="Facts", exact=True).click()
        page.locator("#facts td", has_text="emma").first.wait_for()
        watch.ledger.facts.append([Fact(kind="baseline.set", at=NOW, actor="olga", model="churn")])
        page.locator("#facts td", has_text="olga").first.wait_for(timeout=10_000)
        assert opened.said == []
    finally:
        opened.close()
        stop()


def test_signing_in_when_there_are_tokens(chromium, tmp_path):
    from watchkeeper.web.app import create_app
    from watchkeeper.web.security import create_token
    from watchkeeper.wiring import open_project

    (tmp_path / "watchkeeper.toml").write_text('[models.churn]\ntask = "binary"\n')
    with open_project(tmp_path, clock=lambda: NOW) as watch:
        token = create_token(watch.ledger.facts, name="ann", role="viewer", by="test", now=NOW)
        base, stop = serve(create_app(watch))
        opened = Pages(chromium, base)
        try:
            page = opened.open("/models/churn")
            opened.picture(page, "sign-in")
            assert axe(page) == []
            page.set_viewport_size({"width": WALL[0], "height": WALL[1]})
            for place in (".home", "h1"):  # what is for password managers alone covers nothing
                box = page.locator(place).bounding_box()
                there = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
                assert page.evaluate("([x, y]) => !document.elementFromPoint(x, y).matches('input')", there)
            page.get_by_label("Your token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/models/churn")
            assert "Nothing has been recorded yet" in page.content()
            opened.picture(page, "model-empty")
            page.get_by_role("button", name="Sign out").click()
            page.get_by_text("You have signed out").wait_for()
            assert opened.said == []
        finally:
            opened.close()
            stop()


def test_on_a_phone_the_tab_of_the_page_is_in_view(pages):
    page = pages.open("/settings", size=PHONE)
    page.wait_for_function("() => document.querySelector('.bar nav').scrollLeft > 0")
    tab = page.locator(".bar nav [aria-current]").bounding_box()
    assert tab["x"] >= 0
    assert tab["x"] + tab["width"] <= PHONE[0]


def test_what_is_printed_is_whole(pages):
    """Charts below the fold are drawn too, no table is cut, and the period is named."""
    page = pages.open("/models/churn")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    figures = page.locator("figure[data-chart]")
    for i in range(figures.count()):
        page.locator("figure[data-chart][data-ready]").nth(i).wait_for(timeout=20_000)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.locator(".print-only").inner_text().startswith("From 10 Feb 2026")
    cut = page.locator(".scroll").evaluate_all(
        "all => all.filter(s => s.scrollWidth > s.clientWidth + 1).map(s => s.getAttribute('aria-label'))"
    )
    assert cut == []


def test_without_scripts_the_pages_still_work(chromium, base):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base + "/models/churn")
    assert page.locator("figure noscript").count() >= 1
    assert "charts/series.svg" in page.content()
    page.get_by_role("link", name="Week").click()
    assert "period=7d" in page.url
    context.close()
