"""What charts hold: every time axis says what happened meanwhile, nothing hides a spike, and a day of 25 hours hides no day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import numpy as np
import pytest

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.testing.contracts.lake import origin
from watchkeeper.web.app import create_app
from watchkeeper.web.charts_data import fold_spreads
from watchkeeper.wiring import page_reads

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIMED = {
    "series": "series.vega?measure=roc_auc&period=7d",
    "series of a column": "series.vega?measure=psi&subject=age&period=7d",
    "drift-map": "drift-map.vega?measure=psi&period=7d",
    "bands": "bands.vega?column=age&period=7d",
}


def put(watch, model, start, length, measure, value, *, width=0.0, segment="", subject="", **more):
    key = WindowKey(model=model, window=Window(start, start + length), segment=segment)
    between = Interval(value - width, value + width) if width else None
    made = Measurement(measure=measure, subject=subject, value=value, rows=100, interval=between, **more)
    watch.ledger.measurements.write([PlacedMeasurement(key=key, measurement=made)], at=watch.clock())


def named(spec, name):
    """The rows of the layers whose data has this name."""
    return [la["data"]["values"] for la in spec["layer"] if la.get("data", {}).get("name") == name]


class TestWhatHappenedMeanwhile:
    @pytest.mark.parametrize("chart", TIMED)
    def test_every_time_axis_marks_alerts_and_versions(self, client, chart):
        spec = client.get(f"/models/churn/charts/{TIMED[chart]}").json()["spec"]
        alerts = named(spec, "alerts")
        assert alerts
        assert all({"at", "text"} <= set(a) for a in alerts[0])
        versions = named(spec, "marks")[0]
        assert {v["text"] for v in versions} >= {"v2", "v3"}

    @pytest.mark.parametrize("chart", TIMED)
    def test_it_can_be_drawn_as_a_picture(self, client, chart):
        drawn = client.get(f"/models/churn/charts/{TIMED[chart].replace('.vega', '.svg')}")
        assert drawn.status_code == 200
        assert "v3" in drawn.text


class TestEstimatesBesideOutcomes:
    @pytest.fixture
    def told(self, watch, clock, connect):
        """Three hours: estimate and outcome agree, differ by more than chance, and the outcome is still to come."""
        end = clock.at.replace(minute=0)
        for back, realised, guess in ((3, 0.80, 0.81), (2, 0.60, 0.80), (1, None, 0.80)):
            start = end - back * HOUR
            if realised is not None:
                put(watch, "model-0001", start, HOUR, "f1", realised, width=0.02)
            put(watch, "model-0001", start, HOUR, "estimated_f1", guess, width=0.02)
        return connect(create_app(watch))

    def test_the_spans_in_which_they_differ_are_marked(self, told, clock):
        spec = told.get("/models/model-0001/charts/series.vega?measure=f1").json()["spec"]
        (apart,) = named(spec, "apart")
        assert [a["at"] for a in apart] == [f"{clock.at.replace(minute=0) - 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"]

    def test_the_data_hold_both_also_where_no_outcome_has_come(self, told):
        rows = told.get("/models/model-0001/charts/series.json?measure=f1").json()
        assert [(r["value"], r["estimated"]) for r in rows] == [(0.8, 0.81), (0.6, 0.8), (None, 0.8)]
        assert all(r["end"] for r in rows)


class TestOneWindow:
    """A table of measures is about one window, the newest whose outcomes have come, and says which."""

    def test_no_measure_comes_from_another_window(self, watch, clock, connect):
        end = clock.at.replace(minute=0)
        put(watch, "churn", end - 2 * HOUR, HOUR, "precision", 0.575)
        key = WindowKey(model="churn", window=Window(end - HOUR, end))
        none = Measurement.missing("precision", "No row was predicted positive.", rows=100)
        watch.ledger.measurements.write([PlacedMeasurement(key=key, measurement=none)], at=clock.at)
        page = connect(create_app(watch)).get("/models/churn?format=json").json()
        cells = {m["name"]: m for m in page["performance"]}
        assert cells["roc_auc"]["value"] is not None
        assert (cells["precision"]["value"], cells["precision"]["reason"]) == (
            None,
            "No row was predicted positive.",
        )
        html = connect(create_app(watch)).get("/models/churn").text
        assert "not defined: no row was predicted positive" in html
        assert page["performance_window"]["title"] in html

    def test_it_is_the_newest_mature_one_and_what_moved_opens_on_it(self, watch, clock, connect):
        end = clock.at.replace(minute=0)
        key = WindowKey(model="churn", window=Window(end - 5 * HOUR, end - 4 * HOUR))
        watch.ledger.windows.done(
            [WindowState(key=key, rows=100, outcomes=97, mature=True, generation=9, measured_at=clock.at)]
        )
        connected = connect(create_app(watch))
        page = connected.get("/models/churn?format=json").json()
        assert page["performance_window"]["mature"]
        assert page["performance_window"]["coverage"] == 0.97
        window = connected.get("/models/churn/change?format=json").json()["window"]
        assert window["start"] == (end - 5 * HOUR).isoformat()


class TestSpreads:
    def test_a_year_of_hours_keeps_the_window_that_stands_out(self):
        hours = [(i * 3_600_000_000, 100.0, 1.0, 2.0, 3.0, 4.0, 5.0) for i in range(8760)]
        hours[4321] = (hours[4321][0], 100.0, -50.0, 2.0, 3.0, 4.0, 70.0)
        rows = fold_spreads(hours, 400)
        assert len(rows) <= 400
        assert min(r["p5"] for r in rows) == -50
        assert max(r["p95"] for r in rows) == 70
        assert sum(r["rows"] for r in rows) == 876_000

    def test_windows_weigh_by_their_rows(self):
        (row,) = fold_spreads([(0, 1.0, 0, 0, 0.0, 0, 0), (1, 3.0, 0, 0, 8.0, 0, 0)], 1)
        assert row["p50"] == 6.0

    def test_nothing_gives_nothing(self):
        assert fold_spreads([], 10) == []

    def test_few_windows_are_shown_as_they_are(self, client):
        rows = client.get("/models/churn/charts/bands.json?column=age&period=7d").json()
        assert len(rows) == 144
        assert all(r["p5"] < r["p25"] < r["p50"] < r["p75"] < r["p95"] for r in rows)


class TestDaysOf25Hours:
    """Where days follow a timezone, two of a year are of other lengths: series of their own in the ledger."""

    DAYS = (  # the clocks are put back on the second day
        (datetime(2026, 3, 1, tzinfo=UTC), DAY, 0.5),
        (datetime(2026, 3, 2, tzinfo=UTC), DAY + HOUR, 0.6),
        (datetime(2026, 3, 3, 1, tzinfo=UTC), DAY, 0.7),
    )

    @pytest.fixture
    def days(self, watch):
        for start, length, value in self.DAYS:
            put(watch, "model-0002", start, length, "accuracy", value, width=0.01)
            put(watch, "model-0002", start, length, "accuracy", value, width=0.01, segment="region=north")
            put(watch, "model-0002", start, length, "ks", value, subject="age")
        return watch

    def test_the_newest_day_is_the_newest(self, days):
        reads = page_reads(days.ledger)
        assert [r["value"] for r in reads.latest(["model-0002"], ["accuracy"])] == [0.7]
        assert reads.last_known(["model-0002"], ["accuracy"])["model-0002", "accuracy"]["value"] == 0.7
        assert [r["value"] for r in reads.by_segment("model-0002", "accuracy")] == [0.7]

    def test_the_map_and_the_sparkline_show_every_day(self, days, connect):
        ask = "/models/model-0002/charts/drift-map.json?measure=ks&start=2026-03-01&end=2026-03-04"
        assert [r["largest"] for r in connect(create_app(days)).get(ask).json()] == [0.5, 0.6, 0.7]
        line = page_reads(days.ledger).sparks({"model-0002": "accuracy"}, start=self.DAYS[0][0])["model-0002"]
        assert [p[1] for p in line] == [0.5, 0.6, 0.7]

    def test_a_sparkline_has_the_interval_of_each_day(self, days):
        line = page_reads(days.ledger).sparks({"model-0002": "accuracy"}, start=self.DAYS[0][0])["model-0002"]
        assert [(round(low, 6), round(high, 6)) for _, _, low, high in line] == [
            (0.49, 0.51),
            (0.59, 0.61),
            (0.69, 0.71),
        ]


class TestPeriods:
    def test_a_window_that_waits_for_its_first_row_is_not_the_newest(self, watch, clock):
        start = clock.at.replace(minute=0)
        before = page_reads(watch.ledger).last_windows(["churn"])["churn"]
        empty = WindowState(
            key=WindowKey(model="churn", window=Window(start, start + HOUR)), rows=0, generation=1
        )
        watch.ledger.windows.done([empty])
        assert page_reads(watch.ledger).last_windows(["churn"])["churn"] == before

    def test_a_usual_period_begins_with_the_model_and_one_of_ones_own_where_it_was_asked(self, client):
        year = client.get("/models/churn?format=json&period=1y").json()["period"]
        assert year["start"] >= "2026-03-06"
        own = client.get("/models/churn?format=json&start=2025-06-01&end=2026-03-01").json()["period"]
        assert own["start"].startswith("2025-06-01")


class TestColumns:
    @pytest.fixture
    def column(self, watch, connect):
        """Real rows of one column, whose values rise by 6 in the newest hours; old hours are kept coarse."""
        from watchkeeper.loop.batch.profiling import baseline, profile
        from watchkeeper.profiles.stored_window import OLD_BINS, StoredWindow, parts_of
        from watchkeeper.stats.states.by_rate import ByRate
        from watchkeeper.stats.states.service import ServiceState

        rng = np.random.default_rng(3)
        made = baseline({"age": rng.normal(40, 10, 4000).tolist()})
        watch.set_baseline("churn", made, actor="ann")
        end, stored = watch.clock().replace(minute=0), []
        for back in range(72, 0, -1):
            window = Window(end - back * HOUR, end - (back - 1) * HOUR)
            found = profile({"age": rng.normal(46 if back < 24 else 40, 10, 300).tolist()}, plan=made.plan)
            kept = StoredWindow(
                key=WindowKey(model="churn", window=window),
                profile=ByRate(states={1.0: found}),
                service=ByRate(states={1.0: ServiceState.empty()}),
            )
            stored += parts_of(kept.coarsen(OLD_BINS) if back > 40 else kept, 1, made.known)
        watch.lake.profiles("churn").put(
            stored, origin=origin("test", token=watch.lease(LEASE, LEASE_FOR).token)
        )
        return connect(create_app(watch))

    PAGE = "/models/churn/columns/age?format=json"

    def test_any_two_windows_also_of_coarse_and_full_days_together(self, column):
        asked = "&a=own&a_from=2026-03-09&a_to=2026-03-10&b=2026-03-11T12:00Z/2026-03-12T09:00Z"
        data = column.get(self.PAGE + asked).json()
        assert data["a"]["title"] == "9 to 10 Mar"
        assert data["a"]["from"] == "2026-03-09"
        figures = {f["name"]: (f["a"], f["b"]) for f in data["figures"]}
        assert figures["Median"][1] - figures["Median"][0] == pytest.approx(6, abs=0.8)
        assert column.get(f"/models/churn/charts/distribution.json?{data['chart_query']}").status_code == 200

    def test_days_that_are_merged_give_the_same_picture(self, column, watch, clock, connect):
        from watchkeeper.loop.watch.profile_rollups import roll_up

        asked = "/models/churn/charts/distribution.json?column=age&a=2026-03-09/2026-03-11&b=2026-03-10/2026-03-12T06:00Z"
        before = column.get(asked).json()
        watch.ledger.windows.done(watch.ledger.windows.dirty(model="churn", limit=10_000))
        clock.pass_(2 * HOUR)
        rolled = roll_up(watch, watch.model("churn"), watch.lease(LEASE, LEASE_FOR))
        assert (rolled.merged, rolled.left) == (6, 0)
        assert {"2026-03-10", "2026-03-11"} <= watch.lake.profiles("churn").rollups.spans().keys()
        again = connect(create_app(watch)).get(asked).json()  # a new server, which has kept nothing
        assert len(again) == len(before) > 10
        assert all(one == pytest.approx(other) for one, other in zip(again, before))

    def test_windows_with_the_bins_of_an_earlier_baseline_are_left_out_and_told(self, column, watch, connect):
        from watchkeeper.loop.batch.profiling import baseline

        watch.set_baseline("churn", baseline({"age": np.arange(900.0).tolist()}), actor="ann")
        client = connect(create_app(watch))
        data = client.get(self.PAGE + "&b=2026-03-11/2026-03-12").json()
        assert data["left_out"].endswith("33 of 11 to 12 Mar (stored windows).")
        assert not data["drawable"]
        assert data["left_out"] in client.get("/models/churn/columns/age?b=2026-03-11/2026-03-12").text

    def test_the_numbers_of_a_segment_are_its_own(self, column, watch):
        end = watch.clock().replace(minute=0)
        put(watch, "churn", end - HOUR, HOUR, "psi", 0.77, subject="age", segment="region=north")
        data = column.get(self.PAGE + "&segment=region%3Dnorth").json()
        assert "region=north" in data["segments"]
        assert next(m["value"] for m in data["measures"] if m["measure"] == "psi") == 0.77

    @pytest.mark.parametrize("window", ["2026-03-01/9999-12-31", "0001-01-01T00:00+14:00/2026-03-01"])
    def test_a_window_beyond_the_calendar_is_told_and_the_longest_there_is_is_read(self, column, window):
        refused = column.get(f"{self.PAGE}&b={quote(window)}")
        assert (refused.status_code, "calendar" in refused.text) == (400, True)
        assert column.get(f"{self.PAGE}&b=0001-01-01/9999-12-30").json()["b"]["there"]

    def test_a_window_of_ones_own_needs_both_days(self, column):
        assert column.get(self.PAGE + "&b=own&b_from=2026-03-09").status_code == 400

    def test_windows_that_the_ledger_has_no_quantiles_of_are_merged_from_the_lake(self, column, watch):
        from sqlalchemy import delete, select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        recent = int((watch.clock() - 20 * HOUR).timestamp() * 1e6)
        with watch.ledger.writing() as connection:
            ids = select(s.c.id).where(s.c.measure == "median")
            connection.execute(delete(m).where(m.c.series_id.in_(ids), m.c.start_us < recent))
        rows = column.get("/models/churn/charts/bands.json?column=age&period=7d").json()
        starts = [r["start"] for r in rows]
        assert starts == sorted(starts)
        assert starts[0].startswith("2026-03-09T09")
        assert rows[0]["p50"] == pytest.approx(40, abs=3)

    def test_its_share_in_a_change_is_told_when_it_is_asked_for(self, column):
        said = column.get(self.PAGE).json()["share"]
        assert said["sentence"] == ""
        assert said["window"]
        assert column.get(f"{self.PAGE}&share=1").json()["share"]["sentence"]
        assert column.get(self.PAGE).json()["share"]["sentence"], "what was worked out is shown from then on"

    def test_data_quality_lists_what_is_worse_than_in_the_baseline(self, column, watch):
        end = watch.clock().replace(minute=0)
        put(watch, "churn", end - HOUR, HOUR, "missing", 0.2, subject="age")
        found = column.get("/models/churn?format=json").json()["quality"]
        assert (found[0]["column"], found[0]["value"], found[0]["baseline"]) == ("age", 0.2, 0.0)
