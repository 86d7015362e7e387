"""Every known poison by every door: all good rows before and behind it are in the lake, and it is kept whole.

What a door refuses it answers; what it takes is stored, rescued, or set aside with its reason.
"""

import json
import sqlite3
import struct
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pytest

from watchkeeper.capture.batch_rows import packed
from watchkeeper.capture.events import decode_events, join_events
from watchkeeper.capture.identity import IdSource
from watchkeeper.capture.journal import Journal, journal_folder, journals
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.loop.labels.forget import forget
from watchkeeper.loop.reports.status import status
from watchkeeper.loop.watch.dead_letters import replay
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.testing.clock import FakeClock
from watchkeeper.web.api.bodies import arrow_events, json_events
from watchkeeper.web.api.intake import Intake
from watchkeeper.wiring import open_project

T0 = datetime(2026, 3, 1, tzinfo=UTC)
SPAN = Window(T0 - timedelta(days=1), T0 + timedelta(days=2))
GOOD = 20


def deep(levels):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    return value


POISONS = {
    "names in two cases": {"Plan": 1, "plan": 2},
    "names in two cases, accents": {"É": 1.0, "é": "x"},
    "ours in capitals": {"WK_ID": 1, "wk_id": 2, "feature_wk_id": 3},
    "no name": {"": 1},
    "NUL": {"a\0b": 1, "a": 2},
    "long name": {"n" * 100_000: 1},
    "deep": {"y": deep(60)},
    "very deep": {"y": deep(900)},
    "too deep": {"y": deep(5000)},
    "wide": {f"c{n}": n for n in range(5000)},
    "other types": {"x": {"now": ["a", None]}, "plan": [1, "b", {}]},
    "huge numbers": {"x": 10**30, "z": -(2**63), "u": 2**64 - 1, "f": 1e308},
    "odd floats": {"x": float("nan"), "z": float("inf")},
    "surrogate": {"x": "\ud800", "\udfff": 1},
    "a date far off": {"when": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)},
}


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "watchkeeper.toml").write_text('[models.m]\ntask = "binary"\n')
    with open_project(tmp_path, clock=FakeClock(T0 + timedelta(days=1))) as watch:
        yield watch


def good(watch, name):
    with Recorder("m", "1", path=watch.data) as recorder:
        for i in range(GOOD):
            row = {"x": float(i), "plan": "pro"}
            recorder.record(row, i % 2, score=0.5, id=f"{name}{i}", at=T0 + i * timedelta(minutes=1))
            recorder.outcome(f"{name}{i}", i % 2)


def stored(watch):
    batches = watch.lake.joined("m", SPAN, columns=["wk_id", "wk_actual"])
    return {row["wk_id"]: row["wk_actual"] for b in batches for row in b.to_pylist()}


def all_good(watch, *, ticks=2):
    """Everything good before and behind is in the lake after one drain; the problems of the next one."""
    for _ in range(ticks):
        done = watch.drain(watch.model("m"), watch.lease(LEASE, LEASE_FOR))
    found = stored(watch)
    missing = [f"{n}{i}" for n in ("before", "behind") for i in range(GOOD) if found.get(f"{n}{i}") is None]
    assert missing == []
    return done.problems


def commit(watch, parcels):
    intake = Intake(watch.data)
    for (model, version), events in parcels.events.items():
        intake.commit(model, version, events)
    intake.close()
    return parcels


def by_recorder(watch, features):
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record(features, True, score=features, id="poison", at=T0)
        recorder.record({"x": 1.0}, features, id="poison 2", at=T0, tags=features)
        recorder.outcome("poison", features)


def by_batch(watch, features):
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record_batch([features | {"id": "poison", "prediction": True}], id="id")


def _line(features):
    row = {"id": "poison", "at": T0.isoformat(), "features": features, "prediction": True, "score": features}
    return json.dumps(row, default=str).encode()


def by_json(watch, features):
    try:
        body = b"[" + _line(features) + b"]"
        commit(watch, json_events("predictions", body, lines=False, model="m", version="1", ids=IdSource()))
    except (BadInput, RecursionError):
        return


def by_ndjson(watch, features):
    try:
        line = _line(features)
    except RecursionError:
        return
    body = b'{"id": "beside", "features": {"x": 1}, "prediction": true}\n' + line
    parcels = json_events("predictions", body, lines=True, model="m", version="1", ids=IdSource())
    assert commit(watch, parcels).accepted >= 1


DOORS = [by_recorder, by_batch, by_json, by_ndjson]


@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.__name__)
def test_no_row_stops_its_neighbours(watch, door):
    """All poisons in one tick; each by itself is in the long suite."""
    good(watch, "before")
    for poison in POISONS.values():
        door(watch, poison)
    good(watch, "behind")
    assert all_good(watch) == []


@pytest.mark.long
@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("poison", POISONS)
def test_no_single_row_stops_its_neighbours(watch, poison, door):
    good(watch, "before")
    door(watch, POISONS[poison])
    good(watch, "behind")
    assert all_good(watch) == []


def stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def spoiled(value, at):
    """A stream whose offsets of the column ``plan`` are not what they should be."""
    n = 300
    columns = {"id": [f"i{i:04d}" for i in range(n)], "prediction": [True] * n, "plan": ["abcd"] * n}
    raw = bytearray(stream(pa.table(columns)))
    place = bytes(raw).index(struct.pack("<4i", 0, 4, 8, 12)) + 4 * at
    raw[place : place + 4] = struct.pack("<i", value)
    return bytes(raw)


def named(raw_name):
    table = pa.table({"id": ["i1"], "abcd": [1.0], "prediction": [True]})
    return stream(table).replace(b"abcd", raw_name)


def one(**columns):
    return stream(pa.table({"id": ["i1"], "prediction": [True], **columns}))


ARROW = {
    "offsets beyond": spoiled(2**31 - 1, 300),
    "offsets negative": spoiled(-(2**30), 100),
    "offsets descending": spoiled(2**30, 100),
    "name not UTF-8": named(b"ab\xff\xfe"),
    "name with NUL": named(b"ab\0d"),
    "far time": one(x=pa.array([2**62], pa.timestamp("us"))),
    "far date": one(x=pa.array([2**31 - 1], pa.int32()).cast(pa.date32())),
    "far time in seconds": one(x=pa.array([2**61], pa.timestamp("s"))),
    "unsigned": one(x=pa.array([2**64 - 1], pa.uint64())),
    "duration": one(x=pa.array([5], pa.duration("s"))),
    "time": one(x=pa.array([5], pa.time64("us"))),
    "decimal": one(x=pa.array([None], pa.decimal256(70, 2))),
    "empty struct": one(x=pa.array([{}], pa.struct([]))),
    "nested": one(x=pa.array([[[{"a": [1]}]]])),
    "two cases": one(Plan=["a"], plan=["b"]),
    "no stream": b"ARROW1 and nothing behind",
    "cut short": one(x=["a" * 500])[:-300],
    "dictionary": one(x=pa.array(["a"]).dictionary_encode()),
}


def _old_journal(watch, payload):
    """As an earlier version wrote it, which looked at nothing."""
    roles = {"id": "id", "prediction": "prediction"}
    event = msgspec.msgpack.encode(("b", "predictions", int(T0.timestamp() * 1e6), 300, roles, payload))
    path = journal_folder(watch.data, "m") / "journal-007.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal(path, model="m") as journal:
        journal.append([event], version="1", at_us=int(T0.timestamp() * 1e6), rows=300)


def _posted(watch, payload):
    try:
        commit(watch, arrow_events("predictions", payload, model="m", version="1", ids=IdSource()))
    except BadInput:
        return


UNSOUND = ("offsets", "no stream", "cut", "name not")


def test_no_arrow_body_of_an_older_version_stops_its_neighbours(watch):
    """All in one journal, in one tick; each by itself is in the long suite."""
    good(watch, "before")
    for payload in ARROW.values():
        _old_journal(watch, payload)
    good(watch, "behind")
    first = watch.tick().to_dict()
    assert any("quarantine" in p for p in first["problems"])
    assert all_good(watch, ticks=1) == []
    letters = watch.lake.dead_letters("m")
    kept = [decode_events(join_events([x.event]))[0].payload for x in letters]
    assert set(kept) == {raw for name, raw in ARROW.items() if name.startswith(UNSOUND)}, (
        "whole, and readable"
    )
    (model,) = status(watch)["models"]
    assert model["quarantined_rows"] == 300 * len(letters)
    assert any("watchkeeper quarantine list m" in p for p in model["problems"])
    assert watch.lake.counters("m", T0, T0 + timedelta(hours=1))["quarantined"] == 300 * len(letters)


def test_no_arrow_body_that_is_posted_stops_its_neighbours(watch):
    good(watch, "before")
    for payload in ARROW.values():
        _posted(watch, payload)
    good(watch, "behind")
    assert all_good(watch) == []
    assert watch.lake.dead_letters("m") == [], "what cannot be stored was not acknowledged"


@pytest.mark.long
@pytest.mark.parametrize("door", [_old_journal, _posted], ids=["old journal", "posted"])
@pytest.mark.parametrize("poison", ARROW)
def test_no_single_arrow_body_stops_its_neighbours(watch, poison, door):
    good(watch, "before")
    door(watch, ARROW[poison])
    good(watch, "behind")
    assert all_good(watch) == []
    is_unsound = poison.startswith(UNSOUND)
    assert bool(watch.lake.dead_letters("m")) == (is_unsound and door is _old_journal)


CHANGES = (
    "codec = 1, events = x'00112233'",
    "codec = 9, events = x'c1c1c1'",
    "events = 'text'",
    "version = x'ff00', at_us = 'when'",
    "events = x'81a16101'",
)


def test_a_bad_block_stops_no_other_block_and_no_other_journal(watch):
    good(watch, "before")
    (path,) = journals(watch.data, "m")
    for change in CHANGES:
        with Journal(path, model="m") as journal:
            event = msgspec.msgpack.encode(("p", "bad", 1, {}))
            spoilt = journal.append([event], version="1", at_us=1, rows=1)
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE flushes SET {change} WHERE sequence = {spoilt}")
    good(watch, "behind")
    assert all_good(watch) == []
    assert len(watch.lake.dead_letters("m")) == 4, "of one only the version was spoilt"


@pytest.mark.parametrize("damage", ["no database", "a page"])
def test_a_damaged_journal_is_set_aside_and_what_comes_is_recorded(watch, damage):
    good(watch, "before")
    watch.tick()
    (path,) = journals(watch.data, "m")
    if damage == "no database":
        path.write_bytes(b"this is no database at all" * 400)
    else:
        raw = bytearray(path.read_bytes())
        raw[4096:] = b"\xff" * (len(raw) - 4096)
        path.write_bytes(raw)
    with Recorder("m", "1", path=watch.data, flush_interval_s=0.01) as recorder:
        for i in range(GOOD):
            recorder.record({"x": 1.0}, 1, id=f"behind{i}", at=T0)
            recorder.outcome(f"behind{i}", 1)
        for _ in range(5):
            if recorder.flush():
                break
        assert recorder.stats().dropped == 0
    all_good(watch)
    assert any("set aside" in p for p in status(watch)["models"][0]["problems"])


def test_what_a_table_refuses_is_found_row_by_row(watch, monkeypatch):
    """A refusal that nobody foresaw: the writer is asked about halves, down to the rows that are the cause."""
    from watchkeeper.adapters.lakes import delta, quarantine

    real = delta.fit

    def refusing(rows, columns):
        if "x" in rows.column_names and 7.5 in rows["x"].to_pylist():
            raise pa.ArrowInvalid("nobody foresaw this")
        return real(rows, columns)

    monkeypatch.setattr(delta, "fit", refusing)
    monkeypatch.setattr(quarantine, "fit", refusing)
    good(watch, "before")
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record({"x": 7.5}, 1, id="poison", at=T0)
        recorder.record_batch({"id": ["b1", "b2"], "x": [1.5, 7.5], "prediction": [1, 0]}, id="id")
    good(watch, "behind")
    all_good(watch)
    assert "b1" not in stored(watch), "its time is now"
    letters = watch.lake.dead_letters("m")
    assert sorted(x.rows for x in letters) == [1, 1]
    assert all("nobody foresaw this" in x.reason for x in letters)
    monkeypatch.undo()
    assert replay(watch, "m") == 2
    assert watch.lake.dead_letters("m") == []
    done = watch.tick().to_dict()
    assert (done["predictions"], done["problems"]) == (2, [])
    assert "poison" in stored(watch)
    assert status(watch)["models"][0]["quarantined_rows"] == 0


def test_what_is_forgotten_leaves_the_quarantine_too(watch, monkeypatch):
    from watchkeeper.adapters.lakes import delta, quarantine

    real = delta.fit

    def refusing(rows, columns):
        if "x" in rows.column_names and 7.5 in rows["x"].to_pylist():
            raise pa.ArrowInvalid("nobody foresaw this")
        return real(rows, columns)

    monkeypatch.setattr(delta, "fit", refusing)
    monkeypatch.setattr(quarantine, "fit", refusing)
    with Recorder("m", "1", path=watch.data) as recorder:
        recorder.record({"x": 7.5}, 1, id="one", at=T0)
        recorder.record_batch({"id": ["b1", "b2"], "x": [7.5, 7.5], "prediction": [1, 0]}, id="id")
    watch.tick()
    assert forget(watch, "m", ids=["one", "b2"], actor="test").journal_rows == 2
    (left,) = watch.lake.dead_letters("m")
    (event,) = decode_events(join_events([left.event]))
    assert (event.rows, left.rows) == (1, 1)
    assert b"b2" not in left.event


def test_a_packed_batch_is_read_as_it_was():
    table = pa.table({"id": ["a"], "x": [1.0]})
    assert pa.ipc.open_stream(packed(table)).read_all().equals(table)
