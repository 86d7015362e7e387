"""Rows for `Profile`: whole rows of a small table, with an outcome, a score, segments and a sample."""

import numpy as np
from hypothesis import strategies as st

from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.values import Values
from watchkeeper.stats.states.accumulator import profile_columns
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile_plan import ProfilePlan

SCHEMA = Schema(
    columns=(
        Column(name="id", kind=Kind.TEXT, role=Role.ID),
        Column(name="age", kind=Kind.NUMERIC),
        Column(name="city", kind=Kind.CATEGORICAL),
        Column(name="p", kind=Kind.NUMERIC, role=Role.SCORE),
        Column(name="y", kind=Kind.BOOLEAN, role=Role.OUTCOME),
    ),
    task=Task.BINARY,
)
PLAN = ProfilePlan(
    schema=SCHEMA,
    edges={"age": Edges.of_values(np.linspace(0, 100, 4_001)), "p": Edges.of_values([0.0, 0.25, 0.5, 1.0])},
    sample_k=12,
    segments=(("city",), ("city", "age")),
)
CITIES = np.array(["Bern", "Genf", "Zürich"], dtype=object)

ROW = st.tuples(
    st.one_of(st.none(), st.integers(-10, 120).map(float)),
    st.integers(-1, 2),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    st.one_of(st.none(), st.booleans()),
)


def build(rows):
    n = len(rows)
    # The same row has the same id: a sample keeps one of rows with equal ids, whichever comes first.
    ids = np.array([repr(row) for row in rows], dtype=object)
    ages = np.array([np.nan if r[0] is None else r[0] for r in rows], dtype=float)
    cities = np.array([r[1] for r in rows], dtype=np.int32)
    known = np.array([r[3] is not None for r in rows], dtype=bool)
    columns = {
        "id": Values(kind=Kind.TEXT, rows=n, data=np.arange(n, dtype=np.int32), dictionary=ids),
        "age": Values(kind=Kind.NUMERIC, rows=n, data=ages, valid=~np.isnan(ages)),
        "city": Values(
            kind=Kind.CATEGORICAL,
            rows=n,
            data=np.maximum(cities, 0),
            valid=cities >= 0,
            dictionary=CITIES,
        ),
        "p": Values(kind=Kind.NUMERIC, rows=n, data=np.array([r[2] for r in rows], dtype=float)),
        "y": Values(
            kind=Kind.BOOLEAN,
            rows=n,
            data=np.array([bool(r[3]) for r in rows], dtype=bool),
            valid=known,
        ),
    }
    profile = profile_columns(columns, PLAN, workers=1)
    assert not profile.notes
    return profile


def same(left, right):
    """What measures read is the same; floating sums to 1e-9."""
    assert left.rows == right.rows
    assert left.columns.keys() == right.columns.keys()
    for name in left.columns:
        a, b = left.columns[name], right.columns[name]
        assert (a.rows, a.nulls) == (b.rows, b.nulls)
        assert a.states.keys() == b.states.keys()
    np.testing.assert_allclose(left["age"].histogram.counts, right["age"].histogram.counts)
    assert left["city"].frequencies == right["city"].frequencies
    assert left["id"].distinct == right["id"].distinct
    assert left.sample.rows == right.sample.rows
    np.testing.assert_array_equal(left.sample.hashes, right.sample.hashes)
    for name, column in left.sample.columns.items():
        np.testing.assert_array_equal(column, right.sample.columns[name])
    assert left.segments.keys() == right.segments.keys()
    for one, other in (
        (left.performance, right.performance),
        *((left.segments[label], right.segments[label]) for label in left.segments),
    ):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_allclose(one[key].counts, other[key].counts)
            np.testing.assert_allclose(one[key].sums, other[key].sums)
