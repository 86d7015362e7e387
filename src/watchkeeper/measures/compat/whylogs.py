r"""whylogs' own column drift, on raw rows.

Definition
----------
The peer compares sketches. Up to 1,024 values on a side its quantile sketch (KLL, k = 1,024) holds every value,
and its numbers are these; past that its compaction is random, and these are what it estimates.

- ``ks`` (the default for numbers and booleans): the greatest gap between the shares *strictly below* a value,
  looked for at 100 evenly spaced quantiles of each side only; p from the two-sided Kolmogorov distribution at
  round(mn/(m+n)). Drift below 0.05, possible drift below 0.15.
- ``hellinger``: at most 30 equal bins over the joint range, a bin for every four rows, at least two. Drift from
  0.4, possible drift from 0.15.
- ``chi-square`` (the default for text): expected counts are rounded down, nulls count in the totals, and one
  value that the reference has never seen (or expects less than once) makes the statistic infinite and p zero;
  degrees of freedom come from the current side's distinct values (minus one, at least one).

Reads: two columns of raw rows, never states. Cost: O(n log n).

Limits
------
Integer codes of categories get a KS test by default. Floats have no counts, so no chi-square. Past about 300
distinct values its degrees of freedom come from a HyperLogLog estimate, and past 768 its counts from a sketch;
these here are exact.

References
----------
whylogs 1.6, ``whylogs.viz.drift.column_drift_algorithms`` (Apache-2.0), read for its definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, inf, isinf, log2, sqrt
from typing import Any

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput, nearest
from watchkeeper.measures.compat.result import CompatResult
from watchkeeper.measures.compat.samples import array_of, counts_of, present_only, treated_as

PEER = "whylogs"
_SKETCH_K = 1024
_EXACT_DISTINCT = 300
_CUT_STRINGS_AT = 128


class _Undefined(Exception):
    """The peer itself has no number for these rows."""


def column_drift(
    reference: Any,
    current: Any,
    *,
    kind: Kind | str | None = None,
    method: str | None = None,
    threshold: float | None = None,
) -> CompatResult:
    """Return what whylogs says of one column; ``details["category"]`` holds its word of three.

    Parameters
    ----------
    reference, current : columns of raw rows: arrays, lists, or anything that exports Arrow.
    kind : only checked; the peer goes by the values' type alone.
    method : ``"ks"``, ``"hellinger"`` or ``"chi-square"``; None is the peer's choice.
    threshold : drift below it (p-values) or from it on (Hellinger), instead of the peer's.

    Raises
    ------
    BadInput
        the method is unknown.

    >>> found = column_drift(["a", "b"] * 20, ["a", "b", "c", "a"] * 10)
    >>> found.method, found.score, found.p_value, found.details["category"]
    ('chi-square', inf, 0.0, 'DRIFT')
    """
    left, right = array_of(reference), array_of(current)
    treated_as(kind, left, right)
    chosen = method or ("ks" if _has_quantiles(left) and _has_quantiles(right) else "chi-square")
    if chosen not in METHODS:
        raise BadInput(
            f"{chosen!r} is no test of whylogs.{nearest(chosen, METHODS)}", f"Known: {', '.join(METHODS)}."
        )
    rows: dict[str, Any] = {"baseline_rows": len(left), "rows": len(right)}
    try:
        score, p_value, note = METHODS[chosen](left, right)
    except _Undefined as cause:
        return CompatResult(peer=PEER, method=chosen, score=None, reason=str(cause), **rows)
    possible, drift = (0.15, 0.05) if p_value is not None else (0.15, 0.4)
    limit = drift if threshold is None else threshold
    category = _category(score, p_value, possible, limit)
    return CompatResult(
        peer=PEER,
        method=chosen,
        score=score,
        p_value=p_value,
        threshold=limit,
        drifted=category == "DRIFT",
        note=note,
        details={"category": category},
        **rows,
    )


def _category(score: float, p_value: float | None, possible: float, drift: float) -> str:
    if p_value is None:
        return "DRIFT" if score >= drift else "POSSIBLE_DRIFT" if score >= possible else "NO_DRIFT"
    # The peer's lower bounds belong to the milder word, except that exactly the drift limit is drift.
    return "DRIFT" if p_value <= drift else "POSSIBLE_DRIFT" if p_value < possible else "NO_DRIFT"


def _has_quantiles(array: np.ndarray) -> bool:
    return array.dtype.kind in "iufb"


def _sorted(array: np.ndarray) -> np.ndarray:
    if not _has_quantiles(array):
        raise _Undefined("the peer keeps no quantiles of values that are not numbers")
    ordered = np.sort(present_only(array).astype(float))
    if not len(ordered):
        raise _Undefined("a side has no value, so the peer has no number")
    return ordered


def _sketch_note(*sides: np.ndarray) -> str:
    if max(len(side) for side in sides) <= _SKETCH_K:
        return ""
    return "the peer's sketch is random past 1,024 values; this is the number that it estimates"


def _ks(reference: np.ndarray, current: np.ndarray) -> tuple[float, float, str]:
    from scipy.stats import kstwo

    left, right = _sorted(reference), _sorted(current)
    at = np.concatenate([_quantiles(left), _quantiles(right)])
    gaps = np.searchsorted(right, at) / len(right) - np.searchsorted(left, at) / len(left)
    gap = float(np.max(np.abs(gaps)))
    effective = np.round(len(left) * len(right) / (len(left) + len(right)))
    if effective < 1:
        raise _Undefined("one value on a side is too few for the peer's p-value, and it gives no number")
    return gap, float(kstwo.sf(gap, effective)), _sketch_note(left, right)


def _quantiles(ordered: np.ndarray) -> np.ndarray:
    index = (np.linspace(0, 1, 100) * len(ordered)).astype(int)
    return ordered[np.minimum(index, len(ordered) - 1)]


def _hellinger(reference: np.ndarray, current: np.ndarray) -> tuple[float, None, str]:
    left, right = _sorted(reference), _sorted(current)
    low, high = min(left[0], right[0]), max(left[-1], right[-1])
    if isinf(low) or isinf(high):
        raise _Undefined("the peer fails here too: it cannot cut an infinite range into bins")
    edges = _edges(float(low), float(high), len(left) + len(right))
    p, q = (
        np.diff(np.searchsorted(side, edges), prepend=0, append=len(side)) / len(side)
        for side in (left, right)
    )
    return float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2)) / sqrt(2)), None, _sketch_note(left, right)


def _edges(low: float, high: float, n: int) -> np.ndarray:
    """Equal bins over the range and a hair more; fewer where single precision could not tell the edges apart."""
    high += abs(high) * 1e-7 if high != 0 else 1e-7
    bins = max(min(ceil(n / 4), 30), 2)
    least = 2.0 ** (floor(log2(max(abs(low), abs(high)))) - np.finfo(np.float32).nmant)
    if (high - low) / bins < least:
        bins = max(floor((high - low) / least), 1)
    width = (high - low) / bins
    return np.array([low + i * width for i in range(bins + 1)])


def _chi_square(reference: np.ndarray, current: np.ndarray) -> tuple[float, float, str]:
    from scipy.stats import chi2

    if reference.dtype.kind == "f" or current.dtype.kind == "f":
        raise _Undefined("the peer counts no values of floats")
    if not len(reference) or not len(current):
        raise _Undefined("a side has no row, so the peer has no number")
    expected, actual = _counts(reference), _counts(current)
    statistic = 0.0
    for value in expected | actual:
        share = expected.get(value, 0) / len(reference)  # nulls count in the peer's totals
        foreseen = int(share * len(current))
        if foreseen == 0:
            statistic = inf
            break
        statistic += (actual.get(value, 0) - foreseen) ** 2 / foreseen
    freedom = max(len(actual) - 1, 1)
    note = ""
    if len(actual) > _EXACT_DISTINCT:
        note = "the peer estimates the distinct values behind its degrees of freedom; these are exact"
    return statistic, float(chi2.sf(statistic, freedom)), note


def _counts(array: np.ndarray) -> dict[Any, int]:
    out: dict[Any, int] = {}
    for value, count in counts_of(present_only(array)).items():
        key = value[:_CUT_STRINGS_AT] if isinstance(value, str) else value
        out[key] = out.get(key, 0) + count
    return out


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, float | None, str]]] = {
    "ks": _ks,
    "hellinger": _hellinger,
    "chi-square": _chi_square,
}
"""Each test by the peer's own name: statistic, p-value where there is one, and a note."""
