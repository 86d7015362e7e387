"""deequ's definitions, against the numbers of deequ's own unit tests and against closed forms.

The peer is a Scala library that is not on PyPI, so no run of it stands behind this file. The counts and numbers
of ``OWN_TESTS`` are the inputs and the asserted results in its ``KLLDistanceTest.scala`` (awslabs/deequ).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from watchkeeper.errors import BadInput
from watchkeeper.measures.compat import deequ

SMALL = {"a": 10, "b": 20, "c": 25, "d": 10, "e": 5}
SKEWED = {"a": 207, "b": 20, "c": 25, "d": 14, "e": 25, "g": 13}


def rows(counts):
    return np.repeat(np.array(list(counts), dtype=object), list(counts.values()))


@pytest.mark.parametrize(
    ("sample", "other", "method", "alpha", "expected"),
    [
        (SMALL, {"a": 11, "b": 20, "c": 25, "d": 10, "e": 10}, "linf_simple", None, 0.06015037593984962),
        (SMALL, {"a": 11, "b": 20, "c": 25, "d": 10, "e": 10}, "linf_robust", None, 0.0),
        (SMALL, {"f": 11, "a": 20, "c": 25, "d": 10, "e": 10}, "linf_simple", None, 0.2857142857142857),
        (SMALL, {"f": 11, "a": 20, "c": 25, "d": 10, "e": 10}, "linf_robust", None, 0.0),
        (
            SKEWED,
            {"a": 22, "b": 20, "c": 25, "d": 12, "e": 13, "f": 15},
            "linf_robust",
            0.003,
            0.2726338046550349,
        ),
        (
            SKEWED,
            {"a": 22, "b": 20, "c": 25, "d": 12, "e": 13, "f": 15},
            "linf_robust",
            0.1,
            0.33774199396969184,
        ),
    ],
)
def test_distances_of_its_own_tests(sample, other, method, alpha, expected):
    found = deequ.column_drift(rows(other), rows(sample), method=method, alpha=alpha)
    assert found.score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("sample", "baseline", "statistic", "p"),
    [
        (
            SKEWED,
            {"a": 223, "b": 20, "c": 25, "d": 12, "e": 13, "f": 15},
            28.175042782458068,
            3.3640191298478506e-5,
        ),
        (
            {"a": 207, "b": 20, "c": 25, "d": 14, "e": 25},
            {"a": 223, "b": 20, "c": 25, "d": 12, "e": 13},
            None,
            0.013227994814265176,
        ),
        (
            {"a": 100, "b": 20, "c": 25, "d": 10, "e": 5, "f": 2},
            {"a": 100, "b": 22, "c": 25, "d": 5, "e": 13, "f": 2},
            8.789790456457125,
            None,
        ),
        (
            {"a": 100, "b": 40, "c": 30, "d": 10},
            {"a": 100, "b": 40, "c": 30, "e": 4},
            0.38754325259515626,
            None,
        ),
        ({"a": 100, "b": 4, "c": 3, "d": 27}, {"a": 100, "b": 4, "c": 3, "d": 34}, 1.1507901668129925, None),
        (
            {"a": 100, "b": 4, "c": 3, "d": 27, "e": 20, "f": 20, "g": 20, "h": 20},
            {"a": 100, "b": 2, "c": 1, "d": 34, "e": 20, "f": 20, "g": 20, "h": 20},
            6.827423492761593,
            None,
        ),
    ],
)
def test_chi_square_of_its_own_tests(sample, baseline, statistic, p):
    found = deequ.column_drift(rows(baseline), rows(sample), method="chi_square")
    if statistic is not None:
        assert found.details["statistic"] == pytest.approx(statistic, rel=1e-12)
    if p is not None:
        assert found.score == pytest.approx(p, rel=1e-9)


def test_too_few_categories_have_no_number():
    counts = {"a": 100, "b": 4, "c": 3}
    found = deequ.column_drift(rows(counts), rows(counts), method="chi_square")
    assert found.score is None
    assert "two categories" in found.reason


def test_numbers_of_its_own_tests():
    left, right = [1.0, 2, 3, 4], [2.0, 3, 4, 5]
    assert deequ.column_drift(left, right, method="linf_simple").score == 0.25
    assert deequ.column_drift(left, right).score == 0.0


@pytest.mark.parametrize("case", ["normal_shift_small", "normal_shift_large", "normal_over_10000"])
def test_without_ties_the_simple_distance_is_kolmogorovs(case, column_cases):
    left, right = np.unique(column_cases[case].reference), np.unique(column_cases[case].current)
    n, m = len(left), len(right)
    simple = deequ.column_drift(left, right, method="linf_simple").score
    assert simple == pytest.approx(stats.ks_2samp(left, right).statistic, abs=1e-12)
    assert deequ.column_drift(left, right).score == pytest.approx(
        max(0, simple - 1.8 * np.sqrt((n + m) / (n * m)))
    )


def test_ties_count_once_as_in_the_peers_rank_map():
    assert (
        deequ.column_drift([1.0] * 90 + [2.0] * 10, [1.0] * 10 + [2.0] * 90, method="linf_simple").score
        == 0.0
    )


def test_a_random_sketch_is_said():
    assert "random" in deequ.column_drift(np.arange(3000.0), np.arange(3000.0)).note
    assert not deequ.column_drift(np.arange(2000.0), np.arange(2000.0)).note


def test_methods_are_checked():
    with pytest.raises(BadInput, match="categorical"):
        deequ.column_drift([1.0, 2.0], [1.0, 2.0], method="chi_square")
    with pytest.raises(BadInput, match="linf_robust"):
        deequ.column_drift(["a"], ["b"], method="linf_robst")
