"""Every quality measure has pandas' answer on the same rows (or scipy's, or one worked by hand)."""

from datetime import UTC, datetime
from functools import reduce

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.api.types import is_numeric_dtype
from scipy import stats

from watchkeeper.domain.expectation import Expectation
from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.domain.values import Values
from watchkeeper.measures.quality.cardinality import rare_values
from watchkeeper.measures.quality.evaluation import measure_quality
from watchkeeper.rows.values import values_of
from watchkeeper.stats.duplicates import DuplicateCounter
from watchkeeper.stats.hashing import combine, hash_values
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.edge_search import EdgeSearch
from watchkeeper.stats.states.profile import Profile

pytestmark = pytest.mark.known_answer(
    "row_count",
    "missing_column",
    "extra_column",
    "type_changed",
    "missing",
    "misfits",
    "infinite",
    "constant",
    "became_constant",
    "cardinality",
    "new_categories",
    "vanished_categories",
    "rare_values",
    "out_of_range",
    "far_dates",
    "text_length",
    "text_shapes",
    "freshness",
    "duplicate_ids",
    "duplicate_rows",
    "robust_z_outliers",
    "fence_outliers",
    "expectation",
    source="pandas on the same rows, scipy for the median absolute deviation",
)

KINDS = {
    "id": Kind.INTEGER,
    "fare": Kind.NUMERIC,
    "stops": Kind.INTEGER,
    "city": Kind.CATEGORICAL,
    "cabin": Kind.CATEGORICAL,
    "note": Kind.TEXT,
    "at": Kind.DATETIME,
    "gate": Kind.INTEGER,
}
NOW = datetime(2026, 1, 3, tzinfo=UTC)


def flights(rows: int, seed: int, cities: list[str]) -> pd.DataFrame:
    """Rows with everything that the measures look for: nulls, infinities, copies, rare and new names."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, len(cities) + 1) ** 3
    frame = pd.DataFrame(
        {
            "id": rng.integers(0, 10 * rows, rows),
            "fare": np.round(rng.lognormal(4, 0.7, rows), 1),
            "stops": rng.poisson(1.5 + seed, rows),
            "city": rng.choice(cities, rows, p=share / share.sum()),
            "cabin": "eco" if seed else rng.choice(["eco", "biz"], rows),
            "note": rng.choice(["late", "", "12", "a@b.cd", "two words", " x"], rows),
            "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 86_400, rows), "s"),
        }
    )
    frame.loc[rng.random(rows) < 0.1, ["fare", "note"]] = None
    frame.loc[rng.random(rows) < 0.05, "city"] = None
    frame.loc[rng.random(rows) < 0.02, "fare"] = np.inf
    return pd.concat([frame, frame.sample(rows // 20, random_state=seed)], ignore_index=True)


def read(frame: pd.DataFrame, kinds: dict[str, Kind] = KINDS) -> tuple[dict[str, Values], Schema]:
    """The rows as the door hands them on."""
    roles = {"id": Role.ID, "at": Role.TIME}
    table = pa.Table.from_pandas(frame, preserve_index=False)
    columns = [Column(name=name, kind=kinds[name], role=roles.get(name, Role.FEATURE)) for name in frame]
    return {c.name: values_of(table[c.name], c) for c in columns}, Schema(columns=tuple(columns))


def profiled(frame: pd.DataFrame, like: Profile | None = None, kinds: dict[str, Kind] = KINDS) -> Profile:
    return profile_of(*read(frame, kinds), like)


def profile_of(values: dict[str, Values], schema: Schema, like: Profile | None = None) -> Profile:
    """On the edges of the profile *like*, where it has them."""
    with EdgeSearch(schema) as search:
        search.add(values)
        plan = search.plan(sample_k=0)
    if like is not None:
        plan.edges.update({name: edges for name, edges in like.edges.items() if name in plan.edges})
    return profile_columns(values, plan, workers=1)


@pytest.fixture(scope="module")
def old() -> pd.DataFrame:
    return flights(4_000, 0, ["rome", "bonn", "oslo", "bern", "riga"])


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    return flights(3_000, 1, ["rome", "bonn", "kyiv", "lima"])


@pytest.fixture(scope="module")
def found(old, new) -> dict:
    """(measure, subject) -> Measurement of the new rows against the old."""
    baseline = profiled(old)
    window = profiled(new, like=baseline)
    names = [
        "row_count", "missing", "infinite", "constant", "became_constant", "cardinality", "new_categories",
        "vanished_categories", "rare_values", "out_of_range", "text_length", "text_shapes", "freshness",
        "robust_z_outliers", "fence_outliers",
    ]  # fmt: skip
    made = measure_quality(window, baseline, names=names, now=NOW)
    return {(m.measure, m.subject): m for m in made}


def test_rows_are_counted(found, new):
    assert found["row_count", ""].value == len(new)


@pytest.mark.parametrize("column", ["fare", "city", "note", "stops"])
def test_missing_values_are_those_of_isna(found, new, column):
    assert found["missing", column].value == pytest.approx(new[column].isna().mean(), abs=1e-12)


def test_infinite_values_are_those_of_isinf(found, new):
    assert found["infinite", "fare"].value == pytest.approx(np.isinf(new["fare"]).mean(), abs=1e-12)


@pytest.mark.parametrize("column", ["city", "cabin", "note"])
def test_distinct_values_are_those_of_nunique(found, new, column):
    assert found["cardinality", column].value == new[column].nunique()


@pytest.mark.parametrize("column", ["stops", "fare", "city", "cabin", "note"])
def test_a_column_is_constant_when_nunique_says_so(found, old, new, column):
    assert found["constant", column].value == (new[column].nunique() == 1)
    became = new[column].nunique() == 1 < old[column].nunique()
    assert found["became_constant", column].value == became
    assert became == (column == "cabin")


def test_categories_that_came_and_went_are_those_of_isin(found, old, new):
    now, then = new["city"].dropna(), old["city"].dropna()
    assert found["new_categories", "city"].value == pytest.approx((~now.isin(then)).mean())
    assert found["vanished_categories", "city"].value == pytest.approx((~then.isin(now)).mean())


def test_rare_categories_are_those_of_value_counts(old):
    counts = old["city"].value_counts(normalize=True)
    below = float(counts.iloc[-2] + counts.iloc[-1]) / 2  # between the two rarest
    profile = profiled(old)
    rare = rare_values(profile.columns["city"], below=below)
    assert rare.value == pytest.approx(counts[counts < below].sum())
    assert rare.value > 0


@pytest.mark.parametrize("column", ["stops", "fare"])
def test_values_out_of_range_are_those_beyond_min_and_max(found, old, new, column):
    now, then = (frame[column][np.isfinite(frame[column])] for frame in (new, old))
    beyond = ((now < then.min()) | (now > then.max())).mean()
    m = found["out_of_range", column]
    assert abs(m.value - beyond) <= m.bound + 1e-12
    assert m.bound < 0.001


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("far", ["1900-01-01", "1970-01-01", "2299-12-31"])
def test_far_dates_are_those_20_years_beyond_min_and_max(old, new, far, share):
    """Also when all other moments lie beyond the baseline's range, as moments do that are simply later."""
    later = new.assign(at=new["at"] + pd.Timedelta(days=400))
    later.loc[later.index[: round(share * len(later))], "at"] = pd.Timestamp(far, tz="UTC")
    baseline = profiled(old)
    [m] = [
        m
        for m in measure_quality(profiled(later, like=baseline), baseline, names=["far_dates"])
        if m.subject == "at"
    ]
    years = pd.Timedelta(days=20 * 365.25)
    beyond = (later["at"] < old["at"].min() - years) | (later["at"] > old["at"].max() + years)
    assert m.value == pytest.approx(beyond.mean(), rel=0.1)
    assert ("sentence" in m.details) == bool(beyond.any()), m


def test_texts_are_those_of_the_str_accessor(found, new):
    notes = new["note"].dropna()
    assert found["text_length", "note"].value == pytest.approx(notes.str.len().mean())
    shapes = {
        "empty": notes == "",
        "digits": notes.str.isdigit(),
        "e_mail": notes.str.contains("@"),
        "has_space": notes == "two words",
        "padded": notes.str.strip() != notes,
        "letters": notes.str.isalpha(),
    }
    for shape, hits in shapes.items():
        assert found["text_shapes", f"note:{shape}"].value == pytest.approx(hits.mean()), shape
        assert hits.any()


def test_the_newest_row_has_its_age(found, new):
    assert found["freshness", "at"].value == (pd.Timestamp(NOW) - new["at"].max()).total_seconds()


@pytest.mark.parametrize(("measure", "columns"), [("duplicate_ids", ["id"]), ("duplicate_rows", None)])
def test_copies_are_those_of_duplicated(new, measure, columns):
    values, schema = read(new)
    counter = DuplicateCounter()
    counter.add(reduce(combine, [hash_values(values[name]) for name in columns or schema.names]))
    subject = "id" if columns else ""
    made = measure_quality(profiled(new), names=[measure], duplicates={subject: counter.result()})
    copies = new.duplicated(columns).mean()
    assert copies > 0.04
    assert [m.value for m in made] == [pytest.approx(copies)]


def test_outliers_are_those_of_the_rows_own_quartiles(new, old):
    fares = old["fare"][np.isfinite(old["fare"])]
    profile = profiled(old)
    made = {m.measure: m for m in measure_quality(profile, names=["robust_z_outliers", "fence_outliers"])
            if m.subject == "fare"}  # fmt: skip
    low, high = fares.quantile([0.25, 0.75])
    fences = ((fares < low - 1.5 * (high - low)) | (fares > high + 1.5 * (high - low))).mean()
    spread = stats.median_abs_deviation(fares, scale="normal")
    far = ((fares - fares.median()).abs() / spread > 3.5).mean()
    # Quartiles come from bins, so values at the limits may fall on either side.
    for name, truth in (("fence_outliers", fences), ("robust_z_outliers", far)):
        assert abs(made[name].value - truth) <= made[name].bound + 2 / len(fares)
        assert truth > 0.02


def test_columns_that_came_went_or_changed_type_are_those_of_the_frames(old, new):
    changed = new.drop(columns="stops").assign(city=new["fare"], gate=new["stops"])
    baseline, window = profiled(old), profiled(changed, kinds=KINDS | {"city": Kind.NUMERIC})
    made = measure_quality(window, baseline, names=["missing_column", "extra_column", "type_changed"])
    subjects = {
        name: {m.subject for m in made if (m.measure, m.value) == (name, 1.0)}
        for name in ("missing_column", "extra_column", "type_changed")
    }
    shared = old.columns.intersection(changed.columns)
    assert subjects == {
        "missing_column": set(old.columns.difference(changed.columns)),
        "extra_column": set(changed.columns.difference(old.columns)),
        "type_changed": {c for c in shared if is_numeric_dtype(old[c]) != is_numeric_dtype(changed[c])},
    }
    assert subjects["type_changed"] == {"city"}


def test_misfits_are_what_to_numeric_cannot_read():
    words = pd.Series(["1.5", "2", "n/a?", None, "x", "-3e2", "4,5"])
    read = pd.to_numeric(words, errors="coerce")
    column = Column(name="x", kind=Kind.NUMERIC)
    profile = profile_of({"x": values_of(pa.array(words, pa.string()), column)}, Schema(columns=(column,)))
    made = {m.measure: m.value for m in measure_quality(profile, names=["misfits", "missing"])}
    assert made["misfits"] == pytest.approx((read.isna() & words.notna()).mean())
    assert made["missing"] == pytest.approx(read.isna().mean())


@pytest.mark.parametrize(
    ("expected", "breaks"),
    [
        (Expectation.not_null("city"), lambda f: f["city"].isna()),
        (Expectation.between("stops", 1, 4), lambda f: ~f["stops"].between(1, 4)),
        (Expectation.one_of("city", ["rome", "kyiv"]), lambda f: ~f["city"].dropna().isin(["rome", "kyiv"])),
        (Expectation.matches("city", "[a-m].*"), lambda f: ~f["city"].dropna().str.fullmatch("[a-m].*")),
    ],
    ids=lambda case: case.sentence if isinstance(case, Expectation) else "",
)
def test_expectations_are_broken_by_the_rows_that_break_them(new, expected, breaks):
    made = measure_quality(profiled(new), names=[], expectations=[expected])
    assert [m.value for m in made] == [pytest.approx(breaks(new).mean())]
    assert 0 < made[0].value < 1
