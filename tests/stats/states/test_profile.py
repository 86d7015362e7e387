"""The kernel against plain numpy and Counter on the whole table, however the batches were cut."""

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.accumulator import Accumulator, profile_columns
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edge_search import EdgeSearch
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile_plan import ProfilePlan

N = 20_000
RNG = np.random.default_rng(7)
WORDS = np.array(["north", "south", "<b>east</b>", "west"], dtype=object)


def table(n=N, seed=7):
    rng = np.random.default_rng(seed)
    score = rng.beta(2, 3, n)
    return {
        "id": rng.permutation(n).astype(np.int64),
        "amount": np.where(rng.random(n) < 0.01, np.nan, rng.lognormal(size=n)),
        "age": rng.integers(18, 90, n),
        "region": rng.integers(0, 4, n).astype(np.int32),
        "member": rng.random(n) < 0.3,
        "at": 1_600_000_000_000_000 + rng.integers(0, 10**12, n),
        "note": rng.integers(0, 500, n).astype(np.int32),
        "embedding": rng.normal(size=(n, 3)),
        "score": score,
        "prediction": (score > 0.5).astype(np.int64),
        "outcome": (rng.random(n) < score).astype(np.int64),
    }


KINDS = {
    "id": (Kind.INTEGER, Role.ID),
    "amount": (Kind.NUMERIC, Role.FEATURE),
    "age": (Kind.INTEGER, Role.FEATURE),
    "region": (Kind.CATEGORICAL, Role.FEATURE),
    "member": (Kind.BOOLEAN, Role.FEATURE),
    "at": (Kind.DATETIME, Role.TIME),
    "note": (Kind.TEXT, Role.FEATURE),
    "embedding": (Kind.VECTOR, Role.FEATURE),
    "score": (Kind.NUMERIC, Role.SCORE),
    "prediction": (Kind.INTEGER, Role.PREDICTION),
    "outcome": (Kind.INTEGER, Role.OUTCOME),
}
NOTES = np.array([f"note number {i}" for i in range(500)], dtype=object)
DICTIONARIES = {"region": WORDS, "note": NOTES}
VALID = {"age": np.random.default_rng(8).random(N) < 0.95, "region": np.random.default_rng(9).random(N) < 0.9}
SCHEMA = Schema(
    columns=tuple(Column(name=n, kind=k, role=r) for n, (k, r) in KINDS.items()), task=Task.BINARY
)
DATA = table()


def batches(data=DATA, sizes=(N,), valid=VALID):
    start = 0
    for size in sizes:
        end = start + size
        yield {
            name: Values(
                kind=KINDS[name][0],
                rows=size,
                data=x[start:end],
                valid=valid[name][start:end] if name in valid else None,
                dictionary=DICTIONARIES.get(name),
            )
            for name, x in data.items()
        }
        start = end


def searched(**options):
    with EdgeSearch(SCHEMA) as search:
        for batch in batches(sizes=(5_000,) * 4):
            search.add(batch)
        return search.plan(**options)


PLAN = searched(segments=(("region",), ("region", "age")))


def folded(plan, sizes, workers=2):
    with Accumulator(plan, workers=workers) as fold:
        for batch in batches(sizes=sizes):
            fold.add(batch)
        return fold.profile()


WHOLE = folded(PLAN, (N,))


class TestOneTable:
    def test_every_column_has_the_states_of_its_kind(self):
        assert {n: set(c.states) for n, c in WHOLE.columns.items()} == {
            "id": {"distinct"},
            "amount": {"histogram", "moments"},
            "age": {"histogram", "moments"},
            "region": {"frequencies", "distinct"},
            "member": {"frequencies"},
            "at": {"histogram", "moments", "span"},
            "note": {"text", "distinct"},
            "embedding": {"vector"},
            "score": {"histogram", "moments"},
            "prediction": {"histogram", "moments"},
            "outcome": {"histogram", "moments"},
        }
        assert WHOLE.notes == ()

    def test_numbers_are_those_of_numpy(self):
        amount = DATA["amount"]
        h, m = WHOLE["amount"].histogram, WHOLE["amount"].moments
        assert (h.total, h.nans, m.n) == (N, np.isnan(amount).sum(), (~np.isnan(amount)).sum())
        assert m.mean == pytest.approx(np.nanmean(amount), rel=1e-12)
        edges = np.searchsorted(h.edges.cuts, amount[~np.isnan(amount)], side="right")
        np.testing.assert_array_equal(h.counts, np.bincount(edges, minlength=h.edges.bins))
        age = WHOLE["age"]
        assert age.nulls == age.histogram.nulls == (~VALID["age"]).sum()
        assert age.moments.sum == pytest.approx(DATA["age"][VALID["age"]].sum(), rel=1e-12)
        assert age.distinct == 72
        span = WHOLE["at"].states["span"]
        assert (span.min_us, span.max_us, span.n) == (DATA["at"].min(), DATA["at"].max(), N)

    def test_categories_are_those_of_counter(self):
        named = Counter(WORDS[DATA["region"][VALID["region"]]])
        assert WHOLE["region"].frequencies.counts == named
        assert WHOLE["member"].frequencies.counts["true"] == DATA["member"].sum()
        assert WHOLE["id"].distinct == pytest.approx(N, rel=0.05)
        assert WHOLE["note"].distinct == 500
        assert WHOLE["note"].states["text"].length.n == N

    def test_performance_is_that_of_scikit_learn(self):
        table = WHOLE.performance["score_table"]
        value, bound = table.auc()
        assert value == pytest.approx(roc_auc_score(DATA["outcome"], DATA["score"]), abs=bound + 1e-12)
        right = (DATA["prediction"] == DATA["outcome"]).sum()
        assert WHOLE.performance["confusion"].right == right

    def test_segments_are_kept_apart(self):
        assert set(WHOLE.segments) >= {"region=north", "region=<b>east</b>"}
        north = (DATA["region"] == 0) & VALID["region"]
        part = WHOLE.segments["region=north"]
        assert part["score_table"].total == north.sum()
        assert part["confusion"].right == (DATA["prediction"] == DATA["outcome"])[north].sum()
        pairs = {k: v for k, v in WHOLE.segments.items() if k.startswith("region=north & age")}
        assert len(pairs) == 4
        both = north & VALID["age"]
        assert sum(s["confusion"].n for s in pairs.values()) == both.sum()
        cut = int(PLAN.edges["age"].coarsen(4).cuts[0])
        lowest = pairs[f"region=north & age < {cut}"]
        assert lowest["confusion"].n == (both & (DATA["age"] < cut)).sum()

    def test_the_sample_holds_whole_rows_of_the_smallest_ids_hashes(self):
        sample = WHOLE.sample
        assert (sample.size, sample.rows) == (5_000, N)
        assert set(sample.columns) == set(KINDS) - {"id", "note"}
        place = {round(s, 15): i for i, s in enumerate(DATA["score"])}
        rows = np.array([place[round(s, 15)] for s in sample.columns["score"]])
        np.testing.assert_array_equal(sample.columns["outcome"], DATA["outcome"][rows])
        ages = np.where(VALID["age"], DATA["age"], np.nan)[rows]
        np.testing.assert_array_equal(sample.columns["age"], ages)
        regions = [WORDS[c] if ok else None for c, ok in zip(DATA["region"][rows], VALID["region"][rows])]
        assert sample.columns["region"].tolist() == regions
        assert sample.columns["member"].tolist() == ["true" if m else "false" for m in DATA["member"][rows]]


@pytest.mark.parametrize("sizes", [(1, N - 1), (N // 4,) * 4, (N // 2, 0, N // 2)])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_cut_into_batches_does_not_matter(sizes, workers):
    cut = folded(PLAN, sizes, workers)
    for name, column in WHOLE.columns.items():
        other = cut[name]
        assert (column.rows, column.nulls) == (other.rows, other.nulls)
        if column.histogram is not None:
            np.testing.assert_array_equal(column.histogram.counts, other.histogram.counts)
            assert column.moments.variance() == pytest.approx(other.moments.variance(), rel=1e-10)
        assert column.frequencies == other.frequencies
    np.testing.assert_array_equal(WHOLE.sample.hashes, cut.sample.hashes)
    assert WHOLE.sample.columns["region"].tolist() == cut.sample.columns["region"].tolist()
    assert WHOLE.segments.keys() == cut.segments.keys()
    one, other = WHOLE.performance["score_table"], cut.performance["score_table"]
    np.testing.assert_array_equal(one.counts, other.counts)


def test_one_pass_without_edges_says_the_same_while_it_fits():
    """Where rows come by only once: the edges are found, and the rows counted, on the way."""
    once = folded(ProfilePlan(schema=SCHEMA), (7_000, 13_000))
    for name in ("amount", "age", "score", "at"):
        assert once[name].histogram.edges == PLAN.edges[name]
        np.testing.assert_array_equal(once[name].histogram.counts, WHOLE[name].histogram.counts)
        assert once[name].histogram.nulls == WHOLE[name].histogram.nulls


def test_profiles_of_two_windows_merge_and_are_stored_without_the_edges():
    first = folded(PLAN, (8_000,))
    with Accumulator(PLAN) as fold:
        for batch in list(batches(sizes=(8_000, 12_000)))[1:]:
            fold.add(batch)
        second = fold.profile()
    known = {e.digest: e for e in PLAN.edges.values()}
    stored = encode(second, known=known)
    assert len(stored) < len(encode(second))
    both = first.merge(decode(stored, known=known))
    assert both.rows == N
    np.testing.assert_array_equal(both["amount"].histogram.counts, WHOLE["amount"].histogram.counts)
    np.testing.assert_array_equal(both.sample.hashes, WHOLE.sample.hashes)
    assert both.segments.keys() == WHOLE.segments.keys()
    with pytest.raises(Incompatible):
        decode(stored)


def test_without_an_id_two_windows_samples_stay_apart():
    """Row numbers are the same in every file; hashed alone they would make two windows look like one."""
    schema = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))
    plan = ProfilePlan(schema=schema, sample_k=1_000, edges={"x": Edges.of_values([0.0])})

    def window(seed):
        x = np.random.default_rng(seed).normal(size=800)
        return profile_columns({"x": Values(kind=Kind.NUMERIC, rows=800, data=x)}, plan)

    both = window(1).merge(window(2))
    assert both.sample.size == 1_000
    again = window(1).merge(window(1))
    assert again.sample.size == 800


def test_a_sample_is_fair():
    """The mean of the sampled rows lies where a random sample's would, also for ordered data without ids."""
    schema = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))
    plan = ProfilePlan(schema=schema, sample_k=2_000)
    x = np.arange(50_000) / 50_000
    p = profile_columns({"x": Values(kind=Kind.NUMERIC, rows=len(x), data=x)}, plan)
    kept = p.sample.columns["x"]
    assert len(kept) == 2_000
    assert abs(kept.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2_000)
    assert abs((kept < 0.25).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2_000)


class TestABadColumn:
    def test_it_becomes_a_note_and_the_others_are_measured(self):
        (batch,) = batches()
        broken = batch | {
            "amount": Values(kind=Kind.NUMERIC, rows=N, data="not an array"),
            "region": Values(kind=Kind.CATEGORICAL, rows=N, data=np.full(N, 99, np.int32), dictionary=WORDS),
        }
        p = profile_columns(broken, ProfilePlan(schema=SCHEMA, edges=PLAN.edges))
        assert [note.split(":")[0] for note in p.notes] == ["amount", "region"]
        assert np.isnan(p.sample.columns["amount"]).all()
        assert p.sample.columns["score"].tolist() == WHOLE.sample.columns["score"].tolist()
        assert p["amount"].states == {}
        assert p["age"].moments.n == WHOLE["age"].moments.n
        assert "score_table" in p.performance

    def test_another_kind_than_the_schema_says_is_named(self):
        words = Values(kind=Kind.CATEGORICAL, rows=2, data=np.array([0, 1]), dictionary=WORDS)
        p = profile_columns({"age": words}, ProfilePlan(schema=SCHEMA, sample_k=0))
        assert p.notes == (
            "age: could not be profiled. The schema says integer, the values are categorical.",
        )

    def test_a_type_that_cannot_be_measured_is_named(self):
        schema = Schema(columns=(Column(name="blob", kind=Kind.UNKNOWN, dtype="struct<a: int64>"),))
        values = Values(kind=Kind.UNKNOWN, rows=3, data=None, valid=np.array([True, True, False]))
        p = profile_columns({"blob": values}, ProfilePlan(schema=schema))
        assert "struct<a: int64>" in p.notes[0]
        assert (p["blob"].rows, p["blob"].nulls) == (3, 1)

    def test_a_column_that_is_not_there_has_no_rows(self):
        (batch,) = batches()
        del batch["amount"]
        p = profile_columns(batch, ProfilePlan(schema=SCHEMA, edges=PLAN.edges))
        assert p["amount"].rows == 0
        assert p.rows == N
        assert p.notes == ()

    def test_a_bad_edge_search_leaves_the_others(self):
        with EdgeSearch(SCHEMA) as search:
            search.add({"amount": Values(kind=Kind.NUMERIC, rows=1, data=None)})
            search.add(next(batches()))
            assert set(search.edges()) == set(PLAN.edges) - {"amount"}
            assert "amount" in search.failures


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([0, 1, 0, 1], "1"),
        ([1, 2, 1, 2], "2"),
        ([False, True, False, True], "true"),
        (["no", "yes"] * 2, "yes"),
    ],
)
def test_the_positive_class_is_the_larger_one(outcomes, expected):
    kind = {int: Kind.INTEGER, bool: Kind.BOOLEAN, str: Kind.CATEGORICAL}[type(outcomes[0])]
    schema = Schema(
        columns=(
            Column(name="s", kind=Kind.NUMERIC, role=Role.SCORE),
            Column(name="y", kind=kind, role=Role.OUTCOME),
        ),
        task=Task.BINARY,
    )
    if kind is Kind.CATEGORICAL:
        y = Values(kind=kind, rows=4, data=np.array([1, 0, 1, 0]), dictionary=np.array(["yes", "no"], object))
    else:
        y = Values(kind=kind, rows=4, data=np.array(outcomes))
    batch = {"s": Values(kind=Kind.NUMERIC, rows=4, data=np.array([0.1, 0.9, 0.2, 0.8])), "y": y}
    with EdgeSearch(schema) as search:
        search.add(batch)
        assert search.positive().name == expected
        plan = search.plan()
    for how in (plan, ProfilePlan(schema=schema, edges=plan.edges), ProfilePlan(schema=schema)):
        table = profile_columns(batch, how).performance["score_table"]
        if how.edges or expected != "2":
            assert table.auc().value == 1.0


def test_multiclass_scores_have_a_table_for_each_class():
    names = np.array(["cat", "dog", "owl"], dtype=object)
    truth = RNG.integers(0, 3, 3_000).astype(np.int32)
    logits = RNG.normal(size=(3_000, 3)) + 2 * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = [Column(name="y", kind=Kind.CATEGORICAL, role=Role.OUTCOME)]
    columns += [Column(name=f"p_{n}", kind=Kind.NUMERIC, role=Role.SCORE, score_of=n) for n in names]
    columns += [Column(name="odd", kind=Kind.NUMERIC, role=Role.SCORE)]
    batch = {"y": Values(kind=Kind.CATEGORICAL, rows=3_000, data=truth, dictionary=names)}
    batch |= {f"p_{n}": Values(kind=Kind.NUMERIC, rows=3_000, data=scores[:, i]) for i, n in enumerate(names)}
    batch |= {"odd": Values(kind=Kind.NUMERIC, rows=3_000, data=scores[:, 0])}
    p = profile_columns(batch, ProfilePlan(schema=Schema(columns=tuple(columns), task=Task.MULTICLASS)))
    for i, name in enumerate(names):
        value, bound = p.performance[f"score_table:{name}"].auc()
        assert value == pytest.approx(roc_auc_score(truth == i, scores[:, i]), abs=bound + 1e-12)
    assert p.notes == (
        "'odd' is a score, and of which class is not known, so it is not measured; say the role score:CLASS.",
    )


def test_regression_has_residuals():
    y = RNG.normal(size=1_000)
    guess = y + RNG.normal(size=1_000) / 10
    schema = Schema(
        columns=(
            Column(name="y", kind=Kind.NUMERIC, role=Role.OUTCOME),
            Column(name="guess", kind=Kind.NUMERIC, role=Role.PREDICTION),
        ),
        task=Task.REGRESSION,
    )
    labelled = RNG.random(1_000) < 0.5
    batch = {
        "y": Values(kind=Kind.NUMERIC, rows=1_000, data=y, valid=labelled),
        "guess": Values(kind=Kind.NUMERIC, rows=1_000, data=guess),
    }
    residuals = profile_columns(batch, ProfilePlan(schema=schema)).performance["residuals"]
    assert residuals.n == labelled.sum()
    assert residuals.mse == pytest.approx(((y - guess)[labelled] ** 2).mean())


def test_segments_past_the_cap_are_counted_together():
    codes = np.repeat(np.arange(30, dtype=np.int32), np.arange(30, 0, -1) * 3)
    n = len(codes)
    schema = Schema(
        columns=(
            Column(name="shop", kind=Kind.CATEGORICAL),
            Column(name="y", kind=Kind.NUMERIC, role=Role.OUTCOME),
            Column(name="guess", kind=Kind.NUMERIC, role=Role.PREDICTION),
        ),
        task=Task.REGRESSION,
    )
    words = np.array([f"s{i}" for i in range(30)], dtype=object)
    number = Values(kind=Kind.NUMERIC, rows=n, data=np.ones(n))
    batch = {
        "shop": Values(kind=Kind.CATEGORICAL, rows=n, data=codes, dictionary=words),
        "y": number,
        "guess": number,
    }
    p = profile_columns(batch, ProfilePlan(schema=schema, segments=(("shop",),), segment_cap=5))
    assert set(p.segments) == {*(f"shop=s{i}" for i in range(5)), "shop=(other)"}
    assert sum(s["residuals"].n for s in p.segments.values()) == n


def test_no_rows_at_all():
    p = profile_columns(next(batches(sizes=(0,))), PLAN)
    assert p.rows == 0
    assert p.notes == ()
    assert p["amount"].histogram.n == 0
    np.testing.assert_array_equal(p.merge(WHOLE).sample.hashes, WHOLE.sample.hashes)
    with Accumulator(ProfilePlan(schema=SCHEMA)) as fold:
        fold.add({})
        assert fold.profile().rows == 0


def test_older_windows_are_kept_coarser():
    coarse = WHOLE.coarsen(64).without_rows()
    assert coarse.sample is None
    assert coarse["amount"].histogram.edges.bins <= 64
    assert coarse["amount"].histogram.n == WHOLE["amount"].histogram.n
    assert len(encode(coarse)) < len(encode(WHOLE.without_rows()))


@pytest.mark.parametrize("exchanged", [False, True], ids=["trained in double", "trained in single"])
@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.2, 0.3, 0.7],
        [-0.7, -0.1, 0.0, 0.1],
        list(np.arange(1, 51) / 100),
        [1 / 3, 2 / 3],
        [1e-3, 1e9 + 0.1],
    ],
    ids=lambda v: f"{len(v)} values",
)
def test_values_that_single_precision_rounded_are_the_values_that_they_were(values, exchanged):
    rng = np.random.default_rng(5)
    one, other = rng.choice(values, 4_000), rng.choice(values, 4_000)
    single = other.astype(np.float32).astype(np.float64)
    if exchanged:
        one = one.astype(np.float32).astype(np.float64)
        other, single = single, other
    schema = Schema(columns=(Column(name="x", kind=Kind.NUMERIC),))
    plan = ProfilePlan(schema=schema, edges={"x": Edges.of_values(one)})

    def states(data):
        values = Values(kind=Kind.NUMERIC, rows=len(data), data=data)
        return profile_columns({"x": values}, plan)["x"].states

    plain, rounded = states(other), states(single)
    assert rounded["histogram"].counts.tolist() == plain["histogram"].counts.tolist()
    assert rounded["histogram"].high.outside == rounded["histogram"].low.outside == 0
    assert rounded["moments"].max == plain["moments"].max == one.max()
    assert rounded["moments"].mean == pytest.approx(plain["moments"].mean, rel=1e-15)


def test_values_with_a_bin_of_their_own_are_never_taken_for_another():
    a = np.float64(0.1)
    near = [a, np.float64(np.float32(a)), np.nextafter(a, 1), 1.0]
    edges = Edges.of_values(near)
    data = np.sort(np.repeat(near, 3))
    assert edges.without_rounding(data).tolist() == data.tolist()
    tiny = Edges.of_values([0.0, 0.1])
    assert tiny.without_rounding(np.array([0.0, 1e-300])).tolist() == [0.0, 1e-300]
