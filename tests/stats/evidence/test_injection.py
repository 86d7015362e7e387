"""Injected shifts are what they say, and the usual defaults are scipy's."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from watchkeeper.errors import BadInput
from watchkeeper.stats.distances import psi
from watchkeeper.stats.evidence.injection import SHIFTS, Shift
from watchkeeper.stats.evidence.usual_defaults import (
    chunk_distances,
    ks_p_values,
    psi_values,
    usual_defaults,
)

CUTS = stats.norm.ppf(np.arange(1, 20) / 20)


def counted(x):
    return np.bincount(np.searchsorted(CUTS, x), minlength=20).astype(float)


class TestShift:
    @pytest.mark.parametrize(
        ("kind", "size"), [("location", 0.3), ("location", -0.5), ("scale", 1.4), ("scale", 0.7)]
    )
    def test_a_normal_column_moves_as_its_values_would(self, kind, size):
        x = np.random.default_rng(0).normal(size=400_000)
        moved = x + size if kind == "location" else x * size
        got, missing = Shift(kind, size).of(counted(x), 0.0)
        assert missing == 0
        assert np.abs(got - counted(moved)).max() / len(x) < 0.002

    @pytest.mark.parametrize("kind", SHIFTS)
    def test_no_row_is_lost_or_made(self, kind):
        counts = np.random.default_rng(1).integers(0, 50, (3, 4, 6)).astype(float)
        missing = np.full((3, 4), 2.0)
        got, gone = Shift(kind, 0.3).of(counts, missing)
        np.testing.assert_allclose(got.sum(-1) + gone, counts.sum(-1) + missing)
        assert (got >= -1e-9).all()

    def test_a_window_without_rows_stays_as_it_is(self):
        for kind in SHIFTS:
            got, gone = Shift(kind, 0.5).of(np.zeros(5), 0.0)
            assert got.tolist() == [0] * 5
            assert float(gone) == 0

    def test_a_category_moves_or_vanishes(self):
        moved, _ = Shift("moved", 0.1).of(np.array([60.0, 30, 10]), 0.0)
        assert moved.tolist() == [50, 37.5, 12.5]
        lost, _ = Shift("lost", 0.2).of(np.array([60.0, 30, 10]), 0.0)
        assert lost[1] == 0
        assert lost.sum() == 100

    @pytest.mark.parametrize(
        ("kind", "size"), [("loc", 1), ("missing", 0), ("missing", 2), ("scale", -1), ("location", np.nan)]
    )
    def test_what_makes_no_sense_is_refused(self, kind, size):
        with pytest.raises(BadInput):
            Shift(kind, size)


class TestUsualDefaults:
    rng = np.random.default_rng(2)
    total = rng.multinomial(20_000, np.full(20, 0.05))
    windows = rng.multinomial(500, rng.dirichlet(np.full(20, 50.0)), 5)

    def test_kolmogorov_smirnov_is_scipys_on_the_binned_rows(self):
        own = ks_p_values(self.total[None], self.windows[None])[0]
        for p, window in zip(own, self.windows):
            left, right = (np.repeat(np.arange(20), c) for c in (self.total, window))
            peer = stats.ks_2samp(left, right, method="asymp")
            assert p == pytest.approx(peer.pvalue, rel=0.15, abs=1e-4)

    def test_chi_square_is_scipys(self):
        own = ks_p_values(self.total[None], self.windows[None], ordered=False)[0]
        for p, window in zip(own, self.windows):
            assert p == pytest.approx(stats.chi2_contingency([self.total, window])[1], rel=1e-9)

    def test_psi_is_the_one_of_distances_over_ten_bins(self):
        own = psi_values(self.total[None], self.windows[None])[0]
        tens = [c.reshape(10, 2).sum(1) for c in (self.total, *self.windows)]
        assert own == pytest.approx([psi(tens[0], w) for w in tens[1:]])

    def test_jensen_shannon_is_scipys(self):
        before = self.rng.multinomial(500, np.full(20, 0.05), 30)
        usual, now = chunk_distances(before[None], self.windows[None])
        whole = before.sum(0)
        assert now[0] == pytest.approx([jensenshannon(whole, w, base=2) for w in self.windows])
        limit = usual[0].mean() + 3 * usual[0].std(ddof=1)
        fires = usual_defaults(before[None], self.windows[None])["chunks"][0]
        assert fires.tolist() == (now[0] > limit).tolist()
