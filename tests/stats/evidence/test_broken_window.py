"""One plainly broken window: the statistics against their definitions, and the rule against what it must and must not find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm, power_divergence
from scipy.stats import t as student

from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.broken_window import (
    Contrast,
    any_broken,
    distribution,
    heavy_tails,
    judged,
    lag_one_of,
    location,
    measured,
    promise,
    rate,
    share,
    tail_of,
)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def flat(usual, deviation, *, surprise=1e9, noise=1e-6, matters=0.0):
    usual, deviation = np.asarray(usual, float), np.asarray(deviation, float)
    return Contrast(
        deviation=deviation,
        usual=usual,
        noise=np.full(deviation.shape, noise),
        usual_noise=np.full(usual.shape, noise),
        surprise=np.full(deviation.shape, surprise),
        matters=matters,
    )


class TestStatistics:
    def test_location_is_the_mean_rank_in_standard_deviations_of_a_normal_column(self, rng):
        cuts = norm.ppf(np.arange(1, 50) / 50)

        def counts(shift, rows):
            return np.histogram(rng.normal(shift, size=rows), np.r_[-np.inf, cuts, np.inf])[0]

        base = np.array([counts(0, 20_000) for _ in range(10)])
        found = location(np.array([counts(0.5, 200_000)]), base)
        assert found.deviation[0] == pytest.approx(0.5, abs=0.02)

    def test_distribution_is_the_kolmogorov_smirnov_distance(self, rng):
        base, window = rng.integers(0, 8, (12, 300)), rng.integers(2, 9, 250)

        def counts(x):
            return np.bincount(x, minlength=9)

        found = distribution(np.array([counts(window)]), np.array([counts(x) for x in base]))
        d = ks_2samp(base.reshape(-1), window, method="asymp").statistic
        assert 2 * norm.cdf(found.deviation[0] / 2) - 1 == pytest.approx(d)
        others = ks_2samp(np.delete(base, 3, 0).reshape(-1), base[3], method="asymp").statistic
        assert 2 * norm.cdf(found.usual[3] / 2) - 1 == pytest.approx(others)

    def test_surprise_of_a_share_is_half_the_likelihood_ratio(self):
        found = rate(np.array([30.0]), np.array([100.0]), np.full(10, 8.0), np.full(10, 80.0))
        table = np.array([[30.0, 70.0], [80.0, 720.0]])
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        g = power_divergence(table.ravel(), expected.ravel(), lambda_="log-likelihood").statistic
        assert found.surprise[0] == pytest.approx(g / 2)

    def test_a_share_that_hardly_moved_is_not_off_however_many_rows(self):
        arcs, big = share(np.array([2e6]), np.array([1e8]), np.full(20, 1e6), np.full(20, 1e8))
        assert arcs.deviation[0] == 0 == big.deviation[0]
        assert arcs.surprise[0] > 1e4

    def test_a_new_value_has_the_larger_of_its_own_and_the_usual_error(self):
        found = measured([0.5], [0.001], np.full(10, 0.9), np.full(10, 0.02), matters=0.02)
        assert found.noise[0] == pytest.approx(0.02**2 * 1.1)
        assert found.deviation[0] == pytest.approx(-0.4)

    def test_an_empty_window_is_no_different_from_the_baseline(self, rng):
        base = rng.multinomial(200, np.full(5, 0.2), size=20)
        nothing = np.zeros((1, 5))
        for contrast in (location(nothing, base), distribution(nothing, base)):
            assert not judged(contrast, chance=0.1).broken.any()
        empty = share(np.zeros(1), np.zeros(1), base[:, 0], base.sum(1))
        assert not any_broken([judged(c, chance=0.1) for c in empty]).any()


class TestRule:
    def test_the_widest_window_and_students_quantile_set_the_limit(self, rng):
        usual = rng.normal(size=20)
        limit = judged(flat(usual, [0.0]), chance=0.01).limit[0]
        sd = (usual * 19 / 20).std(ddof=0) * np.sqrt(20 / 19)
        by_student = student.isf(0.005, 19) * np.sqrt(((usual * 19 / 20) ** 2).sum() / 19 * 1.05)
        assert limit == pytest.approx(max(2.5 * np.abs(usual).max(), by_student), rel=1e-6)
        assert by_student == pytest.approx(student.isf(0.005, 19) * sd * np.sqrt(1.05), rel=0.1)

    def test_a_larger_window_never_lowers_it_and_a_smaller_one_raises_it(self, rng):
        usual = rng.normal(size=20)
        limits = [judged(flat(usual, [0.0], noise=1.0), chance=0.01).limit[0]]
        for noise in (0.01, 1.0, 4.0):
            one = flat(usual, [0.0], noise=1.0)
            other = Contrast(
                deviation=one.deviation,
                usual=one.usual,
                usual_noise=one.usual_noise,
                noise=np.array([noise]),
                surprise=one.surprise,
                matters=0.0,
            )
            limits.append(judged(other, chance=0.01).limit[0])
        assert limits[0] == limits[1] == limits[2] < limits[3]

    def test_both_sampling_and_windows_must_agree(self):
        usual = np.linspace(-1, 1, 20)
        assert judged(flat(usual, [9.0]), chance=0.001).broken[0]
        assert not judged(flat(usual, [9.0], surprise=1.0), chance=0.001).broken[0]
        assert not judged(flat(usual, [2.0]), chance=0.001).broken[0]
        assert not judged(flat(usual, [9.0], matters=10.0), chance=0.001).broken[0]

    def test_only_what_is_worse_counts_where_that_is_known(self):
        usual = np.linspace(-1, 1, 20)
        for worse, expected in ((1, [True, False]), (-1, [False, True]), (0, [True, True])):
            assert judged(flat(usual, [9.0, -9.0]), chance=0.001, worse=worse).broken.tolist() == expected

    def test_windows_that_hang_together_and_heavy_tails_widen_it(self, rng):
        usual = rng.normal(size=20)
        plain = judged(flat(usual, [0.0]), chance=0.01).limit[0]
        assert judged(flat(usual, [0.0]), chance=0.01, correlation=0.5).limit[0] > 1.05 * plain
        assert judged(flat(usual, [0.0]), chance=0.01, heavy=True).limit[0] > plain

    def test_few_windows_and_impossible_chances_are_refused(self):
        with pytest.raises(BadInput, match="at least 10 baseline windows"):
            judged(flat(np.zeros(9), [0.0]), chance=0.01)
        with pytest.raises(BadInput, match="between 0 and 1"):
            judged(flat(np.zeros(20), [0.0]), chance=0.0)

    def test_correlation_and_tails_of_the_baseline_are_found(self, rng):
        days = rng.normal(size=(200, 30))
        none = np.zeros_like(days)
        assert lag_one_of(days, none) < 0.1
        together = days.copy()
        for i in range(1, 30):
            together[:, i] = 0.7 * together[:, i - 1] + np.sqrt(1 - 0.49) * days[:, i]
        assert lag_one_of(together, none) == pytest.approx(0.7, abs=0.05)
        noisy = together + rng.normal(size=together.shape)
        assert lag_one_of(noisy, np.ones_like(days)) == pytest.approx(0.7, abs=0.08)
        errors, wild = np.ones_like(days), rng.standard_t(2, (200, 30))
        assert not heavy_tails(days, errors)
        assert heavy_tails(wild, errors)
        assert tail_of(days, errors) < 0.27 < tail_of(wild, errors)

    @pytest.mark.parametrize(
        ("correlation", "heavy", "growth"), [(0.7, False, 1), (0.0, True, 1), (0.0, False, 9)]
    )
    def test_nothing_is_promised_where_nothing_was_confirmed(self, correlation, heavy, growth):
        guarantee, why = promise(a_year=1, correlation=correlation, heavy=heavy, growth=growth)
        assert guarantee == "no bound on false alarms"
        assert why
        assert promise(a_year=2, correlation=0.0, heavy=False)[0].startswith(
            "on average about 2 windows a year are"
        )


def found_in_the_first_window(contrasts, chance, worse=0):
    return float(any_broken([judged(c, chance=chance, worse=worse) for c in contrasts]).mean())


class TestPower:
    """What is found in the first bad window, of 1,000: the table in docs/evidence.md."""

    COLUMN, MEASURE, SEGMENT = 0.5 / (50 * 4 * 365), 0.25 / (5 * 365), 0.25 / (50 * 365)

    @pytest.mark.parametrize(
        ("usual", "now", "rows", "least"),
        [(0.03, 0.38, 200, 0.99), (0.0, 0.1, 500, 0.99), (0.0, 0.2, 200, 0.99)],
    )
    def test_missing_values_and_new_categories(self, rng, usual, now, rows, least):
        size = (1000, 20)
        day = 0.3 * rng.normal(size=size)
        before = usual * np.exp(day) / (1 - usual + usual * np.exp(day))
        hits, all_rows = rng.binomial(rows, before), np.full(size, rows)
        found = share(rng.binomial(rows, now, (1000, 1)), np.full((1000, 1), rows), hits, all_rows)
        assert found_in_the_first_window(found, self.COLUMN) >= least

    @pytest.mark.parametrize(("rows", "now", "least"), [(200, 0.5, 0.97), (500, 0.5, 0.99)])
    def test_a_model_that_guesses_by_its_accuracy(self, rng, rows, now, least):
        hits = rng.binomial(rows, 0.9, (1000, 20))
        found = rate(
            rng.binomial(rows, now, (1000, 1)), np.full((1000, 1), rows), hits, np.full((1000, 20), rows)
        )
        assert found_in_the_first_window([found], self.MEASURE, worse=-1) >= least

    def test_a_segment_of_a_hundred_rows(self, rng):
        hits = rng.binomial(100, 0.9, (1000, 20))
        found = rate(
            rng.binomial(100, 0.5, (1000, 1)), np.full((1000, 1), 100), hits, np.full((1000, 20), 100)
        )
        assert found_in_the_first_window([found], self.SEGMENT, worse=-1) >= 0.9

    def test_log_loss_that_explodes_and_errors_that_quadruple(self, rng):
        usual = 0.53 + 0.02 * rng.normal(size=(200, 20))
        log_loss = measured(
            np.full((200, 1), 1.5), np.full((200, 1), 0.1), usual, np.full((200, 20), 0.02), matters=0.02
        )
        assert found_in_the_first_window([log_loss], self.MEASURE, worse=1) == 1
        errors = np.exp(0.1 * rng.normal(size=(200, 20)))
        mae = measured(
            np.full((200, 1), 4.0), np.full((200, 1), 0.3), errors, 0.1 * errors, matters=0.1, logarithm=True
        )
        assert found_in_the_first_window([mae], self.MEASURE, worse=1) == 1
