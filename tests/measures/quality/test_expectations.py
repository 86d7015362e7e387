"""What users expect: checked on states as on rows, and suggested without crying wolf."""

import numpy as np
import pytest

from watchkeeper.domain.expectation import Expectation
from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.domain.values import Values
from watchkeeper.measures.quality.evaluation import measure_quality
from watchkeeper.measures.quality.expectations import expectation, suggest_expectations
from watchkeeper.stats.duplicates import Duplicates
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.edge_search import EdgeSearch


def profiled(columns, roles=None, edges=None):
    values = {}
    for name, data in columns.items():
        if data.dtype.kind == "O":
            valid = np.array([x is not None for x in data])
            names, inverse = np.unique(data[valid].astype(str), return_inverse=True)
            codes = np.zeros(data.size, np.int32)
            codes[valid] = inverse
            values[name] = Values(kind=Kind.CATEGORICAL, rows=data.size, data=codes, valid=valid,
                                  dictionary=names.astype(object))  # fmt: skip
        else:
            kind = Kind.INTEGER if data.dtype.kind == "i" else Kind.NUMERIC
            values[name] = Values(kind=kind, rows=data.size, data=data)
    schema = Schema(
        columns=tuple(
            Column(name=n, kind=v.kind, role=(roles or {}).get(n, Role.FEATURE)) for n, v in values.items()
        )
    )
    with EdgeSearch(schema) as search:
        search.add(values)
        plan = search.plan(sample_k=0)
    plan.edges.update(edges or {})
    return profile_columns(values, plan, workers=1)


def text(*words):
    return np.array(words, dtype=object)


def broken(columns, expected, **options):
    profile = profiled(columns, edges=options.pop("edges", None))
    return expectation(profile.columns.get(expected.column), expected, **options)


@pytest.mark.parametrize(
    ("columns", "expected", "share"),
    [
        ({"x": text("a", None, "b", None)}, Expectation.not_null("x"), 0.5),
        ({"x": text("a", None, "b", "c")}, Expectation.complete("x", 0.7), 0.25),
        ({"x": np.array([1, 5, 9, 12])}, Expectation.between("x", 2, 10), 0.5),
        ({"x": np.array([1.0, 5.0, np.inf, -np.inf])}, Expectation.between("x", None, 4), 0.5),
        ({"x": np.array([2, 10, 5])}, Expectation.between("x", 2, 10), 0.0),
        ({"x": text("f", "m", "x", None)}, Expectation.one_of("x", ["f", "m"]), 1 / 3),
        ({"x": np.array([1, 2, 3, 3])}, Expectation.one_of("x", [1, 2]), 0.5),
        ({"x": np.array([0.5, 2.0, 3.0, 7.25])}, Expectation.one_of("x", [0.5, 2, 3.0, 7.25]), 0.0),
        ({"x": text("A-1", "B-22", "b-3", "A-1 ")}, Expectation.matches("x", r"[A-Z]-\d+"), 0.5),
        ({"x": text("a", "b", "a", None)}, Expectation.unique("x"), 1 / 3),
        ({"x": np.array([4, 5, 6])}, Expectation.unique("x"), 0.0),
    ],
    ids=lambda v: v.sentence if isinstance(v, Expectation) else None,
)
def test_the_share_that_breaks_it_is_exact(columns, expected, share):
    found = broken(columns, expected)
    assert found.value == pytest.approx(share)
    assert found.bound == 0.0
    assert ("sentence" in found.details) == (share > expected.tolerance)


def test_a_range_inside_the_bins_is_counted_within_its_bound():
    data = np.random.default_rng(0).normal(size=50_000)
    found = broken({"x": data}, Expectation.between("x", -1.2345, 1.9))
    truth = ((data < -1.2345) | (data > 1.9)).mean()
    assert abs(found.value - truth) <= found.bound
    assert found.bound < 0.001
    assert found.margin is None  # the extremes alone show that some rows break it


def test_one_row_beyond_the_range_is_never_lost_in_the_bins():
    old = np.random.default_rng(1).uniform(0, 10, 50_000)
    baseline = profiled({"x": old})
    found = broken({"x": np.append(old, 10.5)}, Expectation.between("x", 0, 10.2), edges=baseline.edges)
    assert found.value * found.rows >= 1.0


def test_the_tolerance_is_expected():
    found = broken({"x": text("a", "a", "b", "a")}, Expectation.one_of("x", ["a"], tolerance=0.3))
    assert found.value == 0.25
    assert found.details["expected"] == 0.3
    assert "sentence" not in found.details


def test_examples_of_what_breaks_it_are_shown():
    found = broken({"x": text("a", "zz", "zz", "q")}, Expectation.one_of("x", ["a"]))
    assert found.details["examples"] == ["zz", "q"]


def test_no_such_column_breaks_it_and_says_so():
    found = broken({"x": text("a")}, Expectation.not_null("y"))
    assert found.value == 1.0
    assert "no such column" in found.details["sentence"]


def test_what_cannot_be_known_is_a_reason():
    assert broken({"x": np.array([1.5, 2.5])}, Expectation.matches("x", ".*")).reason
    assert broken({"x": text("a", "b")}, Expectation.between("x", 0, 1)).reason


def test_uniqueness_takes_an_exact_count_where_there_is_one():
    data = {"x": np.arange(20_000)}
    found = broken(data, Expectation.unique("x"), duplicates=Duplicates(rows=20_000, copies=5))
    assert found.details["count"] == 5


def test_an_estimated_distinct_count_is_no_evidence():
    ids = text(*[f"id-{i}" for i in range(20_000)])
    found = broken({"x": ids}, Expectation.unique("x"))
    assert found.bound > 0
    assert found.value <= found.margin


@pytest.fixture
def year():
    rng = np.random.default_rng(2)
    rows = 3_000
    return {
        "age": rng.integers(18, 90, rows),
        "delay": rng.normal(5, 30, rows),
        "fare": rng.gamma(2, 50, rows),
        "class": rng.choice(text("eco", "biz"), rows),
        "note": np.where(rng.random(rows) < 0.2, None, rng.choice(text("ok", "late"), rows)),
        "id": np.array([f"r{i}" for i in range(rows)], dtype=object),
        "y": rng.integers(0, 2, rows),
    }


def test_what_a_baseline_suggests(year):
    profile = profiled(year, roles={"id": Role.ID, "y": Role.OUTCOME})
    said = [e.sentence for e in suggest_expectations(profile)]
    assert "class is one of biz, eco" in said
    assert "id never occurs twice" in said
    assert any(s.startswith("note is there in at least 0.7") for s in said)
    assert "age is never missing" in said
    assert not any(s.startswith("y ") for s in said)
    fare = next(e for e in suggest_expectations(profile) if (e.column, e.rule) == ("fare", "between"))
    assert fare.low == 0.0
    assert fare.high > year["fare"].max()


def test_a_baseline_breaks_nothing_that_it_suggests(year):
    profile = profiled(year, roles={"id": Role.ID, "y": Role.OUTCOME})
    found = measure_quality(profile, expectations=suggest_expectations(profile))
    checked = [m for m in found if m.measure == "expectation"]
    assert len(checked) > 8
    for m in checked:
        assert m.value <= m.details.get("expected", 0.0), m.details


def test_few_rows_suggest_nothing():
    assert suggest_expectations(profiled({"x": np.arange(50)})) == []
