"""Scores, decisions and outcomes on which the real NannyML was run, made anew from fixed seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CbpeCase:
    """Reference and analysis rows; decisions and outcomes are 0 or 1."""

    name: str
    reference: dict[str, np.ndarray]
    analysis: dict[str, np.ndarray]
    chunk_rows: int | None = None


def _rows(seed: int, n: int, *, mean: float, stretch: float, shift: float, digits: int, cut: float) -> dict:
    state = np.random.RandomState(seed)
    z = mean + 1.2 * state.standard_normal(n)
    score = np.round(1 / (1 + np.exp(-stretch * z)), digits)
    outcome = (state.random_sample(n) < 1 / (1 + np.exp(-z - shift))).astype(int)
    return {"score": score, "decision": (score >= cut).astype(int), "outcome": outcome}


def cbpe_cases() -> list[CbpeCase]:
    """Every case, in a fixed order."""

    def case(name, seed, n, m, chunk_rows=None, **options):
        kept = {"mean": -0.3, "stretch": 1.0, "shift": 0.0, "digits": 6, "cut": 0.5, **options}
        moved = {**kept, "mean": kept["mean"] + 0.4}
        return CbpeCase(name, _rows(seed, n, **kept), _rows(seed + 1, m, **moved), chunk_rows)

    return [
        case("calibrated", 101, 5_000, 3_000),
        case("overconfident", 103, 5_000, 3_000, stretch=2.0),
        case("two_digits", 105, 4_000, 2_500, digits=2, shift=0.4),
        case("rare", 107, 6_000, 4_000, mean=-3.0, cut=0.2),
        case("small", 109, 400, 300, chunk_rows=70),
        case("odd_sizes", 111, 3_333, 1_777, stretch=0.6),
        case("mostly_positive", 113, 3_000, 2_000, mean=1.5),
    ]
