"""The promises of a verdict, held by simulation: no cry of wolf, no size effect, no blindness.

Simulations draw from fixed seeds and compare with the binomial spread of what is promised.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import watchkeeper as wk
from watchkeeper.decisions.batch.batch_check import CheckPlan, judge_batch
from watchkeeper.domain.measurement import Direction, Family, Interval, Measure, Measurement
from watchkeeper.domain.verdict import Verdict

PSI = Measure(
    name="psi", family=Family.DRIFT, title="PSI", unit="nat", direction=Direction.HIGHER_IS_WORSE, sentence="s"
)  # fmt: skip
AUC = Measure(
    name="roc_auc", family=Family.PERFORMANCE, title="ROC AUC", unit="", direction=Direction.LOWER_IS_WORSE,
    sentence="s",
)  # fmt: skip
DESCRIBED = {"psi": PSI, "roc_auc": AUC}


def psi(value, *, subject="x", p=0.0001, margin=0.01, expected=0.005, **rest) -> Measurement:
    return Measurement(
        measure="psi", subject=subject, value=value, p_value=p, margin=margin, rows=1000, baseline_rows=1000,
        details={"expected": expected, **rest},
    )  # fmt: skip


def judged(*found: Measurement, before=(), **levels) -> list:
    return judge_batch(found, before, plan=CheckPlan.of(levels), described=DESCRIBED)


def test_what_lies_within_its_own_noise_of_the_level_is_too_close_to_call():
    """Shown as 0.101 beside a level of 0.1, it was called below the level, and painted green."""
    (found,) = judged(psi(0.1006))
    assert "0.101, too close to the level of 0.1 to call" in found.sentence


class TestOneVerdict:
    @pytest.mark.parametrize(
        ("measured", "verdict"),
        [
            (psi(0.3), Verdict.FAIL),
            (psi(0.05), Verdict.PASS),  # real, but too small to matter
            (
                psi(0.3, p=0.4),
                Verdict.PASS,
            ),  # large, but no evidence; a shift that matters would have been seen
            (psi(0.3, p=0.4, margin=0.5), Verdict.INCONCLUSIVE),  # such a shift would not have been seen
            (psi(0.104), Verdict.INCONCLUSIVE),  # noise alone decides on which side of the level it falls
            (psi(0.01, unnamed=0.9), Verdict.INCONCLUSIVE),
            (psi(0.3, unnamed=0.9), Verdict.FAIL),
        ],
    )
    def test_an_effect_that_matters_and_evidence(self, measured, verdict):
        [found] = judged(measured)
        assert found.verdict is verdict

    def test_no_value_is_never_a_pass(self):
        [found] = judged(Measurement.missing("psi", "There are no rows.", subject="x"))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "no rows" in found.sentence
        [broke] = judged(Measurement.missing("psi", "It broke.", subject="x", details={"failed": True}))
        assert broke.verdict is Verdict.ERROR

    def test_evidence_is_judged_over_all_columns(self):
        """p = 0.03 is evidence for one column alone, and none among a hundred."""
        [alone] = judged(psi(0.3, p=0.03))
        assert alone.verdict is Verdict.FAIL
        among = judged(psi(0.3, p=0.03), *(psi(0.01, subject=f"c{i}", p=0.5) for i in range(99)))
        assert Verdict.FAIL not in {f.verdict for f in among}

    def test_gravest_first(self):
        found = judged(psi(0.2, subject="b"), psi(0.9, subject="a"), psi(0.01, subject="c"))
        assert [f.subject for f in found] == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("now", "half", "verdict"),
        [
            (0.70, 0.01, Verdict.FAIL),
            (0.79, 0.01, Verdict.PASS),
            (0.85, 0.01, Verdict.PASS),  # better is never a failure
            (0.70, 0.30, Verdict.INCONCLUSIVE),
            (0.80, 0.30, Verdict.INCONCLUSIVE),
        ],
    )
    def test_performance_is_judged_by_its_change(self, now, half, verdict):
        def auc(value, half):
            return Measurement(
                measure="roc_auc", value=value, rows=100, interval=Interval(value - half, value + half, 0.95)
            )

        [found] = judged(auc(now, half), before=[auc(0.80, 0.001)])
        assert found.verdict is verdict
        assert "ROC AUC" in found.sentence

    def test_performance_without_a_baseline_is_inconclusive(self):
        [found] = judged(Measurement(measure="roc_auc", value=0.7, rows=100))
        assert found.verdict is Verdict.INCONCLUSIVE


# ---- simulations --------------------------------------------------------------------------------------


def table(seed: int, rows: int, columns: int, *, moved: dict[int, float] | None = None) -> dict:
    """Numbers of four shapes and a category in five; *moved* shifts columns by standard deviations."""
    random = np.random.default_rng([seed, rows, columns])
    out = {}
    for i in range(columns):
        by = (moved or {}).get(i, 0.0)
        if i % 5 == 4:
            shares = np.array([0.5, 0.3, 0.2]) + by * np.array([-0.3, 0.1, 0.2])
            out[f"c{i}"] = random.choice(["a", "b", "c"], rows, p=shares)
        else:
            x = random.normal(by, 1, rows)
            out[f"x{i}"] = (x, np.exp(x), np.round(5 * x), np.maximum(x, 0))[i % 5]
    return out


def drift_verdicts(report: wk.Report, measure: str = "psi") -> list[Verdict]:
    return [f.verdict for f in report.findings if f.measure == measure]


@pytest.mark.slow
def test_the_same_verdict_at_a_thousand_and_at_a_million_rows_when_nothing_moved():
    baseline = wk.baseline(table(0, 200_000, 10), sample_rows=0)
    for rows, seeds in ((1_000, 40), (10_000, 20), (100_000, 6), (1_000_000, 2)):
        for seed in range(1, seeds + 1):
            report = wk.compare(baseline, table(seed, rows, 10), families=["drift"])
            assert set(drift_verdicts(report)) == {Verdict.PASS}, (rows, seed)
            assert report.headline == "Nothing that matters changed"


@pytest.mark.slow
def test_the_same_verdict_at_every_size_when_something_moved():
    baseline = wk.baseline(table(0, 200_000, 10), sample_rows=0)
    for rows, seeds in ((1_000, 20), (100_000, 3), (1_000_000, 1)):
        for seed in range(1, seeds + 1):
            report = wk.compare(baseline, table(seed, rows, 10, moved={0: 0.6, 4: 0.9}), families=["drift"])
            assert {f.subject for f in report.failed()} == {"x0", "c4"}, (rows, seed)


@pytest.mark.slow
def test_false_discoveries_over_two_hundred_columns_that_did_not_move():
    """With no effect asked for at all, evidence alone decides: any finding in a table of nulls is false.

    Benjamini-Hochberg promises at most 5% of such tables. 60 tables; a rate of 5% gives 7 or fewer in 98% of
    runs, and the check must fail if the promise were broken twofold.
    """
    baseline = wk.baseline(table(0, 20_000, 200), sample_rows=0)
    tables, any_false = 60, 0
    for seed in range(1, tables + 1):
        report = wk.compare(
            baseline, table(seed, 2_000, 200), families=["drift"],
            checks={"psi": 0.0, "missing_drift": None},
        )  # fmt: skip
        any_false += bool(report.failed())
    assert stats.binomtest(any_false, tables, 0.05, alternative="greater").pvalue > 0.01, any_false


@pytest.mark.slow
def test_false_discoveries_among_true_ones():
    """20 of 200 columns moved: of the columns called drifted at most 5% are wrong on average."""
    moved = dict.fromkeys(range(0, 200, 10), 0.5)
    baseline = wk.baseline(table(0, 20_000, 200), sample_rows=0)
    shares = []
    for seed in range(1, 13):
        report = wk.compare(
            baseline, table(seed, 2_000, 200, moved=moved), families=["drift"],
            checks={"psi": 0.0, "missing_drift": None},
        )  # fmt: skip
        called = {int(f.subject[1:]) for f in report.failed()}
        assert set(moved) <= called
        shares.append(len(called - set(moved)) / len(called))
    assert np.mean(shares) <= 0.05 + 2 * np.std(shares) / np.sqrt(len(shares))


def test_a_tiny_batch_is_inconclusive_and_never_drifted():
    baseline = wk.baseline(table(0, 20_000, 10))
    for rows in (1, 2, 5, 10, 20):
        for seed in range(1, 6):
            report = wk.compare(baseline, table(seed, rows, 10))
            assert report.failed("drift") == (), (rows, seed)
            assert report.verdict is Verdict.INCONCLUSIVE


def test_a_planted_shift_is_found_and_nothing_else():
    baseline = wk.baseline(table(0, 20_000, 10))
    for seed in range(1, 9):
        report = wk.compare(baseline, table(seed, 3_000, 10, moved={1: 0.7, 9: 0.9}))
        assert {f.subject for f in report.failed("drift")} == {"x1", "c9"}, seed
        assert {c.name for c in report.columns[:2]} == {"x1", "c9"}
