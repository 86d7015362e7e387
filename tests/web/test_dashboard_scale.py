"""What a page costs must not grow with what there is: questions to the ledger, and bytes to the browser.

Seconds are measured by ``benchmarks/bench_dashboard.py`` at full size; here nothing depends on how fast a machine is.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
from benchmarks.filled import Size, fill, model_names

from sizes import both
from watchkeeper.web.app import create_app

pytestmark = pytest.mark.slow

FULL = Size(models=400, days=60, columns=40, segments=2, alerts=4_000, firing=120)
LARGE = Size(models=120, days=20, columns=40, segments=2, alerts=1_200, firing=120)
SMALL = Size(models=20, days=5, columns=5, segments=1, alerts=40, firing=4)
PAGES = (
    "/",
    "/?sort=name&page=2",
    "/models/churn?period=1y",
    "/models/churn/columns/age?period=1y",
    "/alerts",
    "/alerts?state=resolved&page=20",
    "/incidents",
    "/labels",
    "/facts",
    "/settings?model=churn",
    "/search?q=e",
)
CHARTS = (
    "/models/churn/charts/series.vega?measure=roc_auc&period=1y",
    "/models/churn/charts/series.vega?measure=psi&subject=age&period=1y",
    "/models/churn/charts/drift-map.vega?measure=psi&period=1y&columns=100",
)


@pytest.fixture(scope="module", params=both(small=LARGE, full=FULL))
def large(request):
    return request.param


@pytest.fixture(scope="module")
def sites(tmp_path_factory, large):
    """A client and its watch, for each size."""
    from starlette.testclient import TestClient

    from watchkeeper.wiring import open_project

    made, opened = {}, ExitStack()
    now = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
    for name, size in (("large", large), ("small", SMALL)):
        folder = tmp_path_factory.mktemp(name)
        tables = "\n".join(f'[models.{n}]\ntask = "binary"\njudge_every = "1h"' for n in model_names(size))
        (folder / "watchkeeper.toml").write_text(tables)
        watch = opened.enter_context(open_project(folder, clock=lambda: now))
        fill(watch.ledger, now=now, size=size)
        client = TestClient(create_app(watch), base_url="http://127.0.0.1", client=("127.0.0.1", 5))
        made[name] = (client, watch)
    with opened:
        yield made


@contextmanager
def counted(watch):
    """The statements that the block runs."""
    import sqlalchemy

    said: list[str] = []

    def note(_connection, _cursor, statement, *_):
        said.append(statement)

    sqlalchemy.event.listen(watch.ledger.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sqlalchemy.event.remove(watch.ledger.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("path", [*PAGES, *CHARTS])
def test_a_page_stays_under_300_kilobytes(sites, path):
    answer = sites["large"][0].get(path)
    assert answer.status_code == 200
    assert len(answer.content) < 300_000


@pytest.mark.parametrize("path", [p for p in PAGES if not p.startswith("/labels")])
def test_a_page_asks_no_more_questions_when_there_is_more(sites, path):
    asked = {}
    for name, (client, watch) in sites.items():
        with counted(watch) as said:
            client.get(path)
        asked[name] = len(said)
    assert asked["large"] <= max(40, asked["small"] + 12), asked


def test_a_chart_of_a_year_has_no_more_points_than_a_screen(sites):
    client, _ = sites["large"]
    spec = client.get(CHARTS[0]).json()["spec"]
    assert len(spec["data"]["values"]) <= 401
    rows = client.get(CHARTS[0].replace(".vega", ".json")).json()
    assert min(r["value_min"] for r in rows) == pytest.approx(0.55)


def test_every_model_is_on_exactly_one_page(sites, large):
    client, _ = sites["large"]
    seen = []
    for page in range(1, large.models // 50 + 1 + bool(large.models % 50)):
        data = client.get(f"/?format=json&page={page}&sort=name").json()
        seen += [m["name"] for m in data["models"]]
    assert sorted(seen) == sorted(model_names(large))
