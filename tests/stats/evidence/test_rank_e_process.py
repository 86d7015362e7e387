"""The rank e-process is a fair game under exchangeability, and its fast form is the formula."""

from __future__ import annotations

from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp

from watchkeeper.stats.evidence.rank_e_process import (
    LENGTHS,
    THETAS,
    change_weight,
    log_evidence,
    log_lehmann,
)


def by_the_formula(ranks: np.ndarray, n: int, theta: float) -> float:
    """The definition, term by term, with scipy's gamma function."""
    r = np.append(np.sort(ranks), n + 1).astype(float)
    total = len(ranks) * np.log(theta)
    for i in range(1, len(r)):
        a = (theta - 1) * i
        total -= gammaln(r[i] + a) - gammaln(r[i - 1] + a) - gammaln(r[i]) + gammaln(r[i - 1])
    return float(total)


@pytest.mark.parametrize("theta", THETAS)
def test_the_likelihood_of_all_rank_sets_averages_to_one(theta):
    n, length = 9, 3
    sets = np.array(list(combinations(range(1, n + 1), length)))
    assert np.exp(log_lehmann(sets, n, theta)).sum() / comb(n, length) == pytest.approx(1, rel=1e-9)


def test_it_equals_the_formula_with_scipys_gamma():
    rng = np.random.default_rng(3)
    for length in (1, 4, 32, 200):
        ranks = np.sort(rng.choice(np.arange(1, 501), length, replace=False))
        for theta in THETAS:
            expected = by_the_formula(ranks, 500, theta)
            assert log_lehmann(ranks, 500, theta) == pytest.approx(expected, rel=1e-10, abs=1e-8)


def test_the_likelihood_is_savages_product():
    """Savage 1956: P(order) is the product of theta_k over the running sums of theta."""
    n, theta = 6, 4
    for order in permutations(range(n)):
        late = np.array([item >= 4 for item in order])  # items 4 and 5 came last in time
        weights = np.where(late, theta, 1.0)
        expected = np.log(weights / np.cumsum(weights) * np.arange(1, n + 1)).sum()
        ranks = np.flatnonzero(late) + 1
        assert log_lehmann(ranks, n, theta) == pytest.approx(expected, abs=1e-9)


def test_leaving_out_small_terms_changes_nothing_that_matters():
    rng = np.random.default_rng(5)
    scores = rng.random((6, 90))
    scores[:2, 70:] += 0.5
    got, best = log_evidence(scores, reference=20)
    for row in range(6):
        ranks = scores[row].argsort().argsort() + 1
        for side, r in enumerate((ranks, 91 - ranks)):
            full = [
                np.log(change_weight(70 - length + 1))
                + logsumexp([by_the_formula(r[-length:], 90, th) for th in THETAS])
                - np.log(len(THETAS))
                for length in LENGTHS
                if length <= 70
            ]
            assert np.exp(got[row, side]) == pytest.approx(np.exp(logsumexp(full)), rel=1e-3, abs=0.02)
    assert (got[:2, 0] > 7).all()
    assert (best[:2, 0] == 20).all()


def test_the_capital_is_a_martingale_over_all_continuations():
    """Given the past, the mean of E over the rank of the next window is E as it was."""
    rng = np.random.default_rng(8)
    past = rng.random(30)
    for theta in THETAS:
        ranks = past.argsort().argsort() + 1
        before = np.exp(by_the_formula(ranks[-3:], 30, theta))
        after = []
        for slot in range(1, 32):
            shifted = ranks[-3:] + (ranks[-3:] >= slot)
            after.append(np.exp(by_the_formula(np.append(shifted, slot), 31, theta)))
        assert np.mean(after) == pytest.approx(before, rel=1e-9)


def test_seasons_multiply():
    rng = np.random.default_rng(2)
    scores = rng.random((1, 60))
    season = np.arange(60) % 3
    whole, _ = log_evidence(scores, reference=54, strata=season)
    terms = []
    for length in range(1, 7):
        e = np.zeros(len(THETAS))
        for g in range(3):
            members = np.flatnonzero(season == g)
            recent = members >= 60 - length
            if recent.any():
                ranks = scores[0, members].argsort().argsort() + 1
                e += [by_the_formula(ranks[recent], len(members), th) for th in THETAS]
        terms.append(np.log(change_weight(6 - length + 1)) + logsumexp(e) - np.log(len(THETAS)))
    assert np.exp(whole[0, 0]) == pytest.approx(np.exp(logsumexp(terms)), rel=1e-2, abs=1e-3)
