"""Window scores, grouping of bins, break thresholds, seasons and autocorrelation, each against its definition."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.autocorrelation import lag_one, lag_one_interval, prewhiten
from watchkeeper.stats.evidence.break_rule import break_threshold
from watchkeeper.stats.evidence.column_evidence import EvidenceRules, revision_share
from watchkeeper.stats.evidence.seasons import SEASONS, fewest_in_a_season, season_codes
from watchkeeper.stats.evidence.window_scores import WindowScorer, group_bins


@pytest.fixture
def rng():
    return np.random.default_rng(2)


class TestScores:
    def test_they_are_the_means_over_rows(self, rng):
        base = rng.multinomial(400, np.full(6, 1 / 6), size=20)
        window = rng.multinomial(300, np.full(6, 1 / 6))
        scorer, _, _ = WindowScorer.of(base)
        totals = base.sum(0)
        middle = (np.cumsum(totals) - totals / 2) / totals.sum()
        ranks = np.repeat(middle, window)
        _, effects = scorer.score(window[None])
        assert effects[0, 0] == pytest.approx(ranks.mean())
        assert effects[0, 1] == pytest.approx(np.abs(2 * ranks - 1).mean())

    def test_omnibus_is_the_two_sample_chi_square(self, rng):
        base = rng.multinomial(400, np.full(6, 1 / 6), size=20)
        window = rng.multinomial(400, np.full(6, 1 / 6))
        scorer, _, _ = WindowScorer.of(base)
        scores, effects = scorer.score(window[None])
        stat = chi2_contingency([window, base.sum(0)], correction=False).statistic
        assert np.expm1(scores[0, -1]) == pytest.approx(stat)
        assert effects[0, -1] == pytest.approx((stat - 5) / 400)

    def test_a_baseline_window_is_compared_with_the_others(self, rng):
        base = rng.multinomial(400, np.full(6, 1 / 6), size=20)
        _, scores, _ = WindowScorer.of(base)
        stat = chi2_contingency([base[3], base.sum(0) - base[3]], correction=False).statistic
        assert np.expm1(scores[3, -1]) == pytest.approx(stat)

    def test_categories_are_variance_stabilised_shares_with_missing_among_them(self, rng):
        base = rng.multinomial(100, [0.5, 0.3, 0.2], size=20)
        scorer, _, _ = WindowScorer.of(base, np.full(20, 10), ordered=False)
        scores, effects = scorer.score(np.array([[20, 30, 50]]), np.array([25]))
        np.testing.assert_allclose(effects[0, :-1], np.array([20, 30, 50, 25]) / 125)
        np.testing.assert_allclose(scores[0, :-1], np.arcsin(np.sqrt(effects[0, :-1])))
        assert scorer.names == ("share:0", "share:1", "share:2", "missing", "omnibus")

    def test_variation_beyond_sampling_is_estimated(self, rng):
        days = rng.normal(0, 0.02, 400)
        shares = 0.1 + days[:, None] * np.linspace(-1, 1, 10)
        shares = np.clip(shares, 0, None) / np.clip(shares, 0, None).sum(1, keepdims=True)
        wild, _, _ = WindowScorer.of(rng.multinomial(1_000, shares))
        tame, _, _ = WindowScorer.of(rng.multinomial(1_000, np.full(10, 0.1), size=400))
        truth = (shares @ ((np.arange(10) + 0.5) / 10)).std()
        assert wild.effect_excess[0] == pytest.approx(truth, rel=0.1)
        assert tame.effect_excess[0] < 0.004

    def test_all_rows_missing_is_a_window_like_any_other(self, rng):
        scorer, _, _ = WindowScorer.of(rng.multinomial(100, np.full(5, 0.2), size=20))
        scores, effects = scorer.score(np.zeros((1, 5)), np.array([100]))
        assert np.isfinite(scores).all()
        assert effects[0, 2] == 1
        assert scorer.distance(np.array([0, 0, 0, 0, 0, 100.0]), scorer.totals) == pytest.approx(1)

    def test_many_columns_at_once_are_the_columns_one_by_one(self, rng):
        base, new = rng.poisson(30, (3, 20, 7)), rng.poisson(25, (3, 4, 7))
        together, scores, _ = WindowScorer.of(base)
        for c in range(3):
            alone, its_scores, _ = WindowScorer.of(base[c])
            np.testing.assert_allclose(its_scores, scores[c])
            np.testing.assert_allclose(alone.score(new[c])[0], together.score(new)[0][c])

    def test_baselines_that_cannot_be_used_are_refused(self, rng):
        base = rng.poisson(30, (20, 7))
        with pytest.raises(BadInput, match="two windows"):
            WindowScorer.of(base[:1])
        with pytest.raises(BadInput, match="no rows"):
            WindowScorer.of(base * (np.arange(20) > 0)[:, None])
        with pytest.raises(BadInput, match="only one window"):
            WindowScorer.of(base, strata=np.array([0] * 19 + [1]))


def test_bins_are_grouped_to_about_equal_shares(rng):
    counts = rng.poisson(50, 2_048)
    groups = group_bins(counts)
    shares = np.bincount(groups, counts) / counts.sum()
    assert len(shares) == 20
    np.testing.assert_allclose(shares, 0.05, atol=0.002)
    assert (np.diff(groups) >= 0).all()
    with pytest.raises(BadInput):
        group_bins(np.zeros(5))


def test_the_break_threshold_is_the_formula():
    s = 7
    weight = np.log(9.5) / ((s + 9) * np.log(s + 9) ** 2)
    expected = 0.1 + np.sqrt(np.log(4 * 50 / (0.01 * weight)) / 800) + np.sqrt(np.log(4 * 50 / 0.01) / 16_000)
    given = {"window": s, "rows": 400, "baseline_rows": 8_000, "columns": 50, "budget": 0.01}
    assert break_threshold(**given, widest_gap=0.0) == pytest.approx(expected)
    assert break_threshold(**given, widest_gap=0.2) == pytest.approx(0.6)


def test_the_break_threshold_holds_over_time_without_a_horizon(rng):
    """Independent rows, a budget of 20% for one column and no margin: how often is it ever passed?"""
    base = rng.multinomial(10_000, np.full(20, 0.05), size=400)
    passed = 0
    for totals in base:
        windows = rng.multinomial(300, np.full(20, 0.05), size=400)
        gap = np.abs(np.cumsum(windows / 300 - totals / 10_000, axis=1)).max(1)
        limit = break_threshold(
            window=np.arange(1, 401),
            rows=300,
            baseline_rows=10_000,
            widest_gap=0,
            columns=1,
            budget=0.2,
            margin=0,
        )
        passed += (gap > limit).any()
    assert passed / 400 < 0.2


class TestSeasons:
    def test_codes_agree_with_the_calendar(self):
        starts = [dt.datetime(2013, 1, 1) + dt.timedelta(hours=h) for h in range(0, 24 * 400, 5)]
        array = np.array(starts, "datetime64[us]")
        assert season_codes(array, "weekday").tolist() == [s.weekday() for s in starts]
        assert season_codes(array, "hour").tolist() == [s.hour for s in starts]
        assert season_codes(array, "month").tolist() == [s.month - 1 for s in starts]
        assert season_codes(array, "weekend").tolist() == [int(s.weekday() >= 5) for s in starts]
        assert season_codes(array, "hour_of_week").tolist() == [s.weekday() * 24 + s.hour for s in starts]

    @pytest.mark.parametrize("season", SEASONS)
    def test_codes_fill_their_strata(self, season):
        hours = np.arange("2012-01-01", "2013-01-01", dtype="datetime64[h]")
        codes = season_codes(hours, season)
        assert set(codes.tolist()) == set(range(SEASONS[season]))
        assert fewest_in_a_season(codes) > 1

    def test_times_before_1970_too(self):
        assert season_codes(np.array(["1969-12-31T23"], "datetime64[h]"), "weekday")[0] == 2
        assert season_codes(np.array(["1969-12-31T23"], "datetime64[h]"), "hour")[0] == 23

    def test_an_unknown_season_is_refused(self):
        with pytest.raises(BadInput, match="Did you mean 'weekday'"):
            season_codes(np.array(["2013-01-01"], "datetime64[h]"), "weekdays")


class TestAutocorrelation:
    @pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
    def test_it_is_nearly_unbiased_and_its_interval_covers(self, rng, rho):
        n = 60
        x = np.zeros((2_000, n + 50))
        for t in range(1, n + 50):
            x[:, t] = rho * x[:, t - 1] + rng.normal(size=2_000)
        r = lag_one(x[:, 50:])
        assert r.mean() == pytest.approx(rho, abs=0.03)
        covered = [lag_one_interval(float(v), n).low <= rho <= lag_one_interval(float(v), n).high for v in r]
        assert np.mean(covered) > 0.92

    def test_prewhitening_by_the_truth_leaves_no_correlation(self, rng):
        x = np.zeros(5_000)
        for t in range(1, 5_000):
            x[t] = 0.7 * x[t - 1] + rng.normal()
        assert abs(lag_one(prewhiten(x, np.array(0.7)))) < 0.04

    def test_seasons_are_no_correlation(self, rng):
        season = np.arange(200) // 10 % 2
        x = season * 5 + rng.normal(size=200)
        assert lag_one(x) > 0.6
        assert abs(lag_one(x, season)) < 0.2


def test_all_revisions_share_one_budget():
    assert sum(revision_share(r) for r in range(1, 10_000)) == pytest.approx(1, abs=1e-3)
    with pytest.raises(BadInput, match="from 1"):
        revision_share(0)


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"break_budget": 1}, {"columns": 0}, {"memory": 3}])
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadInput):
        EvidenceRules(**wrong)
