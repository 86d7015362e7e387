"""What is guessed of a table, why, and that the user's word wins."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from watchkeeper.domain.schema import Kind, Role, Task
from watchkeeper.errors import BadInput, NotFound
from watchkeeper.rows.infer import infer, infer_schema, kind_of_type
from watchkeeper.rows.sources import open_source


def kinds_of(columns, **options) -> dict[str, str]:
    return {c.name: c.kind.value for c in infer_schema(open_source(columns), **options).columns}


def roles_of(columns, **options) -> dict[str, str]:
    return {c.name: c.role.value for c in infer_schema(open_source(columns), **options).columns}


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        *((t, Kind.INTEGER) for t in (pa.int8(), pa.int64(), pa.uint64())),
        *((t, Kind.NUMERIC) for t in (pa.float16(), pa.float64(), pa.decimal128(9, 2), pa.decimal32(5, 1))),
        (pa.bool_(), Kind.BOOLEAN),
        *(
            (t, Kind.DATETIME)
            for t in (pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.date32(), pa.date64())
        ),
        *((t, Kind.NUMERIC) for t in (pa.time32("s"), pa.time64("us"), pa.duration("ms"))),
        *((t, Kind.CATEGORICAL) for t in (pa.string(), pa.large_string(), pa.string_view(), pa.binary())),
        (pa.dictionary(pa.int8(), pa.string()), Kind.CATEGORICAL),
        (pa.dictionary(pa.int8(), pa.int64()), Kind.CATEGORICAL),
        *(
            (t, Kind.VECTOR)
            for t in (pa.list_(pa.float32()), pa.list_(pa.int8(), 4), pa.large_list(pa.float64()))
        ),
        (pa.list_view(pa.float32()), Kind.VECTOR),
        (pa.run_end_encoded(pa.int32(), pa.float64()), Kind.NUMERIC),
        (pa.bool8(), Kind.BOOLEAN),
        *(
            (t, Kind.UNKNOWN)
            for t in (pa.null(), pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8()))
        ),
        *((t, Kind.UNKNOWN) for t in (pa.list_(pa.string()), pa.month_day_nano_interval())),
    ],
    ids=str,
)
def test_the_kind_of_a_type(dtype, kind):
    assert kind_of_type(dtype) is kind


def test_types_of_no_kind_are_reported_by_name():
    found = infer(open_source(pa.table({"s": pa.array([{"a": 1}]), "n": pa.nulls(1)})))
    assert found.reasons == (
        "'s' is of type struct<a: int64>, which no measure reads; only its nulls are counted.",
        "'n' holds nothing but nulls, so its kind cannot be told.",
    )


def test_frames_of_all_libraries_agree_on_the_type_names():
    columns = {"i": [1, 2], "w": ["a", "b"], "f": [1.5, 2.5]}
    tables = [columns, pa.table(columns), pd.DataFrame(columns), pl.DataFrame(columns)]
    found = [[c.dtype for c in infer_schema(open_source(table)).columns] for table in tables]
    assert found == [["int64", "string", "double"]] * 4


class TestWords:
    def test_repeating_words_are_categories_and_others_text(self):
        rng = np.random.default_rng(0)
        names = [f"{x:x}" for x in rng.integers(0, 2**60, 1000)]
        comments = [f"the flight number {x} was late again and nobody told us why, sadly" for x in names]
        found = kinds_of({"few": ["a", "b"] * 500, "names": names, "comments": comments})
        assert found == {"few": "categorical", "names": "text", "comments": "text"}

    def test_in_a_tiny_table_words_are_categories(self):
        assert kinds_of({"city": ["Oslo", "Bergen", "Bodo"]}) == {"city": "categorical"}

    def test_iso_dates_are_times(self):
        days = [f"2013-01-{day:02}" for day in range(1, 29)]
        found = infer(open_source({"day": days, "at": [f"{day}T10:00:00Z" for day in days]}))
        assert [c.kind for c in found.schema.columns] == [Kind.DATETIME, Kind.DATETIME]
        assert "2013-01-01" in found.reasons[0]

    @pytest.mark.parametrize("word", ["2013-13-45", "01/02/2013", "20130101", "2013"])
    def test_anything_less_certain_is_no_time(self, word):
        assert kinds_of({"day": [word] * 10}) == {"day": "categorical"}

    def test_numbers_as_text_stay_text_with_a_hint(self):
        found = infer(open_source({"zip": ["00501", "10001"] * 10}))
        assert found.schema["zip"].kind is Kind.CATEGORICAL
        assert "kinds={'zip': 'numeric'}" in found.reasons[0]

    def test_a_stream_is_looked_into_too(self):
        table = pa.table({"day": ["2013-01-01", "2013-01-02"], "outcome": [0, 1]})
        source = open_source(table.to_reader())
        schema = infer_schema(source)
        assert (schema["day"].kind, schema.task) == (Kind.DATETIME, Task.BINARY)
        assert [batch.to_pylist() for batch in source.batches()] == [table.to_pylist()]

    def test_a_type_alone_says_so(self):
        found = infer(pa.schema([("w", pa.string())]))
        assert found.schema["w"].kind is Kind.CATEGORICAL
        assert "could not be looked at" in found.reasons[0]


class TestRoles:
    def test_well_known_names(self):
        table = {
            "Request ID": [1, 2],
            "timestamp": [dt.datetime(2013, 1, 1)] * 2,
            "model_version": ["3", "4"],
            "y_true": [True, False],
            "y_pred": [True, True],
            "proba": [0.7, 0.2],
            "age": [3, 4],
        }
        assert list(roles_of(table).values()) == [
            "id",
            "time",
            "version",
            "outcome",
            "prediction",
            "score",
            "feature",
        ]

    @pytest.mark.parametrize("name", ["labels_count", "my_score", "target_price", "identity", "times", "y2"])
    def test_similar_names_are_features(self, name):
        assert roles_of({name: [0.5, 0.25]}) == {name: "feature"}

    def test_a_score_lies_between_0_and_1(self):
        found = infer(open_source({"score": [640.0, 810.0]}))
        assert found.schema["score"].role is Role.FEATURE
        assert "outside [0, 1]" in found.reasons[0]

    def test_a_time_is_a_time(self):
        assert roles_of({"time": [3.5, 4.5]}) == {"time": "feature"}

    def test_times_counted_since_1970_are_times(self):
        found = infer(open_source({"timestamp": [1_357_041_600, 1_357_041_700]}))
        assert (found.schema["timestamp"].kind, found.schema["timestamp"].role) == (Kind.DATETIME, Role.TIME)

    def test_two_candidates(self):
        found = infer(open_source({"label": [0, 1], "target": [0, 1]}))
        assert [c.role for c in found.schema.columns] == [Role.OUTCOME, Role.FEATURE]
        assert any("'target' could be the outcome too" in reason for reason in found.reasons)

    def test_the_user_wins(self):
        columns = {"label": [0, 1], "late": [1, 0], "w": ["1", "2"]}
        schema = infer_schema(
            open_source(columns), roles={"late": "outcome"}, kinds={"w": "numeric", "late": "boolean"}
        )
        assert [c.role for c in schema.columns] == [Role.FEATURE, Role.OUTCOME, Role.FEATURE]
        assert [c.kind for c in schema.columns] == [Kind.INTEGER, Kind.BOOLEAN, Kind.NUMERIC]
        assert schema.task is Task.BINARY

    def test_a_score_for_each_class(self):
        table = {
            "outcome": ["cat", "dog", "emu"],
            "proba_cat": [0.1, 0.2, 0.3],
            "proba_dog": [0.4, 0.2, 0.3],
            "proba_emu": [0.5, 0.6, 0.4],
            "proba_other": [0.5, 0.6, 0.4],
        }
        schema = infer_schema(open_source(table))
        assert [c.score_of for c in schema.of_role(Role.SCORE)] == ["cat", "dog", "emu"]
        assert schema.task is Task.MULTICLASS

    def test_a_prediction_that_is_a_probability_is_the_score(self):
        schema = infer_schema(open_source({"outcome": [0, 1, 1], "prediction": [0.2, 0.9, 0.6]}))
        assert schema["prediction"].role is Role.SCORE

    def test_the_index_of_a_pandas_frame_is_left_out(self, tmp_path):
        pd.DataFrame({"x": [1, 2]}, index=["a", "b"]).to_parquet(tmp_path / "t.parquet")
        assert roles_of(tmp_path / "t.parquet") == {"x": "feature", "__index_level_0__": "ignored"}

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"roles": {"agee": "feature"}}, NotFound, "Did you mean 'age'"),
            ({"roles": {"age": "featur"}}, BadInput, "Did you mean 'feature'"),
            ({"roles": {"outcome": "age"}}, BadInput, "maps a column to its role"),
            ({"kinds": {"agee": "numeric"}}, NotFound, "Did you mean 'age'"),
            ({"kinds": {"age": "numerc"}}, BadInput, "Did you mean 'numeric'"),
            ({"task": "regresion"}, BadInput, "Did you mean 'regression'"),
        ],
    )
    def test_words_that_are_not_known(self, options, error, words):
        with pytest.raises(error, match=words):
            infer(open_source({"age": [1]}), **options)


class TestTask:
    @pytest.mark.parametrize(
        ("table", "task"),
        [
            ({"outcome": [True, False]}, Task.BINARY),
            ({"outcome": [0, 1, None]}, Task.BINARY),
            ({"outcome": [0.0, 1.0, float("nan")]}, Task.BINARY),
            ({"outcome": ["yes", "no"]}, Task.BINARY),
            ({"outcome": ["a", "b", "c"]}, Task.MULTICLASS),
            ({"outcome": [0, 1, 2, 1]}, Task.MULTICLASS),
            ({"outcome": [3, 70, 250]}, Task.REGRESSION),
            ({"outcome": [1.5, 2.5]}, Task.REGRESSION),
            ({"outcome": [2.5]}, Task.REGRESSION),
            ({"outcome": [0, 1, 2], "prediction": [0.1, 1.2, 1.9]}, Task.REGRESSION),
            ({"score": [0.1, 0.9]}, Task.BINARY),
            ({"prediction": [1.5, 7.25]}, Task.REGRESSION),
            ({"prediction": ["a", "b", "c"]}, Task.MULTICLASS),
            ({"outcome": [None, None]}, None),
            ({"age": [1, 2]}, None),
        ],
        ids=str,
    )
    def test_it_follows_from_outcome_prediction_and_score(self, table, task):
        assert infer_schema(open_source(table)).task is task

    def test_it_can_be_told(self):
        assert infer_schema(open_source({"outcome": [0, 1]}), task="regression").task is Task.REGRESSION


def test_a_column_of_vectors_in_a_leading_role_harms_nothing():
    schema = infer_schema(
        open_source({"v": [[1.0, 2.0]], "n": pa.nulls(1)}), roles={"v": "outcome", "n": "prediction"}
    )
    assert schema["v"].role is Role.OUTCOME
