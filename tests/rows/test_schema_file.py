"""A schema is written for people to edit; each slip of theirs is named with its place."""

from __future__ import annotations

import json

import pytest

from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.errors import BadInput, Incompatible, UnreadableSource, WatchkeeperError
from watchkeeper.rows.schema_file import load_schema, save_schema

SCHEMA = Schema(
    columns=(
        Column(name="age", kind=Kind.INTEGER, dtype="int64"),
        Column(name='odd "näme"', kind=Kind.TEXT, role=Role.SEGMENT),
        Column(name="proba_a", kind=Kind.NUMERIC, role=Role.SCORE, score_of="a"),
    ),
    task=Task.MULTICLASS,
    positive="a",
)


@pytest.mark.parametrize("schema", [SCHEMA, Schema(columns=())])
def test_what_is_written_is_read(tmp_path, schema):
    save_schema(schema, tmp_path / "s.json")
    assert load_schema(tmp_path / "s.json") == schema


def test_one_column_stands_on_one_line(tmp_path):
    save_schema(SCHEMA, tmp_path / "s.json")
    assert '    {"name": "age", "kind": "integer", "role": "feature", "dtype": "int64"},' in (
        (tmp_path / "s.json").read_text(encoding="utf-8").splitlines()
    )


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (
            {"columns": [{"name": "a", "kind": "numerc"}]},
            BadInput,
            r"columns\[0\] \(a\): kind: 'numerc'.*'numeric'",
        ),
        (
            {"columns": [{"name": "a", "kind": "text", "role": "outcom"}]},
            BadInput,
            r"role.*Did you mean 'outcome'",
        ),
        ({"columns": [{"name": "a", "knd": "text"}]}, BadInput, r"unknown key 'knd'. Did you mean 'kind'"),
        ({"columns": [{"kind": "text"}]}, BadInput, r"columns\[0\]: there is no 'name'"),
        ({"columns": [{"name": 3, "kind": "text"}]}, BadInput, r"name: expected text, found 3"),
        ({"columns": {"a": "text"}}, BadInput, "columns: expected a list"),
        ({"columns": ["a"]}, BadInput, r"columns\[0\]: expected an object"),
        ({"column": []}, BadInput, "Did you mean 'columns'"),
        ({}, BadInput, "no 'columns'"),
        ([], BadInput, "expected an object"),
        ({"columns": [], "task": "binry"}, BadInput, "Did you mean 'binary'"),
        ({"columns": [], "positive": 1}, BadInput, "positive: expected text"),
        ({"columns": [{"name": "a", "kind": "text"}] * 2}, BadInput, "'a' more than once"),
        ({"watchkeeper_schema": 99, "columns": []}, Incompatible, "Upgrade"),
    ],
    ids=str,
)
def test_a_slip_is_named_with_its_place(tmp_path, raw, error, words):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(error, match=words) as failure:
        load_schema(path)
    assert str(path) in str(failure.value)


def test_what_is_no_json(tmp_path):
    path = tmp_path / "s.json"
    path.write_text('{\n "columns": [,]\n}')
    with pytest.raises(UnreadableSource, match="line 2, column 14"):
        load_schema(path)
    path.write_bytes(b"\xff")
    with pytest.raises(WatchkeeperError, match="UTF-8"):
        load_schema(path)
    with pytest.raises(UnreadableSource, match=r"Did you mean 's\.json'"):
        load_schema(tmp_path / "s.jsn")
