"""All drift measures of sampled rows that two profiles allow, in one call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.measures.drift.domain_classifier import measure_domain_classifier
from watchkeeper.measures.drift.mmd import measure_mmd, measure_vector_mmd
from watchkeeper.measures.drift.pca_reconstruction import measure_pca_reconstruction
from watchkeeper.stats.states.sample import Sample

_OF_FEATURES = {
    "mmd": measure_mmd,
    "domain_classifier": measure_domain_classifier,
    "pca_reconstruction": measure_pca_reconstruction,
}


def measure_joint_drift(
    baseline: Sample | None, window: Sample | None, schema: Schema, *, seed: int = 0
) -> list[Measurement]:
    """Compare the features of two samples together, and each column of vectors.

    A column of which one side holds no value at all is left out: that it is gone is the news of its own
    measures, and would drown all that the others have to say. A baseline that was taken from a profile holds no
    rows: then each measure says so.

    >>> schema = Schema(columns=())
    >>> measure_joint_drift(None, None, schema)[0].reason
    'The baseline holds no sample of rows.'
    """
    vectors = [c for c in schema.of_role(Role.FEATURE) if c.kind is Kind.VECTOR]
    if baseline is None or window is None:
        side = "baseline" if baseline is None else "window"
        reason = f"The {side} holds no sample of rows."
        return [
            *(Measurement.missing(name, reason) for name in _OF_FEATURES),
            *(Measurement.missing("mmd", reason, subject=column.name) for column in vectors),
        ]
    schema = replace(schema, columns=tuple(c for c in schema.columns if not _is_gone(c, baseline, window)))
    plain = [c for c in schema.of_role(Role.FEATURE) if c.kind is not Kind.VECTOR]
    found = []
    if plain or not vectors:
        found = [measure(baseline, window, schema, seed=seed) for measure in _OF_FEATURES.values()]
    return found + [measure_vector_mmd(baseline, window, column, seed=seed) for column in vectors]


def _is_gone(column: Column, *sides: Sample) -> bool:
    """Whether it is a feature of which a side with rows holds no value."""
    if column.role is not Role.FEATURE or column.kind is Kind.VECTOR:
        return False
    return any(column.name in side.columns and _is_empty(side.columns[column.name]) for side in sides)


def _is_empty(values: np.ndarray) -> bool:
    if not len(values) or values.dtype.kind not in "fO":
        return False
    return bool(np.isnan(values).all()) if values.dtype.kind == "f" else all(v is None for v in values)
