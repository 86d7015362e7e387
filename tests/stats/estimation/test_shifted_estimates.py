"""Estimates where the window's rows are of another kind: PAPE, DLE and BBSE on redrawn outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from sizes import fewest, sizes
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.stats.estimation.bbse import bbse, estimate_label_shift, score_shift
from watchkeeper.stats.estimation.cbpe import estimate
from watchkeeper.stats.estimation.dle import REGRESSION, estimate_losses
from watchkeeper.stats.estimation.importance_weights import (
    density_ratio,
    fit_logistic,
    weight_doubts,
)
from watchkeeper.stats.estimation.pape import estimate_under_shift
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.score_table import ScoreTable


def accuracies(scores, outcomes):
    """What scikit-learn says of rows, for a few metrics."""
    decided = scores >= 0.5
    return {
        "accuracy": sk.accuracy_score(outcomes, decided),
        "precision": sk.precision_score(outcomes, decided),
        "recall": sk.recall_score(outcomes, decided),
        "f1": sk.f1_score(outcomes, decided),
        "roc_auc": sk.roc_auc_score(outcomes, scores),
        "average_precision": sk.average_precision_score(outcomes, scores),
        "log_loss": sk.log_loss(outcomes, scores),
        "brier": sk.brier_score_loss(outcomes, scores),
    }


def count(hits, estimates, real):
    for name, truth in real.items():
        i = estimates[name].interval
        hits.setdefault(name, []).append(i.low <= truth <= i.high)


class TestWeights:
    def test_the_regression_is_scikit_learns(self):
        rng = np.random.default_rng(0)
        x = np.column_stack([np.ones(3_000), rng.normal(size=(3_000, 3))])
        side = (rng.random(3_000) < expit(x[:, 1] - 0.5)).astype(float)
        ours, _ = fit_logistic(x, side, ridge=2.0)
        theirs = LogisticRegression(C=0.5, tol=1e-12, max_iter=500).fit(x[:, 1:], side)
        assert ours == pytest.approx([theirs.intercept_[0], *theirs.coef_[0]], abs=1e-4)

    def test_weights_of_two_normals_are_their_ratio_of_densities(self):
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(20_000, 1)), rng.normal(0.5, 1, size=(20_000, 1))
        found = density_ratio(x, y, judge=False)
        known = np.exp(0.5 * x[:, 0] - 0.125)
        assert np.corrcoef(found.weights, known)[0, 1] > 0.995
        assert found.effective == pytest.approx(known.sum() ** 2 / (known @ known), rel=0.05)

    def test_redrawn_weights_vary_as_weights_of_new_rows_do(self):
        """One linear step from each row's influence, against fitting anew to redrawn rows."""
        rng = np.random.default_rng(2)
        x, y = rng.normal(size=(1_500, 1)), rng.normal(0.5, 1, size=(1_500, 1))
        known = density_ratio(x, y, judge=False)
        copies = rng.poisson(1.0, (300, 3_000)).astype(float)
        drawn = copies[:, :1_500] * known.drawn_weights(copies)
        stepped = drawn @ x[:, 0] / drawn.sum(axis=1)
        anew = []
        for _ in range(300):
            a, b = x[rng.integers(0, 1_500, 1_500)], y[rng.integers(0, 1_500, 1_500)]
            anew.append(np.average(a[:, 0], weights=density_ratio(a, b, judge=False).weights))
        assert stepped.std() == pytest.approx(np.std(anew), rel=0.2)
        held = copies[:, :1_500] * known.weights
        # Weights that are held overstate it: the window's mean is matched by weights that move.
        assert (held @ x[:, 0] / held.sum(axis=1)).std() > 1.2 * stepped.std()

    @pytest.mark.parametrize("moved", [0.0, 0.5, 1.0])
    def test_columns_that_moved_are_balanced_by_the_weights(self, moved):
        """Small samples of ten columns: what is left of the difference is never taken for rows of another kind."""
        rng = np.random.default_rng(4)
        for _ in range(40):
            x, y = rng.normal(size=(600, 10)), rng.normal([moved] + [0.0] * 9, 1, size=(400, 10))
            assert not [d for d in weight_doubts(density_ratio(x, y, judge=False)) if "of a kind" in d]

    def test_a_category_that_never_came_cannot_be_balanced(self):
        rng = np.random.default_rng(5)
        x, y = rng.normal(size=(2_000, 2)), rng.normal(size=(1_000, 2))
        x[:, 1], y[:, 1] = 0.0, rng.random(1_000) < 0.5
        found = density_ratio(x, y, columns=("a", "b"), judge=False)
        # None of it in the baseline, half in the window: .5 apart, over the root of the mean variance.
        assert found.imbalance == pytest.approx(y[:, 1].mean() / np.sqrt(y[:, 1].var() / 2))
        assert found.unbalanced == "b"
        assert any(f"differ in b by {found.imbalance:.2g}" in doubt for doubt in weight_doubts(found))


class TestUnderShift:
    def test_hardly_overlapping_sides_are_doubted(self):
        rng = np.random.default_rng(3)
        x, y = rng.normal(size=(2_000, 2)), rng.normal([5, 0], 1, size=(1_000, 2))
        s = expit(x[:, 0])
        found = estimate_under_shift(s, rng.random(2_000) < s, x, y, ScoreTable.of(expit(y[:, 0])))
        reasons = " ".join(found["accuracy"].reasons)
        assert not found["accuracy"].reliable
        assert "effective rows" in reasons
        assert "told apart" in reasons

    def test_the_parts_of_the_variance_sum_to_it(self):
        rng = np.random.default_rng(4)
        x, y = rng.normal(size=(3_000, 2)), rng.normal([0, 1], 1, size=(3_000, 2))
        s = expit(x[:, 0])
        found = estimate_under_shift(
            s, rng.random(3_000) < expit(x.sum(axis=1)), x, y, ScoreTable.of(expit(y[:, 0]))
        )
        for e in found.values():
            assert set(e.parts) == {"sampling", "calibration", "weights"}
            assert sum(e.parts.values()) == pytest.approx(1)
        assert max(e.parts["weights"] for e in found.values()) > 0.02

    def test_days_that_differ_widen_the_interval(self):
        rng = np.random.default_rng(14)
        x, y = rng.normal(size=(6_000, 2)), rng.normal([0, 0.8], 1, size=(2_000, 2))
        days = np.repeat(rng.normal(0, 0.5, 30), 200)
        s = expit(x[:, 0])
        came = rng.random(6_000) < expit(x.sum(axis=1) + days)
        own = [ScoreTable.of(s[i : i + 200].copy(), came[i : i + 200]) for i in range(0, 6_000, 200)]
        window = ScoreTable.of(expit(y[:, 0]))
        plain = estimate_under_shift(s, came, x, y, window, names=["accuracy"])["accuracy"]
        wide = estimate_under_shift(s, came, x, y, window, names=["accuracy"], windows=own)["accuracy"]
        assert wide.value == plain.value
        assert wide.parts["windows"] > 0.2
        assert wide.interval.high - wide.interval.low > 1.1 * (plain.interval.high - plain.interval.low)

    def test_lengths_must_agree(self):
        with pytest.raises(BadInput, match="2 scores"):
            estimate_under_shift([0.1, 0.2], [True], np.zeros((2, 1)), np.zeros((2, 1)), ScoreTable.empty())

    @sizes("draws", small=40, full=200)
    def test_intervals_cover_redrawn_outcomes(self, draws):
        """As for CBPE: each metric holds 93% but for simulation error, and their mean reaches it."""
        hits, plain = {}, {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x, y = rng.normal(size=(5_000, 4)), rng.normal([0, 0.8, 0, 0], 1, size=(2_500, 4))
            scores = [expit(rows[:, 0] + 0.5 * rows[:, 2]) for rows in (x, y)]
            came = [rng.random(len(r)) < expit(r[:, 0] + 0.7 * r[:, 2] + r[:, 1]) for r in (x, y)]
            window = ScoreTable.of(scores[1].copy())
            real = accuracies(scores[1], came[1])
            count(hits, estimate_under_shift(scores[0], came[0], x, y, window, draws=100), real)
            count(plain, estimate(ScoreTable.of(scores[0].copy(), came[0]), window, draws=100), real)
        shares = {name: np.mean(found) for name, found in hits.items()}
        print(shares, {name: np.mean(found) for name, found in plain.items()})
        assert min(shares.values()) >= fewest(draws) / draws, shares
        assert np.mean(list(shares.values())) >= 0.93, shares
        assert np.mean(plain["precision"]) < 0.1  # what CBPE gives there: the shift is real


def regression_world(rng, n=5_000, m=2_500, *, level=10):
    x, y = rng.normal(size=(n, 4)), rng.normal([0.5, 0.2, 0, 0], 1, size=(m, 4))
    out = []
    for rows in (x, y):
        predicted = level + 2 * rows[:, 0] + rows[:, 1]
        wide = 1 + 0.5 * np.abs(rows[:, 0]) + 0.3 * (rows[:, 1] > 0)
        error = wide * rng.standard_t(6, len(rows)) + 0.3 * rows[:, 2]
        out += [rows, predicted, predicted - error]
    return out


def errors(predicted, actual):
    return {
        "rmse": sk.root_mean_squared_error(actual, predicted),
        "mse": sk.mean_squared_error(actual, predicted),
        "mae": sk.mean_absolute_error(actual, predicted),
        "bias": float(np.mean(predicted - actual)),
        "r2": sk.r2_score(actual, predicted),
        "mape": sk.mean_absolute_percentage_error(actual, predicted),
        "smape": float(np.mean(2 * np.abs(predicted - actual) / (np.abs(predicted) + np.abs(actual)))),
    }


class TestLosses:
    def test_the_same_rows_give_their_own_errors(self):
        rng = np.random.default_rng(5)
        x, p, a, *_ = regression_world(rng)
        found = estimate_losses(p, a, x, p, x)
        for name, value in errors(p, a).items():
            assert found[name].value == pytest.approx(value, rel=2e-3, abs=2e-3), name

    def test_only_a_constant_gives_the_usual_interval_of_a_mean(self):
        rng = np.random.default_rng(6)
        e = rng.exponential(1.0, 4_000)
        flat = np.zeros((4_000, 1))
        found = estimate_losses(np.zeros(4_000), e, flat, np.zeros(2_000), flat[:2_000], names=["mae"])["mae"]
        half = 1.96 * e.std() * np.sqrt(1 / 4_000 + 1 / 2_000)
        assert found.value == pytest.approx(e.mean(), rel=1e-3)
        assert (found.interval.high - found.interval.low) / 2 == pytest.approx(half, rel=0.02)
        assert found.parts["sampling"] == pytest.approx(2 / 3, abs=0.01)

    def test_sampled_window_rows_widen_the_interval(self):
        rng = np.random.default_rng(7)
        x, p, a, w, q, _ = regression_world(rng)
        alone = estimate_losses(p, a, x, q[:200], w[:200], rows=200, names=["mae"])["mae"]
        of_many = estimate_losses(p, a, x, q[:200], w[:200], rows=100_000, names=["mae"])["mae"]
        assert alone.parts["rows"] == 0
        assert of_many.parts["rows"] > 0.3

    def test_rows_unlike_any_are_doubted(self):
        rng = np.random.default_rng(8)
        x, p, a, w, q, _ = regression_world(rng)
        assert not estimate_losses(p, a, x, q, w + 6.0)["mae"].reliable
        assert estimate_losses(p, a, x, q, w)["mae"].reliable

    def test_what_cannot_be_estimated_says_why(self):
        few = estimate_losses(np.zeros(20), np.ones(20), np.zeros((20, 1)), np.zeros(20), np.zeros((20, 1)))
        assert few["mae"].value is None
        assert "50" in few["mae"].reasons[0]
        with pytest.raises(NotFound, match="rmse"):
            estimate_losses([0], [0], [[0]], [0], [[0]], names=["rmze"])
        with pytest.raises(BadInput, match="boosted"):
            estimate_losses([0], [0], [[0]], [0], [[0]], model="forest")

    @sizes("draws", small=60, full=400)
    def test_intervals_cover_redrawn_outcomes(self, draws):
        """Each metric holds 93% but for simulation error, and their mean reaches it. Outcomes are away from zero."""
        hits = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x, p, a, w, q, b = regression_world(rng, level=20)
            count(hits, estimate_losses(p, a, x, q, w), errors(q, b))
        shares = {name: np.mean(found) for name, found in hits.items()}
        print(shares)
        assert set(shares) == set(REGRESSION)
        assert min(shares.values()) >= fewest(draws) / draws, shares
        assert np.mean(list(shares.values())) >= 0.93, shares

    def test_a_percentage_of_outcomes_near_zero_is_doubted(self):
        """There |e / y| has no mean, so nothing could hold; the other errors of the same rows are believed."""
        doubted, others = 0, []
        for seed in range(30):
            rng = np.random.default_rng(seed)
            x, p, a, w, q, _ = regression_world(rng)
            found = estimate_losses(p, a, x, q, w)
            doubted += not found["mape"].reliable
            others += [e.reliable for name, e in found.items() if name != "mape"]
        assert doubted >= 27
        assert all(others)
        assert "near zero" in found["mape"].reasons[0]

    @sizes("draws", small=25, full=100)
    def test_arrived_outcomes_contradict_when_errors_have_grown_and_seldom_else(self, draws):
        """1% is stated; outcomes arrive for rows of some kinds sooner. Errors that are 15% larger are told."""
        doubts = told = 0
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x, p, a, w, q, b = regression_world(rng, 3_000, 1_500)
            some = rng.random(1_500) < expit(w[:, 0])
            came = np.where(some, b, np.nan)
            worse = np.where(some, q - 1.15 * (q - b), np.nan)
            doubts += not estimate_losses(p, a, x, q, w, names=["mae"], came=came)["mae"].reliable
            found = estimate_losses(p, a, x, q, w, names=["mae"], came=worse)["mae"]
            told += not found.reliable
            assert found.reliable_beforehand
        assert doubts <= 0.05 * draws
        assert told >= 0.65 * draws

    @sizes("draws", small=40, full=100)
    def test_days_that_differ_widen_the_interval_so_that_it_holds(self, draws):
        def day(rng, rows=500):
            x = rng.normal(size=(rows, 2))
            e = rng.normal(size=rows) * np.exp(rng.normal(0, 0.15))
            return x, 10 + x[:, 0], 10 + x[:, 0] - e

        covered = plain = 0
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            days = [day(rng) for _ in range(30)]
            x, p, a = (np.concatenate(parts) for parts in zip(*days, strict=True))
            w, q, b = day(rng)
            own = [Residuals.of(p, a) for _, p, a in days]
            with_days = estimate_losses(p, a, x, q, w, names=["mae"], windows=own)["mae"]
            without = estimate_losses(p, a, x, q, w, names=["mae"])["mae"]
            real = np.abs(q - b).mean()
            covered += with_days.interval.low <= real <= with_days.interval.high
            plain += without.interval.low <= real <= without.interval.high
        assert with_days.parts["windows"] > 0.5
        assert covered >= 0.88 * draws
        assert plain < 0.75 * draws

    @sizes("draws", small=8, full=25)
    def test_boosted_losses_cover_too(self, draws):
        pytest.importorskip("sklearn")
        hits = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            x, p, a, w, q, b = regression_world(rng, 3_000, 1_500)
            found = estimate_losses(p, a, x, q, w, names=["mae"], model="boosted")
            count(hits, found, {"mae": errors(q, b)["mae"]})
        assert sum(hits["mae"]) >= fewest(draws, chance=0.01)


class TestLabelShift:
    def test_the_solution_is_exact_where_shares_are(self):
        """Two classes told apart by 90% and 80%, and the window's decisions for known shares."""
        joint = np.array([[900.0, 100.0], [400.0, 1_600.0]])
        shares = np.array([0.7, 0.3])
        decided = shares @ (joint / joint.sum(axis=1, keepdims=True)) * 5_000
        found = bbse(joint, decided)
        assert found.shares == pytest.approx(shares)
        assert found.weights == pytest.approx(shares / np.array([1 / 3, 2 / 3]))

    def test_three_classes_and_their_standard_errors(self):
        rng = np.random.default_rng(9)
        given = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]])
        prior, then = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
        found, said = [], []
        for _ in range(400):
            confusion = np.stack(
                [rng.multinomial(int(4_000 * p), row) for p, row in zip(prior, given, strict=True)]
            )
            one = bbse(confusion, rng.multinomial(2_000, then @ given))
            found.append(one.shares)
            said.append(one.share_sd)
        assert np.mean(found, axis=0) == pytest.approx(then, abs=0.005)
        assert np.std(found, axis=0) == pytest.approx(np.mean(said, axis=0), rel=0.12)

    def test_decisions_that_say_nothing_are_refused(self):
        with pytest.raises(BadInput, match="tell no classes apart"):
            bbse([[50, 50], [50, 50]], [10, 10])
        with pytest.raises(BadInput, match="no rows"):
            bbse([[50, 50], [0, 0]], [10, 10])

    def test_the_check_holds_its_level_and_sees_a_change_of_the_classes_themselves(self):
        refused = seen = 0
        for seed in range(200):
            rng = np.random.default_rng(seed)
            s = rng.beta(2, 3, 20_000)
            y = rng.random(20_000) < s
            baseline = ScoreTable.of(s[:8_000].copy(), y[:8_000])
            kept = np.flatnonzero(y[8_000:] | (rng.random(12_000) < 0.4))[:4_000] + 8_000
            refused += not score_shift(baseline, ScoreTable.of(s[kept])).holds
            moved = np.clip(s[kept] + 0.08, 0, 1)  # what a class looks like has changed
            seen += not score_shift(baseline, ScoreTable.of(moved)).holds
        assert refused <= 8  # 1% is stated
        assert seen >= 195

    @sizes("draws", small=60, full=200)
    def test_intervals_cover_redrawn_outcomes(self, draws):
        hits = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            s = rng.beta(2, 3, 24_000)
            y = rng.random(24_000) < s
            baseline = ScoreTable.of(s[:8_000].copy(), y[:8_000])
            kept = np.flatnonzero(y[8_000:] | (rng.random(16_000) < 0.4))[:4_000] + 8_000
            found = estimate_label_shift(baseline, ScoreTable.of(s[kept]), draws=100)
            count(hits, found, accuracies(s[kept], y[kept]))
        shares = {name: np.mean(found) for name, found in hits.items()}
        print(shares)
        assert min(shares.values()) >= fewest(draws) / draws, shares
        assert np.mean(list(shares.values())) >= 0.93, shares
