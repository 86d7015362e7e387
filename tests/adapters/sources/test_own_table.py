"""A user's own table is watched in place: only what changed is measured again, and nothing of it is copied."""

from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss

from watchkeeper.domain.window import Window
from watchkeeper.errors import BadConfig, BadInput
from watchkeeper.loop.labels.forget import forget
from watchkeeper.loop.reports.status import model_status
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
COLUMNS = 'time = "scored_at"\nprediction = "label"\nscore = "p"\noutcome = "churned"\nid = "customer"\nversion = "release"\n'


def rows(n=600, seed=0, days=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    p = 1 / (1 + np.exp(-x))
    seconds = np.sort(rng.uniform(0, days * 86400, n)).astype(int)
    return pd.DataFrame(
        {
            "customer": np.arange(n) + 1000 * seed,
            "scored_at": (pd.Timestamp(T0) + pd.to_timedelta(seconds, unit="s")).astype(
                "datetime64[us, UTC]"
            ),
            "release": "7",
            "x": x,
            "plan": rng.choice(["pro", "basic"], n),
            "p": p,
            "label": (p > 0.5).astype(int),
            "churned": (rng.random(n) < p).astype(float),
        }
    )


class Parquet:
    def __init__(self, folder):
        self.folder = folder / "data"
        self.folder.mkdir()
        self.setting = 'location = "data/*.parquet"\n'

    def put(self, frame, name="a"):
        frame.to_parquet(self.folder / f"{name}.parquet")


class Csv(Parquet):
    def __init__(self, folder):
        super().__init__(folder)
        self.setting = 'location = "data/*.csv"\n'

    def put(self, frame, name="a"):
        frame.to_csv(self.folder / f"{name}.csv", index=False)


class Delta:
    def __init__(self, folder):
        self.folder = folder / "table"
        self.setting = 'location = "table"\n'
        self.parts = {}

    def put(self, frame, name="a"):
        from deltalake import write_deltalake

        self.parts[name] = frame
        write_deltalake(str(self.folder), pd.concat(self.parts.values(), ignore_index=True), mode="overwrite")


class DuckDB:
    def __init__(self, folder):
        self.file = folder / "own.duckdb"
        self.setting = 'location = "duckdb:///own.duckdb"\nquery = "scored"\n'
        self.parts = {}

    def put(self, frame, name="a"):
        self.parts[name] = frame
        everything = pd.concat(self.parts.values())
        with duckdb.connect(str(self.file)) as connection:
            connection.register("everything", everything)
            connection.execute(
                "SET TimeZone = 'UTC'; CREATE OR REPLACE TABLE scored AS SELECT * FROM everything"
            )


class Postgres:
    def __init__(self, url):
        import sqlalchemy

        self.engine = sqlalchemy.create_engine(url)
        self.setting = f'location = "{url}"\nquery = "SELECT * FROM scored WHERE x IS NOT NULL"\n'
        self.parts = {}

    def put(self, frame, name="a"):
        self.parts[name] = frame
        pd.concat(self.parts.values()).to_sql("scored", self.engine, if_exists="replace", index=False)


KINDS = {"parquet": Parquet, "csv": Csv, "delta": Delta, "duckdb": DuckDB, "postgres": Postgres}


@pytest.fixture(params=[*list(KINDS)[:4], pytest.param("postgres", marks=pytest.mark.server)])
def table(request, tmp_path):
    if request.param == "postgres":
        made = Postgres(request.getfixturevalue("postgres_url"))
        yield made
        made.engine.dispose()
    else:
        yield KINDS[request.param](tmp_path)


def opened(folder, table, clock, columns=COLUMNS):
    text = f'[models.m]\ntask = "binary"\nsegments = ["plan"]\n[models.m.table]\n{table.setting}{columns}'
    (folder / "watchkeeper.toml").write_text(text)
    return open_project(folder, clock=clock)


def day(watch, measure, start=T0, **rest):
    series = watch.ledger.measurements.series("m", measure, length=DAY, start=start, end=start + HOUR, **rest)
    return series["value"].to_pylist()[0]


def test_its_windows_are_measured_as_scikit_learn_measures_its_rows(table, tmp_path):
    frame = rows()
    table.put(frame)
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch:
        done = watch.tick()
        assert (done.to_dict()["problems"], done.stored_windows, done.judged_windows) == ([], 48, 2)
        first = frame[frame.scored_at < T0 + DAY]
        assert day(watch, "row_count") == len(first)
        assert day(watch, "brier") == pytest.approx(brier_score_loss(first.churned, first.p))
        assert day(watch, "accuracy") == pytest.approx(accuracy_score(first.churned, first.label))
        part = first[first.plan == "pro"]
        assert day(watch, "brier", segment="plan=pro") == pytest.approx(
            brier_score_loss(part.churned, part.p)
        )
        assert day(watch, "brier", version="7") == pytest.approx(brier_score_loss(first.churned, first.p))
        assert watch.lake.days("m", "predictions") == [], "nothing but profiles is kept"
        assert watch.tick().stored_windows == 0


def test_late_rows_late_outcomes_and_deleted_rows_are_noticed(table, tmp_path):
    frame = rows()
    waiting = frame.copy()
    waiting.loc[waiting.scored_at < T0 + HOUR, "churned"] = None
    table.put(waiting)
    clock = FakeClock(T0 + 2 * DAY)
    with opened(tmp_path, table, clock) as watch:
        watch.tick()
        assert day(watch, "outcome_coverage") < 1
        table.put(frame)
        assert watch.tick().stored_windows == 1
        assert day(watch, "outcome_coverage") == 1
        late = rows(40, seed=3, days=1)
        late["scored_at"] = (pd.Timestamp(T0 + 7 * HOUR) + pd.to_timedelta(np.arange(40), unit="s")).astype(
            "datetime64[us, UTC]"
        )
        table.put(late, "b")
        before = day(watch, "row_count")
        assert watch.tick().stored_windows == 1
        assert day(watch, "row_count") == before + 40
        table.put(late[:10], "b")
        assert watch.tick().stored_windows == 1
        assert day(watch, "row_count") == before + 10


def test_an_old_change_is_noticed_by_the_daily_look(tmp_path):
    table, frame = Parquet(tmp_path), rows()
    table.put(frame)
    clock = FakeClock(T0 + 2 * DAY)
    with opened(tmp_path, table, clock) as watch:
        watch.tick()
        clock.advance(40 * DAY)
        watch.tick()
        table.put(rows(10, seed=5), "b")
        assert watch.tick().stored_windows == 0, "outside the stretch where outcomes are waited for"
        clock.advance(DAY)
        assert watch.tick().stored_windows > 0


def test_times_without_a_zone_are_utc(tmp_path):
    table, frame = Parquet(tmp_path), rows()
    frame["scored_at"] = frame.scored_at.dt.tz_localize(None)
    table.put(frame)
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch:
        watch.tick()
        assert day(watch, "row_count") == (frame.scored_at < pd.Timestamp("2026-03-02")).sum()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_times_that_count_since_1970_are_read_in_any_unit(table, tmp_path, unit, kind):
    frame = rows(200)
    at = frame.scored_at.dt.tz_localize(None).dt.as_unit(unit).astype("int64")
    table.put(frame.assign(scored_at=at.astype(kind)))
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch:
        model = watch.model("m")
        counted = watch._reader(model).counts(Window(T0, T0 + 2 * DAY))
        hours = frame.groupby(frame.scored_at.dt.floor("h")).churned.agg(["size", "count"])
        assert {w.start: n for w, n in counted.items()} == {
            at.to_pydatetime(): (int(size), int(outcomes)) for at, size, outcomes in hours.itertuples()
        }
        read = pa.concat_tables(watch._reader(model).rows(Window(T0, T0 + DAY))).to_pandas()
        first = frame[frame.scored_at < T0 + DAY]
        assert sorted(read.wk_at.dt.floor("s")) == sorted(first.scored_at)
        assert sorted(read.wk_id) == sorted(first.customer.astype(str))


def test_ids_of_floats_are_the_integers_that_they_are(tmp_path):
    table = Parquet(tmp_path)
    table.put(rows(50).astype({"customer": float}))
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch:
        (read,) = watch._reader(watch.model("m")).rows(Window(T0, T0 + 2 * DAY))
        assert sorted(read["wk_id"].to_pylist(), key=int) == [str(i) for i in range(50)]


def test_rows_that_no_window_sees_are_counted_and_shown(table, tmp_path):
    frame = rows(200)
    frame["scored_at"] = frame.scored_at.dt.tz_localize(None).astype("datetime64[us]")
    frame.loc[:4, "scored_at"] = None
    frame.loc[5:7, "scored_at"] = datetime(2196, 1, 1)
    frame.loc[8, "scored_at"] = datetime(1900, 1, 1)
    table.put(frame)
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch:
        watch.tick()
        assert (
            sum(
                n for n in watch.ledger.measurements.series("m", "row_count", length=DAY)["value"].to_pylist()
            )
            == 191
        )
        (said,) = [p for p in model_status(watch, "m", watch.clock())["problems"] if "in no window" in p]
        assert said == (
            "Rows of the table are in no window: 5 without a time, 3 ahead of the clock, 1 before 2 January 1970."
        )


def test_times_in_several_units_are_refused(tmp_path):
    table = Parquet(tmp_path)
    table.put(rows(2).assign(scored_at=[1772341200, 1772341200_000]))
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch:
        assert "count in several units" in watch.tick().problems[0]


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path):
    table = Parquet(tmp_path)
    table.put(rows())
    with opened(tmp_path, table, FakeClock(T0 + 2 * DAY), COLUMNS.replace("churned", "churn")) as watch:
        (problem,) = watch.tick().problems
        assert "no column 'churn'" in problem
        assert "churned" in problem


def test_a_database_that_is_away_is_told_and_tried_again(tmp_path):
    table = DuckDB(tmp_path)
    clock = FakeClock(T0 + 2 * DAY)
    with opened(tmp_path, table, clock) as watch:
        (problem,) = watch.tick().problems
        assert "There is no database" in problem
        table.put(rows())
        assert watch.tick().stored_windows == 48


def test_its_rows_are_not_ours_to_forget(tmp_path):
    table = Parquet(tmp_path)
    table.put(rows())
    with (
        opened(tmp_path, table, FakeClock(T0 + 2 * DAY)) as watch,
        pytest.raises(BadInput, match="your own table"),
    ):
        forget(watch, "m", ids=["1"])


def test_a_location_that_cannot_be_read_is_refused_with_what_can(tmp_path):
    class Strange:
        setting = 'location = "mysql://host/db"\n'

    with opened(tmp_path, Strange, FakeClock(T0)) as watch, pytest.raises(BadConfig, match="mysql"):
        watch.lake_schema(watch.model("m"))
