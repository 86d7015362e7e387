"""`watchkeeper record` and `outcomes`: each row once, at its own time, under its own name; what cannot be is said."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from watchkeeper.cli import cli
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, NotFound, WatchkeeperError
from watchkeeper.loop.watch.tick import LEASE, LEASE_FOR
from watchkeeper.wiring import open_project

pytest.importorskip("deltalake")

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)


def rows(n=240, start=TODAY - 3 * DAY, seed=0, hours=24):
    random = np.random.default_rng(seed)
    score = random.random(n)
    return pd.DataFrame(
        {
            "order": np.arange(n) + 10_000,
            "when": pd.Timestamp(start)
            + pd.to_timedelta(np.sort(random.uniform(0, hours * 3600, n)), unit="s"),
            "spend": random.normal(size=n).round(3),
            "p": score,
            "decided": (score > 0.5).astype(int),
            "left": (random.random(n) < score).astype(int),
        }
    )


ROLES = {"order": "id", "when": "time", "p": "score", "decided": "prediction", "left": "outcome"}


def call(*words):
    result = CliRunner().invoke(cli, [str(w) for w in words], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def told(folder, *words):
    out = call(*words, "--project", folder, "--json").stdout
    return json.loads(out)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    base = rows(600, TODAY - 40 * DAY, seed=9, hours=20 * 24)
    base.to_parquet(folder / "base.parquet")
    given = [w for name, role in ROLES.items() for w in ("--role", f"{name}={role}")]
    call("init", folder, "--model", "m", "--baseline", folder / "base.parquet", *given, "--json")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "project"))


def recorded(folder):
    """The predictions that are in the lake once everything is drained."""
    with open_project(folder) as watch:
        lease = watch.lease(LEASE, LEASE_FOR)
        watch.drain(watch.model("m"), lease)
        watch.ledger.leases.release(lease)
        scan = watch.lake.files.scan("m", "predictions", None)
        if scan is None:
            return pd.DataFrame(columns=["wk_id", "wk_at"])
        with duckdb.connect() as connection:
            scan.register(connection, "rows")
            return connection.sql("SELECT * FROM rows ORDER BY wk_at, wk_id").df()


def write(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso", date_unit="us")
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_the_projects_roles_place_the_rows_and_a_repeat_changes_nothing(folder, ending):
    live = rows()
    path = write(live.drop(columns="left"), folder / f"live{ending}")
    for _ in range(2):
        assert told(folder, "record", path, "--model", "m", "--version", "1")["rows"] == 240
    found = recorded(folder)
    assert found.wk_id.tolist() == live.order.astype(str).tolist()
    np.testing.assert_array_equal(found.wk_at.dt.tz_convert("UTC").dt.floor("us"), live.when.dt.floor("us"))
    assert found.wk_prediction.tolist() == live.decided.tolist()
    np.testing.assert_allclose(found.wk_score, live.p)
    assert "left" not in found
    assert told(folder, "record", path, "--model", "m", "--version", "1")["rows"] == 240
    assert len(recorded(folder)) == 240


@pytest.mark.parametrize("copies", [False, True], ids=["distinct rows", "equal rows"])
@pytest.mark.parametrize("timed", [True, False])
def test_rows_without_an_id_get_one_that_a_repeat_gives_again(folder, timed, copies):
    live = rows()[["when", "spend", "decided"]]
    if copies:
        live["spend"], live["when"] = 1.0, live.when.dt.floor("D")
    if not timed:
        live = live.drop(columns="when")
    path = write(live, folder / "live.parquet")
    at = [] if timed else ["--at", "now"]
    for _ in range(2):
        assert told(folder, "record", path, "--model", "m", "--version", "1", *at)["rows"] == 240
    assert len(recorded(folder)) == recorded(folder).wk_id.nunique() == 240
    again = told(folder, "record", path, "--model", "m", "--version", "1", *at)
    assert again["repeats"] == (0 if timed else 240)
    assert len(recorded(folder)) == 240
    other = write(live.assign(decided=1 - live.decided), folder / "other.parquet")
    assert told(folder, "record", other, "--model", "m", "--version", "1", *at)["rows"] == 240
    assert len(recorded(folder)) == 480


def test_equal_rows_of_two_files_are_two_predictions(folder):
    live = rows()[["when", "decided"]].assign(spend=1.0)
    live["when"] = live.when.dt.floor("D")
    for name, frame in {"a": live, "b": live.iloc[:200]}.items():
        path = write(frame, folder / f"{name}.parquet")
        told(folder, "record", path, "--model", "m", "--version", "1")
    assert len(recorded(folder)) == 440


def test_without_the_models_time_nothing_is_stamped_now_unless_asked(folder):
    path = write(rows().drop(columns=["when", "left"]), folder / "live.parquet")
    with pytest.raises(BadInput, match="no column 'when', which is the time of 'm'") as refused:
        call("record", path, "--model", "m", "--version", "1", "--project", folder)
    assert "--at now" in str(refused.value)
    assert told(folder, "record", path, "--model", "m", "--version", "1", "--at", "now")["rows"] == 240


@pytest.mark.parametrize(
    ("unit", "kind", "ending"),
    [
        ("s", "float64", ".csv"), ("ms", "int64", ".parquet"), ("ms", "float64", ".csv"), ("us", "str", ".parquet"),
        ("ns", "int64", ".csv"), ("ns", "float64", ".parquet"),
    ],
)  # fmt: skip
def test_times_that_count_since_1970_are_read_in_any_unit(folder, unit, kind, ending):
    live = rows().drop(columns="left")
    at = live.when.dt.tz_localize(None).dt.floor("s")
    path = write(live.assign(when=at.dt.as_unit(unit).astype("int64").astype(kind)), folder / f"live{ending}")
    assert told(folder, "record", path, "--model", "m", "--version", "1")["rows"] == 240
    assert (
        recorded(folder).wk_at.dt.tz_convert("UTC").dt.tz_localize(None).tolist() == at.sort_values().tolist()
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "it has no time"),
        ("25/12/2024", "'25/12/2024' cannot be read; write times as 2024-12-25T13:45:00Z"),
        ("9999-12-31", "years ahead of the clock"),
        ("1900-01-01", "before 2 January 1970"),
        ((TODAY + 5 * DAY).isoformat(), "days ahead of the clock"),
        ("20240131.0", "counts neither seconds nor less since 1970"),
    ],
    ids=str,
)
def test_a_row_whose_time_cannot_be_is_refused_and_named(folder, value, said):
    live = rows().drop(columns="left")
    live["when"] = live.when.map(lambda at: at.isoformat()).astype(object)
    live.loc[7, "when"] = value
    done = told(folder, "record", write(live, folder / "live.parquet"), "--model", "m", "--version", "1")
    assert (done["rows"], done["refused"]) == (239, 1)
    (note,) = [n for n in done["problems"] if "refused" in n]
    assert note.startswith("row 8 is refused: ")
    assert said in note
    assert len(recorded(folder)) == 239


def test_a_file_of_which_no_row_can_be_placed_is_refused(folder):
    path = write(rows().assign(when=rows().index), folder / "live.parquet")
    with pytest.raises(BadInput, match="No row of"):
        call("record", path, "--model", "m", "--version", "1", "--project", folder)
    assert recorded(folder).empty


def test_times_without_a_zone_are_said_to_be_utc(folder):
    naive = rows().assign(when=rows().when.dt.tz_localize(None)).drop(columns="left")
    for name, frame in {"a.parquet": naive, "b.csv": naive}.items():
        done = told(folder, "record", write(frame, folder / name), "--model", "m", "--version", "1")
        assert any("name no zone; they are taken as UTC" in note for note in done["problems"])


def test_versions_come_from_their_column(folder, tmp_path):
    live = rows().drop(columns="left").assign(version=lambda f: np.where(f.order % 3, "2", "10"))
    base = pd.read_parquet(folder / "base.parquet").assign(version="1")
    base.to_parquet(folder / "base.parquet")
    given = [w for name, role in ROLES.items() for w in ("--role", f"{name}={role}")]
    call("init", folder, "--model", "m", "--baseline", folder / "base.parquet", *given, "--replace", "--json")
    assert told(folder, "record", write(live, folder / "live.parquet"), "--model", "m")["rows"] == 240
    assert recorded(folder).wk_version.value_counts().to_dict() == {"2": 160, "10": 80}
    with pytest.raises(BadInput, match="Which version"):
        call(
            "record",
            write(live.drop(columns="version"), folder / "x.parquet"),
            "--model",
            "m",
            "--project",
            folder,
        )


@pytest.mark.parametrize(
    "spelled",
    [
        lambda ids: ids.astype(float),
        lambda ids: ids.astype(str),
        lambda ids: ids.astype(float).astype(str),
        lambda ids: ids.astype("category"),
    ],
    ids=["float", "text", "text of floats", "category"],
)
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_outcomes_meet_their_predictions_whatever_type_their_ids_have(folder, spelled, ending):
    live = rows()
    told(
        folder,
        "record",
        write(live.drop(columns="left"), folder / "live.parquet"),
        "--model",
        "m",
        "--version",
        "1",
    )
    outcomes = pd.DataFrame({"order": spelled(live.order), "left": live.left})
    done = told(folder, "outcomes", write(outcomes, folder / f"o{ending}"), "--model", "m")
    assert (done["rows"], done["unmatched"]) == (240, 0)
    recorded(folder)
    with open_project(folder) as watch:
        joined = pa.Table.from_batches(watch.lake.joined("m", Window(TODAY - 4 * DAY, TODAY)))
    assert joined["wk_actual"].null_count == 0
    assert joined.num_rows == 240


@pytest.mark.parametrize("base", [2**53, 2**63, 2**64, 2**70], ids=["2^53", "2^63", "2^64", "2^70"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_large_ids_keep_every_digit_or_are_refused(folder, base, ending):
    names = [base + i for i in range(240)]
    live = rows().drop(columns="left")
    path = folder / f"live{ending}"
    if ending == ".csv":
        live.assign(order=[str(n) for n in names]).to_csv(path, index=False)
    else:
        at = [t.isoformat() for t in live.when]
        path.write_text(
            "\n".join(json.dumps({"order": n, "when": t, "p": 0.5, "decided": 1}) for n, t in zip(names, at))
        )
    words = ("record", path, "--model", "m", "--version", "1")
    if ending == ".jsonl" and base >= 2**64:  # JSON's reader keeps 64 bits
        with pytest.raises(BadInput, match="holds integers exactly only up to"):
            told(folder, *words)
        return
    assert told(folder, *words)["rows"] == 240
    assert sorted(recorded(folder).wk_id) == sorted(map(str, names))


def test_zeros_in_front_of_an_id_are_part_of_it(folder):
    live = rows().drop(columns="left").assign(order=[f"{i:05}" for i in range(240)])
    told(folder, "record", write(live, folder / "live.csv"), "--model", "m", "--version", "1")
    assert recorded(folder).wk_id.tolist() == live.order.tolist()


def test_outcomes_that_meet_nothing_are_counted_and_shown(folder):
    live = rows()
    told(
        folder,
        "record",
        write(live.drop(columns="left"), folder / "live.parquet"),
        "--model",
        "m",
        "--version",
        "1",
    )
    wrong = pd.DataFrame({"order": [f"X-{i}" for i in live.order], "left": live.left})
    path = write(wrong, folder / "o.csv")
    for _ in range(2):
        done = told(folder, "outcomes", path, "--model", "m")
        assert (done["rows"], done["unmatched"]) == (240, 240)
        (note,) = [n for n in done["problems"] if "no prediction" in n]
        assert "'X-10000'" in note
        assert "predictions have ids such as '10000'" in note
        ticked = told(folder, "tick")
        assert (ticked["outcomes"], ticked["unmatched"]) == (240, 240)
    assert "meet no prediction" in call("outcomes", path, "--model", "m", "--project", folder).output
    model = told(folder, "status")["models"][0]
    assert model["unmatched_outcomes"] == 240
    assert any("240 outcomes meet no prediction" in problem for problem in model["problems"])

    right = write(live[["order", "left"]], folder / "r.csv")
    assert told(folder, "outcomes", right, "--model", "m")["unmatched"] == 0
    call("tick", "--project", folder)
    model = told(folder, "status")["models"][0]
    assert model["unmatched_outcomes"] == 240
    assert model["freshest"]["coverage"] == 1


def test_outcomes_without_an_id_are_refused_by_row(folder):
    outcomes = pd.DataFrame({"order": [10_000.0, np.nan, 10_001.5], "left": [1, 0, 1]})
    done = told(folder, "outcomes", write(outcomes, folder / "o.parquet"), "--model", "m")
    assert (done["rows"], done["refused"]) == (1, 2)
    assert "row 2 is refused: it has no id" in done["problems"]
    assert "row 3 is refused: the id 10001.5 is no whole number" in done["problems"]


def test_a_column_that_is_not_there_is_named_with_the_nearest(folder):
    path = write(rows(), folder / "live.parquet")
    with pytest.raises(NotFound, match="Did you mean 'order'"):
        call("record", path, "--model", "m", "--version", "1", "--id", "oder", "--project", folder)
    with pytest.raises(WatchkeeperError, match="Name it:  --actual COLUMN"):
        call("outcomes", write(rows()[["order"]], folder / "o.csv"), "--model", "m", "--project", folder)
