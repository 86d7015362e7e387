"""A source that cannot be read is one alert, to those who mend sources, however many models read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.loop.effects.engine import EFFECT
from watchkeeper.loop.records.records import Records
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

pytest.importorskip("deltalake", reason="the server extra is not installed")
pytest.importorskip("apprise", reason="the server extra is not installed")

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TABLE = """
[models.{name}.table]
location = "duckdb:///{file}"
query = "scored"
time = "at"
prediction = "p"
"""
ROUTES = """
[channels.ops]
kind = "webhook"
url = "http://127.0.0.1:9/ops"
[channels.pager]
kind = "webhook"
url = "http://127.0.0.1:9/pager"
[[routes]]
match = { category = "~no_data|error" }
channels = ["ops"]
group_wait = "0s"
[[routes]]
channels = ["pager"]
"""


def database(path):
    import duckdb

    with duckdb.connect(str(path)) as con:
        con.sql("CREATE TABLE scored AS SELECT TIMESTAMPTZ '2026-03-01 00:00Z' AS at, 1 AS p, 0.5 AS x")


@pytest.fixture
def project(tmp_path):
    shop = tmp_path / "shop.duckdb"
    text = "".join(f"[models.m{i}]\n{TABLE.format(name=f'm{i}', file=shop)}" for i in range(4))
    (tmp_path / "watchkeeper.toml").write_text(text + "[models.alone]\n" + ROUTES)
    database(shop)
    with open_project(tmp_path, clock=FakeClock(START)) as watch:
        yield watch, shop


def ticks(watch, count, every=MINUTE):
    for _ in range(count):
        watch.clock.advance(every)
        watch.tick()


def heard(watch):
    found = [kept.value for kept in Records(watch.ledger.facts, EFFECT).some(limit=1000, order="due")]
    return [(e.lane, e.body["status"], e.body["alerts"][0]["headline"]) for e in found]


def test_four_models_of_one_database_are_one_alert_that_ends_when_it_is_back(project):
    watch, shop = project
    ticks(watch, 3)
    assert watch.ledger.facts.count("alert") == 0
    away = shop.rename(shop.with_name("away"))
    ticks(watch, 3)
    # A moment's trouble is none: it is pending, and nobody hears of it.
    assert watch.ledger.facts.count("alert", states=["pending"]) == 1
    assert heard(watch) == []
    ticks(watch, 4, every=30 * MINUTE)
    ((channel, status, headline),) = heard(watch)
    assert (channel, status) == ("ops", "firing")
    assert "4 of 4 models could not be measured. m0: " in headline
    (alert,) = watch.ledger.facts.documents("alert")
    assert (alert.body["category"], alert.body["runbook"]) == ("error", "evaluation-failed")
    assert str(shop) not in str(alert.body["labels"])  # the address may hold a secret
    away.rename(shop)
    ticks(watch, 2, every=10 * MINUTE)
    assert [(c, s) for c, s, _ in heard(watch)] == [("ops", "firing"), ("ops", "resolved")]
    assert watch.ledger.facts.count("alert") == 1


def test_a_hiccup_is_told_to_nobody(project):
    watch, shop = project
    for _ in range(3):
        away = shop.rename(shop.with_name("away"))
        ticks(watch, 2)
        away.rename(shop)
        ticks(watch, 1, every=10 * MINUTE)
    assert heard(watch) == []
    assert watch.ledger.facts.count("alert", states=["firing", "pending"]) == 0


def test_a_lake_that_cannot_be_written_is_one_alert_and_the_pages_show_it(tmp_path):
    """No table, no database: what keeps the rows of all models is what breaks."""
    from watchkeeper.capture.recorder import Recorder
    from watchkeeper.web.app import create_app

    testclient = pytest.importorskip("starlette.testclient")
    (tmp_path / "watchkeeper.toml").write_text("[models.a]\n[models.b]\n" + ROUTES)
    with open_project(tmp_path, clock=FakeClock(START + timedelta(hours=2))) as watch:
        for name in "ab":
            with Recorder(name, "1", path=watch.data) as recorder:
                recorder.record({"x": 1.0}, 1, id="1", at=START)
        lake = watch.data / "lake"
        lake.rmdir() if lake.is_dir() else None
        lake.write_text("a file where the lake must be")
        ticks(watch, 3, every=5 * MINUTE)
        ((channel, _, headline),) = heard(watch)
        assert channel == "ops"
        assert "2 of 2 models could not be measured" in headline
        (alert,) = watch.ledger.facts.documents("alert", states=["firing"])
        with testclient.TestClient(create_app(watch), base_url="http://127.0.0.1") as browser:
            for path in ("/", "/alerts", f"/alerts/{alert.key}", "/incidents"):
                answer = browser.get(path)
                assert answer.status_code == 200, path
            assert "could not be measured" in browser.get(f"/alerts/{alert.key}").text
        lake.unlink()
        ticks(watch, 3)
        assert heard(watch)[-1][:2] == ("ops", "resolved")
