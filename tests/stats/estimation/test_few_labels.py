"""Prediction-powered means and the choice of rows to label, against closed forms and redrawn labels."""

from __future__ import annotations

import numpy as np
import pytest

from sizes import sizes
from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.label_choice import choose_rows
from watchkeeper.stats.estimation.ppi import ppi_mean, ppi_mean_of_chosen


class TestPoweredMean:
    def test_equal_to_the_closed_form(self):
        rng = np.random.default_rng(0)
        f, g = rng.normal(size=50), rng.normal(size=500)
        y = f + rng.normal(size=50)
        found = ppi_mean(y, f, g)
        strength = np.cov(y, f)[0, 1] / ((1 + 50 / 500) * np.concatenate([f, g]).var(ddof=1))
        strength = min(max(strength, 0), 1)
        assert found.strength == pytest.approx(strength)
        assert found.value == pytest.approx(y.mean() + strength * (g.mean() - f.mean()))
        variance = (y - strength * f).var(ddof=1) / 50 + strength**2 * g.var(ddof=1) / 500
        assert (found.interval.high - found.interval.low) / 2 == pytest.approx(
            2.0096 * variance**0.5, rel=1e-4
        )

    def test_useless_guesses_leave_the_labels_alone(self):
        rng = np.random.default_rng(1)
        y = rng.random(100)
        found = ppi_mean(y, -y, rng.random(1_000))
        assert (found.strength, found.value) == (0.0, y.mean())

    @pytest.mark.parametrize("biased", [0.0, 0.3])
    def test_covers_also_when_the_guesses_are_wrong(self, biased):
        """95% intervals over 600 draws: 93% or more (less has a chance of 1.5% at exactly 95%)."""
        hits = worth = 0
        for seed in range(600):
            rng = np.random.default_rng(seed)
            q = rng.beta(2, 2, 4_000)
            y = rng.random(4_000) < q
            guess = np.clip(q + biased, 0, 1)
            found = ppi_mean(y[:150], guess[:150], guess[150:])
            hits += found.interval.low <= 0.5 <= found.interval.high
            worth += found.worth / 600
        assert hits >= 0.93 * 600
        assert worth > 150 * (1.1 if not biased else 1.0)

    def test_too_few_labels_are_refused(self):
        with pytest.raises(BadInput, match="two"):
            ppi_mean([1.0], [1.0], [0.5])


class TestChoice:
    @sizes("draws", small=800, full=4_000)
    def test_each_row_is_taken_as_often_as_its_chance_says(self, draws):
        rng = np.random.default_rng(2)
        q, x = rng.random(200), rng.normal(size=(200, 2))
        times = np.zeros(200)
        for seed in range(draws):
            chosen = choose_rows(q, 20, features=x, seed=seed)
            assert len(chosen.rows) == 20
            times[chosen.rows] += 1
            chance = np.full(200, np.nan)
            chance[chosen.rows] = chosen.probabilities
        whole = np.full(200, np.nan)
        for seed in range(400):
            chosen = choose_rows(q, 20, features=x, seed=seed)
            whole[chosen.rows] = chosen.probabilities
        assert np.nansum(whole) == pytest.approx(20, abs=0.01)
        z = (times / draws - whole) / np.sqrt(whole * (1 - whole) / draws)
        assert np.abs(z).max() < 4.5

    def test_uncertain_and_important_rows_are_preferred(self):
        q = np.concatenate([np.full(500, 0.5), np.full(500, 0.01)])
        chosen = choose_rows(q, 100)
        assert (chosen.rows < 500).sum() > 70
        weights = np.where(np.arange(1_000) % 2 == 0, 3.0, 1.0)
        chosen = choose_rows(np.full(1_000, 0.5), 200, importance=weights)
        assert (chosen.rows % 2 == 0).sum() > 120

    def test_the_choice_spreads_over_kinds_of_rows(self):
        rng = np.random.default_rng(3)
        centres = rng.normal(0, 10, size=(20, 3))
        x = np.repeat(centres, 50, axis=0) + rng.normal(0, 0.1, size=(1_000, 3))
        q = np.full(1_000, 0.4)
        kinds = [len(set(choose_rows(q, 20, features=x, seed=s).rows // 50)) for s in range(50)]
        by_chance = [len(set(rng.choice(1_000, 20, replace=False) // 50)) for _ in range(50)]
        assert np.mean(kinds) > np.mean(by_chance) + 3

    def test_the_same_rows_in_another_order_give_the_same_choice(self):
        rng = np.random.default_rng(4)
        q, x, ids = (
            np.round(rng.random(500), 2),
            rng.normal(size=(500, 2)),
            rng.permutation(500).astype(np.uint64),
        )
        order = rng.permutation(500)
        a = choose_rows(q, 50, features=x, hashes=ids)
        b = choose_rows(q[order], 50, features=x[order], hashes=ids[order])
        assert set(ids[a.rows]) == set(ids[order][b.rows])

    def test_a_budget_for_all_takes_all(self):
        chosen = choose_rows([0.1, 0.9], 5)
        assert chosen.rows.tolist() == [0, 1]
        assert chosen.probabilities.tolist() == [1, 1]

    def test_bad_options_are_refused(self):
        with pytest.raises(BadInput, match="budget"):
            choose_rows([0.1, 0.2], 0)
        with pytest.raises(BadInput, match="never negative"):
            choose_rows([0.1, 0.2], 1, importance=[-1, 1])

    @sizes("draws", small=100, full=500)
    def test_a_chosen_sample_gives_the_windows_mean_within_its_interval(self, draws):
        """95% intervals over draws of labels and choices; the concept has moved, and labels see it."""
        hits = plain = width = 0.0
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=(3_000, 2))
            q = 1 / (1 + np.exp(-2 * x[:, 0]))
            right = rng.random(3_000) < np.where(q >= 0.5, q, 1 - q) - 0.1 * (x[:, 1] > 0)
            guess = np.maximum(q, 1 - q)
            chosen = choose_rows(q, 150, features=x, seed=seed)
            found = ppi_mean_of_chosen(right[chosen.rows], chosen.probabilities, guess, chosen.rows)
            hits += found.interval.low <= right.mean() <= found.interval.high
            width += (found.interval.high - found.interval.low) / draws
            alone = rng.choice(3_000, 150, replace=False)
            plain += 2 * 1.96 * right[alone].std(ddof=1) / 150**0.5 / draws
        assert hits >= 0.93 * draws
        assert width < plain

    def test_probabilities_are_checked(self):
        with pytest.raises(BadInput, match="between 0 and 1"):
            ppi_mean_of_chosen([1, 0], [0.0, 0.5], [0.5, 0.5], [0, 1])
