"""Quality measures on profiles that the kernel made of real columns."""

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

import watchkeeper as wk
from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.domain.values import Values
from watchkeeper.errors import NotFound
from watchkeeper.measures.quality.catalogue import CATALOGUE
from watchkeeper.measures.quality.categories import new_categories, vanished_categories
from watchkeeper.measures.quality.evaluation import measure_quality
from watchkeeper.measures.quality.out_of_range import beyond_extremes
from watchkeeper.stats.duplicates import Duplicates
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.edge_search import EdgeSearch
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.profile import ColumnProfile


def values_of(data, valid=None, kind=None):
    """Values of a plain list or array: None is null, text is a category."""
    if isinstance(data, list) and any(isinstance(x, str) for x in data):
        names = sorted({x for x in data if x is not None})
        codes = np.array([0 if x is None else names.index(x) for x in data], dtype=np.int32)
        valid = np.array([x is not None for x in data])
        dictionary = np.array(names, dtype=object)
        return Values(
            kind=kind or Kind.CATEGORICAL, rows=len(data), data=codes, valid=valid, dictionary=dictionary
        )
    if isinstance(data, list):
        valid = np.array([x is not None for x in data])
        data = np.array([0.0 if x is None else x for x in data], dtype=float)
    kinds = {"f": Kind.NUMERIC, "i": Kind.INTEGER, "b": Kind.BOOLEAN}
    return Values(kind=kind or kinds[data.dtype.kind], rows=len(data), data=data, valid=valid)


def profiled(columns, roles=None, like=None):
    """A profile of *columns*, on the edges of the profile *like* where it has them."""
    values = {name: data if isinstance(data, Values) else values_of(data) for name, data in columns.items()}
    schema = Schema(
        columns=tuple(
            Column(name=name, kind=v.kind, role=(roles or {}).get(name, Role.FEATURE))
            for name, v in values.items()
        )
    )
    with EdgeSearch(schema) as search:
        search.add(values)
        plan = search.plan(sample_k=0)
    if like is not None:
        plan.edges.update({name: edges for name, edges in like.edges.items() if name in plan.edges})
    return profile_columns(values, plan, workers=1)


def one(found, measure, subject):
    return next(m for m in found if (m.measure, m.subject) == (measure, subject))


def test_missing_misfitting_and_infinite_values_are_shares_of_all_rows():
    data = np.array([1.0, np.nan, np.inf, -np.inf, 5.0, 0.0, 0.0, 8.0])
    valid = np.array([True, True, True, True, True, False, False, True])
    values = Values(kind=Kind.NUMERIC, rows=8, data=data, valid=valid, misfits=1, misfit_example="n/a")
    found = measure_quality(profiled({"x": values}))
    assert one(found, "missing", "x").value == 3 / 8
    assert one(found, "misfits", "x").value == 1 / 8
    assert "'n/a'" in one(found, "misfits", "x").details["sentence"]
    assert one(found, "infinite", "x").value == 2 / 8


def test_a_share_that_the_baseline_had_is_no_news():
    rng = np.random.default_rng(0)

    def nulls(share, rows=2_000):
        return profiled({"x": Values(kind=Kind.NUMERIC, rows=rows, data=rng.normal(size=rows),
                                     valid=rng.random(rows) >= share)})  # fmt: skip

    same = one(measure_quality(nulls(0.1), nulls(0.1)), "missing", "x")
    more = one(measure_quality(nulls(0.2), nulls(0.1)), "missing", "x")
    assert same.p_value > 0.05
    assert more.p_value < 1e-6
    assert more.details["expected"] == pytest.approx(0.1, abs=0.02)


def test_new_and_vanished_categories_are_named():
    old = profiled({"city": ["rome"] * 500 + ["bonn"] * 480 + ["oslo"] * 20})
    new = profiled({"city": ["rome"] * 500 + ["bonn"] * 400 + ["kyiv"] * 90 + ["lima"] * 10})
    found = measure_quality(new, old)
    arrived = one(found, "new_categories", "city")
    assert (arrived.value, arrived.details["names"]) == (0.1, ["kyiv", "lima"])
    assert arrived.p_value < 1e-6
    gone = one(found, "vanished_categories", "city")
    assert (gone.value, gone.details["names"]) == (0.02, ["oslo"])
    assert gone.p_value < 0.001


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_rare_categories_come_and_go_without_being_news(share):
    found = {"new_categories": [], "vanished_categories": []}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        names = [f"c{i}" for i in rng.zipf(1.6, 4_000) % 5_000]
        window = profiled({"city": names[: int(2_000 * share)]})
        for m in measure_quality(window, profiled({"city": names[2_000:]}), names=list(found)):
            found[m.measure].append((m.value, m.details["expected"], m.p_value))
    for made in found.values():
        values, expected, p_values = np.transpose(made)
        assert values.min() > 0.02
        assert expected.mean() == pytest.approx(values.mean(), rel=0.15)
        assert p_values.min() > 0.001


def test_values_beyond_the_baselines_range_are_counted_exactly():
    rng = np.random.default_rng(2)
    old = rng.uniform(0, 100, 20_000)
    new = np.concatenate([rng.uniform(0, 100, 4_900), rng.uniform(101, 300, 60), rng.uniform(-9, -1, 40)])
    baseline = profiled({"x": old})
    m = one(measure_quality(profiled({"x": new}, like=baseline), baseline), "out_of_range", "x")
    assert abs(m.value - 0.02) <= m.bound + 1e-12
    assert m.bound < 0.001
    assert m.p_value < 1e-9


def test_the_chance_of_new_extremes_is_right_for_any_distribution():
    rng = np.random.default_rng(3)
    hits = np.array([
        ((w < b.min()) | (w > b.max())).sum()
        for b, w in ((rng.exponential(size=50), rng.exponential(size=40)) for _ in range(4_000))
    ])  # fmt: skip
    for k in (1, 2, 4, 8):
        assert beyond_extremes(k, 40, 50) == pytest.approx((hits >= k).mean(), abs=0.03)
    exact = stats.betabinom.sf(2, 40, 2, 49)
    assert beyond_extremes(3, 40, 50) == pytest.approx(exact, rel=1e-9)


def test_a_column_that_became_constant_is_told_from_one_that_always_was():
    old = profiled({"a": np.arange(100.0), "b": np.ones(100), "c": ["x"] * 99 + ["y"]})
    new = profiled({"a": np.ones(100), "b": np.ones(100), "c": ["x"] * 100}, like=old)
    found = measure_quality(new, old)
    assert [one(found, "constant", name).value for name in "abc"] == [1.0, 1.0, 1.0]
    assert [one(found, "became_constant", name).value for name in "abc"] == [1.0, 0.0, 1.0]
    # That a value of 1% does not show up in 100 rows is no surprise.
    assert one(found, "became_constant", "c").p_value > 0.3
    assert one(found, "became_constant", "a").p_value < 1e-9


def test_columns_that_came_went_or_changed_are_named():
    old = profiled({"a": np.arange(5), "b": np.arange(5.0), "c": np.arange(5)})
    new = profiled({"a": np.arange(5.0), "b": ["x", "y", "x", "y", "x"], "d": np.arange(5)})
    found = measure_quality(new, old)
    assert [(m.subject, m.value) for m in found if m.measure == "missing_column"] == [("c", 1.0)]
    assert [(m.subject, m.value) for m in found if m.measure == "extra_column"] == [("d", 1.0)]
    assert one(found, "type_changed", "a").value == 0.0  # whole numbers became fractional ones
    assert one(found, "type_changed", "b").value == 1.0
    assert "numeric" in one(found, "type_changed", "b").details["sentence"]


def test_cardinality_is_exact_while_few_and_bounded_when_many():
    many = [f"id-{i}" for i in range(9_000)]
    found = measure_quality(profiled({"id": many, "sex": ["f", "m"] * 4_500}), names=["cardinality"])
    assert one(found, "cardinality", "sex").value == 2
    m = one(found, "cardinality", "id")
    assert abs(m.value - 9_000) <= m.bound


def test_texts_have_lengths_and_shapes():
    words = ["a@b.cd", "", "42", "hello there", None]
    found = measure_quality(profiled({"t": values_of(words, kind=Kind.TEXT)}))
    assert one(found, "text_length", "t").value == pytest.approx((6 + 0 + 2 + 11) / 4)
    assert one(found, "text_shapes", "t:e_mail").value == 0.25
    assert one(found, "text_shapes", "t:empty").value == 0.25


def test_freshness_is_told_the_time():
    at = values_of(np.array([0, 60_000_000]), kind=Kind.DATETIME)
    profile = profiled({"at": at}, roles={"at": Role.TIME})
    now = datetime(1970, 1, 1, 1, tzinfo=UTC)
    assert one(measure_quality(profile, now=now), "freshness", "at").value == 3_540.0
    assert not [m for m in measure_quality(profile) if m.measure == "freshness"]


def test_copies_say_whether_they_were_counted_or_estimated():
    profile = profiled({"id": np.arange(10)})
    copies = {"id": Duplicates(rows=10, copies=2), "": Duplicates(rows=10, copies=4, how="sampled",
                                                                   kept_share=0.5, standard_error=1.0)}  # fmt: skip
    found = measure_quality(profile, duplicates=copies)
    ids, rows = one(found, "duplicate_ids", "id"), one(found, "duplicate_rows", "")
    assert (ids.value, ids.bound) == (0.2, 0.0)
    assert rows.bound is None
    assert rows.details["how"] == "sampled"
    assert rows.details["sentence"].startswith("About 4 of 10 rows")
    assert rows.interval.low < 0.4 < rows.interval.high


@pytest.mark.parametrize(
    "column",
    [[None, None, None], [], [1.0], ["x"], np.array([np.nan, np.nan]), np.array([np.inf, np.inf])],
    ids=["all null", "no rows", "one row", "one name", "all NaN", "all infinite"],
)
def test_a_poor_column_gets_values_or_reasons_and_stops_nothing(column):
    poor = profiled({"x": column if not isinstance(column, list) or column else np.empty(0)})
    rich = profiled(
        {"x": np.arange(100.0) if not isinstance(column, list) or "x" not in column else ["a"] * 9}
    )
    for window, baseline in ((poor, rich), (rich, poor), (poor, poor)):
        for m in measure_quality(window, baseline, names=[e.name for e in CATALOGUE]):
            assert m.value is not None or m.reason


def test_outliers_are_taken_of_predictions_by_default():
    data = np.random.default_rng(4).normal(size=500)
    profile = profiled({"x": data, "y": data}, roles={"y": Role.PREDICTION})
    subjects = {m.subject for m in measure_quality(profile) if m.measure == "fence_outliers"}
    assert subjects == {"y"}
    asked = measure_quality(profile, names=["fence_outliers"])
    assert {m.subject for m in asked} == {"x", "y"}


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(NotFound, match="out_of_range"):
        measure_quality(profiled({"x": np.arange(3)}), names=["outofrange"])


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.name)
def test_every_line_is_complete(entry):
    assert entry.reference
    assert entry.measure.sentence.endswith(".")
    assert ">>>" in entry.function.__doc__
    assert [e.name for e in CATALOGUE].count(entry.name) == 1


def test_new_categories_too_many_to_name_are_new_all_the_same():
    kinds, random = {"c": "categorical"}, np.random.default_rng(0)
    new = [*(f"k{i}" for i in range(20_000)), *["a"] * 200]
    random.shuffle(new)
    report = wk.compare({"c": ["a", "b"] * 500}, {"c": new}, kinds=kinds)
    [m] = [m for m in report.columns[0].measurements if m.measure == "new_categories"]
    assert abs(m.value - 20_000 / 20_200) <= m.bound + 1e-12
    assert m.bound < 0.01
    assert m.details["sentence"].startswith("More than 4,0")


@pytest.mark.known_answer("median", source="numpy's quantiles, and the exponential distribution's own median")
class TestMedian:
    """Against numpy's own quantiles, and the coverage that the interval promises."""

    def test_the_quantiles_are_those_of_the_values(self):
        values = np.random.default_rng(5).lognormal(3, 1, 20_000)
        (found,) = measure_quality(profiled({"x": values_of(values)}), names=["median"])
        assert found.value == pytest.approx(np.median(values), rel=0.01)
        for name, q in (("p5", 0.05), ("p25", 0.25), ("p75", 0.75), ("p95", 0.95)):
            assert found.details[name] == pytest.approx(np.quantile(values, q), rel=0.02)
        assert found.interval.low < found.value < found.interval.high

    def test_the_interval_holds_the_true_median_in_95_of_100_windows(self):
        rng, inside = np.random.default_rng(8), 0
        for _ in range(400):
            (found,) = measure_quality(
                profiled({"x": values_of(rng.exponential(1.0, 300))}), names=["median"]
            )
            inside += found.interval.low <= np.log(2) <= found.interval.high
        assert 0.92 <= inside / 400 <= 0.98

    def test_a_column_without_numbers_says_so(self):
        found = measure_quality(profiled({"plan": values_of(["a", "b"])}), names=["median"])
        assert found == []
        (none,) = measure_quality(profiled({"x": values_of([None, None])}), names=["median"])
        assert none.value is None
        assert none.reason


def of_codes(codes):
    names, counts = np.unique(codes, return_counts=True)
    f = Frequencies.of_counts(
        {f"k{name}": n for name, n in zip(names.tolist(), counts.tolist(), strict=True)}
    )
    return ColumnProfile(
        column=Column(name="shop", kind=Kind.CATEGORICAL), states={"frequencies": f}, rows=f.total
    )


@pytest.mark.parametrize(("n", "m"), [(50_000, 50_000), (50_000, 5_000), (5_000, 50_000)])
def test_categories_that_may_have_lost_their_names_are_neither_new_nor_gone(n, m):
    rng = np.random.default_rng(n + m)
    for _ in range(5):
        then, now = (of_codes(rng.integers(0, 9_000, size)) for size in (n, m))
        for measure in (new_categories, vanished_categories):
            found = measure(now, then)
            assert found.value - found.details["expected"] < 0.01 or found.p_value > 0.05


def test_a_category_that_the_baseline_would_have_named_is_new_and_one_that_the_window_would_is_gone():
    rng = np.random.default_rng(6)
    then, now = rng.integers(0, 9_000, 50_000), rng.integers(0, 9_000, 50_000)
    now[:5_000], then[:5_000] = 9_001, 9_002
    new = new_categories(of_codes(now), of_codes(then))
    assert (new.value, new.details["names"]) == (0.1, ["k9001"])
    assert new.p_value < 1e-9
    gone = vanished_categories(of_codes(now), of_codes(then))
    assert (gone.value, gone.details["names"]) == (0.1, ["k9002"])
    assert gone.p_value < 1e-9
    assert new.bound >= np.isin(now, then[5_000:], invert=True).mean() - new.value
