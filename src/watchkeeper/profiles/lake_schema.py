"""The lake's columns and the schema's: what a recorder calls prediction, a table may call y_hat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.rows.values import classes_of, values_of

_SERVED = (
    "wk_at",
    "wk_version",
    "wk_rate",
    "wk_latency_s",
    "wk_error",
    "wk_rescued",
    "wk_actual",
    "wk_outcome_at",
)
"""What every profile needs beside the schema's columns."""


def model_columns(schema: Schema) -> dict[str, str]:
    """Lake column -> the schema's own name for it: what a recorder calls prediction, a table may call y_hat."""
    names: dict[str, str] = {}
    for role, lake in (
        (Role.ID, "wk_id"),
        (Role.TIME, "wk_at"),
        (Role.VERSION, "wk_version"),
        (Role.PREDICTION, "wk_prediction"),
        (Role.OUTCOME, "wk_actual"),
    ):
        column = schema.first(role)
        if column is not None:
            names[lake] = column.name
    for column in schema.of_role(Role.SCORE):
        names["wk_score" if column.score_of is None else f"wk_score:{column.score_of}"] = column.name
    return names


def lake_columns(schema: Schema, segments: Sequence[tuple[str, ...]] = ()) -> list[str]:
    """What has to be read of the lake for profiles of *schema*; a name may be missing there."""
    by_own = {own: lake for lake, own in model_columns(schema).items()}
    own = [c.name for c in schema.columns if c.role is not Role.IGNORED]
    names = [by_own.get(n, n) for n in (*own, *(n for entry in segments for n in entry))]
    return list(dict.fromkeys([*_SERVED, *names]))


def watch_schema(
    columns: Mapping[str, pa.DataType], baseline: Schema | None, roles: Mapping[str, str]
) -> Schema:
    """The schema by which a lake's rows are profiled: the baseline's, or one told from the lake's own types."""
    if baseline is not None:
        return baseline.with_roles({n: r for n, r in roles.items() if n in baseline})
    own = {
        "wk_id": ("id", Role.ID),
        "wk_at": ("at", Role.TIME),
        "wk_prediction": ("prediction", Role.PREDICTION),
        "wk_actual": ("outcome", Role.OUTCOME),
        "wk_score": ("score", Role.SCORE),
    }
    found = []
    for name, dtype in columns.items():
        plain, role, score_of = name, Role.FEATURE, None
        if name in own:
            plain, role = own[name]
        elif name.startswith("wk_score:"):
            score_of = name.partition(":")[2]
            plain, role = f"score:{score_of}", Role.SCORE
        elif name.startswith("wk_"):
            continue
        if plain != name and plain in columns:
            plain = name  # a feature has that name already
        found.append(
            Column(name=plain, kind=_kind(dtype, role), role=role, dtype=str(dtype), score_of=score_of)
        )
    return Schema(columns=tuple(found)).with_roles(
        {n: r for n, r in roles.items() if n in {c.name for c in found}}
    )


def _kind(dtype: pa.DataType, role: Role) -> Kind:
    if pa.types.is_boolean(dtype):
        return Kind.BOOLEAN
    if pa.types.is_floating(dtype) or pa.types.is_integer(dtype):
        return Kind.NUMERIC
    if pa.types.is_timestamp(dtype):
        return Kind.DATETIME
    if pa.types.is_list(dtype):
        return Kind.VECTOR
    return Kind.TEXT if role is Role.ID else Kind.CATEGORICAL


def values_of_rows(rows: pa.Table, schema: Schema) -> dict[str, Any]:
    """The schema's columns out of *rows* as the lake names them; a column that is not there is left out."""
    by_own = {own: lake for lake, own in model_columns(schema).items()}
    out = {}
    for column in schema.columns:
        if column.role is Role.IGNORED:
            continue
        lake = by_own.get(column.name, column.name)
        if lake in rows.column_names:
            read = classes_of if column.name in schema.classes else values_of
            out[column.name] = read(rows[lake], column)
    return out
