"""Drift measures on states, against scipy on the rows that the states were made from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from watchkeeper.domain.measurement import Family
from watchkeeper.domain.schema import Kind
from watchkeeper.measures.drift.alignment import ordered_bins, shared_bins
from watchkeeper.measures.drift.anderson_darling import anderson_darling, measure_anderson_darling
from watchkeeper.measures.drift.catalogue import CATALOGUE
from watchkeeper.measures.drift.chi_square import measure_chi_square
from watchkeeper.measures.drift.cramer_von_mises import cramer_von_mises, measure_cramer_von_mises
from watchkeeper.measures.drift.cramers_v import measure_cramers_v
from watchkeeper.measures.drift.energy import energy, measure_energy
from watchkeeper.measures.drift.g_test import measure_g_test
from watchkeeper.measures.drift.hellinger import hellinger
from watchkeeper.measures.drift.jensen_shannon import jensen_shannon
from watchkeeper.measures.drift.ks import ks, measure_ks
from watchkeeper.measures.drift.missing_drift import measure_missing_drift
from watchkeeper.measures.drift.psi import measure_psi, psi
from watchkeeper.measures.drift.wasserstein import measure_wasserstein, wasserstein
from watchkeeper.measures.drift.wasserstein_sd import measure_wasserstein_sd, wasserstein_sd
from watchkeeper.stats.cdf_distances import anderson_darling_sd
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram

OF_COLUMNS = [entry for entry in CATALOGUE if entry.reads in ("distribution", "histogram", "state")]
OF_NUMBERS = [entry for entry in OF_COLUMNS if Kind.NUMERIC in entry.kinds]
WITH_VALUES = [entry for entry in OF_NUMBERS if entry.name != "missing_drift"]
OF_CATEGORIES = [entry for entry in OF_COLUMNS if Kind.CATEGORICAL in entry.kinds]
BY_NAME = {entry.name: entry for entry in CATALOGUE}
SHARES = ("psi", "kl", "js_divergence", "total_variation", "l_infinity", "cramers_v")
WHOLE = st.lists(st.integers(-30, 30), min_size=2, max_size=80)


def name(entry):
    return entry.name


def states(x, y):
    edges = Edges.of_values(np.asarray(x, dtype=float)[np.isfinite(x)])
    return Histogram.of(np.asarray(x, dtype=float), edges), Histogram.of(np.asarray(y, dtype=float), edges)


class TestExactColumnsAgainstScipy:
    """At most 2,048 distinct values in both: the numbers of the states are those of the rows."""

    @pytest.mark.known_answer(
        "ks", "wasserstein", "wasserstein_sd", "energy", source="scipy.stats on the rows"
    )
    @settings(max_examples=80, deadline=None)
    @given(WHOLE, WHOLE)
    def test_ordered_distances(self, x, y):
        # edges that know both sides' values: nothing is smeared
        edges = Edges.of_values(np.array(x + y, dtype=float))
        pair = [Histogram.of(np.array(side, dtype=float), edges) for side in (x, y)]
        assert ks(*pair) == pytest.approx(stats.ks_2samp(x, y, method="asymp").statistic)
        assert wasserstein(*pair) == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-9)
        assert energy(*pair) == pytest.approx(stats.energy_distance(x, y), abs=1e-7)
        if len(set(x)) > 1:
            expected = stats.wasserstein_distance(x, y) / np.std(x)
            assert wasserstein_sd(*pair) == pytest.approx(expected, abs=1e-9)
        assert measure_ks(*pair).bound == 0
        assert measure_wasserstein(*pair).bound == pytest.approx(0, abs=1e-12)

    @pytest.mark.known_answer("cramer_von_mises", "anderson_darling", source="scipy.stats on the rows")
    @pytest.mark.filterwarnings("ignore:p-value")
    def test_rank_criteria(self):
        rng = np.random.default_rng(0)
        order = rng.permutation(900)
        x, y = order[:500].astype(float), order[500:].astype(float)
        pair = [Histogram.of(side, Edges.of_values(order.astype(float))) for side in (x, y)]
        truth = stats.cramervonmises_2samp(x, y, method="asymptotic")
        got = measure_cramer_von_mises(*pair)
        assert got.value == cramer_von_mises(*pair) == pytest.approx(truth.statistic)
        assert got.p_value == pytest.approx(truth.pvalue, rel=0.05)
        truth = stats.anderson_ksamp([x, y], variant="midrank")
        standard = (anderson_darling(*pair) - 1) / anderson_darling_sd(500, 400)
        assert standard == pytest.approx(truth.statistic, abs=1e-9)

    @pytest.mark.filterwarnings("ignore:p-value")
    def test_p_values_near_a_border(self):
        rng = np.random.default_rng(2)
        x, y = rng.normal(size=800), rng.normal(0.12, 1, size=700)
        pair = [Histogram.of(side, Edges.of_values(np.concatenate([x, y]))) for side in (x, y)]
        truth = stats.anderson_ksamp([x, y], variant="midrank")
        assert measure_anderson_darling(*pair).p_value == pytest.approx(truth.pvalue, rel=0.15)
        assert measure_ks(*pair).p_value == pytest.approx(stats.ks_2samp(x, y).pvalue, rel=0.1)
        shuffled = stats.permutation_test(
            (x, y), stats.energy_distance, n_resamples=500, alternative="greater", rng=rng, vectorized=False
        )
        assert measure_energy(*pair).p_value == pytest.approx(shuffled.pvalue, abs=0.03)


class TestManyDistinctValuesWithinTheBound:
    @pytest.mark.parametrize("shift", [0.0, 0.05, 2.0])
    def test_against_the_rows(self, shift):
        rng = np.random.default_rng(8)
        x, y = rng.gamma(2, 1, size=40_000), rng.gamma(2, 1, size=9_000) + shift
        pair = states(x, y)
        for measure, truth in (
            (measure_ks, stats.ks_2samp(x, y, method="asymp").statistic),
            (measure_wasserstein, stats.wasserstein_distance(x, y)),
            (measure_cramer_von_mises, stats.cramervonmises_2samp(x, y, method="asymptotic").statistic),
        ):
            got = measure(*pair)
            assert abs(got.value - truth) <= got.bound + 1e-12, got.measure
            assert got.value == pytest.approx(truth, rel=0.02, abs=2e-3)
        assert energy(*pair) == pytest.approx(stats.energy_distance(x, y), rel=0.02)

    def test_a_window_that_leaves_the_range_is_as_far_as_it_went(self):
        rng = np.random.default_rng(9)
        x = rng.normal(size=30_000)
        pair = states(x, x + 1_000)
        assert wasserstein(*pair) == pytest.approx(1_000, rel=1e-3)
        assert ks(*pair) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-150, 1e150, 1e160, 1e300])
def test_distances_of_very_small_and_very_large_values_are_those_of_plain_ones(scale):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=2_000), rng.normal(0.3, 1, size=2_000)
    sides = states(x * scale, y * scale)
    assert wasserstein_sd(*sides) == pytest.approx(stats.wasserstein_distance(x, y) / x.std(), rel=1e-3)
    assert energy(*sides) == pytest.approx(stats.energy_distance(x, y) * math.sqrt(scale), rel=1e-3)
    plain = {f: f(*states(x, y)) for f in (measure_wasserstein_sd, measure_energy)}
    for measure, one in plain.items():
        found = measure(*sides)
        unit = math.sqrt(scale) if measure is measure_energy else 1.0
        assert found.value == pytest.approx(one.value * unit, rel=1e-9)
        assert found.margin == pytest.approx(one.margin * unit, rel=1e-9)
        assert found.details["expected"] == pytest.approx(one.details["expected"] * unit, rel=1e-9)
        assert one.p_value is None or found.p_value == pytest.approx(one.p_value, rel=1e-6)


class TestShares:
    @pytest.mark.known_answer("jensen_shannon", "hellinger", "chi_square", "g_test", source="scipy")
    def test_categories_against_scipy(self):
        q, p = {"a": 500, "b": 300, "c": 200}, {"a": 300, "b": 310, "c": 390}
        pair = Frequencies.of_counts(q), Frequencies.of_counts(p)
        counts = list(q.values()), list(p.values())
        assert jensen_shannon(*pair) == pytest.approx(jensenshannon(*counts, base=2))
        bc = np.sqrt(np.array(counts[0]) / 1000 * np.array(counts[1]) / 1000).sum()
        assert hellinger(*pair) == pytest.approx(math.sqrt(1 - bc))
        for measure, kind in ((measure_chi_square, "pearson"), (measure_g_test, "log-likelihood")):
            truth = stats.chi2_contingency(counts, correction=False, lambda_=kind)
            got = measure(*pair)
            assert (got.value, got.p_value) == (
                pytest.approx(truth.statistic),
                pytest.approx(truth.pvalue),
            )
            assert got.details["df"] == 2

    @pytest.mark.known_answer(
        "psi",
        "kl",
        "js_divergence",
        "total_variation",
        "l_infinity",
        "cramers_v",
        source="scipy, closed forms",
    )
    def test_further_distances_of_categories(self):
        q, p = np.array([500, 300, 200]), np.array([300, 310, 390])
        pair = [Frequencies.of_counts(dict(zip("abc", side.tolist()))) for side in (q, p)]
        value = {name: BY_NAME[name].function(*pair).value for name in BY_NAME if name in SHARES}
        padded = q + 0.5, p + 0.5
        assert value["kl"] == pytest.approx(stats.entropy(padded[1], padded[0]), rel=1e-3)
        both = stats.entropy(*padded) + stats.entropy(padded[1], padded[0])
        assert value["psi"] == pytest.approx(both, rel=1e-3)
        assert value["js_divergence"] == pytest.approx(jensenshannon(q, p, base=2) ** 2)
        assert value["total_variation"] == pytest.approx(np.abs(q - p).sum() / 2000)
        assert value["l_infinity"] == pytest.approx(0.2)
        phi2 = stats.chi2_contingency([q, p], correction=False).statistic / 2000 - 2 / 1999
        assert value["cramers_v"] == pytest.approx(math.sqrt(phi2 / (1 - 1 / 1999)))

    def test_numbers_take_twenty_equal_bins_of_the_baseline(self):
        rng = np.random.default_rng(1)
        bins = shared_bins(*states(rng.normal(size=50_000), rng.normal(size=5_000)))
        filled = bins.baseline[bins.baseline > 0]
        assert len(filled) == 20
        assert filled.min() > 0.95 * 2_500
        assert bins.window.sum() == 5_000

    def test_few_values_have_a_bin_each_and_the_unseen_share_one(self):
        bins = shared_bins(*states([1] * 30 + [2] * 50 + [3] * 20 + [4], [1] * 10 + [2.5] * 7 + [9] * 3))
        assert bins.baseline[:4].tolist() == [30, 50, 20, 1]
        assert bins.window[:4].tolist() == [10, 0, 0, 10]

    def test_missing_and_infinite_are_bins_of_their_own(self):
        x = np.array([*np.arange(100.0), np.nan, np.inf])
        y = np.array([*np.arange(50.0), *[np.nan] * 40, -np.inf])
        bins = shared_bins(*states(x, y))
        assert bins.baseline[-3:].tolist() == [1, 1, 0]
        assert bins.window[-3:].tolist() == [40, 0, 1]

    def test_a_surge_of_missing_values_is_drift(self):
        rng = np.random.default_rng(4)
        x, y = rng.normal(size=5_000), rng.normal(size=5_000)
        y[:1_500] = np.nan
        got = measure_psi(*states(x, y))
        assert got.value > 0.3 > 0.05 > got.margin

    def test_a_long_tail_of_categories_is_no_drift(self):
        """Ten thousand ids, each seen about never: a window always holds others than the baseline did."""
        rng = np.random.default_rng(5)
        above = 0
        for _ in range(60):
            q, p = ({f"id{i}": 1 for i in rng.choice(10**6, 1_000, replace=False)} for _ in range(2))
            got = measure_psi(Frequencies.of_counts(q), Frequencies.of_counts(p))
            above += got.value > got.margin
        assert above == 0

    def test_a_new_category_that_matters_is_drift(self):
        q = Frequencies.of_counts({"a": 600, "b": 400})
        got = measure_psi(q, Frequencies.of_counts({"a": 500, "b": 300, "new": 200}))
        assert got.value > 0.5
        assert got.p_value < 1e-10


NULLS = {
    "normal": lambda rng, k: rng.normal(size=k),
    "half zeros": lambda rng, k: np.where(rng.random(k) < 0.5, 0.0, rng.exponential(size=k)),
    "counts": lambda rng, k: rng.poisson(3, size=k).astype(float),
}


class TestWhenNothingMoved:
    """The same answer at every size: sampling noise stays below the margin."""

    @pytest.mark.slow
    @pytest.mark.parametrize("rows", [1_000, 100_000])
    @pytest.mark.parametrize("shape", NULLS)
    def test_psi_exceeds_its_margin_in_one_pair_of_a_hundred(self, rows, shape):
        rng = np.random.default_rng([rows, len(shape)])
        above = 0
        for _ in range(200):
            got = measure_psi(*states(NULLS[shape](rng, rows), NULLS[shape](rng, rows)))
            above += got.value > got.margin
        assert above <= stats.binom.ppf(0.9999, 200, 0.015)

    @pytest.mark.parametrize("shape", NULLS)
    def test_every_measure_keeps_its_margin_and_its_p_value(self, shape):
        rng = np.random.default_rng([9, len(shape)])
        above = dict.fromkeys(map(name, OF_NUMBERS), 0)
        small = dict(above)
        for _ in range(200):
            pair = states(NULLS[shape](rng, 2_000), NULLS[shape](rng, 800))
            for entry in OF_NUMBERS:
                got = entry.function(*pair)
                above[entry.name] += got.value > got.margin
                small[entry.name] += got.p_value is not None and got.p_value <= 0.05
        assert max(above.values()) <= stats.binom.ppf(0.9999, 200, 0.015), above
        assert max(small.values()) <= stats.binom.ppf(0.9999, 200, 0.055), small

    @pytest.mark.parametrize("entry", WITH_VALUES, ids=name)
    def test_the_expected_value_is_told(self, entry):
        rng = np.random.default_rng(12)
        values, expected = [], []
        for _ in range(60):
            got = entry.function(*states(rng.normal(size=3_000), rng.normal(size=1_000)))
            values.append(got.value)
            expected.append(got.details["expected"])
        error = np.std(values) / math.sqrt(60)
        assert np.mean(expected) == pytest.approx(np.mean(values), rel=0.05, abs=4 * error)


class TestEveryMeasure:
    @pytest.mark.parametrize("entry", OF_NUMBERS, ids=name)
    def test_sees_a_shift_of_numbers(self, entry):
        rng = np.random.default_rng(3)
        x, y = rng.normal(size=4_000), rng.normal(0.5, 1.3, size=2_000)
        y[:200] = np.nan
        got = entry.function(*states(x, y))
        assert got.measure == entry.name
        assert got.value > got.margin > 0
        assert got.p_value is None or got.p_value < 1e-6
        assert got.rows <= 2_000

    @pytest.mark.parametrize("entry", OF_CATEGORIES, ids=name)
    def test_sees_a_shift_of_categories(self, entry):
        q = Frequencies.of_counts({"a": 500, "b": 300, "c": 200})
        got = entry.function(q, Frequencies.of_counts({"a": 200, "b": 300, "c": 400}, nulls=100))
        assert got.measure == entry.name
        assert got.value > got.margin
        assert got.p_value < 1e-6
        assert got.baseline_rows == 1_000
        assert got.bound == 0

    @pytest.mark.parametrize("entry", OF_COLUMNS, ids=name)
    def test_an_empty_side_gives_a_reason(self, entry):
        if Kind.NUMERIC in entry.kinds:
            full, empty = states([1.0, 2.0] * 20, [])
        else:
            full, empty = Frequencies.of_counts({"a": 9}), Frequencies.empty()
        for pair in ((full, empty), (empty, full)):
            got = entry.function(*pair)
            assert got.value is None
            assert "no " in got.reason

    @pytest.mark.parametrize("entry", OF_NUMBERS, ids=name)
    def test_a_constant_column_has_not_moved(self, entry):
        got = entry.function(*states([3.0] * 50, [3.0] * 20))
        if entry.name == "wasserstein_sd":
            assert "constant" in got.reason
        elif entry.name in ("psi", "kl"):  # the pseudo-count has nothing to weigh against
            assert got.value == pytest.approx(0, abs=1e-12)
        else:
            assert got.value == 0
            assert got.p_value is None or got.p_value == 1

    @pytest.mark.parametrize("entry", WITH_VALUES, ids=name)
    def test_a_kind_that_changed_gives_a_reason(self, entry):
        numbers, _ = states([1.0, 2.0] * 20, [1.0])
        got = entry.function(numbers, Frequencies.of_counts({"a": 9}))
        assert got.value is None
        assert "counted as histogram in the baseline and as frequencies now" in got.reason

    @pytest.mark.parametrize("entry", OF_NUMBERS, ids=name)
    def test_sampled_capture_keeps_the_noise_of_the_rows_that_were_seen(self, entry):
        rng = np.random.default_rng(6)
        x, y = states(rng.normal(size=4_000), rng.normal(0.1, 1, size=1_000))
        plain = entry.function(x, y)
        scaled = entry.function(x, y.scaled(10.0), rows=(4_000, 1_000))
        assert scaled.rows == pytest.approx(plain.rows)
        assert scaled.margin == pytest.approx(plain.margin, rel=0.06)
        assert scaled.value == pytest.approx(plain.value, rel=0.02, abs=1e-3)
        if plain.p_value is not None:
            assert scaled.p_value == pytest.approx(plain.p_value, rel=0.3, abs=1e-3)

    @pytest.mark.parametrize("entry", CATALOGUE, ids=name)
    def test_is_described(self, entry):
        assert entry.measure.family is Family.DRIFT
        assert entry.measure.sentence.endswith(".")
        assert entry.reference


class TestMissingDrift:
    def test_both_shares_are_told(self):
        got = measure_missing_drift(
            Frequencies.of_counts({"a": 900}, nulls=100), Frequencies.of_counts({"a": 70}, nulls=30)
        )
        assert got.value == pytest.approx(0.2)
        assert (got.details["baseline_share"], got.details["share"]) == (0.1, 0.3)
        truth = stats.chi2_contingency([[900, 100], [70, 30]], correction=False).pvalue
        assert got.p_value == pytest.approx(truth)

    @pytest.mark.known_answer("missing_drift", source="scipy.stats.fisher_exact")
    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 4), st.integers(0, 4))
    def test_rare_missing_values_take_fishers_test(self, n, m, a, b):
        a, b = min(a, n), min(b, m)
        if not a + b or a + b == n + m or min(n, m) * min(a + b, n + m - a - b) / (n + m) >= 5:
            return
        got = measure_missing_drift(
            Frequencies.of_counts({"x": n - a}, nulls=a), Frequencies.of_counts({"x": m - b}, nulls=b)
        )
        assert got.p_value == pytest.approx(stats.fisher_exact([[n - a, a], [m - b, b]]).pvalue, rel=1e-6)

    def test_a_tiny_window_without_missing_values_is_not_certain(self):
        got = measure_missing_drift(Frequencies.of_counts({"x": 1000}), Frequencies.of_counts({"x": 5}))
        assert got.value == 0
        assert got.margin > 0.02


class TestRefinements:
    def test_cramers_v_margin_is_the_value_at_the_tests_border(self):
        rng = np.random.default_rng(1)
        above = below = 0
        for _ in range(300):
            q, p = (
                Frequencies.of_counts(dict(zip("abcdef", rng.multinomial(k, [1 / 6] * 6).tolist())))
                for k in (5_000, 700)
            )
            got = measure_cramers_v(q, p)
            above += got.value > got.margin
            below += (got.value > got.margin) != (got.p_value < 0.01)
        assert above <= stats.binom.ppf(0.9999, 300, 0.012)
        assert below <= 3, "margin and p-value tell the same"

    def test_an_open_bin_in_which_all_rows_are_equal_is_exact(self):
        pair = states([1.0, 2.0] * 30, [7.0] * 9)
        assert ordered_bins(*pair).atoms[-1]
        assert measure_wasserstein_sd(*pair).bound == 0
        assert psi(*pair) > 1


def counted(codes, categories):
    counts = np.bincount(codes, minlength=categories).tolist()
    return Frequencies.of_counts({f"k{i}": n for i, n in enumerate(counts) if n})


def null_rates(categories, n, m, zipf, trials, level=0.01):
    """Share of pairs of samples of one distribution whose p-value is below *level*, by measure."""
    rng = np.random.default_rng(categories + n + m)
    shares = 1 / np.arange(1, categories + 1) if zipf else np.ones(categories)
    shares /= shares.sum()
    measures = (measure_chi_square, measure_g_test, measure_psi)
    below = dict.fromkeys(measures, 0)
    for _ in range(trials):
        sides = [counted(rng.choice(categories, size, p=shares), categories) for size in (n, m)]
        for measure in measures:
            p = measure(*sides).p_value
            below[measure] += p is not None and p < level
    return {measure.__name__: count / trials for measure, count in below.items()}


SPARSE = [
    (500, 5_000, 5_000, False), (500, 5_000, 500, False), (500, 500, 5_000, False), (3_000, 30_000, 30_000, False),
    (6_000, 60_000, 60_000, False), (10_000, 100_000, 10_000, False), (2_000, 20_000, 20_000, True),
    (10_000, 50_000, 5_000, True),
]  # fmt: skip


@pytest.mark.parametrize(("categories", "n", "m", "zipf"), SPARSE)
def test_many_categories_of_one_distribution_have_not_moved(categories, n, m, zipf):
    rates = null_rates(categories, n, m, zipf, trials=10)
    assert max(rates.values()) <= 0.2, rates  # three of ten below 1% have a chance of one in 10,000


@pytest.mark.long
@pytest.mark.parametrize(("categories", "n", "m", "zipf"), SPARSE)
def test_p_values_of_many_categories_hold(categories, n, m, zipf):
    rates = null_rates(categories, n, m, zipf, trials=400, level=0.05)
    assert max(rates.values()) <= stats.binom.ppf(0.999, 400, 0.05) / 400, rates


def test_categories_too_many_to_be_told_apart_are_not_compared():
    rng = np.random.default_rng(8)
    sides = [counted(rng.integers(0, 10_000, 50_000), 10_000) for _ in range(2)]
    found = measure_psi(*sides)
    assert found.value is None
    assert "4,096 categories" in found.reason
    moved = counted(np.where(rng.random(50_000) < 0.1, 9_999, rng.integers(0, 10_000, 50_000)), 10_000)
    assert measure_psi(sides[0], moved).p_value < 1e-6


def test_what_came_does_not_hide_what_went():
    """Forty ages, thirty of them replaced by higher ones: each has too few rows for a bin of its own."""
    before, after = states(np.arange(500) % 40 + 20.0, np.arange(500) % 40 + 50.0)
    assert psi(before, after) > 1
