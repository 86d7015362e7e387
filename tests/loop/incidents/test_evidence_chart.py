"""The picture of an alert draws the statistic that was judged, held against what it was held against."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.documents.drawing.charts import render_svg
from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.rule import Severity
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.window import Window
from watchkeeper.loop.batch.profiling import baseline, profile
from watchkeeper.loop.incidents.evidence_chart import evidence_of
from watchkeeper.profiles.stored_window import StoredWindow, parts_of
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.service import ServiceState
from watchkeeper.testing.contracts.lake import origin
from watchkeeper.wiring import open_project

HOUR, T0, WINDOWS = timedelta(hours=1), datetime(2026, 3, 1, tzinfo=UTC), 40
CHANGED = 30


def rows(late: bool) -> dict[str, list[object]]:
    """A quarter of the rows is south, half of them after the change; ages rise by 20."""
    plan = ["south"] * (50 if late else 25) + ["north"] * (50 if late else 75)
    return {"region": plan, "age": [float(20 + i % 40 + 20 * late) for i in range(100)]}


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "watchkeeper.toml").write_text('[models.churn]\njudge_every = "1h"\n')
    with open_project(folder, clock=lambda: T0 + WINDOWS * HOUR) as opened:
        made = baseline(rows(False))
        opened.set_baseline("churn", made, actor="ann")
        stored = []
        for i in range(WINDOWS):
            key = WindowKey(model="churn", window=Window(T0 + i * HOUR, T0 + (i + 1) * HOUR))
            found = ByRate(states={1.0: profile(rows(i >= CHANGED), plan=made.plan)})
            service = ByRate(states={1.0: ServiceState.empty()})
            stored += parts_of(StoredWindow(key=key, profile=found, service=service), 1, made.known)
            value = Measurement(measure="accuracy", value=0.8, rows=100, interval=Interval(0.75, 0.85, 0.95))
            opened.ledger.measurements.write([PlacedMeasurement(key=key, measurement=value)], at=T0)
        opened.lake.profiles("churn").put(stored, origin=origin("test"))
        yield opened


def alert(labels, **what) -> Alert:
    end = T0 + WINDOWS * HOUR
    return Alert(
        fingerprint="0",
        labels={"model": "churn", **labels},
        severity=Severity.WARNING,
        model="churn",
        rule="x",
        sentence="x",
        state=AlertState.FIRING,
        since=T0 + CHANGED * HOUR,
        fired_at=T0 + (CHANGED + 3) * HOUR,
        window_start=end - 5 * HOUR,  # outcomes of the newest windows are still coming
        window_end=end,
        what={"window": [(end - HOUR).isoformat(), end.isoformat()], **what},
    )


def test_of_a_category_its_share_with_baseline_and_tolerance(watch):
    found = evidence_of(
        watch,
        alert({"column": "region"}, limit=0.02, effect=0.25, details={"score": "share:1", "breaks": False}),
    )
    assert found.title == "Share of 'south' in region"
    assert [p["value"] for p in found.points] == [0.25] * 20 + [0.5] * 10
    assert found.points[0]["at"] == T0 + (CHANGED - 20) * HOUR  # twenty windows before it began
    assert (found.baseline, found.tolerated) == (0.25, (0.23, 0.27))
    (firing,) = found.firing
    assert (firing["at"], firing["end"]) == (T0 + (CHANGED + 2) * HOUR, T0 + WINDOWS * HOUR)
    assert [m["text"] for m in found.marks] == ["it began", "fired"]
    assert "baseline 25%" in render_svg(found.chart())


def test_a_break_has_no_tolerated_band_in_shares(watch):
    found = evidence_of(
        watch, alert({"column": "region"}, limit=0.25, details={"score": "omnibus", "breaks": True})
    )
    assert found.title.startswith("Share of '")
    assert found.tolerated is None


def test_of_numbers_the_middle_or_the_spread(watch):
    middle = evidence_of(watch, alert({"column": "age"}, details={"score": "location"}))
    assert middle.title == "Median of age"
    assert middle.points[-1]["value"] - middle.baseline == pytest.approx(20, abs=1)
    width = evidence_of(watch, alert({"column": "age"}, details={"score": "spread"}))
    assert width.points[-1]["value"] == pytest.approx(width.baseline, abs=1)


def test_a_series_is_tolerated_around_its_baseline_and_a_level_is_a_threshold(watch):
    evidence = evidence_of(
        watch, alert({"measure": "accuracy"}, measure="accuracy", baseline=0.8, limit=0.02, effect=0.1)
    )
    assert evidence.tolerated == pytest.approx((0.78, 0.82))
    assert evidence.threshold is None
    level = evidence_of(watch, alert({"measure": "accuracy"}, measure="accuracy", limit=0.7))
    assert (level.tolerated, level.threshold) == (None, 0.7)
    assert len(level.points) == 30


def test_without_anything_stored_there_is_no_picture(watch):
    assert evidence_of(watch, alert({"column": "nowhere"}, details={"score": "location"})) is None
    assert evidence_of(watch, alert({}, limit=1.0)) is None
