"""The lake keeps what it acknowledged, once, in types that hold it, and forgets for good when asked."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.adapters.lakes.fitting import fit
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import StoreUnavailable
from watchkeeper.loop.labels.forget import forget
from watchkeeper.stats.hashing import hash_texts
from watchkeeper.testing.clock import FakeClock
from watchkeeper.testing.contracts.lake import (
    LakeContract,
    ProfileStoreContract,
    origin,
    outcomes,
    predictions,
)
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Window(T0, T0 + 24 * HOUR)


def rows_of(lake, window=DAY, **rest):
    batches = list(lake.joined("m", window, **rest))
    return sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda r: r["wk_id"]) if batches else []


def said(name, raw):
    """What a file says: its bytes, and what is packed in them."""
    text = raw.decode("latin-1")
    return text + str(pq.read_table(io.BytesIO(raw)).to_pydict()) if name.endswith(".parquet") else text


class Folder:
    """A lake in a folder."""

    def __init__(self, path):
        self.path = path / "lake"

    def lake(self):
        return open_lake(self.path)

    def files(self):
        return {str(f.relative_to(self.path)): f.read_bytes() for f in self.path.rglob("*") if f.is_file()}


class Bucket:
    """A lake in an object store that speaks S3."""

    def __init__(self, server):
        self.server, self.bucket = server, server.new_bucket()

    @property
    def options(self):
        return {
            "aws_endpoint_url": self.server.url,
            "aws_access_key_id": self.server.access_key,
            "aws_secret_access_key": self.server.secret_key,
            "aws_region": self.server.region,
            "aws_allow_http": "true",
        }

    def lake(self):
        return open_lake(f"s3://{self.bucket}/lake", options=self.options)

    def files(self):
        client = self.server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def place(request, tmp_path):
    return Folder(tmp_path) if request.param == "folder" else Bucket(request.getfixturevalue("s3_server"))


@pytest.fixture
def lake(place):
    return place.lake()


@pytest.fixture
def reopen(place):
    return place.lake


class TestLake(LakeContract):
    """In a folder, and in an object store."""


class TestProfileStore(ProfileStoreContract):
    """In a folder, and in an object store."""


class TestJoin:
    def test_rows_of_an_earlier_version_that_kept_no_hashes_are_joined_by_their_ids(self, lake):
        for table, rows in (("predictions", predictions()), ("outcomes", outcomes(["p1"], [1.0]))):
            uri = f"{lake.files.root}/m/{table}"
            write_deltalake(uri, rows, partition_by=["wk_day"], storage_options=lake.files.options or None)
        assert [r["wk_actual"] for r in rows_of(lake)] == [None, 1.0, None, None]
        lake.append("m", "predictions", predictions(start=4), origin=origin("a", 1))
        lake.append("m", "outcomes", outcomes(["p3", "p6"], [2.0, 3.0]), origin=origin("a", 1))
        assert [r["wk_actual"] for r in rows_of(lake)] == [None, 1.0, None, 2.0, None, None, 3.0, None]
        hashes = [r["wk_hash"] for r in rows_of(lake, columns=["wk_id", "wk_hash"])]
        assert hashes == hash_texts([f"p{i}" for i in range(8)]).view("int64").tolist()
        asked = list(lake.joined("m", DAY, columns=["wk_hash", "wk_actual"]))
        assert {tuple(b.schema.names) for b in asked} == {("wk_hash", "wk_actual", "wk_outcome_at")}

    def test_the_hash_is_given_only_when_it_is_asked_for(self, lake):
        lake.append("m", "predictions", predictions(), origin=origin("a", 1))
        assert "wk_hash" not in rows_of(lake)[0]
        given = [
            h for b in lake.joined("m", DAY, columns=["wk_hash"]) for h in b.column("wk_hash").to_pylist()
        ]
        assert sorted(given) == sorted(hash_texts([f"p{i}" for i in range(4)]).view("int64").tolist())


class TestTypes:
    def test_what_does_not_fit_is_rescued_and_not_changed(self):
        columns = {"whole": pa.int64(), "number": pa.float64(), "text": pa.string()}
        rows = pa.table({"whole": [1.0, 1.5, None], "number": [1, 2**60, 3], "text": [1, None, 2]})
        fitted, rescued = fit(rows, columns)
        assert fitted["whole"].to_pylist() == [1, None, None]
        assert fitted["number"].to_pylist() == [1.0, None, 3.0]
        assert fitted["wk_rescued"].to_pylist() == [
            '{"text": 1}',
            f'{{"whole": 1.5, "number": {2**60}}}',
            '{"text": 2}',
        ]
        assert rescued == 4

    @pytest.mark.parametrize(
        "array",
        [
            pa.array([1, 2], pa.uint8()),
            pa.array([True, None]),
            pa.array(["a", "b"]).dictionary_encode(),
            pa.array([[1.0, 2.0], [3.0, 4.0]]),
            pa.array([None, None]),
            pa.array([{"a": 1}, None]),
            pa.array([1, 2], pa.decimal128(10, 2)),
            pa.array([b"x", None]),
        ],
        ids=lambda a: str(a.type),
    )
    def test_every_type_is_stored(self, lake, array):
        lake.append("m", "predictions", predictions(2, x=array), origin=origin("j", 1))
        assert len(rows_of(lake)) == 2

    def test_a_column_without_a_name_is_rescued_and_takes_no_other_down(self, lake):
        rows = predictions(2, x=[1.0, 2.0]).append_column("", pa.array([7.0, None]))
        lake.append("m", "predictions", rows, origin=origin("j", 1))
        assert "" not in lake.columns("m", "predictions")
        found = rows_of(lake)
        assert [r["x"] for r in found] == [1.0, 2.0]
        assert [r["wk_rescued"] for r in found] == ['{"": 7.0}', None]

    def test_a_column_without_a_name_of_an_earlier_version_is_passed_over(self, lake):
        from deltalake import write_deltalake

        lake.append("m", "predictions", predictions(1, x=[1.0]), origin=origin("j", 1))
        handle = lake.files.handle("m", "predictions")
        old = handle.to_pyarrow_table().append_column("", pa.array([3.0]))
        write_deltalake(handle, old, mode="append", schema_mode="merge")
        assert [r["x"] for r in rows_of(lake)] == [1.0, 1.0]
        lake.append("m", "predictions", predictions(1, start=1, x=[2.0]), origin=origin("j", 2))
        assert len(rows_of(lake)) == 3


class TestPlaces:
    def test_an_id_whose_own_time_is_not_that_of_the_prediction_is_found_where_it_lies(self, lake):
        late = "019ecba7-6000-7000-8000-000000000001"  # 15 June 2026
        lake.note_places(
            "m", pa.array([late]), pa.array([T0], pa.timestamp("us", tz="UTC")), origin=origin("j", 1)
        )
        assert lake.place("m", pa.array([late])).to_pylist() == [T0]


class TestProfiles:
    def test_files_that_an_upkeep_replaces_meanwhile_are_looked_up_again(self, lake, monkeypatch):
        profiles = lake.profiles("m")
        place = {"start": T0, "end": T0 + HOUR, "version": "", "segment": "", "part": "rest", "generation": 1}
        profiles.put([{**place, "payload": b"x"}], origin=origin("t", 1))
        scan, replaced = type(lake.files).scan, []

        def slow(*args, **more):
            listed = scan(*args, **more)
            if not replaced:
                replaced.append(1)
                day = profiles.get(T0, T0 + HOUR)
                day = day.append_column("wk_day", pa.array([T0.date().isoformat()]))
                profiles.replace_day(T0.date().isoformat(), day, token=1)
            return listed

        monkeypatch.setattr(type(lake.files), "scan", slow)
        assert profiles.get(T0, T0 + HOUR)["payload"].to_pylist() == [b"x"]

    def test_files_that_are_gone_for_good_are_told_in_words(self, lake, monkeypatch):
        profiles = lake.profiles("m")
        place = {"start": T0, "end": T0 + HOUR, "version": "", "segment": "", "part": "rest", "generation": 1}
        profiles.put([{**place, "payload": b"x"}], origin=origin("t", 1))
        listed = lake.files.scan("m", "profiles", None)
        day = profiles.get(T0, T0 + HOUR).append_column("wk_day", pa.array([T0.date().isoformat()]))
        profiles.replace_day(T0.date().isoformat(), day, token=1)
        monkeypatch.setattr(type(lake.files), "scan", lambda *_, **__: listed)
        with pytest.raises(StoreUnavailable, match="profiles cannot be read just now"):
            profiles.get(T0, T0 + HOUR)


class TestProfileRollups:
    @staticmethod
    def of(span, stamp, payload, *, segment="", part="column:age"):
        row = {"segment": segment, "part": part, "payload": payload, "span": span, "stamp": stamp}
        return pa.Table.from_pylist([row])

    def test_what_is_replaced_is_in_no_file(self, lake, place):
        rollups = lake.profiles("m").rollups
        rollups.replace(self.of("2026-03-01", "7-all", b"a"), token=1)
        rollups.replace(self.of("2026-03-01", "8-all", b"A"), token=1)
        assert sum("span=2026-03-01" in name for name in place.files()) == 1, "no older version is left"

    def test_what_is_dropped_is_in_no_file(self, lake, place):
        rollups = lake.profiles("m").rollups
        assert rollups.drop(["2026-03"], token=1) == 0
        rollups.replace(
            pa.concat_tables([self.of("2026-03", "1", b"a"), self.of("2026-04", "1", b"b")]), token=1
        )
        assert rollups.drop(["2026-03", "2026-05"], token=1) == 1
        assert rollups.spans() == {"2026-04": "1"}
        assert not any("span=2026-03" in name for name in place.files())

    def test_the_upkeep_of_the_lake_leaves_them_as_they_are(self, lake):
        rollups = lake.profiles("m").rollups
        rollups.replace(self.of("2026-03", "1", b"a"), token=1)
        lake.maintain("m", T0, token=1, keep=timedelta(days=1))
        assert rollups.get(["2026-03"])["payload"].to_pylist() == [b"a"]


class TestUpkeep:
    def test_compaction_leaves_few_files(self, lake, place):
        for i in range(20):
            lake.append("m", "predictions", predictions(3, start=3 * i), origin=origin("j", i + 1))
        lake.maintain("m", T0, token=1)
        assert sum("predictions/wk_day=" in name for name in place.files()) == 1

    def test_what_is_forgotten_is_nowhere_in_the_files(self, lake, place):
        rows = predictions(3, secret=["keep me", "forget-this-value", "keep me"])
        lake.append("m", "predictions", rows, origin=origin("j", 1))
        lake.append("m", "outcomes", outcomes(["p1"], [1.0]), origin=origin("j", 1))
        lake.forget("m", ["p1"], token=1)
        left = "".join(said(name, raw) for name, raw in place.files().items())
        assert "forget-this-value" not in left
        assert "keep me" in left, "the search would have found it"


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    lake = open_lake(tmp_path / "file" / "lake")
    with pytest.raises(StoreUnavailable, match="Nothing acknowledged is lost"):
        lake.append("m", "predictions", predictions(), origin=origin("j", 1))


@pytest.mark.server
def test_a_project_whose_lake_is_in_an_object_store(s3_server, tmp_path, monkeypatch):
    """Recorded, drained, measured, compacted and forgotten there; nothing of it lies in the project's folder."""
    store = Bucket(s3_server)
    monkeypatch.setenv("WK_TEST_S3_SECRET", s3_server.secret_key)
    options = store.options | {"aws_secret_access_key": "env:WK_TEST_S3_SECRET"}
    listed = "\n".join(f'{name} = "{value}"' for name, value in options.items())
    (tmp_path / "watchkeeper.toml").write_text(
        f'[lake]\npath = "s3://{store.bucket}/watch"\n[lake.options]\n{listed}\n[models.m]\ntask = "binary"\n'
    )
    with open_project(tmp_path, clock=FakeClock(T0 + timedelta(days=2))) as watch:
        for hour in range(20):
            with Recorder("m", "1", path=watch.data) as recorder:
                at = T0 + hour * HOUR
                recorder.record({"x": 1.0, "name": f"secret-{hour}"}, 1, score=0.8, id=f"p{hour}", at=at)
                recorder.outcome(f"p{hour}", hour % 4 != 0)
            assert watch.tick().to_dict()["problems"] == []
            watch.clock.advance(timedelta(minutes=11))  # upkeep is due each time
        day = {"start": T0, "end": T0 + HOUR, "length": timedelta(days=1)}
        assert watch.ledger.measurements.series("m", "accuracy", **day)["value"].to_pylist() == [0.75]
        assert len(watch.windows("m", DAY)) == 20
        predictions = [n for n in store.files() if "m/predictions/wk_day=" in n]
        assert len(predictions) < 16, "compacted"
        done = forget(watch, "m", where="\"x\" = 1 AND wk_id = 'p7'")
        assert (done.predictions, done.outcomes, len(done.rebuilt_windows)) == (1, 1, 1)
        assert watch.ledger.measurements.series("m", "row_count", **day)["value"].to_pylist() == [19]
    left = "".join(said(name, raw) for name, raw in store.files().items())
    assert "secret-7" not in left
    assert "secret-8" in left, "the search would have found it"
    assert not (watch.data / "lake").exists()


@pytest.mark.parametrize("name", ["a folder", "100%", "über+so"])
def test_a_folder_may_have_any_name(tmp_path, name):
    lake = open_lake(tmp_path / name / "lake")
    lake.append("m", "predictions", predictions(), origin=origin("j", 1))
    assert len(rows_of(lake)) == 4
