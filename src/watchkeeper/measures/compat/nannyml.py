r"""NannyML's own univariate drift, on raw rows.

Definition
----------
A method is fitted on the reference and gives a number for each *chunk*. The default chunk is a tenth of the rows
(integer division, the remainder is a chunk of its own). The alert threshold is the mean of the numbers of the
reference's own chunks plus three of their standard deviations (ddof 0), and every reference chunk is compared
with a reference that contains it. ``chi2`` alone goes by its p-value (below 0.05).

- ``jensen_shannon`` (the default for every column): base 2, bins by Doane's rule on the reference; what falls
  outside is one more bin that the reference has nothing in.
- ``kolmogorov_smirnov``: exact below 10,000 reference rows, else from 10,000 equal-width bins.
- ``wasserstein``: the same switch; its binned form counts rows outside the reference's range plus one.
- ``hellinger``, ``l_infinity``, ``chi2``: on the same bins or categories (Yates' correction for 2 x 2).

NaN and nulls are dropped after the rows were cut into chunks; infinities stay, and Doane's rule fails on them.

Reads: two columns of raw rows in order, never states. Cost: O(n log n).

Limits
------
With ten stable reference chunks the default threshold raises a false alarm on 52% of single features within 20
chunks: see `watchkeeper.measures.drift` for judgements that hold.

References
----------
NannyML 0.13, ``nannyml.drift.univariate.methods`` (Apache-2.0), read for its definitions;
https://nannyml.readthedocs.io/en/stable/how_it_works/univariate_drift_comparison.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput, nearest
from watchkeeper.measures.compat.result import CompatResult
from watchkeeper.measures.compat.samples import array_of, counts_of, is_number, present_only, treated_as

PEER = "nannyml"
_BINNED_FROM = 10_000
_BINS = 10_000
_CHUNKS = 10

Distance = Callable[[np.ndarray], tuple[float, float | None]]
"""A chunk without nulls in; the number, and the p-value where the method has one."""


def column_drift(
    reference: Any,
    current: Any,
    *,
    kind: Kind | str | None = None,
    method: str = "jensen_shannon",
    threshold: float | None = None,
    chunk_rows: int | None = None,
) -> CompatResult:
    """Return what NannyML says when all of *current* is one chunk.

    Parameters
    ----------
    reference, current : columns of raw rows, the reference in the order that its chunks are cut in.
    kind : numeric or categorical; None goes by what the arrays hold (booleans and text are categorical).
    method : one of `CONTINUOUS` or `CATEGORICAL`.
    threshold : a constant one instead of mean + 3 sd of the reference's chunks.
    chunk_rows : rows of a reference chunk; None is the peer's tenth.

    Raises
    ------
    BadInput
        the method is unknown, or not for this kind of column.

    >>> round(column_drift(["a"] * 60 + ["b"] * 40, ["a"] * 50 + ["b"] * 50, method="l_infinity").score, 6)
    0.1
    """
    return _drift(reference, current, kind, method, threshold, chunk_rows, chunked=False)[0]


def chunk_drift(
    reference: Any,
    current: Any,
    *,
    kind: Kind | str | None = None,
    method: str = "jensen_shannon",
    threshold: float | None = None,
    chunk_rows: int | None = None,
) -> list[CompatResult]:
    """Return what NannyML says of each chunk of *current* (a tenth of its rows unless *chunk_rows* is given).

    Raises
    ------
    BadInput
        the method is unknown, or not for this kind of column.

    >>> len(chunk_drift(list(range(100)), list(range(95))))
    11
    """
    return _drift(reference, current, kind, method, threshold, chunk_rows, chunked=True)


def _drift(
    reference: Any,
    current: Any,
    kind: Kind | str | None,
    method: str,
    threshold: float | None,
    chunk_rows: int | None,
    *,
    chunked: bool,
) -> list[CompatResult]:
    left, right = array_of(reference), array_of(current)
    known = CONTINUOUS if treated_as(kind, left, right) == "numeric" else CATEGORICAL
    if method not in known:
        raise BadInput(
            f"NannyML has no method {method!r} for this kind of column.{nearest(method, known)}",
            f"Known: {', '.join(known)}.",
        )
    rows: dict[str, Any] = {"baseline_rows": len(left), "rows": len(right)}

    def undefined(reason: str) -> list[CompatResult]:
        return [CompatResult(peer=PEER, method=method, score=None, reason=reason, **rows)]

    if min(len(left), len(right) if chunked else _CHUNKS) < _CHUNKS and chunk_rows is None:
        return undefined("a tenth of fewer than ten rows is no chunk, and the peer refuses it")
    chunks = _chunks(right, chunk_rows) if chunked else [right]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # infinite rows, empty slices: said in the result
            distance = known[method](present_only(left))
            limit = threshold
            if method == "chi2":
                limit = 0.05
            elif limit is None:
                limit = _threshold([_of_chunk(distance, c)[0] for c in _chunks(left, chunk_rows)], method)
            found = [_of_chunk(distance, chunk) for chunk in chunks]
    except (ValueError, TypeError, IndexError) as cause:
        return undefined(f"the peer fails here too: {cause}")
    return [
        _result(method, value, p, limit, {"baseline_rows": len(left), "rows": len(chunk)})
        for (value, p), chunk in zip(found, chunks, strict=True)
    ]


def _result(method: str, value: float, p: float | None, limit: float, rows: dict[str, Any]) -> CompatResult:
    return CompatResult(
        peer=PEER,
        method=method,
        score=None if np.isnan(value) else value,
        p_value=p,
        threshold=None if np.isnan(limit) else limit,
        drifted=bool(p < limit if p is not None else value > limit),
        reason="the peer's own number is NaN here (an empty chunk, or infinities)"
        if np.isnan(value)
        else None,
        **rows,
    )


def _chunks(column: np.ndarray, rows: int | None) -> list[np.ndarray]:
    size = len(column) // _CHUNKS if rows is None else rows
    return [column[start : start + size] for start in range(0, len(column), size)]


def _of_chunk(distance: Distance, chunk: np.ndarray) -> tuple[float, float | None]:
    present = present_only(chunk)
    return distance(present) if len(present) else (np.nan, None)


def _threshold(values: list[float], method: str) -> float:
    limit = float(np.nanmean(values) + 3 * np.nanstd(values))
    return min(limit, 1.0) if method == "kolmogorov_smirnov" else limit


# -- the methods: fitted on the reference, called with a chunk ------------------------------------


def _shares_of(reference: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Shares of reference and chunk on the reference's bins, with one more for what falls outside."""
    if is_number(reference):
        edges = np.histogram_bin_edges(reference.astype(np.float64), bins="doane")
        expected = np.histogram(reference, bins=edges)[0] / len(reference)

        def counted(chunk: np.ndarray) -> np.ndarray:
            return np.histogram(chunk, bins=edges)[0]
    else:
        found = counts_of(reference)
        expected = np.array(list(found.values())) / len(reference)

        def counted(chunk: np.ndarray) -> np.ndarray:
            there = counts_of(chunk)
            return np.array([there.get(key, 0) for key in found])

    def shares(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        actual = counted(chunk) / len(chunk)
        outside = 1 - np.sum(actual)
        # Also when rounding alone leaves a trace: the square root below makes 1e-16 visible, as in the peer.
        return (np.append(expected, 0), np.append(actual, outside)) if outside > 0 else (expected, actual)

    return shares


def _as_categories(fit: Callable[[np.ndarray], Distance]) -> Callable[[np.ndarray], Distance]:
    """Numbers that the user calls categories are counted one by one."""

    def fitted(reference: np.ndarray) -> Distance:
        distance = fit(reference.astype(object))
        return lambda chunk: distance(chunk.astype(object))

    return fitted


def _jensen_shannon(reference: np.ndarray) -> Distance:
    from scipy.spatial.distance import jensenshannon

    shares = _shares_of(reference)
    return lambda chunk: (float(jensenshannon(*shares(chunk), base=2)), None)


def _hellinger(reference: np.ndarray) -> Distance:
    shares = _shares_of(reference)

    def distance(chunk: np.ndarray) -> tuple[float, None]:
        p, q = shares(chunk)
        return float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2)) / np.sqrt(2)), None

    return distance


def _kolmogorov_smirnov(reference: np.ndarray) -> Distance:
    if len(reference) < _BINNED_FROM:
        from scipy.stats import ks_2samp

        return lambda chunk: (float(ks_2samp(reference, chunk).statistic), None)
    edges = np.linspace(np.min(reference), np.max(reference), _BINS + 1)
    expected = np.cumsum(np.histogram(reference, edges)[0] / len(reference))

    def distance(chunk: np.ndarray) -> tuple[float, None]:
        below = np.count_nonzero(chunk < edges[0]) / len(chunk)
        actual = below + np.cumsum(np.histogram(chunk, edges)[0] / len(chunk))
        return float(np.max(np.abs(expected - actual))), None

    return distance


def _wasserstein(reference: np.ndarray) -> Distance:
    if len(reference) < _BINNED_FROM:
        from scipy.stats import wasserstein_distance

        return lambda chunk: (float(wasserstein_distance(reference, chunk)), None)
    counts, edges = np.histogram(reference, bins=_BINS)
    expected, width = np.cumsum(counts / len(reference)), edges[1] - edges[0]
    low, high = edges[0], edges[-1]

    def distance(chunk: np.ndarray) -> tuple[float, None]:
        n = len(chunk)
        below, above = np.sort(chunk[chunk < low]), np.sort(chunk[chunk > high])
        # The peer puts the range's own end into each tail before it counts, hence the one more.
        share_below = (len(below) + 1) / n if len(below) else 0.0
        share_above = (len(above) + 1) / n if len(above) else 0.0
        tail_below = np.sum(_cdf_steps(np.append(below, low))) * share_below if len(below) else 0.0
        tail_above = np.sum(_survival_steps(np.append(high, above))) * share_above if len(above) else 0.0
        actual = np.cumsum(np.histogram(chunk, bins=edges)[0] / n) + share_below
        return float(np.sum(np.abs(expected - actual) * width) + tail_below + tail_above), None

    return distance


def _cdf_steps(ordered: np.ndarray) -> np.ndarray:
    at, counts = np.unique(ordered, return_counts=True)
    return (np.cumsum(counts) / len(ordered))[:-1] * np.diff(at)


def _survival_steps(ordered: np.ndarray) -> np.ndarray:
    at, counts = np.unique(ordered, return_counts=True)
    return (1 - np.cumsum(counts) / len(ordered))[:-1] * np.diff(at)


def _l_infinity(reference: np.ndarray) -> Distance:
    expected = counts_of(reference)

    def distance(chunk: np.ndarray) -> tuple[float, None]:
        actual = counts_of(chunk)
        gaps = [
            expected.get(k, 0) / len(reference) - actual.get(k, 0) / len(chunk) for k in expected | actual
        ]
        return float(np.max(np.abs(gaps))), None

    return distance


def _chi2(reference: np.ndarray) -> Distance:
    from scipy.stats import chi2_contingency

    expected = counts_of(reference)

    def distance(chunk: np.ndarray) -> tuple[float, float]:
        actual = counts_of(chunk)
        table = np.array([[expected.get(k, 0), actual.get(k, 0)] for k in expected | actual])
        found = chi2_contingency(table)
        return float(found.statistic), float(found.pvalue)

    return distance


CONTINUOUS: dict[str, Callable[[np.ndarray], Distance]] = {
    "jensen_shannon": _jensen_shannon,
    "kolmogorov_smirnov": _kolmogorov_smirnov,
    "wasserstein": _wasserstein,
    "hellinger": _hellinger,
}
"""Methods for numeric columns, by the peer's own names."""

CATEGORICAL: dict[str, Callable[[np.ndarray], Distance]] = {
    "jensen_shannon": _as_categories(_jensen_shannon),
    "chi2": _as_categories(_chi2),
    "l_infinity": _as_categories(_l_infinity),
    "hellinger": _as_categories(_hellinger),
}
"""Methods for categorical columns, by the peer's own names."""
