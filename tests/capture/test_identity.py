"""Ids are unique, ordered by time, and tell their time."""

import os
import uuid

import pytest

from watchkeeper.capture.identity import IdSource, millisecond_of


class TestIds:
    def test_the_standard_library_reads_them_as_version_7(self):
        id, at_us = IdSource().next()
        read = uuid.UUID(id)
        assert (read.version, read.variant) == (7, uuid.RFC_4122)
        assert read.int >> 80 == at_us // 1000 == millisecond_of(id)

    def test_they_only_grow_although_the_clock_stands_or_steps_back(self):
        ticks = iter([100.0, 100.0, 100.0005, 100.002, 99.0, 100.001, 100.003])
        source = IdSource(clock=lambda: next(ticks))
        made = [source.next() for _ in range(7)]
        assert [id for id, _ in made] == sorted({id for id, _ in made})
        assert [at for _, at in made] == sorted(at for _, at in made)
        assert all(millisecond_of(id) == at // 1000 for id, at in made)

    def test_a_large_step_back_is_a_new_time(self):
        ticks = iter([10_000.0, 100.0])
        source = IdSource(clock=lambda: next(ticks))
        source.next()
        assert source.next()[1] == 100_000_000

    def test_many_are_unique(self):
        sources = [IdSource() for _ in range(4)]
        assert len({s.next()[0] for _ in range(20_000) for s in sources}) == 80_000

    def test_taking_many_at_once_gives_ordered_ids_and_the_next_is_larger(self):
        source = IdSource(clock=lambda: 5.0)
        ids, at_us = source.take(1000)
        assert (len(set(ids)), at_us) == (1000, 5_000_000)
        ids.append(source.next()[0])
        assert ids == sorted(set(ids))

    @pytest.mark.parametrize("at_us", [0, -5, 1 << 62, 1_700_000_000_123_456])
    def test_a_given_time_is_told_where_the_format_has_room_for_it(self, at_us):
        id = IdSource().at(at_us)
        assert uuid.UUID(id).version == 7
        if 0 <= at_us // 1000 < 1 << 48:
            assert millisecond_of(id) == at_us // 1000

    @pytest.mark.parametrize(
        "id", ["", "order-17", str(uuid.UUID(int=0)), str(uuid.UUID(int=4 << 76)), "z" * 14 + "7" + "-" * 21]
    )
    def test_other_ids_tell_no_time(self, id):
        assert millisecond_of(id) is None

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_forked_child_makes_other_ids(self):
        source = IdSource(clock=lambda: 5.0)
        source.next()
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, source.next()[0].encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 36).decode() != source.next()[0]
        os.close(reading)
        os.close(writing)
