"""One column's evidence: folding, saving and resuming, seasons, unequal windows, and the words on an alarm."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.column_evidence import ColumnEvidence, EvidenceRules, read_all
from watchkeeper.stats.evidence.replay import replay

FLAT = np.full(20, 0.05)
RISING = np.linspace(0.7, 1.3, 20) / 20


def windows(rng, many, shares=FLAT, rows=500):
    return rng.multinomial(rows, shares, size=many)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def same(a, b):
    return a.to_payload() == b.to_payload()


@pytest.mark.parametrize("seed", range(4))
def test_the_effect_that_an_alarm_tells_is_one_that_matters(seed):
    """Evidence of the omnibus may rest on the effect of another score: then that one is told."""
    rng = np.random.default_rng(seed)
    usual = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    wobbling = [rng.multinomial(900, rng.dirichlet(usual * 600)) for _ in range(59)]
    moved = np.array([0.3, 0.25, 0.14, 0.21, 0.1])
    state = ColumnEvidence.of(np.array(wobbling), ordered=False)
    fired = 0
    for _ in range(60):
        state = state.update(rng.multinomial(900, rng.dirichlet(moved * 600)))
        reading = state.reading()
        if reading.persistent:
            fired += 1
            assert abs(reading.effect) > reading.tolerated, reading
    assert fired > 20


class TestFolding:
    @pytest.mark.parametrize("cut", [0, 1, 7, 12, 29])
    @pytest.mark.parametrize("ordered", [True, False])
    def test_a_saved_and_resumed_state_goes_on_as_if_nothing_happened(self, rng, cut, ordered):
        rules = EvidenceRules(columns=3, memory=12)
        start = ColumnEvidence.of(windows(rng, 20), column="x", ordered=ordered, rules=rules)
        later, gone = windows(rng, 30), rng.integers(0, 9, 30)
        whole = start.update_many(later, gone)
        first = start.update_many(later[:cut], gone[:cut])
        resumed = ColumnEvidence.of_payload(json.loads(json.dumps(first.to_payload())))
        resumed = resumed.update_many(later[cut:], gone[cut:])
        assert same(whole, resumed)
        assert whole.reading() == resumed.reading()

    def test_the_state_stays_small(self, rng):
        state = ColumnEvidence.of(windows(rng, 20), rules=EvidenceRules(memory=50))
        sizes = []
        for window in windows(rng, 200):
            state = state.update(window)
            sizes.append(len(json.dumps(state.to_payload())))
        assert max(sizes) < 8_000
        assert state.folded == 200

    def test_a_tiny_window_is_skipped_and_counted(self, rng):
        state = ColumnEvidence.of(windows(rng, 20)).update(np.eye(20)[0])
        assert (state.folded, state.skipped) == (0, 1)

    def test_ties_are_broken_by_column_and_window_only(self, rng):
        base = np.tile(windows(rng, 1), (20, 1))
        a = ColumnEvidence.of(base, column="a").update(base[0])
        again = ColumnEvidence.of(base, column="a").update(base[0])
        b = ColumnEvidence.of(base, column="b").update(base[0])
        assert same(a, again)
        assert not np.array_equal(a.scores, b.scores)

    def test_the_replay_of_many_columns_says_the_same(self, rng):
        rules = EvidenceRules(columns=1, budget=0.4, memory=20)
        base = windows(rng, 6 * 20).reshape(6, 20, 20)
        new = windows(rng, 6 * 45).reshape(6, 45, 20)
        new[:3, 25:] = windows(rng, 3 * 20, RISING).reshape(3, 20, 20)
        for everywhere in (False, True):
            fast = replay(base, new, rules=rules, everywhere=everywhere)
            for c in range(6):
                state = ColumnEvidence.of(base[c], column=str(c), rules=rules)
                fired = 0
                for t in range(45):
                    state = state.update(new[c, t])
                    if state.reading().persistent and not fired:
                        fired = t + 1
                assert fired == fast.persistent[c]
        assert (fast.persistent[:3] > 25).all()

    def test_reading_many_equals_reading_each(self, rng):
        states = [
            ColumnEvidence.of(windows(rng, 20), column=str(i), ordered=i % 2 == 0).update_many(
                windows(rng, 5 + i % 3)
            )
            for i in range(6)
        ]

        # What is promised rests on all columns together: one alone shows little of how days hang together.
        def evidence(reading):
            return replace(reading, guarantee="", assumption="")

        assert list(map(evidence, read_all(states))) == [evidence(s.reading()) for s in states]


class TestFinding:
    def test_a_shift_is_found_and_dated(self, rng):
        state = ColumnEvidence.of(windows(rng, 30), rules=EvidenceRules(columns=100))
        state = state.update_many(windows(rng, 40)).update_many(windows(rng, 8, RISING))
        reading = state.reading()
        assert reading.persistent
        assert (reading.score, reading.tail) == ("location", "high")
        assert abs(reading.since - 41) <= 2
        assert "1 in 40" in reading.guarantee
        assert reading.assumption.startswith("if windows are exchangeable")

    def test_a_surge_of_nulls_is_found(self, rng):
        state = ColumnEvidence.of(windows(rng, 20), rules=EvidenceRules(columns=100))
        state = state.update_many(windows(rng, 9), np.full(9, 40))
        reading = state.reading()
        assert reading.persistent
        assert reading.score in ("missing", "omnibus")

    def test_a_change_of_shape_that_keeps_location_and_spread_is_found(self, rng):
        comb = np.where(np.arange(20) % 2, 1.25, 0.75) / 20
        state = ColumnEvidence.of(windows(rng, 20), rules=EvidenceRules(columns=100))
        reading = state.update_many(windows(rng, 16, comb)).reading()
        assert reading.persistent
        assert reading.score == "omnibus"

    def test_a_moved_category_is_found_by_name(self, rng):
        old, new = [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]
        state = ColumnEvidence.of(windows(rng, 30, old), ordered=False, rules=EvidenceRules(columns=20))
        reading = state.update_many(windows(rng, 12, new)).reading()
        assert reading.persistent
        assert reading.score in ("share:2", "share:0", "omnibus")

    def test_one_broken_window_is_enough_where_rows_are_declared_independent(self, rng):
        base = windows(rng, 20)
        ruined = np.zeros(20)
        ruined[19] = 500
        for independent, windows_needed in ((True, 1), (False, 3)):
            rules = EvidenceRules(columns=100, independent_rows=independent)
            ruin = ColumnEvidence.of(base, rules=rules)
            for t in range(1, windows_needed + 1):
                ruin = ruin.update(ruined)
                assert ruin.reading().broken == (t == windows_needed)
            assert ruin.reading().fires
            assert not ruin.reading().persistent
            assert not ruin.update(base[0]).reading().broken

    def test_variation_that_the_baseline_showed_is_tolerated(self, rng):
        def day(sign):
            return windows(rng, 1, FLAT + sign * np.linspace(-0.01, 0.01, 20))[0]

        base = np.array([day(rng.choice([-1, 1])) for _ in range(30)])
        state = ColumnEvidence.of(base)
        state = state.update_many(np.array([day(1) for _ in range(6)]))
        assert not state.reading().persistent


class TestSeasons:
    def test_weekends_do_not_alarm_when_ranked_among_weekends(self, rng):
        def week():
            return np.concatenate([windows(rng, 5), windows(rng, 2, RISING)])

        season = np.tile([0] * 5 + [1] * 2, 6)
        base = np.concatenate([week() for _ in range(6)])
        state = ColumnEvidence.of(base, strata=season, rules=EvidenceRules(columns=10))
        for _ in range(4):
            state = state.update_many(week(), strata=season[:7])
        assert state.reading().log_evidence < 0
        for _ in range(3):
            state = state.update_many(windows(rng, 7, RISING), strata=season[:7])
        assert state.reading().persistent
        assert "same season" in state.reading().assumption

    def test_a_season_the_baseline_lacks_is_refused(self, rng):
        state = ColumnEvidence.of(windows(rng, 20), strata=np.arange(20) % 2)
        with pytest.raises(BadInput, match="season 2"):
            state.update(windows(rng, 1)[0], stratum=2)


class TestUnequalWindows:
    def test_a_fall_in_traffic_is_no_drift(self, rng):
        """20 baseline windows of 2,000 rows, then windows of 100: scores are noisier, and nothing moved."""
        fired = 0
        for _ in range(30):
            base = windows(rng, 20, rows=2_000)[None]
            new = windows(rng, 150, rows=100)[None]
            fired += replay(base, new, rules=EvidenceRules(columns=1, budget=0.05)).first.sum() > 0
        assert fired <= 1

    def test_a_rise_in_traffic_is_no_drift(self, rng):
        fired = 0
        for _ in range(30):
            days = 1 + 0.2 * rng.normal(size=(170, 1)) * np.linspace(-1, 1, 20)
            shares = np.clip(days, 0.05, None) / np.clip(days, 0.05, None).sum(1, keepdims=True)
            rows = np.array([300] * 20 + [3_000] * 150)
            all_windows = rng.multinomial(rows, shares)
            run = replay(
                all_windows[None, :20], all_windows[None, 20:], rules=EvidenceRules(columns=1, budget=0.05)
            )
            fired += run.first.sum() > 0
        assert fired <= 1


def test_dependent_windows_are_told_on_the_alarm(rng):
    told = 0
    for _ in range(20):
        level = np.zeros(140)
        for t in range(1, 140):
            level[t] = 0.9 * level[t - 1] + 0.1 * rng.normal()
        shares = 1 + np.clip(level, -0.9, 0.9)[:, None] * np.linspace(-1, 1, 20)
        all_windows = rng.multinomial(500, shares / 20)
        told += (
            ColumnEvidence.of(all_windows).reading().assumption.startswith("heuristic: windows are dependent")
        )
    assert told >= 18


def test_a_rolling_baseline_keeps_the_count_of_windows(rng):
    state = ColumnEvidence.of(windows(rng, 20)).update_many(windows(rng, 30))
    rolled = state.rebased(windows(rng, 20))
    assert (rolled.folded, rolled.first) == (30, 31)
    assert rolled.update(windows(rng, 1)[0]).reading().window == 31


@pytest.mark.parametrize("many", [1, 19])
def test_too_short_a_baseline_is_refused(rng, many):
    with pytest.raises(BadInput, match="at least 20"):
        ColumnEvidence.of(windows(rng, many))
