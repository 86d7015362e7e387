"""What every ledger must do. Give it a fixture ``ledger`` that yields an empty one.

A gap is marked ``notyet`` with a reason in the subclass, never skipped in silence.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.domain.fact import Document, Fact
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window
from watchkeeper.errors import Conflict, LeaseLost

__all__ = ["LedgerContract"]

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _fact(kind="window.measured", **rest):
    return Fact(kind=kind, at=rest.pop("at", T0), actor=rest.pop("actor", "tick"), **rest)


def _key(hour=0, **rest):
    return WindowKey(model="m", window=Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR), **rest)


def _placed(hour, value, *, measure="psi", subject="age", **rest):
    return PlacedMeasurement(
        key=_key(hour, **rest),
        measurement=Measurement(
            measure=measure,
            subject=subject,
            value=value,
            rows=100,
            reason=None if value is not None else "no rows",
        ),
    )


class LedgerContract:
    """Facts, documents, measurements, windows and leases."""

    # ---- facts and documents ----

    def test_facts_come_back_in_order_as_they_were_written(self, ledger):
        body = {"value": 0.25, "name": "<b>é</b>", "list": [1, None, True]}
        first, second = ledger.facts.append(
            [_fact(body=body, model="m"), _fact(kind="alert.fired", subject="s")]
        )
        assert 0 < first < second
        facts = ledger.facts.facts()
        assert [f.sequence for f in facts] == [first, second]
        assert (facts[0].body, facts[0].at, facts[0].actor) == (body, T0, "tick")

    def test_a_fact_with_a_known_key_is_not_written_again(self, ledger):
        assert ledger.facts.append([_fact(key="k1")])[0] > 0
        assert ledger.facts.append([_fact(key="k1"), _fact(key="k2")])[0] == 0
        assert len(ledger.facts.facts()) == 2

    def test_facts_are_found_by_kind_model_and_subject(self, ledger):
        ledger.facts.append(
            [
                _fact("alert.fired", model="a"),
                _fact("alert.resolved", model="b", subject="x"),
                _fact("alerts.other"),
            ]
        )
        assert [f.kind for f in ledger.facts.facts(kinds=["alert.*"])] == ["alert.fired", "alert.resolved"]
        assert [f.kind for f in ledger.facts.facts(model="b")] == ["alert.resolved"]
        assert [f.kind for f in ledger.facts.facts(subject="x")] == ["alert.resolved"]
        assert [f.kind for f in ledger.facts.facts(newest_first=True, limit=1)] == ["alerts.other"]
        after = ledger.facts.facts()[0].sequence
        assert len(ledger.facts.facts(after=after)) == 2

    def test_a_document_is_replaced_only_by_who_has_seen_its_present_revision(self, ledger):
        ledger.facts.append(
            [_fact()], [Document(kind="alert", key="f1", body={"n": 1}, state="firing", model="m")]
        )
        stored = ledger.facts.document("alert", "f1")
        assert (stored.body, stored.state, stored.revision) == ({"n": 1}, "firing", 1)
        ledger.facts.append([_fact()], [Document(kind="alert", key="f1", body={"n": 2}, revision=1)])
        with pytest.raises(Conflict):
            ledger.facts.append(
                [_fact("late.fact")], [Document(kind="alert", key="f1", body={"n": 3}, revision=1)]
            )
        assert ledger.facts.document("alert", "f1").body == {"n": 2}
        assert not ledger.facts.facts(kinds=["late.fact"]), "facts and documents stand or fall together"

    def test_documents_are_listed_by_state_due_time_and_page(self, ledger):
        documents = [
            Document(
                kind="outbox",
                key=f"k{i}",
                body={"i": i},
                state="waiting" if i % 2 else "sent",
                model="m" if i < 3 else "n",
                rank=-i,
                due=T0 + i * HOUR,
                updated_at=T0 + i * HOUR,
            )
            for i in range(6)
        ]
        ledger.facts.append([], documents)
        keys = lambda **rest: [d.key for d in ledger.facts.documents("outbox", **rest)]  # noqa: E731
        assert keys() == ["k5", "k4", "k3", "k2", "k1", "k0"]
        assert keys(states=["waiting"], order="due") == ["k1", "k3", "k5"]
        assert keys(due_before=T0 + HOUR, order="due") == ["k0", "k1"]
        assert keys(model="n", order="key") == ["k3", "k4", "k5"]
        assert keys(order="-rank", limit=2, offset=1) == ["k1", "k2"]
        assert ledger.facts.count("outbox", states=["waiting"]) == 3
        assert ledger.facts.forget([("outbox", "k0"), ("outbox", "nothing")]) == 1
        assert ledger.facts.count("outbox") == 5

    # ---- measurements ----

    def test_a_series_comes_back_by_time_with_its_reasons(self, ledger):
        rows = [_placed(2, 0.3), _placed(0, 0.1), _placed(1, None)]
        assert ledger.measurements.write(rows, at=T0) == 3
        table = ledger.measurements.series("m", "psi", subject="age")
        assert table["value"].to_pylist() == [0.1, None, 0.3]
        assert table["reason"].to_pylist() == [None, "no rows", None]
        assert table["start"].to_pylist() == [T0, T0 + HOUR, T0 + 2 * HOUR]
        assert table["end"].to_pylist()[-1] == T0 + 3 * HOUR

    def test_writing_a_window_again_replaces_it(self, ledger):
        ledger.measurements.write([_placed(0, 0.1), _placed(1, 0.2)], at=T0)
        ledger.measurements.write([_placed(0, 0.9)], at=T0 + HOUR)
        assert ledger.measurements.series("m", "psi", subject="age")["value"].to_pylist() == [0.9, 0.2]
        latest = ledger.measurements.latest(model="m").to_pylist()
        assert [r["value"] for r in latest] == [0.2], "an older window does not become the latest"
        ledger.measurements.write([_placed(1, 0.5)], at=T0 + 2 * HOUR)
        assert ledger.measurements.latest(model="m")["value"].to_pylist() == [0.5]

    def test_series_differ_by_version_segment_subject_measure_and_length(self, ledger):
        day = WindowKey(model="m", window=Window(T0, T0 + timedelta(days=1)))
        rows = [
            _placed(0, 1.0),
            _placed(0, 2.0, version="v2"),
            _placed(0, 3.0, segment="origin=JFK"),
            _placed(0, 4.0, subject="pay"),
            _placed(0, 5.0, measure="ks"),
            PlacedMeasurement(key=day, measurement=Measurement(measure="psi", subject="age", value=6.0)),
        ]
        ledger.measurements.write(rows, at=T0)

        def value(measure="psi", **rest):
            return ledger.measurements.series("m", measure, **rest)["value"].to_pylist()

        assert value(subject="age", length=HOUR) == [1.0]
        assert value(subject="age", version="v2") == [2.0]
        assert value(subject="age", segment="origin=JFK") == [3.0]
        assert value(subject="pay") == [4.0]
        assert value("ks", subject="age") == [5.0]
        assert value(subject="age") == [6.0], "the longest windows, unless a length is asked for"
        assert value(subject="nothing") == []
        assert ledger.measurements.table("m").num_rows == 6
        assert ledger.measurements.table("m", subjects=["age"], measures=["psi"], segments=[""]).num_rows == 3

    def test_intervals_and_details_are_kept(self, ledger):
        m = Measurement(
            measure="auc",
            value=0.8,
            rows=50,
            interval=Interval(0.7, 0.9),
            margin=0.02,
            p_value=0.5,
            details={"a": [1]},
        )
        ledger.measurements.write([PlacedMeasurement(key=_key(), measurement=m)], at=T0)
        row = ledger.measurements.table("m").to_pylist()[0]
        assert (row["low"], row["high"], row["margin"], row["p_value"], row["rows"]) == (
            0.7,
            0.9,
            0.02,
            0.5,
            50,
        )
        assert row["details"] == '{"a":[1]}'

    def test_buckets_never_lose_a_spike(self, ledger):
        values = [0.1] * 500
        values[137] = 9.0
        ledger.measurements.write([_placed(h, v) for h, v in enumerate(values)], at=T0)
        table = ledger.measurements.series("m", "psi", subject="age", buckets=40)
        assert table.num_rows <= 40
        assert max(table["value_max"].to_pylist()) == 9.0
        assert min(table["value_min"].to_pylist()) == 0.1
        assert sum(table["rows"].to_pylist()) == 500 * 100
        starts, ends = table["start"].to_pylist(), table["end"].to_pylist()
        assert starts[0] == T0
        assert ends[-1] == T0 + 500 * HOUR
        assert starts == sorted(starts)

    def test_few_windows_are_not_bucketed(self, ledger):
        ledger.measurements.write([_placed(h, float(h)) for h in range(3)], at=T0)
        table = ledger.measurements.series("m", "psi", subject="age", buckets=40)
        assert table["value"].to_pylist() == table["value_max"].to_pylist() == [0.0, 1.0, 2.0]

    def test_old_measurements_can_be_dropped_and_roll_ups_stay(self, ledger):
        ledger.measurements.write([_placed(h, float(h)) for h in range(48)], at=T0)
        assert ledger.measurements.delete("m", before=T0 + 24 * HOUR) == 24
        assert ledger.measurements.series("m", "psi", subject="age")["value"].to_pylist()[0] == 24.0

    def test_what_a_window_said_before_it_was_measured_again_can_be_dropped_with_its_name(self, ledger):
        rows = [_placed(h, float(h), segment=s) for h in range(2) for s in ("plan=a", "plan=secret")]
        rows += [_placed(1, 7.0, segment="plan=once")]
        ledger.measurements.write(rows, at=T0)
        ledger.measurements.write([_placed(1, 9.0, segment="plan=a")], at=T0 + HOUR)
        window = _key(1).window
        assert ledger.measurements.drop_stale("m", [window], before=T0 + HOUR) == 2
        ledger.scrub()
        table = ledger.measurements.table("m").to_pylist()
        assert {(r["segment"], r["value"]) for r in table} == {
            ("plan=a", 0.0), ("plan=a", 9.0), ("plan=secret", 0.0),
        }  # fmt: skip
        latest = {r["segment"]: r["value"] for r in ledger.measurements.latest(model="m").to_pylist()}
        assert latest == {"plan=a": 9.0, "plan=secret": 0.0}, "the value before it is the latest now"
        ledger.measurements.write([_placed(2, 5.0, segment="plan=once")], at=T0 + 2 * HOUR)
        assert ledger.measurements.series("m", "psi", subject="age", segment="plan=once")[
            "value"
        ].to_pylist() == [5.0]

    # ---- windows ----

    def test_a_dirty_window_is_clean_once_it_is_done(self, ledger):
        ledger.windows.mark_dirty([_key(1), _key(0), _key(0)], reason="rows came")
        states = ledger.windows.dirty(model="m")
        assert [s.key for s in states] == [_key(0), _key(1)]
        assert states[0].reason == "rows came"
        done = WindowState(
            key=_key(0), rows=10, outcomes=4, mature=True, generation=1, measured_at=T0, marks=states[0].marks
        )
        ledger.windows.done([done])
        assert [s.key for s in ledger.windows.dirty()] == [_key(1)]
        stored = ledger.windows.windows("m")[0]
        assert (stored.rows, stored.outcomes, stored.mature, stored.generation, stored.dirty) == (
            10,
            4,
            True,
            1,
            False,
        )
        assert stored.coverage == 0.4

    def test_a_mark_that_comes_while_it_is_measured_keeps_it_dirty(self, ledger):
        ledger.windows.mark_dirty([_key(0)], reason="rows")
        seen = ledger.windows.dirty()[0]
        ledger.windows.mark_dirty([_key(0)], reason="a late outcome")
        ledger.windows.done([WindowState(key=_key(0), rows=1, marks=seen.marks)])
        assert [s.reason for s in ledger.windows.dirty()] in (["a late outcome"], [""])

    def test_windows_that_have_not_ended_can_be_left_for_later(self, ledger):
        ledger.windows.mark_dirty([_key(h) for h in range(5)], reason="rows")
        assert len(ledger.windows.dirty(before=T0 + 3 * HOUR)) == 3
        assert len(ledger.windows.dirty(limit=2)) == 2
        assert len(ledger.windows.windows("m", start=T0 + HOUR, end=T0 + 3 * HOUR)) == 2

    def test_measured_windows_that_are_not_mature_are_found_by_their_end(self, ledger):
        states = [
            WindowState(key=_key(h), rows=1, mature=h == 0, generation=0 if h == 1 else 1) for h in range(5)
        ]
        ledger.windows.done(states)
        found = ledger.windows.windows("m", immature_at=T0 + 4 * HOUR)
        assert [s.key for s in found] == [_key(2), _key(3)]

    def test_the_windows_of_a_length_are_summed_up_by_day(self, ledger):
        night = timedelta(days=1)
        keys = [_key(h) for h in (0, 1, 25, -600_000)]  # the last lies before 1970
        longer = WindowKey(model="m", window=Window(T0, T0 + night))
        ledger.windows.mark_dirty([*keys, longer, _key(2)], reason="rows")
        ledger.windows.mark_dirty([_key(1)], reason="more rows")
        done = [s for s in ledger.windows.dirty() if s.key != _key(2)]
        ledger.windows.done([replace(s, measured_at=T0 + night) for s in done])
        ledger.windows.done([WindowState(key=replace(_key(0), version="v1"), marks=7)])
        early, first, second = ledger.windows.by_day("m", length=HOUR)
        assert (early.start, early.windows) == (_key(-600_000).window.start.replace(hour=0), 1)
        assert (first.start, first.windows, first.stamp, first.dirty) == (T0.replace(hour=0), 3, 1 + 2, 1)
        assert (second.start, second.stamp, second.dirty) == (T0.replace(hour=0) + night, 1, 0)
        assert second.measured_at == T0 + night
        assert ledger.windows.by_day("m", length=night)[0].windows == 1
        assert ledger.windows.by_day("m", length=HOUR, start=T0 + HOUR, end=T0 + night)[0].windows == 2
        assert ledger.windows.by_day("nobody", length=HOUR) == []
        seen = ledger.windows.windows("m", start=T0 + 25 * HOUR)[0]
        ledger.windows.mark_dirty([seen.key], reason="an outcome")
        assert ledger.windows.by_day("m", length=HOUR)[2].stamp == second.stamp, "not measured again yet"
        ledger.windows.done([s for s in ledger.windows.dirty() if s.key == seen.key])
        assert ledger.windows.by_day("m", length=HOUR)[2].stamp > second.stamp

    # ---- leases ----

    def test_one_holder_at_a_time_and_a_larger_token_for_the_next(self, ledger):
        ttl = timedelta(seconds=30)
        first = ledger.leases.acquire("tick", "a", ttl, T0)
        assert ledger.leases.acquire("tick", "b", ttl, T0 + timedelta(seconds=10)) is None
        renewed = ledger.leases.acquire("tick", "a", ttl, T0 + timedelta(seconds=20))
        assert renewed.token == first.token
        second = ledger.leases.acquire("tick", "b", ttl, T0 + timedelta(seconds=51))
        assert second.token > first.token

    def test_a_write_with_an_outdated_token_is_refused_whole(self, ledger):
        ttl = timedelta(seconds=30)
        old = ledger.leases.acquire("tick", "a", ttl, T0)
        new = ledger.leases.acquire("tick", "b", ttl, T0 + timedelta(minutes=5))
        writes = [
            lambda lease: ledger.facts.append([_fact()], lease=lease),
            lambda lease: ledger.measurements.write([_placed(0, 0.1)], at=T0, lease=lease),
            lambda lease: ledger.windows.mark_dirty([_key(0)], reason="x", lease=lease),
        ]
        for write in writes:
            with pytest.raises(LeaseLost):
                write(old)
        assert not ledger.facts.facts()
        assert not ledger.windows.dirty()
        assert ledger.measurements.table("m").num_rows == 0
        for write in writes:
            write(new)

    def test_a_lease_given_back_is_free_and_giving_it_back_twice_is_harmless(self, ledger):
        ttl = timedelta(hours=1)
        first = ledger.leases.acquire("tick", "a", ttl, T0)
        ledger.leases.release(first)
        assert ledger.leases.holder("tick") is None
        second = ledger.leases.acquire("tick", "b", ttl, T0)
        assert second.token > first.token
        assert ledger.leases.holder("tick") == second
        ledger.leases.release(first)
        assert ledger.leases.acquire("tick", "c", ttl, T0) is None

    def test_the_next_token_is_larger_than_one_that_was_seen_elsewhere(self, ledger):
        ttl = timedelta(hours=1)
        first = ledger.leases.acquire("tick", "a", ttl, T0)
        ledger.leases.release(first, above=40)
        second = ledger.leases.acquire("tick", "b", ttl, T0)
        assert second.token == 41
        ledger.leases.release(first, above=90)
        assert ledger.leases.holder("tick").token == 41, "who lost it changes nothing"

    # ---- together ----

    def test_many_writers_lose_nothing(self, ledger):
        failures = []

        def write(who):
            try:
                for i in range(20):
                    ledger.facts.append([_fact(subject=f"{who}:{i}", key=f"{who}:{i}")])
                    ledger.measurements.write([_placed(i, float(i), subject=f"s{who}")], at=T0)
            except Exception as failure:
                failures.append(failure)

        threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        facts = ledger.facts.facts()
        assert len(facts) == 80
        assert len({f.sequence for f in facts}) == 80
        assert ledger.measurements.table("m").num_rows == 80
