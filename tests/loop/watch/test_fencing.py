"""A ticker that slept over the end of its lease writes nothing more; one that works longer than its lease keeps it."""

import collections
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.capture.journal import journals, read_flushes
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import LeaseLost
from watchkeeper.loop.watch import drain as drain_module
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def project(request, tmp_path):
    ledger = ""
    if request.param == "postgres":
        ledger = f'[ledger]\nurl = "{request.getfixturevalue("postgres_url")}"\n'
    (tmp_path / "watchkeeper.toml").write_text(f'{ledger}[models.m]\ntask = "binary"\n')
    return tmp_path


def opened(project, after=timedelta(0)):
    return open_project(project, clock=FakeClock(T0 + timedelta(days=1) + after))


def record(data, start, end):
    with Recorder("m", "1", path=data) as recorder:
        for i in range(start, end):
            recorder.record({"x": float(i)}, i % 2, score=0.5, id=f"p{i}", at=T0 + i * timedelta(seconds=30))
            recorder.outcome(f"p{i}", i % 2)


def ids_of(watch):
    span = Window(T0 - HOUR, T0 + timedelta(days=400))
    return [i for b in watch.lake.joined("m", span, columns=["wk_id"]) for i in b.column("wk_id").to_pylist()]


def tick(watch):
    from watchkeeper.loop.watch.tick import tick

    return tick(watch).to_dict()


@pytest.mark.parametrize("table", ["predictions", "outcomes", "counters"])
def test_a_ticker_that_wakes_while_another_one_writes_adds_nothing_twice(project, table):
    record(project, 0, 100)
    with opened(project) as late, opened(project, 2 * LEASE_FOR) as new:
        paused, resume, done = threading.Event(), threading.Event(), threading.Event()
        late_append, new_append = late.lake.append, new.lake.append

        def sleepy(model, name, rows, **rest):
            if name == table:
                paused.set()
                assert resume.wait(60)
            return late_append(model, name, rows, **rest)

        def wakes_the_other(model, name, rows, **rest):
            if name == table and not done.is_set():
                resume.set()  # it has looked for known ids already
                assert done.wait(60)
            return new_append(model, name, rows, **rest)

        late.lake.append, new.lake.append = sleepy, wakes_the_other

        def first():
            tick(late)
            done.set()

        thread = threading.Thread(target=first)
        thread.start()
        assert paused.wait(60)
        record(project, 100, 150)
        tick(new)
        thread.join(60)
        for _ in range(2):
            last = tick(new)
        assert last["problems"] == []
        assert sorted(ids_of(new)) == sorted(f"p{i}" for i in range(150))
        joined = pa.Table.from_batches(new.lake.joined("m", Window(T0, T0 + timedelta(days=1))))
        assert joined["wk_actual"].null_count == 0
        counted = new.lake.counters("m", T0, T0 + timedelta(days=40_000))
        assert counted["recorded"] == 300


def test_a_drain_whose_lease_is_gone_ends_and_leaves_the_journal_as_it_is(project):
    record(project, 0, 10)
    with opened(project) as late, opened(project, 2 * LEASE_FOR) as new:
        lease = late.lease(LEASE, LEASE_FOR)
        assert new.lease(LEASE, LEASE_FOR).token == lease.token + 1
        late.clock.advance(2 * LEASE_FOR)
        with pytest.raises(LeaseLost):
            late.drain(late.model("m"), lease)
        assert list(read_flushes(journals(project, "m")[0]))
        assert tick(new)["predictions"] == 10
        assert tick(late)["held_by_another"] is False, "the other has given it back"


def test_a_drain_may_take_longer_than_its_lease(project, monkeypatch):
    monkeypatch.setattr(drain_module, "BATCH_ROWS", 10)
    for start in range(0, 100, 10):
        record(project, start, start + 10)
    with opened(project) as slow, opened(project) as other:
        append = slow.lake.append

        def takes_its_time(*given, **rest):
            done = append(*given, **rest)
            slow.clock.advance(LEASE_FOR * 0.4)
            other.clock.now = slow.clock.now
            assert other.lease(LEASE, LEASE_FOR) is None, "nobody else may take it"
            return done

        slow.lake.append = takes_its_time
        done = slow.drain(slow.model("m"), slow.lease(LEASE, LEASE_FOR))
        assert (done.predictions, done.outcomes, done.problems) == (100, 100, [])


def test_a_commit_that_is_not_in_the_table_afterwards_lets_no_journal_forget(project, monkeypatch):
    """A writer frozen over others' commits, checkpoint and clean-up of the log: Delta reports a success all the same."""
    import deltalake

    record(project, 0, 20)
    write, frozen = deltalake.write_deltalake, []

    log = project / ".watchkeeper/lake/m/predictions/_delta_log"

    def sleepy(handle, rows, **rest):
        write(handle, rows, **rest)
        if rows.num_rows == 10 and handle.table_uri.rstrip("/").endswith("predictions") and not frozen:
            # What others did while it was frozen before its log file was linked, and what is there when it wakes up.
            frozen.append((log / f"{handle.version():020}.json").rename(project / "linked too late"))
            other = deltalake.DeltaTable(handle.table_uri)
            for _ in range(2):
                write(other, rows.slice(0, 0), mode="append")
            other.create_checkpoint()
            other.cleanup_metadata()

    with opened(project) as watch:
        assert tick(watch)["predictions"] == 20
        record(project, 20, 30)
        monkeypatch.setattr(deltalake, "write_deltalake", sleepy)
        problems = tick(watch)["problems"]
        assert any("is not in the table" in p for p in problems), problems
        assert tick(watch)["problems"] == []
        assert sorted(ids_of(watch)) == sorted(f"p{i}" for i in range(30))


TICKER = textwrap.dedent(
    """
    import sys, time
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from watchkeeper.loop.watch.tick import tick
    from watchkeeper.wiring import open_project

    project, jumps = Path(sys.argv[1]), Path(sys.argv[1]) / "jumps"
    clock = lambda: datetime.now(UTC) + timedelta(minutes=6) * jumps.stat().st_size
    with open_project(project, clock=clock) as watch:
        while not (project / "stop").exists():
            tick(watch)
            print(".", flush=True)
    """
)


def sleepers(project, *, rounds, seed):
    """Two tickers; one or the other is stopped at random moments, for longer than its lease by everybody's clock."""
    random_moment = random.Random(seed)
    (project / "jumps").write_bytes(b"")
    tickers = [
        subprocess.Popen([sys.executable, "-c", TICKER, str(project)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    recorded = 0
    try:
        for ticker in tickers:
            assert ticker.stdout.readline()
        for _ in range(rounds):
            record(project, recorded, recorded + 20)
            recorded += 20
            time.sleep(random_moment.uniform(0.0, 0.15))
            asleep = random_moment.choice(tickers)
            os.kill(asleep.pid, signal.SIGSTOP)
            with (project / "jumps").open("ab") as jumps:
                jumps.write(b"x")
            record(project, recorded, recorded + 20)
            recorded += 20
            time.sleep(random_moment.uniform(0.1, 0.5))
            os.kill(asleep.pid, signal.SIGCONT)
        (project / "stop").touch()
        for ticker in tickers:
            ticker.communicate(timeout=120)
            assert ticker.returncode == 0
    finally:
        for ticker in tickers:
            if ticker.poll() is None:
                os.kill(ticker.pid, signal.SIGCONT)
                ticker.kill()
    with open_project(project, clock=lambda: datetime.now(UTC) + timedelta(days=1)) as watch:
        assert tick(watch)["problems"] == []
        assert tick(watch)["problems"] == []
        found = collections.Counter(ids_of(watch))
        measured = {
            (r["measure"], r["start"]): (r["value"], r["rows"])
            for r in watch.measurements("m", measures=["request_rate", "accuracy"]).to_pylist()
            if not r["segment"] and not r["version"]
        }
    assert [i for i, times in found.items() if times > 1] == []
    assert sorted(found) == sorted(f"p{i}" for i in range(recorded))
    return recorded, measured


def clean(project, recorded):
    """The same rows in one drain that nobody disturbed."""
    project.mkdir()
    (project / "watchkeeper.toml").write_text('[models.m]\ntask = "binary"\n')
    record(project, 0, recorded)
    with open_project(project, clock=lambda: datetime.now(UTC) + timedelta(days=1)) as watch:
        assert tick(watch)["problems"] == []
        return {
            (r["measure"], r["start"]): (r["value"], r["rows"])
            for r in watch.measurements("m", measures=["request_rate", "accuracy"]).to_pylist()
            if not r["segment"] and not r["version"]
        }


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
def test_tickers_that_are_stopped_at_random_moments_end_as_a_clean_run(project):
    recorded, measured = sleepers(project, rounds=5, seed=1)
    assert measured == clean(project / "clean", recorded)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
@pytest.mark.parametrize("seed", range(5))
def test_tickers_that_are_stopped_very_often_end_as_a_clean_run(project, seed):
    recorded, measured = sleepers(project, rounds=60, seed=seed)
    assert measured == clean(project / "clean", recorded)


def test_a_ledger_that_went_back_in_time_catches_up_with_the_lake(project):
    """Restored from a backup, it gives out tokens that the lake has seen from somebody else."""
    record(project, 0, 10)
    with opened(project) as watch:
        lake = open_lake(watch.data / "lake")
        lake.files.raise_fence("m", "predictions", 40)
        problems = tick(watch)["problems"]
        assert any("restored" in p for p in problems), problems
        assert tick(watch)["problems"] == []
        assert len(ids_of(watch)) == 10
