"""One class in two spellings, and which of two is positive; the right numbers are scikit-learn's."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score, roc_auc_score

import watchkeeper as wk
from watchkeeper.domain.classes import class_key, spelled_as
from watchkeeper.errors import BadInput
from watchkeeper.stats.classes import positive_class
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.moments import Moments

RNG = np.random.default_rng(11)
SCORE = RNG.random(2_000)
TRUTH = (RNG.random(2_000) < SCORE).astype(int)
DECIDED = (SCORE >= 0.5).astype(int)


def spelled(flags, no, yes):
    return [yes if flag else no for flag in flags]


SPELLINGS = {
    "bool": (False, True), "int": (0, 1), "float": (0.0, 1.0), "decimal": (Decimal("0.0"), Decimal("1.0")),
    "text of ints": ("0", "1"), "text of floats": ("0.0", "1.0"), "Python's words": ("False", "True"),
    "small words": ("false", "true"), "yes and no": ("no", "yes"), "capitals": ("NO", "YES"),
}  # fmt: skip


def performance(report):
    return {m.measure: m for m in report.performance if not m.subject}


@pytest.mark.parametrize(
    ("outcome", "prediction"),
    [
        (one, other)
        for i, one in enumerate(SPELLINGS)
        for j, other in enumerate(SPELLINGS)
        if (i - j) % 10 in (0, 1, 4)
    ],
)
def test_classes_in_two_spellings_are_one(outcome, prediction):
    rows = pa.table({
        "y_true": spelled(TRUTH, *SPELLINGS[outcome]),
        "y_pred": spelled(DECIDED, *SPELLINGS[prediction]),
        "score": SCORE,
    })  # fmt: skip
    found = performance(wk.compare(rows, rows, task="binary"))
    assert found["precision"].value == pytest.approx(precision_score(TRUTH, DECIDED))
    assert found["recall"].value == pytest.approx(recall_score(TRUTH, DECIDED))
    assert found["f1"].value == pytest.approx(f1_score(TRUTH, DECIDED))
    assert found["accuracy"].value == pytest.approx((TRUTH == DECIDED).mean())
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(TRUTH, SCORE), abs=1e-3)
    assert found["log_loss"].value == pytest.approx(log_loss(TRUTH, SCORE))


@pytest.mark.parametrize("earlier", ["yes and no", "int", "float", "bool"])
@pytest.mark.parametrize("later", ["float", "text of ints", "Python's words", "yes and no", "bool"])
def test_a_batch_that_spells_its_classes_in_another_way_than_the_baseline(earlier, later):
    before, after = (
        pa.table({
            "y_true": spelled(TRUTH, *SPELLINGS[side]),
            "y_pred": spelled(DECIDED, *SPELLINGS[side]),
            "score": SCORE,
        })
        for side in (earlier, later)
    )  # fmt: skip
    report = wk.compare(before, after)
    found = performance(report)
    assert found["f1"].value == pytest.approx(f1_score(TRUTH, DECIDED))
    assert found["log_loss"].value == pytest.approx(log_loss(TRUTH, SCORE))
    numbers, words = ("int", "float"), ("Python's words", "yes and no")
    if (earlier == "yes and no" and later != earlier) or (earlier in numbers and later in words):
        assert any("spelled in another way" in note for note in report.notes)


def test_several_classes_are_matched_by_their_numbers():
    truth, said = RNG.integers(0, 3, 500), RNG.integers(0, 3, 500)
    rows = pa.table({"y_true": truth, "y_pred": [f"{x}.0" for x in said]})
    found = performance(wk.compare(rows, rows, task="multiclass"))
    assert found["accuracy"].value == pytest.approx((truth == said).mean())
    assert found["f1_macro"].value == pytest.approx(f1_score(truth, said, average="macro"))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_that_cannot_be_matched_are_both_named(task):
    rows = pa.table({"y_true": spelled(TRUTH, "no", "yes"), "y_pred": spelled(DECIDED, "reject", "approve")})
    found = performance(wk.compare(rows, rows, task=task))
    assert found["accuracy"].value is None
    for name in ("no", "yes", "reject", "approve"):
        assert repr(name) in found["accuracy"].reason


def test_all_wrong_is_no_mismatch():
    assert Confusion.of_labels(["0", "0"], ["1", "1"]).unmatched(two=True) is None
    assert Confusion.of_labels(["0", "1"], ["1", "1"]).unmatched(two=True) is None
    assert Confusion.of_labels(list("ab"), list("cd")).unmatched(two=False) is None  # two rows say nothing


class TestThePositiveClass:
    def test_scores_say_which_it_is(self):
        rows = pa.table({"y_true": spelled(TRUTH, "good", "bad"), "score": SCORE})
        report = wk.compare(rows, rows)
        assert performance(report)["roc_auc"].value == pytest.approx(roc_auc_score(TRUTH, SCORE), abs=1e-3)
        assert any("taken to be 'bad'" in note for note in report.notes)

    def test_predictions_say_it_where_the_outcomes_are_of_one_class(self):
        calm = pa.table({
            "y_true": ["good"] * 2_000, "y_pred": spelled(DECIDED, "good", "bad"), "score": SCORE,
        })  # fmt: skip
        now = calm.set_column(0, "y_true", [spelled(TRUTH, "good", "bad")])
        found = performance(wk.compare(calm, now))
        assert found["roc_auc"].value == pytest.approx(roc_auc_score(TRUTH, SCORE), abs=1e-3)
        assert found["recall"].value == pytest.approx(recall_score(TRUTH, DECIDED))

    @pytest.mark.parametrize("names", [*list(SPELLINGS.values())[:3], ("no", "yes")], ids=str)
    def test_a_baseline_of_one_class_binds_nothing_wrong(self, names):
        calm = pa.table({"y_true": spelled(np.zeros(2_000), *names), "score": SCORE})
        now = pa.table({"y_true": spelled(TRUTH, *names), "score": SCORE})
        report = wk.compare(calm, now)
        assert performance(report)["roc_auc"].value == pytest.approx(roc_auc_score(TRUTH, SCORE), abs=1e-3)

    def test_one_unknown_class_is_not_bound(self):
        calm = pa.table({"y_true": ["stayed"] * 100, "score": SCORE[:100]})
        made = wk.baseline(calm, task="binary")
        assert made.plan.positive_class is None
        assert any("'stayed'" in note for note in made.profile.notes)

    def test_what_was_said_counts_first_and_must_be_a_class(self):
        scores = {"good": Moments.of(SCORE[TRUTH == 0]), "bad": Moments.of(SCORE[TRUTH == 1])}
        assert positive_class(scores, {}).name == "bad"
        assert positive_class(scores, {}, given="good").name == "good"
        assert positive_class({"false": Moments(), "true": Moments()}, {}, given="1").name == "true"
        with pytest.raises(BadInput, match="'bad' and 'good'"):
            positive_class(scores, {}, given="awful")

    def test_usual_names_keep_their_meaning_and_a_contrary_score_is_reported(self):
        found = positive_class({"0": Moments.of(SCORE[TRUTH == 1]), "1": Moments.of(SCORE[TRUTH == 0])}, {})
        assert found.name == "1"
        assert "higher where the outcome is '0'" in found.note

    @pytest.mark.parametrize(
        ("names", "name", "sure"),
        [
            (("fraud", "ok"), "fraud", True),
            (("1", "2"), "2", True),
            (("-1", "1"), "1", True),
            (("a", "b"), "b", False),
        ],
    )
    def test_without_a_score_names_are_what_is_left(self, names, name, sure):
        found = positive_class(dict.fromkeys(names, Moments.empty()), {})
        assert (found.name, found.sure) == (name, sure)
        assert "positive=" in found.note


def test_names_that_could_be_two_classes_stay_as_they_are():
    assert spelled_as(["true", "1", "2.0"], ["yes", "1", "2"]) == ["true", "1", "2"]
    assert spelled_as(["A", "b "], ["a", "b"]) == ["a", "b"]
    assert class_key("nan") == "nan"
    assert class_key("1_0") == "1_0"
    assert class_key(str(np.float32(0.1).item())) == class_key("0.1")
