"""Scores of several classes: declared on the command line, in a file, by their names, or seen by their sums."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.metrics import log_loss, roc_auc_score

import watchkeeper as wk
from watchkeeper.cli.init import init
from watchkeeper.domain.schema import Role
from watchkeeper.errors import BadInput
from watchkeeper.loop.batch.profiling import load_baseline
from watchkeeper.measures.estimate.evaluation import measure_estimates
from watchkeeper.rows.infer import infer
from watchkeeper.rows.likely_roles import likely_class_scores, likely_roles, unique_numbers
from watchkeeper.wiring.config import parse_config

RNG = np.random.default_rng(31)
CLASSES = ("cat", "dog", "bird")
RAW = RNG.dirichlet([1.5, 1.0, 0.7], 2_000)
TRUTH = np.array([RNG.choice(3, p=p) for p in RAW])
NAMES = {
    "sklearn": "proba_{}", "evidently and nannyml": "y_pred_proba_{}", "ours": "score:{}", "short": "p_{}",
    "bracketed": "P({})", "long": "prediction_probability_{}",
}  # fmt: skip


def rows(pattern, classes=CLASSES):
    return pa.table({
        **{pattern.format(c): RAW[:, i] for i, c in enumerate(classes)},
        "y_pred": [classes[i] for i in RAW.argmax(1)],
        "y_true": [classes[i] for i in TRUTH],
    })  # fmt: skip


def right():
    return {
        "roc_auc_ovr": roc_auc_score(TRUTH, RAW, multi_class="ovr"),
        "multiclass_log_loss": log_loss(TRUTH, RAW),
        "accuracy": (RAW.argmax(1) == TRUTH).mean(),
    }


def check(report):
    found = {m.measure: m.value for m in report.performance if not m.subject}
    for name, value in right().items():
        assert found[name] == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES)
def test_names_say_which_class_a_score_is_of(pattern):
    check(wk.compare(rows(pattern), rows(pattern)))


def test_class_numbers_in_another_spelling():
    table = rows("proba_{}", ("0", "1", "2")).set_column(4, "y_true", [TRUTH])
    check(wk.compare(table, table, task="multiclass"))


def test_roles_say_it_where_names_do_not():
    table = rows("x{}", CLASSES).rename_columns(["a", "b", "c", "y_pred", "y_true"])
    roles = {"a": "score:cat", "b": "score:dog", "c": "score:bird"}
    check(wk.compare(table, table, roles=roles))
    with pytest.raises(BadInput, match="feature:cat"):
        wk.compare(table, table, roles={"a": "feature:cat"})


def test_three_scores_of_unknown_classes_are_reported():
    table = rows("x{}", CLASSES).rename_columns(["a", "b", "c", "y_pred", "y_true"])
    report = wk.compare(table, table, roles=dict.fromkeys("abc", "score"))
    assert any("score:CLASS" in note for note in report.notes)


def test_estimates_read_scores_that_are_named_by_their_class():
    made = wk.baseline(rows("y_pred_proba_{}"))
    found = {m.measure: m.value for m in measure_estimates(made.profile, made.profile)}
    assert found["estimated_accuracy"] == pytest.approx(right()["accuracy"], abs=0.03)
    assert found["estimated_roc_auc_ovr"] == pytest.approx(right()["roc_auc_ovr"], abs=0.03)


@pytest.mark.parametrize("names", [CLASSES, ("p0", "p1", "p2")], ids=["by name", "by the largest"])
def test_columns_that_add_up_to_one_are_the_scores_of_the_classes(names):
    table = rows("{}").rename_columns([*names, "y_pred", "y_true"])
    schema = infer(table.schema, sample=table).schema
    assert likely_class_scores(schema, table) == dict(zip(names, CLASSES, strict=True))
    other = table.set_column(0, names[0], [RNG.random(2_000)])
    assert likely_class_scores(schema, other) == {}


def test_init_takes_them_and_says_so(tmp_path):
    pq.write_table(rows("{}"), tmp_path / "rows.parquet")
    done = CliRunner().invoke(
        init, [str(tmp_path), "--model", "m", "--baseline", str(tmp_path / "rows.parquet")]
    )
    assert done.exit_code == 0, done.output
    assert "score of cat 'cat'" in done.output
    made = load_baseline(tmp_path / "m.wkb")
    assert {c.score_of for c in made.schema.of_role(Role.SCORE)} == set(CLASSES)


def test_the_configuration_takes_scores_of_classes():
    config = parse_config('[models.m]\nroles = { a = "score:cat" }\n', where="here")
    assert config.models["m"].roles == {"a": "score:cat"}
    with pytest.raises(wk.WatchkeeperError, match="scoer"):
        parse_config('[models.m]\nroles = { a = "scoer:cat" }\n', where="here")


class TestIds:
    def test_whole_numbers_that_count_rows_are_the_id(self):
        table = pa.table(
            {"order": RNG.permutation(500) + 70_000, "amount": RNG.integers(0, 40, 500), "y": TRUTH[:500]}
        )
        schema = infer(table.schema, sample=table).schema
        assert likely_roles(schema, table)["order"] is Role.ID

    def test_large_numbers_that_never_repeat_themselves_are_pointed_out(self):
        table = pa.table({"cents": RNG.permutation(10**6)[:500], "y_true": TRUTH[:500]})
        schema = infer(table.schema, sample=table).schema
        assert "cents" not in likely_roles(schema, table)
        assert unique_numbers(schema, table) == ["cents"]


@pytest.mark.parametrize(("names", "said"), [(("good", "bad"), "bad"), (("0", "1"), "1")])
def test_init_says_which_class_is_positive(tmp_path, names, said):
    score = RNG.random(400)
    table = pa.table({"score": score, "y_true": [names[int(f)] for f in RNG.random(400) < score]})
    pq.write_table(table, tmp_path / "rows.parquet")
    done = CliRunner().invoke(
        init, [str(tmp_path), "--model", "m", "--baseline", str(tmp_path / "rows.parquet")]
    )
    assert f"The positive class is {said!r}." in done.output
    assert f'positive = "{said}"' in (tmp_path / "watchkeeper.toml").read_text()


def test_init_asks_for_the_positive_class_where_it_is_a_toss_up(tmp_path):
    table = pa.table(
        {"f": RNG.random(400), "y_true": ["left" if f else "right" for f in RNG.random(400) < 0.5]}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    words = [str(tmp_path), "--model", "m", "--baseline", str(tmp_path / "rows.parquet")]
    done = CliRunner().invoke(init, words)
    assert "--positive CLASS" in done.output
    assert '# positive = "yes"' in (tmp_path / "watchkeeper.toml").read_text()
    done = CliRunner().invoke(init, [*words, "--replace", "--positive", "left"])
    assert "The positive class is 'left'." in done.output
