"""Scores that are no probabilities: their order is measured, and nothing that needs probabilities."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

import watchkeeper as wk
from watchkeeper.loop.batch.profiling import profile
from watchkeeper.measures.quality.impossible_scores import impossible_scores
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.score_table import ScoreTable

RNG = np.random.default_rng(21)
P = RNG.uniform(0.001, 0.999, 3_000)
TRUTH = (RNG.random(3_000) < P).astype(int)
SCALES = {
    "log-odds": np.log(P / (1 - P)),
    "percent": 100 * P,
    "ranks": P.argsort().argsort().astype(float) + 1,
    "margins of an ensemble": 1e6 * (P - 0.5) ** 3,
    "few points": np.round(10 * P),
}
READ_PROBABILITIES = ("log_loss", "brier", "expected_calibration_error")


def rows(scores, truth=TRUTH):
    return pa.table({"y_true": truth, "s": scores})


def performance(report):
    return {m.measure: m for m in report.performance if not m.subject}


def compared(before, after):
    return wk.compare(before, after, roles={"s": "score"})


@pytest.mark.parametrize("scale", SCALES)
def test_the_order_of_any_score_is_measured(scale):
    scores = SCALES[scale]
    report = compared(rows(scores), rows(scores))
    found = performance(report)
    assert found["roc_auc"].rows == 3_000
    assert found["roc_auc"].value == pytest.approx(
        roc_auc_score(TRUTH, scores), abs=found["roc_auc"].bound + 1e-12
    )
    assert scale == "few points" or found["roc_auc"].bound < 2e-3
    assert found["average_precision"].value == pytest.approx(average_precision_score(TRUTH, scores), abs=5e-3)
    for name in READ_PROBABILITIES:
        assert found[name].value is None
        assert "no probabilities" in found[name].reason
    assert any("lie outside [0, 1]" in note for note in report.notes)


def test_a_later_batch_beyond_the_baselines_range_keeps_its_order():
    before, after = SCALES["log-odds"], SCALES["log-odds"] * 3 + 40
    found = performance(compared(rows(before), rows(after)))
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(TRUTH, after), abs=0.05)


def test_batches_merge_as_their_rows():
    made = wk.baseline(rows(SCALES["log-odds"]), roles={"s": "score"})
    parts = [
        profile(rows(SCALES["log-odds"][i::2], TRUTH[i::2]), plan=made.plan, schema=made.schema)
        for i in (0, 1)
    ]
    whole = made.profile.performance["score_table"]
    merged = parts[0].performance["score_table"].merge(parts[1].performance["score_table"])
    assert merged.counts.tolist() == whole.counts.tolist()
    assert decode(encode(merged)).no_probabilities is not None


@pytest.mark.known_answer("impossible_scores", source="numpy, on the rows")
@pytest.mark.parametrize("share", [0.002, 0.3])
def test_scores_that_became_percentages_are_a_finding(share):
    wrong = RNG.random(3_000) < share
    later = np.where(wrong, 100 * P, P)
    report = compared(rows(P), rows(later))
    outside = ((later < 0) | (later > 1)).mean()
    (finding,) = (f for f in report.findings if f.measure == "impossible_scores")
    assert finding.verdict.value == "fail"
    assert finding.value == pytest.approx(outside)
    assert finding.subject == "s"
    found = performance(report)
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(TRUTH, np.clip(later, 0, 1)), abs=1e-3)
    if share < 0.01:  # a few rows: the rest are probabilities still
        kept = later <= 1
        assert found["log_loss"].value == pytest.approx(log_loss(TRUTH[kept], later[kept]))
        assert found["brier"].value == pytest.approx(brier_score_loss(TRUTH[kept], later[kept]))
    else:
        assert found["log_loss"].value is None


def test_rounding_beyond_one_is_a_probability():
    near = np.where(P > 0.7, 1 + 1e-7, P)
    report = compared(rows(near), rows(near))
    assert performance(report)["brier"].value == pytest.approx(brier_score_loss(TRUTH, np.minimum(near, 1)))
    (m,) = impossible_scores(*(wk.baseline(rows(near), roles={"s": "score"}).profile for _ in range(2)))
    assert (m.value, m.rows) == (0.0, 3_000)


def test_a_table_of_the_former_version_keeps_what_it_counted():
    payload = ScoreTable.of(np.array([0.2, 0.8]), np.array([False, True])).to_payload() | {"outside": 3}
    del payload["clipped"], payload["ranks"]
    former = ScoreTable.of_payload(payload)
    assert (former.total, former.scored, former.labelled, former.clipped) == (5, 5, 2, 0)
    both = former.merge(ScoreTable.of(np.array([7.0]), np.array([True])))
    assert (both.total, both.outside, both.labelled) == (6, 4, 3)
