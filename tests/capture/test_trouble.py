"""When the disk, the folder or the database fails: the caller is not harmed, nothing acknowledged is lost, it is told."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import weakref

import pytest

from sizes import sizes
from watchkeeper.capture.events import Counters, Outcome, Prediction
from watchkeeper.capture.journal import Journal, journals, read_after
from watchkeeper.capture.recorder import Recorder


def events_in(path, kind=(Prediction, Outcome)):
    return [
        e for journal in journals(path) for _, es in read_after(journal) for e in es if isinstance(e, kind)
    ]


def predictions_in(path):
    return [event.prediction for event in events_in(path)]


def wait_until(condition, patience_s=30.0):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class TestStorage:
    def test_a_folder_that_cannot_be_made(self, tmp_path, caplog):
        (tmp_path / "journals").write_text("a file where the folder should be")
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=0.01, buffer_events=100)
        for i in range(150):
            recorder.record({}, i)
        wait_until(lambda: recorder.stats().failed >= 2)
        stats = recorder.stats()
        assert (stats.recorded, stats.dropped, stats.flushed, stats.buffered) == (100, 50, 0, 100)
        assert "journals" in stats.last_error
        assert len([r for r in caplog.records if "cannot be written" in r.message]) == 1, (
            "told once, not each time"
        )
        (tmp_path / "journals").unlink()
        assert recorder.flush(), "and it goes on when the trouble is over"
        assert predictions_in(tmp_path) == list(range(100))
        assert any("can be written again" in r.message for r in caplog.records)
        recorder.record({}, "more")
        assert recorder.close()
        assert sum(c.dropped for c in events_in(tmp_path, Counters)) == 50
        assert sum(c.failed_flushes for c in events_in(tmp_path, Counters)) >= 2

    def test_a_locked_database_delays_but_loses_and_repeats_nothing(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=0.01)
        recorder.record({}, 0)
        recorder.flush()
        (path,) = journals(tmp_path)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        recorder._outbox._journal._connection.execute("PRAGMA busy_timeout = 20")
        began = time.perf_counter()
        for i in range(1, 1000):
            recorder.record({}, i)
        assert time.perf_counter() - began < 1.0, "the caller does not wait for the lock"
        wait_until(lambda: recorder.stats().failed >= 1)
        assert "locked" in recorder.stats().last_error
        other.execute("ROLLBACK")
        other.close()
        assert recorder.close(60)
        assert predictions_in(tmp_path) == list(range(1000))

    def test_a_full_disk_keeps_what_was_committed_and_goes_on_when_there_is_room(self, tmp_path, caplog):
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=1000)
        recorder.record({}, 0)
        assert recorder.flush()
        connection = recorder._outbox._journal._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        for i in range(1, 50):
            recorder.record({"x": os.urandom(5_000)}, i)
        assert not recorder.flush()
        assert "full" in recorder.stats().last_error
        assert predictions_in(tmp_path) == [0]
        assert recorder.stats().buffered == 49
        assert recorder.flush(), "the journal was opened anew, without the limit"
        assert predictions_in(tmp_path) == list(range(50))
        recorder.close()

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file system of a fixed size")
    @pytest.mark.slow
    def test_a_really_full_file_system(self, tmp_path):
        """In a mount namespace of its own, on a file system of 1 MiB."""
        program = f"""
import os
from watchkeeper.capture.recorder import Recorder
r = Recorder("m", 1, path={str(tmp_path / "small")!r}, flush_interval_s=1000)
r.record({{}}, -1)
assert r.flush()
with open({str(tmp_path / "small" / "ballast")!r}, "wb", buffering=0) as ballast:
    try:
        while True: ballast.write(b"x" * 4096)
    except OSError: pass
for i in range(200): r.record({{"x": os.urandom(1000)}}, i)
assert not r.flush(), "there is no room"
print(r.stats().last_error)
os.unlink({str(tmp_path / "small" / "ballast")!r})
assert r.flush(), r.stats()
from watchkeeper.capture.journal import journals, read_after
found = [e.prediction for j in journals({str(tmp_path / "small")!r}) for _, es in read_after(j) for e in es if hasattr(e, "features")]
assert found == list(range(-1, 200)), found
r.close()
"""
        (tmp_path / "small").mkdir()
        mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -'
        command = ["unshare", "-m", "sh", "-c", mount, "sh", tmp_path / "small", sys.executable]
        done = subprocess.run(command, input=program, text=True, capture_output=True, check=False)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            pytest.skip("this user may not mount: " + done.stderr.strip())
        assert done.returncode == 0, done.stderr
        assert "full" in done.stdout or "disk" in done.stdout

    def test_a_read_only_journal(self, tmp_path):
        """chmod does not stop root, but query_only stops every writer alike."""
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=1000)
        recorder.record({}, 0)
        recorder.flush()
        recorder._outbox._journal._connection.execute("PRAGMA query_only = ON")
        recorder.record({}, 1)
        assert not recorder.flush()
        assert "readonly" in recorder.stats().last_error
        assert recorder.flush()
        recorder.close()
        assert predictions_in(tmp_path) == [0, 1]

    def test_a_commit_that_reports_an_error_but_happened_is_not_repeated(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=1000)
        recorder.record({}, 0)
        recorder.flush()

        class Doubtful(Journal):
            def append(self, events, **rest):
                super().append(events, **rest)
                raise sqlite3.OperationalError("disk I/O error")

        journal = recorder._outbox._journal
        journal.__class__ = Doubtful
        recorder.record({}, 1)
        assert not recorder.flush()
        recorder.record({}, 2)
        assert recorder.flush()
        recorder.close()
        assert predictions_in(tmp_path) == [0, 1, 2]
        assert recorder.stats().flushed == 3

    def test_what_could_not_be_saved_at_the_end_is_told(self, tmp_path, caplog):
        (tmp_path / "journals").write_text("")
        recorder = Recorder("m", 1, path=tmp_path)
        recorder.record({}, 1)
        assert not recorder.close(1)
        assert any(
            r.levelno == logging.ERROR and "1 recorded events were lost" in r.message for r in caplog.records
        )


class Explosive:
    def __getattr__(self, name):
        raise RuntimeError(name)

    def __repr__(self):
        raise RuntimeError("repr")

    def __str__(self):
        raise RuntimeError("str")


class TestTheCaller:
    @pytest.mark.parametrize("number", range(15))
    def test_no_argument_makes_record_raise(self, tmp_path, number):
        arguments = [
            {"features": Explosive()}, {"features": {"a": Explosive()}}, {"features": {Explosive(): 1}},
            {"id": Explosive()}, {"at": Explosive()}, {"latency_s": Explosive()}, {"error": Explosive()},
            {"tags": Explosive()}, {"tags": [1]}, {"score": Explosive(), "prediction": Explosive()},
            {"at": float("inf")}, {"at": 10**30}, {"id": 17}, {"id": ""}, {"latency_s": "slow"},
        ][number]  # fmt: skip
        with Recorder("m", 1, path=tmp_path, label_below=0.5, drop=["x"]) as recorder:
            assert isinstance(recorder.record(**{"features": {"a": 1}, **arguments}), str)
            recorder.outcome(arguments.get("id", "a"), arguments.get("prediction"), at=arguments.get("at"))
            recorder.record({"good": 1}, "good")
        assert any(isinstance(e, Prediction) and e.prediction == "good" for e in events_in(tmp_path))
        stats = recorder.stats()
        assert stats.flushed + stats.dropped == 3

    def test_recording_in_a_signal_handler_does_not_deadlock(self, tmp_path):
        with Recorder("m", 1, path=tmp_path, buffer_events=10**6) as recorder:
            before = signal.signal(signal.SIGALRM, lambda *_: recorder.record({}, "signal"))
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
                for i in range(20_000):
                    recorder.record({}, i)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
        found = predictions_in(tmp_path)
        assert [p for p in found if p != "signal"] == list(range(20_000))

    def test_asyncio_tasks_record_without_blocking_the_loop(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path)

        async def task(n):
            for i in range(50):
                recorder.record({}, n * 50 + i)
                await asyncio.sleep(0)

        async def main():
            await asyncio.gather(*(task(n) for n in range(40)))

        asyncio.run(main())
        recorder.close()
        assert sorted(predictions_in(tmp_path)) == list(range(2_000))

    def test_a_recorder_that_is_forgotten_still_writes(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=1000)
        recorder.record({}, 1)
        gone = weakref.ref(recorder)
        thread = recorder._outbox._thread
        del recorder
        gc.collect()
        assert gone() is None
        thread.join(30)
        assert predictions_in(tmp_path) == [1]


class TestEndings:
    def run(self, tmp_path, body):
        program = (
            "import os, sys, threading, multiprocessing\n"
            "from watchkeeper.capture.recorder import Recorder\n"
            f"r = Recorder('m', 1, path={str(tmp_path)!r}, flush_interval_s=1000)\n{body}"
        )
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
        )

    @pytest.mark.parametrize(
        "body",
        [
            "r.record({}, 1)",
            "r.record({}, 1); sys.exit(3)",
            "r.record({}, 1); raise RuntimeError('the user failed')",
            "t = threading.Thread(target=r.record, args=({}, 1)); t.start()",
            "import atexit; atexit.register(lambda: r.record({}, 1))",
            "r.record({}, 1); del r",
        ],
    )
    def test_the_end_of_the_interpreter_writes_the_rest(self, tmp_path, body):
        done = self.run(tmp_path, body)
        assert predictions_in(tmp_path) == [1]
        assert "watchkeeper" not in done.stderr.replace("from watchkeeper", "")

    def test_children_of_multiprocessing_write_their_rest(self, tmp_path):
        body = """
def work(n):
    r.record({}, n)
if __name__ == "__main__":
    r.record({}, "parent")
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=work, args=(n,)) for n in range(4)]
    for c in children: c.start()
    for c in children: c.join()
    assert not any(c.exitcode for c in children)
"""
        done = self.run(tmp_path, body)
        assert done.returncode == 0, done.stderr
        assert sorted(map(str, predictions_in(tmp_path))) == ["0", "1", "2", "3", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestFork:
    def test_parent_and_children_write_their_own_and_nothing_twice(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path, flush_interval_s=0.01)
        going = threading.Event()

        def keep_recording():
            i = 0
            while not going.is_set():
                recorder.record({}, f"background-{i}")
                i += 1
                time.sleep(0.0002)

        thread = threading.Thread(target=keep_recording)
        thread.start()
        children = []
        for n in range(10):
            recorder.record({}, f"parent-{n}")
            if (child := os.fork()) == 0:
                code = 1
                try:
                    for i in range(50):
                        recorder.record({}, f"child-{n}-{i}")
                    code = 0 if recorder.close() and recorder.stats().flushed == 50 else 2
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        going.set()
        thread.join()
        recorder.close()
        assert codes == [0] * 10
        found = predictions_in(tmp_path)
        assert len(found) == len(set(found)) == recorder.stats().flushed + 500
        assert {f"child-{n}-{i}" for n in range(10) for i in range(50)} < set(found)
        assert {f"parent-{n}" for n in range(10)} < set(found)
        ids = [e.id for e in events_in(tmp_path)]
        assert len(set(ids)) == len(ids)

    def test_a_child_ending_normally_leaves_the_parents_journal_whole(self, tmp_path):
        """The child's copy of the connection is finalised by the interpreter, as gunicorn's workers do."""
        program = f"""
import os, sys
from watchkeeper.capture.recorder import Recorder
r = Recorder("m", 1, path={str(tmp_path)!r}, flush_interval_s=1000)
for n in range(5):
    r.record({{}}, f"parent-{{n}}"); r.flush()
    child = os.fork()
    if child == 0:
        r.record({{}}, f"child-{{n}}")
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    r.record({{}}, f"parent-again-{{n}}"); assert r.flush()
"""
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
        found = predictions_in(tmp_path)
        assert sorted(found) == sorted(
            f"{w}-{n}" for w in ("parent", "child", "parent-again") for n in range(5)
        )
        assert len(journals(tmp_path)) == 2, "the children followed each other in one slot"

    def test_a_pickled_recorder_writes_elsewhere(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path)
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(1) as pool:
            assert isinstance(pool.apply(recorder.record, ({}, "spawned")), str)
            pool.close()
            pool.join()
        recorder.record({}, "here")
        recorder.close()
        assert sorted(predictions_in(tmp_path)) == ["here", "spawned"]


def _record_until_killed(path, acknowledge):
    """In a child: record from three threads, and tell each id that was acknowledged in one write."""
    recorder = Recorder("m", 1, path=path, durability="strict", strict_timeout_s=60)

    def work(name):
        i = 0
        while True:
            receipt = recorder.record({"thread": name, "i": i}, i)
            if receipt.committed:
                os.write(acknowledge, receipt.encode() + b"\n")
            i += 1

    for name in range(2):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    work(2)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@sizes("pairs", small=25, full=150)
def test_kill_9_at_random_points_loses_and_repeats_nothing_acknowledged(tmp_path, pairs):
    """Processes, two at a time, each killed somewhere between its start and its hundredth commit."""
    import random

    dice = random.Random(7)
    acknowledged: list[bytes] = []
    for _ in range(pairs):
        children = []
        for _ in range(2):
            reading, writing = os.pipe()
            if (child := os.fork()) == 0:
                try:
                    os.close(reading)
                    _record_until_killed(tmp_path, writing)
                finally:
                    os._exit(1)
            os.close(writing)
            children.append((child, reading))
        for child, reading in children:
            time.sleep(dice.expovariate(1 / 0.05))
            os.kill(child, signal.SIGKILL)
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
            told = b""
            while part := os.read(reading, 1 << 16):
                told += part
            os.close(reading)
            acknowledged += told.split(b"\n")[:-1]
    written = [event.id for event in events_in(tmp_path)]
    assert len(acknowledged) >= 7 * pairs
    assert len(set(written)) == len(written), "no event twice"
    assert {id.decode() for id in acknowledged} <= set(written), "no acknowledged event missing"
    assert len(journals(tmp_path)) == 2, "the dead processes' journals were adopted"
    for path in journals(tmp_path):
        sequences = [sequence for sequence, _ in read_after(path)]
        assert sequences == list(range(1, len(sequences) + 1))
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
