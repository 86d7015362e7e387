"""Estimates as measurements: each known by what scikit-learn finds once the outcomes are there."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as sk

from watchkeeper.domain.measurement import Family, Interval, Measurement
from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.measures.estimate.catalogue import CATALOGUE
from watchkeeper.measures.estimate.evaluation import measure_change, measure_estimates
from watchkeeper.measures.estimate.track_record import track_record
from watchkeeper.measures.performance.evaluation import measure_performance
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan

X = ("x", "z")


def schema_of(task: Task) -> Schema:
    columns = [Column(name=name, kind=Kind.NUMERIC) for name in X]
    if task is Task.REGRESSION:
        columns += [
            Column(name="predicted", kind=Kind.NUMERIC, role=Role.PREDICTION),
            Column(name="actual", kind=Kind.NUMERIC, role=Role.OUTCOME),
        ]
    elif task is Task.BINARY:
        columns += [
            Column(name="score", kind=Kind.NUMERIC, role=Role.SCORE),
            Column(name="decided", kind=Kind.INTEGER, role=Role.PREDICTION),
            Column(name="came", kind=Kind.INTEGER, role=Role.OUTCOME),
        ]
    else:
        columns += [Column(name=f"p_{c}", kind=Kind.NUMERIC, role=Role.SCORE, score_of=c) for c in "abc"]
        columns += [
            Column(name="decided", kind=Kind.CATEGORICAL, role=Role.PREDICTION),
            Column(name="came", kind=Kind.CATEGORICAL, role=Role.OUTCOME),
        ]
    return Schema(columns=tuple(columns), task=task, positive="1" if task is Task.BINARY else None)


def profile_of(task: Task, data: dict, *, known: np.ndarray | bool = True, sample_k: int = 5_000) -> Profile:
    """The profile of arrays by column name; outcomes are *known* for all rows, none, or some."""
    schema, values = schema_of(task), {}
    rows = len(data["x"])
    for column in schema.columns:
        array = np.asarray(data[column.name])
        valid = None
        if column.role is Role.OUTCOME and known is not True:
            valid = np.zeros(rows, bool) if known is False else known
        dictionary = None
        if column.kind is Kind.CATEGORICAL:
            dictionary, array = np.array(list("abc"), dtype=object), array.astype(np.int32)
        elif column.kind is Kind.INTEGER:
            array = array.astype(np.int64)
        else:
            array = array.astype(float)
        values[column.name] = Values(
            kind=column.kind, rows=rows, data=array, valid=valid, dictionary=dictionary
        )
    return profile_columns(values, ProfilePlan(schema=schema, sample_k=sample_k), workers=1)


def binary(rng, rows, *, move=0.0, concept=0.0, cut=0.5):
    x, z = rng.normal(size=rows), rng.normal(move, 1, rows)
    score = expit(x)
    came = rng.random(rows) < expit(x + z + concept)
    return {"x": x, "z": z, "score": score, "decided": score >= cut, "came": came}


def several(rng, rows):
    logits = rng.normal([0.5, 0.0, -0.5], 1.2, size=(rows, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    came = (p.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    scores = {f"p_{c}": p[:, i] for i, c in enumerate("abc")}
    return {"x": logits[:, 0], "z": logits[:, 1], **scores, "decided": p.argmax(axis=1), "came": came}


def regression(rng, rows, *, move=0.0):
    x, z = rng.normal(move, 1, rows), rng.normal(size=rows)
    predicted = 5 + 2 * x + z
    return {
        "x": x,
        "z": z,
        "predicted": predicted,
        "actual": predicted + (1 + 0.5 * np.abs(x)) * rng.normal(size=rows),
    }


def by_name(found):
    return {(m.measure.removeprefix("estimated_"), m.subject): m for m in found}


@pytest.mark.known_answer(
    "estimated_accuracy",
    "estimated_balanced_accuracy",
    "estimated_precision",
    "estimated_recall",
    "estimated_specificity",
    "estimated_f1",
    "estimated_mcc",
    "estimated_roc_auc",
    "estimated_average_precision",
    "estimated_log_loss",
    "estimated_brier",
    "estimated_expected_calibration_error",
    "estimated_lift",
    "estimated_true_positives",
    "estimated_false_positives",
    "estimated_false_negatives",
    "estimated_true_negatives",
    source="outcomes drawn from known chances, and what scikit-learn and our own measures then realise",
)
def test_binary_estimates_hold_what_outcomes_then_show():
    rng = np.random.default_rng(0)
    baseline, data = profile_of(Task.BINARY, binary(rng, 20_000)), binary(rng, 4_000)
    names = [e.name for e in CATALOGUE if e.reads == "score_table" and e.name != "estimated_positive_share"]
    found = by_name(measure_estimates(baseline, profile_of(Task.BINARY, data, known=False), names=names))
    y, s, d = data["came"], data["score"], data["decided"]
    tn, fp, fn, tp = sk.confusion_matrix(y, d).ravel()
    real = {
        "accuracy": sk.accuracy_score(y, d),
        "balanced_accuracy": sk.balanced_accuracy_score(y, d),
        "precision": sk.precision_score(y, d),
        "recall": sk.recall_score(y, d),
        "specificity": tn / (tn + fp),
        "f1": sk.f1_score(y, d),
        "mcc": sk.matthews_corrcoef(y, d),
        "roc_auc": sk.roc_auc_score(y, s),
        "average_precision": sk.average_precision_score(y, s),
        "log_loss": sk.log_loss(y, s),
        "brier": sk.brier_score_loss(y, s),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
    }
    realised = measure_performance(
        profile_of(Task.BINARY, data).performance,
        task=Task.BINARY,
        positive="1",
        names=["lift", "expected_calibration_error"],
    )
    real |= {m.measure: m.value for m in realised}
    assert {name for name, _ in found} == set(real)
    for name, value in real.items():
        m = found[name, ""]
        # 17 intervals of 95% on one draw: three sides' worth of width is wide enough for all of them.
        width = m.interval.high - m.interval.low
        assert m.interval.low - width / 2 <= value <= m.interval.high + width / 2, name
        assert width < 0.25 * max(abs(value), 0.3), name
        assert m.details["reliable"] is True


@pytest.mark.known_answer(
    "estimated_accuracy",
    "estimated_precision_macro",
    "estimated_precision_micro",
    "estimated_precision_weighted",
    "estimated_precision_per_class",
    "estimated_recall_macro",
    "estimated_recall_micro",
    "estimated_recall_weighted",
    "estimated_recall_per_class",
    "estimated_f1_macro",
    "estimated_f1_micro",
    "estimated_f1_weighted",
    "estimated_f1_per_class",
    "estimated_roc_auc_ovr",
    "estimated_roc_auc_per_class",
    "estimated_multiclass_log_loss",
    source="outcomes drawn from known chances, and what scikit-learn then realises",
)
def test_estimates_of_several_classes_hold_what_outcomes_then_show():
    rng = np.random.default_rng(1)
    baseline, data = profile_of(Task.MULTICLASS, several(rng, 20_000)), several(rng, 4_000)
    names = [e.name for e in CATALOGUE if e.reads == "score_tables"] + ["accuracy"]
    found = by_name(measure_estimates(baseline, profile_of(Task.MULTICLASS, data, known=False), names=names))
    y, d = data["came"], data["decided"]
    s = np.column_stack([data[f"p_{c}"] for c in "abc"])
    real = {("accuracy", ""): sk.accuracy_score(y, d), ("multiclass_log_loss", ""): sk.log_loss(y, s)}
    for name, function in (
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
        ("f1", sk.f1_score),
    ):
        real |= {(f"{name}_{how}", ""): function(y, d, average=how) for how in ("macro", "micro", "weighted")}
        real |= {
            (f"{name}_per_class", c): v for c, v in zip("abc", function(y, d, average=None), strict=True)
        }
    real |= {("roc_auc_per_class", c): sk.roc_auc_score(y == i, s[:, i]) for i, c in enumerate("abc")}
    real["roc_auc_ovr", ""] = np.mean([real["roc_auc_per_class", c] for c in "abc"])
    assert set(found) == set(real)
    for key, value in real.items():
        m = found[key]
        width = m.interval.high - m.interval.low
        assert m.interval.low - width / 2 <= value <= m.interval.high + width / 2, key
        assert width < 0.12, key


@pytest.mark.known_answer(
    "estimated_rmse",
    "estimated_mse",
    "estimated_mae",
    "estimated_bias",
    "estimated_r2",
    "estimated_mape",
    "estimated_smape",
    source="outcomes drawn from known chances, and what scikit-learn then realises",
)
def test_estimates_of_errors_hold_what_outcomes_then_show():
    rng = np.random.default_rng(2)
    baseline = profile_of(Task.REGRESSION, regression(rng, 5_000))
    data = regression(rng, 2_500, move=0.5)
    names = [e.name for e in CATALOGUE if e.reads == "sample" and e.name.startswith("estimated_")]
    found = by_name(measure_estimates(baseline, profile_of(Task.REGRESSION, data, known=False), names=names))
    p, a = data["predicted"], data["actual"]
    real = {
        "rmse": sk.root_mean_squared_error(a, p),
        "mse": sk.mean_squared_error(a, p),
        "mae": sk.mean_absolute_error(a, p),
        "bias": np.mean(p - a),
        "r2": sk.r2_score(a, p),
        "smape": np.mean(2 * np.abs(p - a) / (np.abs(p) + np.abs(a))),
    }
    assert set(real) | {"mape"} == {name for name, _ in found}
    for name, value in real.items():
        m = found[name, ""]
        width = m.interval.high - m.interval.low
        assert m.interval.low - width / 2 <= value <= m.interval.high + width / 2, name
    assert found["mape", ""].value is not None


class TestBinary:
    def test_rows_that_moved_are_weighted(self):
        rng = np.random.default_rng(3)
        baseline, data = profile_of(Task.BINARY, binary(rng, 20_000)), binary(rng, 5_000, move=1.0)
        window = profile_of(Task.BINARY, data, known=False)
        auto = measure_estimates(baseline, window, names=["precision"])[0]
        plain = measure_estimates(baseline, window, names=["precision"], method="cbpe")[0]
        real = sk.precision_score(data["came"], data["decided"])
        assert auto.details["method"] == "pape"
        assert auto.interval.low <= real <= auto.interval.high
        assert not plain.interval.low <= real <= plain.interval.high
        assert auto.details["effective_rows"] > 500

    def test_rows_of_a_kind_that_the_baseline_has_none_of_are_told_as_such(self):
        """A feed that loses a column: no weights make the baseline's rows like those without it."""
        rng = np.random.default_rng(14)
        baseline, data = profile_of(Task.BINARY, binary(rng, 20_000)), binary(rng, 5_000)
        lost = rng.random(5_000) < 0.5
        broken = {**data, "x": np.where(lost, np.nan, data["x"]), "score": np.where(lost, 0.5, data["score"])}
        broken["decided"] = broken["score"] >= 0.5
        window = profile_of(Task.BINARY, broken, known=False)
        auto = measure_estimates(baseline, window, names=["roc_auc"])[0]
        assert not auto.details["reliable"]
        assert [r for r in auto.details["reasons"] if "differ in x by" in r] == auto.details["reasons"]
        assert auto.details["imbalance"] > 1
        plain = measure_estimates(baseline, window, names=["roc_auc"], method="cbpe")[0]
        assert auto.value == plain.value
        assert auto.details["method"] == plain.details["method"] == "cbpe"
        forced = measure_estimates(baseline, window, names=["roc_auc"], method="pape")[0]
        assert forced.details["method"] == "pape"
        assert not forced.details["reliable"]
        before = measure_estimates(baseline, profile_of(Task.BINARY, data, known=False), names=["roc_auc"])[0]
        real = sk.roc_auc_score(data["came"], broken["score"])
        assert real < before.interval.low, "the model did get worse"
        assert auto.value < before.interval.low, "and the estimate says so before any outcome"

    def test_concept_shift_is_doubted_once_outcomes_arrive_here_or_before(self):
        rng = np.random.default_rng(4)
        baseline, data = profile_of(Task.BINARY, binary(rng, 20_000)), binary(rng, 4_000, concept=0.5)
        window, late = profile_of(Task.BINARY, data, known=False), profile_of(Task.BINARY, data)
        silent = measure_estimates(baseline, window, names=["accuracy"])[0]
        told = measure_estimates(baseline, late, names=["accuracy"])[0]
        before = measure_estimates(baseline, window, names=["accuracy"], arrived=[late])[0]
        assert silent.details["reliable"]
        assert not told.details["reliable"]
        assert not before.details["reliable"]
        assert "contradict" in told.details["reasons"][0]
        assert told.value == pytest.approx(silent.value)

    def test_the_baselines_windows_widen_the_interval(self):
        rng = np.random.default_rng(5)
        windows = [
            profile_of(Task.BINARY, binary(rng, 1_000, concept=c), sample_k=0) for c in rng.normal(0, 0.5, 20)
        ]
        baseline = windows[0]
        for w in windows[1:]:
            baseline = Profile(
                schema=baseline.schema,
                performance={k: s.merge(w.performance[k]) for k, s in baseline.performance.items()},
            )
        wide = measure_estimates(baseline, windows[0], names=["precision"], windows=windows)[0]
        narrow = measure_estimates(baseline, windows[0], names=["precision"])[0]
        assert wide.interval.high - wide.interval.low > 1.3 * (narrow.interval.high - narrow.interval.low)
        assert wide.details["variance_shares"]["windows"] > 0.3

    def test_the_threshold_that_decisions_follow_is_found(self):
        rng = np.random.default_rng(6)
        baseline, data = profile_of(Task.BINARY, binary(rng, 20_000, cut=0.7)), binary(rng, 4_000, cut=0.7)
        m = measure_estimates(baseline, profile_of(Task.BINARY, data, known=False), names=["recall"])[0]
        assert m.details["threshold"] == pytest.approx(0.7, abs=0.002)
        assert m.interval.low <= sk.recall_score(data["came"], data["decided"]) <= m.interval.high

    def test_decisions_by_something_else_are_said(self):
        rng = np.random.default_rng(7)
        data = binary(rng, 5_000)
        data["decided"] = data["x"] + 2 * data["z"] > 0
        baseline = profile_of(Task.BINARY, data)
        found = by_name(measure_estimates(baseline, baseline, names=["f1", "roc_auc"]))
        assert found["f1", ""].value is None
        assert "one threshold" in found["f1", ""].reason
        assert found["roc_auc", ""].value is not None

    @pytest.mark.known_answer("estimated_positive_share", source="the share that was drawn")
    def test_other_shares_of_classes(self):
        rng = np.random.default_rng(8)
        data = binary(rng, 40_000)
        kept = np.flatnonzero(data["came"] | (rng.random(40_000) < 0.4))[:5_000]
        later = {name: a[kept] for name, a in data.items()}
        baseline = profile_of(Task.BINARY, binary(rng, 20_000))
        window = profile_of(Task.BINARY, later, known=False)
        share, precision = measure_estimates(
            baseline, window, names=["positive_share", "precision"], method="label_shift"
        )[::-1]
        assert share.interval.low <= later["came"].mean() <= share.interval.high
        assert share.details["check_p"] > 0.01
        real = sk.precision_score(later["came"], later["decided"])
        assert precision.interval.low <= real <= precision.interval.high


class TestRegression:
    @pytest.mark.parametrize("model", ["ridge", "boosted"])
    def test_a_column_that_is_suddenly_missing_makes_it_unreliable_and_a_column_that_moved_does_not(
        self, model
    ):
        rng = np.random.default_rng(15)
        baseline, data = profile_of(Task.REGRESSION, regression(rng, 6_000)), regression(rng, 3_000, move=1.0)
        moved = measure_estimates(baseline, profile_of(Task.REGRESSION, data), names=["mae"], model=model)[0]
        assert moved.details["reliable"], moved.details["reasons"]
        lost = {**data, "z": np.where(rng.random(3_000) < 0.5, np.nan, data["z"])}
        broken = measure_estimates(
            baseline, profile_of(Task.REGRESSION, lost, known=False), names=["mae"], model=model
        )[0]
        assert not broken.details["reliable"]
        assert any("differ in z by" in reason for reason in broken.details["reasons"])


class TestEdges:
    def test_without_outcomes_or_scores_it_says_why(self):
        rng = np.random.default_rng(9)
        unknown = profile_of(Task.BINARY, binary(rng, 500), known=False)
        assert all("no outcomes" in m.reason for m in measure_estimates(unknown, unknown))
        assert measure_estimates(Profile(schema=schema_of(Task.BINARY)), unknown) == []
        bare = profile_of(Task.REGRESSION, regression(rng, 500), sample_k=0)
        assert all("sampled" in m.reason for m in measure_estimates(bare, bare))

    def test_a_way_for_two_classes_is_not_passed_over_in_silence_for_several(self):
        three = profile_of(Task.MULTICLASS, several(np.random.default_rng(12), 500))
        with pytest.raises(BadInput, match="for two classes"):
            measure_estimates(three, three, method="label_shift")

    def test_several_classes_are_weighted_where_that_is_asked_for_and_where_rows_moved(self):
        rng = np.random.default_rng(13)
        baseline, same = (profile_of(Task.MULTICLASS, several(rng, n)) for n in (4_000, 2_000))
        of = lambda window, **how: {  # noqa: E731
            m.details["method"] for m in measure_estimates(baseline, window, names=["f1_macro"], **how)
        }
        assert of(same) == {"cbpe"}
        assert of(same, method="pape") == {"pape"}
        rows = several(rng, 2_000)
        assert of(profile_of(Task.MULTICLASS, {**rows, "x": rows["x"] + 2.0})) == {"pape"}
        lost = {**rows, "x": np.where(rng.random(2_000) < 0.5, np.nan, rows["x"])}
        m = measure_estimates(baseline, profile_of(Task.MULTICLASS, lost), names=["f1_macro"])[0]
        assert (m.details["method"], m.details["reliable"]) == ("cbpe", False)
        assert "differ in x" in m.details["reasons"][-1]
        bare = profile_of(Task.MULTICLASS, several(rng, 2_000), sample_k=0)
        m = measure_estimates(baseline, bare, names=["f1_macro"], method="pape")[0]
        assert m.value is None
        assert "sampled rows" in m.reason

    def test_weighting_without_samples_is_refused_in_words(self):
        rng = np.random.default_rng(10)
        bare = profile_of(Task.BINARY, binary(rng, 2_000), sample_k=0)
        m = measure_estimates(bare, bare, names=["f1"], method="pape")[0]
        assert m.value is None
        assert "sampled rows" in m.reason

    def test_unknown_words_are_refused(self):
        profile = Profile(schema=schema_of(Task.BINARY))
        with pytest.raises(NotFound, match="estimated_f1"):
            measure_estimates(profile, profile, names=["estimated_f11"])
        with pytest.raises(BadInput, match="cbpe"):
            measure_estimates(profile, profile, method="cbp")

    def test_every_estimate_is_in_the_catalogue_and_is_plain_json(self):
        rng = np.random.default_rng(11)
        for task, world in ((Task.BINARY, binary), (Task.MULTICLASS, several), (Task.REGRESSION, regression)):
            baseline, window = (
                profile_of(task, world(rng, 3_000)),
                profile_of(task, world(rng, 1_000), known=False),
            )
            found = measure_estimates(baseline, window)
            assert len(found) > 4
            for m in found:
                assert described_measures()[m.measure].family is Family.ESTIMATE
                json.dumps(m.to_dict(), allow_nan=False)

    def test_the_profile_that_was_stored_gives_the_same(self):
        rng = np.random.default_rng(12)
        baseline, window = (profile_of(Task.BINARY, binary(rng, n)) for n in (3_000, 1_000))
        again = [decode(encode(p)) for p in (baseline, window)]
        one, two = measure_estimates(baseline, window), measure_estimates(*again)
        assert [m.value for m in one] == pytest.approx([m.value for m in two])


@pytest.mark.known_answer(
    "performance_change_covariate",
    "performance_change_concept",
    "performance_change_of_column",
    source="the change that was put in, from large samples of both worlds",
)
def test_what_moved_and_what_it_cost():
    rng = np.random.default_rng(13)

    def data(rows, move, concept):
        x, z = rng.normal(move, 1, rows), rng.normal(size=rows)
        predicted = 5 + x + z
        return {
            "x": x,
            "z": z,
            "predicted": predicted,
            "actual": predicted + (1 + 0.5 * np.exp(x / 2)) * concept * rng.normal(size=rows),
        }

    found = by_name(
        measure_change(
            profile_of(Task.REGRESSION, data(5_000, 0.0, 1.0)),
            profile_of(Task.REGRESSION, data(5_000, 0.7, 1.3)),
        )
    )
    mean = np.sqrt(2 / np.pi)
    before = mean * (1 + 0.5 * np.exp(1 / 8))
    rows_only = mean * (1 + 0.5 * np.exp(0.35 + 1 / 8))
    wanted = {
        ("performance_change_covariate", ""): rows_only - before,
        ("performance_change_concept", ""): 0.3 * rows_only,
        ("performance_change_of_column", "x"): rows_only - before,
        ("performance_change_of_column", "z"): 0.0,
    }
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        assert found[key].interval.low - 0.03 <= value <= found[key].interval.high + 0.03, key
        assert found[key].interval.high - found[key].interval.low < 0.25


def test_a_change_needs_sampled_rows():
    rng = np.random.default_rng(14)
    bare = profile_of(Task.BINARY, binary(rng, 500), sample_k=0)
    assert all("sampled" in m.reason for m in measure_change(bare, bare))
    unknown = profile_of(Task.BINARY, binary(rng, 500), known=False)
    assert all(m.value is None for m in measure_change(unknown, unknown))
    known = profile_of(Task.BINARY, binary(rng, 500))
    found = by_name(measure_change(known, unknown))
    assert found["performance_change_covariate", ""].value is not None
    assert "arrived" in found["performance_change_concept", ""].reason


@pytest.mark.known_answer("estimate_error", "estimate_coverage", source="worked by hand")
def test_the_track_record_of_three_windows():
    def guess(value, reliable=True):
        return Measurement(
            measure="estimated_f1",
            value=value,
            interval=Interval(value - 0.05, value + 0.05),
            details={"reliable": reliable},
        )

    estimated = [guess(0.9), guess(0.8), guess(0.7, reliable=False), guess(0.6)]
    realised = [Measurement(measure="f1", value=v) for v in (0.88, 0.7, 0.2)]
    realised.append(Measurement.missing("f1", "No row has an outcome yet."))
    error, coverage = track_record(estimated, realised, metric="estimated_f1")
    assert (error.subject, error.value, error.details["windows"]) == ("f1", pytest.approx(0.06), 2)
    assert (coverage.value, coverage.interval.low) == (0.5, pytest.approx(0.0945, abs=1e-4))
    assert error.details["bias"] == pytest.approx(0.06)
