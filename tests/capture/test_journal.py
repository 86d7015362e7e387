"""A journal keeps what was appended, in order, under numbers that never come twice."""

import os
import sqlite3
import subprocess
import sys

import pytest

from watchkeeper.capture import journal as journal_module
from watchkeeper.capture.events import Encoder, Outcome, Prediction
from watchkeeper.capture.journal import (
    Journal,
    delete_through,
    forget,
    journals,
    model_of,
    read_after,
    read_flushes,
)
from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.slots import Slot
from watchkeeper.errors import Incompatible, StoreUnavailable, WatchkeeperError

encode = Encoder().encode


def append(journal, *ids):
    return journal.append(
        [encode(("p", id, 5, {"x": id})) for id in ids], version="1", at_us=7, rows=len(ids)
    )


def ids_in(path, sequence=0):
    return [event.id for _, events in read_after(path, sequence) for event in events]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal-000.db"


class TestSequence:
    def test_it_goes_on_after_deleting_and_reopening(self, path):
        with Journal(path, model="m") as journal:
            assert [append(journal, "a"), append(journal, "b")] == [1, 2]
        assert delete_through(path, 2) == 2
        with Journal(path, model="m") as journal:
            assert journal.last_sequence() == 2
            assert append(journal, "c") == 3
        assert [sequence for sequence, _ in read_after(path, 2)] == [3]

    def test_reading_starts_after_a_sequence_and_stops_at_the_limit(self, path):
        with Journal(path, model="m") as journal:
            for id in "abcde":
                append(journal, id)
            assert ids_in(path, 2) == ["c", "d", "e"], "also while the writer has the file open"
            assert [sequence for sequence, _ in read_after(path, 1, 2)] == [2, 3]
        assert delete_through(path, 3) == 3
        assert ids_in(path) == ["d", "e"]

    def test_a_flush_tells_its_version_time_and_rows(self, path):
        with Journal(path, model="m") as journal:
            append(journal, "a", "b")
        (flush,) = read_flushes(path)
        assert (flush.sequence, flush.version, flush.at_us, flush.rows) == (1, "1", 7, 2)
        assert model_of(path) == "m"

    def test_a_large_append_is_cut_into_rows_but_committed_as_one(self, path):
        events = [encode(("p", str(i), 5, {"x": os.urandom(500)})) for i in range(20_000)]
        large = encode(("p", "large", 5, {"x": os.urandom(200_000)}))
        events.insert(10, large)
        with Journal(path, model="m") as journal:
            journal.append(events, version="1", at_us=7, rows=len(events))
        sizes = sqlite3.connect(path).execute("SELECT length(events), codec FROM flushes").fetchall()
        assert len(sizes) > 3
        assert max(size for size, _ in sizes) < 5 << 20
        assert ids_in(path) == [str(i) for i in range(10)] + ["large"] + [str(i) for i in range(10, 20_000)]
        assert sum(flush.rows for flush in read_flushes(path)) == 20_001

    def test_repetitive_events_are_packed(self, path):
        with Journal(path, model="m") as journal:
            journal.append([encode(("p", "a", 5, {"a_long_feature_name": 1})) for _ in range(5_000)],
                           version="1", at_us=7, rows=5_000)  # fmt: skip
        ((size, codec),) = sqlite3.connect(path).execute("SELECT length(events), codec FROM flushes")
        assert codec == 1
        assert size < 20_000


class TestForgetting:
    def test_it_removes_predictions_and_outcomes_from_the_bytes_of_the_file(self, path):
        with Journal(path, model="m") as journal:
            events = [
                ("p", "secret-id", 5, {"x": "very-private-value"}),
                ("p", "b", 5, {}),
                ("o", "secret-id", 6, 1),
            ]
            journal.append([encode(e) for e in events], version="1", at_us=7, rows=3)
        assert forget(path, ["secret-id", "unknown"]) == 2
        assert ids_in(path) == ["b"]
        files = list(path.parent.glob("journal-000.db*"))
        assert not any(b"secret-id" in f.read_bytes() or b"very-private" in f.read_bytes() for f in files)
        assert forget(path, ["secret-id"]) == 0

    def test_rows_of_a_batch_are_removed_too(self, tmp_path):
        with Recorder("m", 1, path=tmp_path) as recorder:
            recorder.record_batch({"id": ["a", "b", "c"], "x": [1, 2, 3]})
        (path,) = journals(tmp_path)
        assert forget(path, ["b", "c"]) == 2
        assert forget(path, ["a"]) == 1


class TestTrouble:
    def test_a_missing_or_foreign_file_is_told_in_words(self, tmp_path):
        with pytest.raises(StoreUnavailable, match="no journal"):
            list(read_after(tmp_path / "none.db"))
        foreign = tmp_path / "journal-000.db"
        foreign.write_bytes(b"this is no database at all, but long enough to be taken for one" * 20)
        with pytest.raises(WatchkeeperError, match="journal-000"):
            list(read_after(foreign))

    def test_a_file_whose_process_died_before_its_first_commit_is_empty(self, path):
        path.touch()
        assert list(read_after(path)) == []
        assert (delete_through(path, 5), forget(path, ["a"])) == (0, 0)
        assert model_of(path.rename(path.with_name("journal-001.db"))) == path.parent.name
        with Journal(path, model="m") as journal:
            assert append(journal, "a") == 1

    def test_another_database_is_refused(self, path):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE other (x)")
        with pytest.raises(StoreUnavailable, match="some other database"):
            list(read_after(path))

    def test_a_later_format_is_refused_by_reader_and_writer(self, path):
        with Journal(path, model="m") as journal:
            append(journal, "a")
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
        with pytest.raises(Incompatible, match="Upgrade"):
            list(read_after(path))
        with pytest.raises(Incompatible):
            Journal(path, model="m")
        with pytest.raises(Incompatible):
            delete_through(path, 1)

    def test_commits_are_synced_to_the_disk(self, path):
        with Journal(path, model="m") as journal:
            assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,), "2 is FULL"
            assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_the_layout_is_the_documented_one(self, path):
        with Journal(path, model="m"):
            pass
        columns = [row[1] for row in sqlite3.connect(path).execute("PRAGMA table_info(flushes)")]
        assert columns == ["sequence", "at_us", "version", "rows", "codec", "events"]
        assert all(f"{name} " in journal_module.__doc__ for name in columns)


class TestSlots:
    def test_two_leases_never_share_a_slot(self, tmp_path):
        first, second = Slot.lease(tmp_path), Slot.lease(tmp_path)
        assert [first.number, second.number] == [0, 1]
        first.release()
        assert Slot.lease(tmp_path).number == 0

    def test_another_process_sees_the_lease_and_adopts_the_journal_when_it_is_gone(self, tmp_path):
        program = (
            "from watchkeeper.capture.recorder import Recorder; import os, sys\n"
            f"r = Recorder('m', 1, path={str(tmp_path)!r}); r.record({{}}, sys.argv[1]); r.flush()\n"
            "os.kill(os.getpid(), 9)\n"
        )
        mine = Recorder("m", 1, path=tmp_path)
        mine.record({}, "mine")
        mine.flush()
        for i in range(3):
            subprocess.run([sys.executable, "-c", program, str(i)], check=False)
        first, second = journals(tmp_path)
        assert [e.prediction for _, es in read_after(second) for e in es if isinstance(e, Prediction)] == [
            "0",
            "1",
            "2",
        ]
        assert [sequence for sequence, _ in read_after(second)] == [1, 2, 3]
        mine.close()
        assert len(list(read_after(first))) == 1
        assert not any(isinstance(e, Outcome) for _, es in read_after(first) for e in es)
