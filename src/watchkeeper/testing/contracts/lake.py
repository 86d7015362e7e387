"""What every lake must do. Give it a fixture ``reopen``: a call that opens the same, at first empty, lake anew.

A gap is marked ``notyet`` with a reason in the subclass, never skipped in silence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, Conflict, LeaseLost
from watchkeeper.ports.lake import EventLog, Origin, Placement, Position, Rows

__all__ = ["LakeContract", "ProfileStoreContract", "origin", "outcomes", "predictions"]

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Window(T0, T0 + 24 * HOUR)
INSTANT = pa.timestamp("us", tz="UTC")


def origin(source, last=1, *, first=None, token=1, seen=None):
    """Sequence *last* of *source*, or all from *first* to it."""
    return Origin(source=source, first=last if first is None else first, last=last, token=token, seen=seen)


def predictions(n=4, *, start=0, at=T0, **columns):
    """Predictions p0, p1, ... ten minutes apart, with a column ``age`` or with *columns*."""
    times = [at + (start + i) * timedelta(minutes=10) for i in range(n)]
    return pa.table(
        {
            "wk_id": [f"p{start + i}" for i in range(n)],
            "wk_at": pa.array(times, INSTANT),
            "wk_version": ["1"] * n,
            "wk_day": [t.strftime("%Y-%m-%d") for t in times],
            **(columns or {"age": [float(start + i) for i in range(n)]}),
        }
    )


def outcomes(ids, actual, *, order=0, revision=False, day="2026-03-01"):
    """Outcomes of the predictions *ids*."""
    n = len(ids)
    return pa.table(
        {
            "wk_id": ids,
            "wk_actual": actual,
            "wk_at": pa.array([T0 + HOUR] * n, INSTANT),
            "wk_order": list(range(order, order + n)),
            "wk_revision": [revision] * n,
            "wk_day": [day] * n,
        }
    )


def _rows(lake, window=DAY, **rest):
    batches = list(lake.joined("m", window, **rest))
    return sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda r: r["wk_id"]) if batches else []


def _ids(lake):
    return [r["wk_id"] for r in _rows(lake)]


class LakeContract:
    """The log of events, the placement of outcomes, and the rows."""

    def test_it_has_the_sockets(self, reopen):
        lake = reopen()
        assert isinstance(lake, EventLog)
        assert isinstance(lake, Placement)
        assert isinstance(lake, Rows)

    # ---- the log ----

    def test_a_sequence_that_is_there_is_not_written_again(self, reopen):
        lake = reopen()
        assert lake.append("m", "predictions", predictions(), origin=origin("j", 7, first=1)) == 4
        assert lake.append("m", "predictions", predictions(), origin=origin("j", 7, first=1)) == 0
        assert lake.append("m", "predictions", predictions(), origin=origin("j", 3, first=1)) == 0
        assert lake.drained("m", "predictions", "j").sequence == 7
        assert reopen().drained("m", "predictions", "j").sequence == 7
        assert len(_rows(lake)) == 4

    def test_sources_and_tables_do_not_disturb_each_other(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(), origin=origin("a", 9, first=1))
        assert lake.append("m", "predictions", predictions(start=4), origin=origin("b")) == 4
        assert lake.append("m", "outcomes", outcomes(["p1"], [1.0]), origin=origin("a")) == 1
        assert lake.drained("m", "outcomes", "b").sequence == 0

    def test_a_table_that_is_not_there_is_at_no_version(self, reopen):
        assert reopen().drained("m", "predictions", "j") == Position(0, -1)

    def test_another_opening_knows_what_was_written(self, reopen):
        here, there = reopen(), reopen()
        assert there.append("m", "predictions", predictions(), origin=origin("j", 1)) == 4
        assert here.append("m", "predictions", predictions(), origin=origin("j", 1)) == 0
        assert there.append("m", "predictions", predictions(start=4), origin=origin("j", 2)) == 4
        assert here.append("m", "predictions", predictions(start=4), origin=origin("j", 2)) == 0
        assert len(_rows(here)) == 8

    @pytest.mark.parametrize(("first", "last"), [(1, 3), (2, 3), (4, 4)], ids=["again", "overlap", "gap"])
    def test_rows_that_do_not_follow_what_is_there_are_refused(self, reopen, first, last):
        lake = reopen()
        lake.append("m", "predictions", predictions(), origin=origin("j", 2, first=1))
        with pytest.raises(Conflict):
            lake.append("m", "predictions", predictions(start=4), origin=origin("j", last, first=first))
        assert len(_rows(lake)) == 4

    def test_rows_are_refused_when_the_table_has_changed_since_it_was_looked_at(self, reopen):
        here, there = reopen(), reopen()
        seen = here.drained("m", "predictions", "a").version
        there.append("m", "predictions", predictions(), origin=origin("b"))
        with pytest.raises(Conflict):
            here.append("m", "predictions", predictions(), origin=origin("a", seen=seen))
        seen = here.drained("m", "predictions", "a").version
        assert here.append("m", "predictions", predictions(start=4), origin=origin("a", seen=seen)) == 4

    def test_a_holder_whose_lease_went_to_another_writes_nothing_any_more(self, reopen):
        late, new = reopen(), reopen()
        late.append("m", "predictions", predictions(2), origin=origin("j", 1, token=4))
        new.append("m", "predictions", predictions(2, start=2), origin=origin("j", 2, token=5))
        for sequence, source in ((3, "j"), (1, "another")):
            with pytest.raises(LeaseLost):
                late.append(
                    "m", "predictions", predictions(start=9), origin=origin(source, sequence, token=4)
                )
        assert _ids(new) == ["p0", "p1", "p2", "p3"]
        assert new.append("m", "predictions", predictions(1, start=4), origin=origin("j", 3, token=5)) == 1

    def test_a_late_holder_neither_removes_nor_rewrites_rows(self, reopen):
        late, new = reopen(), reopen()
        for n in range(16):
            new.append("m", "predictions", predictions(1, start=n), origin=origin("j", n + 1, token=5))
        new.append("m", "outcomes", outcomes(["x"], [1.0], day="unplaced"), origin=origin("j", token=5))
        with pytest.raises(LeaseLost):
            late.forget("m", ["p0"], token=4)
        with pytest.raises(LeaseLost):
            late.drop_unplaced("m", ["x"], token=4)
        with pytest.raises(LeaseLost):
            late.maintain("m", T0 + 900 * HOUR, token=4, keep=timedelta(days=1))
        assert len(_rows(new)) == 16
        assert new.take_unplaced("m").num_rows == 1

    def test_what_is_forgotten_is_not_written_again_by_a_late_holder(self, reopen):
        late, new = reopen(), reopen()
        new.append("m", "predictions", predictions(1), origin=origin("j", 1, token=4))
        new.forget("m", ["p9"], token=5)  # p9 was in a journal only, which the late holder has read
        with pytest.raises(LeaseLost):
            late.append("m", "predictions", predictions(1, start=9), origin=origin("j", 2, token=4))

    def test_known_ids_are_found_on_their_days(self, reopen):
        lake = reopen()
        ids = pa.array(["p0", "p3", "p9"])
        assert lake.known_ids("m", "predictions", ids, ["2026-03-01"]) == set()
        lake.append("m", "predictions", predictions(), origin=origin("j"))
        assert lake.known_ids("m", "predictions", ids, ["2026-03-01"]) == {"p0", "p3"}
        assert lake.known_ids("m", "predictions", ids, ["2026-03-02"]) == set()

    def test_some_ids_of_the_newest_day_are_shown(self, reopen):
        lake = reopen()
        assert lake.some_ids("m", 3) == []
        lake.append("m", "predictions", predictions(2), origin=origin("j", 1))
        lake.append("m", "predictions", predictions(2, at=T0 + 24 * HOUR, start=2), origin=origin("j", 2))
        assert sorted(lake.some_ids("m", 3)) == ["p2", "p3"]

    def test_counters_are_summed_over_a_span(self, reopen):
        lake = reopen()
        assert lake.counters("m", T0, T0 + HOUR) == {}
        for n in range(3):
            at = pa.array([T0 + n * HOUR], INSTANT)
            rows = pa.table({"wk_at": at, "dropped": [n + 1], "wk_day": ["2026-03-01"]})
            lake.append("m", "counters", rows, origin=origin("j", n + 1))
        assert lake.counters("m", T0, T0 + 2 * HOUR)["dropped"] == 3

    # ---- rows ----

    def test_a_model_without_rows_has_none(self, reopen):
        lake = reopen()
        assert (_rows(lake), lake.days("m"), dict(lake.columns("m", "predictions"))) == ([], [], {})

    def test_a_prediction_has_its_latest_outcome_or_none(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(), origin=origin("j"))
        assert [r.get("wk_actual") for r in _rows(lake)] == [None] * 4
        lake.append("m", "outcomes", outcomes(["p1", "p3"], [1.0, 0.0]), origin=origin("j", 1))
        assert [r["wk_actual"] for r in _rows(lake)] == [None, 1.0, None, 0.0]
        lake.append("m", "outcomes", outcomes(["p1"], [5.0], order=9, revision=True), origin=origin("j", 2))
        assert [r["wk_actual"] for r in _rows(lake)] == [None, 5.0, None, 0.0]

    def test_windows_are_half_open_and_versions_are_kept_apart(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(12), origin=origin("j"))
        hour = Window(T0, T0 + HOUR)
        assert [r["wk_id"] for r in _rows(lake, hour)] == sorted(f"p{i}" for i in range(6))
        assert _rows(lake, hour, version="2") == []

    def test_only_the_columns_that_were_asked_for_are_read(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(), origin=origin("j"))
        assert set(_rows(lake, columns=["wk_id", "age"])[0]) == {"wk_id", "age"}
        with pytest.raises(BadInput, match="no column 'agee'"):
            _rows(lake, columns=["agee"])

    def test_a_column_that_comes_later_is_null_before(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(2, x=[1.0, 2.0]), origin=origin("j", 1))
        more = predictions(2, start=2, x=[3.0, 4.0], y=["a", "b"])
        lake.append("m", "predictions", more, origin=origin("j", 2))
        assert [r["y"] for r in _rows(lake)] == [None, None, "a", "b"]

    def test_a_text_among_numbers_is_rescued_and_blocks_nothing(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(2, x=[1.0, 2.0]), origin=origin("j", 1))
        lake.append("m", "predictions", predictions(2, start=2, x=["3.5", "n/a"]), origin=origin("j", 2))
        assert [r["x"] for r in _rows(lake)] == [1.0, 2.0, 3.5, None]
        assert [r["wk_rescued"] for r in _rows(lake)] == [None, None, None, '{"x": "n/a"}']

    def test_rows_are_found_by_id_and_by_a_condition(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(6), origin=origin("j"))
        assert sorted(lake.matching("m", where="age >= 4")) == ["p4", "p5"]
        assert sorted(lake.matching("m", ids=["p1", "p9"])) == ["p1"]
        with pytest.raises(BadInput, match="condition cannot be used"):
            lake.matching("m", where="agee >= 4")

    def test_what_is_forgotten_is_gone_with_its_outcome(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(), origin=origin("j"))
        lake.append("m", "outcomes", outcomes(["p1", "p2"], [1.0, 0.0]), origin=origin("j"))
        done = lake.forget("m", ["p1"], token=1)
        assert (done["predictions"], done["outcomes"], done["hours"]) == (1, 1, [T0])
        assert [(r["wk_id"], r["wk_actual"]) for r in _rows(lake)] == [
            ("p0", None),
            ("p2", 0.0),
            ("p3", None),
        ]

    def test_the_upkeep_keeps_every_row_and_every_sequence(self, reopen):
        lake = reopen()
        for n in range(20):
            lake.append("m", "predictions", predictions(3, start=3 * n), origin=origin("j", n + 1))
        before = _rows(lake)
        lake.maintain("m", T0, token=1)
        assert _rows(lake) == before
        assert reopen().drained("m", "predictions", "j").sequence == 20
        assert lake.append("m", "predictions", predictions(1, start=60), origin=origin("j", 21)) == 1

    def test_rows_past_their_time_go_by_whole_days(self, reopen):
        lake = reopen()
        lake.append("m", "predictions", predictions(2), origin=origin("j", 1))
        later = predictions(2, start=2, at=T0 + 240 * HOUR)
        lake.append("m", "predictions", later, origin=origin("j", 2))
        lake.maintain("m", T0 + 241 * HOUR, token=1, keep=timedelta(days=5))
        assert lake.days("m") == ["2026-03-11"]

    # ---- places ----

    def test_the_hour_is_read_from_a_time_ordered_id(self, reopen):
        lake = reopen()
        ids = pa.array([_uuid7(T0 + HOUR, 1), _uuid7(T0 + HOUR, 2), _uuid7(T0 + 5 * HOUR, 3)])
        assert sorted(lake.windows_of("m", ids)) == [(T0 + HOUR, 2), (T0 + 5 * HOUR, 1)]

    def test_other_ids_are_found_by_the_index(self, reopen):
        lake, own = reopen(), _uuid7(T0 + HOUR, 1)
        at = pa.array([T0, T0 + HOUR, T0 + HOUR], INSTANT)
        ids = pa.array(["order-1", "order-2", own])
        assert lake.note_places("m", ids, at, origin=origin("j")) == 2
        placed = reopen().place("m", pa.array(["order-2", "order-1", "unheard of", own]))
        assert placed.to_pylist() == [T0 + HOUR, T0, None, T0 + HOUR]

    def test_outcomes_wait_until_their_prediction_is_known(self, reopen):
        lake = reopen()
        assert lake.take_unplaced("m") is None
        lake.append("m", "outcomes", outcomes(["a", "b"], [1.0, 0.0], day="unplaced"), origin=origin("j"))
        assert sorted(lake.take_unplaced("m")["wk_id"].to_pylist()) == ["a", "b"]
        assert lake.waiting_outcomes("m") == 2
        lake.drop_unplaced("m", ["a"], token=1)
        assert lake.take_unplaced("m")["wk_id"].to_pylist() == ["b"]


def _uuid7(at, n):
    import uuid

    return str(uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | n))


def _part(hour=0, part="age", generation=1, payload=b"x", **rest):
    start = T0 + hour * HOUR
    place = {"start": start, "end": start + HOUR, "version": "1", "segment": ""}
    return {**place, "part": part, "generation": generation, "payload": payload, **rest}


def _rollup(span, stamp, payload, *, segment="", part="column:age"):
    row = {"segment": segment, "part": part, "payload": payload, "span": span, "stamp": stamp}
    return pa.Table.from_pylist([row])


class ProfileStoreContract:
    """Profiles by window, and merged by day and month. The fixture is ``reopen``, as for `LakeContract`."""

    def test_the_newest_generation_counts(self, reopen):
        profiles = reopen().profiles("m")
        parts = [_part(payload=b"a"), _part(1, payload=b"b"), _part(part="pay", payload=b"c")]
        profiles.put(parts, origin=origin("t", 1))
        newer = [_part(generation=2, payload=b"A"), _part(part="pay", generation=2, payload=b"c")]
        profiles.put(newer, origin=origin("t", 2))
        assert profiles.put([_part(generation=3, payload=b"X")], origin=origin("t", 2)) == 0
        found = profiles.get(T0, T0 + 2 * HOUR).to_pylist()
        assert [(r["part"], r["payload"]) for r in found] == [("age", b"A"), ("pay", b"c"), ("age", b"b")]
        assert profiles.get(T0, T0 + HOUR, parts=["pay"])["payload"].to_pylist() == [b"c"]
        assert profiles.get(T0, T0 + HOUR, version="2").num_rows == 0
        assert reopen().profiles("m").sequence("t") == 2

    def test_a_segment_that_the_newest_generation_does_not_have_is_gone(self, reopen):
        profiles = reopen().profiles("m")
        for generation, segments in ((1, ("", "plan=a", "plan=b")), (2, ("", "plan=a"))):
            parts = [_part(segment=s, generation=generation) for s in segments]
            profiles.put(parts, origin=origin("t", generation))
        assert profiles.get(T0, T0 + HOUR, segment=None)["segment"].to_pylist() == ["", "plan=a"]
        assert profiles.get(T0, T0 + HOUR, segment="plan=b").num_rows == 0

    def test_one_column_is_read_at_every_rate_and_no_other(self, reopen):
        profiles = reopen().profiles("m")
        names = ["age", "age@0.1", "age 2", "ages", "ag", "o'clock"]
        profiles.put([_part(part=f"column:{n}") for n in names], origin=origin("t"))
        found = profiles.get(T0, T0 + HOUR, column="age")["part"].to_pylist()
        assert found == ["column:age", "column:age@0.1"]
        assert profiles.get(T0, T0 + HOUR, column="o'clock").num_rows == 1
        assert profiles.get(T0, T0 + HOUR, column="nobody").num_rows == 0

    def test_a_day_is_replaced_whole(self, reopen):
        profiles = reopen().profiles("m")
        profiles.put([_part(generation=g, payload=bytes([g])) for g in (1, 2)], origin=origin("t", 1))
        day = profiles.get(T0, T0 + HOUR).append_column("wk_day", pa.array(["2026-03-01"]))
        profiles.replace_day("2026-03-01", day, token=1)
        assert profiles.get(T0, T0 + HOUR)["payload"].to_pylist() == [b"\x02"]

    def test_a_late_holder_writes_no_profile(self, reopen):
        late, new = reopen().profiles("m"), reopen().profiles("m")
        new.put([_part(payload=b"new")], origin=origin("t", 1, token=5))
        new.rollups.replace(_rollup("2026-02", "1", b"new"), token=5)
        day = new.get(T0, T0 + HOUR).append_column("wk_day", pa.array(["2026-03-01"]))
        for write in (
            lambda: late.put([_part(generation=9)], origin=origin("t", 2, token=4)),
            lambda: late.replace_day("2026-03-01", day, token=4),
            lambda: late.rollups.replace(_rollup("2026-02", "2", b"late"), token=4),
            lambda: late.rollups.drop(["2026-02"], token=4),
        ):
            with pytest.raises(LeaseLost):
                write()
        assert new.get(T0, T0 + HOUR)["payload"].to_pylist() == [b"new"]
        assert new.rollups.spans() == {"2026-02": "1"}

    def test_a_span_is_replaced_whole_and_the_others_stay(self, reopen):
        rollups = reopen().profiles("m").rollups
        assert (rollups.spans(), rollups.get(["2026-03"]).num_rows, rollups.drop(["2026-03"], token=1)) == (
            {},
            0,
            0,
        )
        first = [
            _rollup("2026-03-01", "7-all", b"a"),
            _rollup("2026-03-01", "7-all", b"b", segment="plan=x's"),
            _rollup("2026-03", "9-64", b"c"),
        ]
        rollups.replace(pa.concat_tables(first), token=1)
        assert rollups.spans() == {"2026-03-01": "7-all", "2026-03": "9-64"}
        assert rollups.get(["2026-03-01"])["payload"].to_pylist() == [b"a", b"b"]
        assert rollups.get(["2026-03-01", "2026-03"], segment="")["payload"].to_pylist() == [b"c", b"a"]
        assert rollups.get(["2026-03-01"], segment="plan=x's", column="age")["stamp"].to_pylist() == ["7-all"]
        rollups.replace(_rollup("2026-03-01", "8-all", b"A"), token=1)
        assert rollups.spans() == {"2026-03-01": "8-all", "2026-03": "9-64"}
        assert rollups.get(["2026-03-01"])["payload"].to_pylist() == [b"A"]
        assert rollups.drop(["2026-03", "2026-05"], token=1) == 1
        assert rollups.spans() == {"2026-03-01": "8-all"}
