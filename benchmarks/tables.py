"""The tables that the promises are about: made once from a fixed seed, kept under ``.cache``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers import ROOT

__all__ = ["model_table", "wide_table"]

CACHE = ROOT / ".cache" / "benchmarks"
_BATCH = 250_000
CITIES = np.array([f"city-{i:02d}" for i in range(40)], dtype=object)


def model_table(rows: int, *, drifted: bool) -> Path:
    """A model's rows: 15 numeric and 5 categorical features, outcome, score and prediction, as Parquet.

    The current side (*drifted*) has two numeric features and one categorical one that moved.
    """
    path = CACHE / f"model-{rows}-{'current' if drifted else 'reference'}.parquet"
    if not path.exists():
        _write(
            path,
            (
                _model_batch(min(_BATCH, rows - at), (rows, drifted, at), drifted)
                for at in range(0, rows, _BATCH)
            ),
        )
    return path


def wide_table(columns: int, rows: int, *, drifted: bool) -> Path:
    """Many columns and few rows: nine numeric columns to each categorical one."""
    path = CACHE / f"wide-{columns}x{rows}-{'current' if drifted else 'reference'}.parquet"
    if not path.exists():
        random = np.random.default_rng([columns, rows, drifted])
        data: dict[str, pa.Array] = {}
        for i in range(columns):
            if i % 10 == 9:
                data[f"c{i:04d}"] = _category(random, rows, 0.25)
            else:
                data[f"x{i:04d}"] = pa.array(random.normal(0.3 if drifted and i % 50 == 0 else 0, 1, rows))
        _write(path, iter([pa.table(data)]))
    return path


def _write(path: Path, batches) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(part, batch.schema, compression="zstd")
        writer.write_table(batch)
    assert writer is not None
    writer.close()
    part.replace(path)


def _model_batch(rows: int, seed: tuple[int, ...], drifted: bool) -> pa.Table:
    random = np.random.default_rng([int(s) for s in seed])
    x = random.normal(size=(15, rows))
    data: dict[str, pa.Array] = {}
    for i in range(15):
        column = x[i]
        if i % 5 == 1:
            column = np.exp(column)
        elif i % 5 == 2:
            column = np.round(column * 10)
        elif i % 5 == 3:
            column = np.maximum(column, 0)
        elif i % 5 == 4:
            column = np.where(random.random(rows) < 0.02, np.nan, column)
        if drifted and i < 2:
            column = column * 1.1 + 0.2
        data[f"x{i:02d}"] = pa.array(column, from_pandas=True)
    for i in range(5):
        data[f"c{i}"] = _category(random, rows, 0.25 if drifted and i == 0 else 0.1 + 0.05 * i)
    score = 1 / (1 + np.exp(-(0.8 * x[0] - 0.5 * x[5] + 0.3 * x[10] - 1)))
    data["outcome"] = pa.array((random.random(rows) < score).astype(np.int64))
    data["score"] = pa.array(score)
    data["prediction"] = pa.array((score >= 0.5).astype(np.int64))
    return pa.table(data)


def _category(random: np.random.Generator, rows: int, decay: float) -> pa.Array:
    weights = np.exp(-decay * np.arange(len(CITIES)))
    codes = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(rows))
    return pa.DictionaryArray.from_arrays(
        pa.array(np.minimum(codes, len(CITIES) - 1).astype(np.int32)), pa.array(CITIES)
    ).dictionary_decode()
