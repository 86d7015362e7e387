r"""deequ's own distances (and SageMaker Model Monitor's, which stands on them), on raw rows.

Definition
----------
- ``linf_simple``: numbers, the greatest gap of two distribution functions; categories, the greatest gap of two
  shares.
- ``linf_robust`` (the default): ``max(0, linf_simple - c * sqrt((n + m) / (n * m)))`` with c = 1.8, or
  ``sqrt(-ln(alpha / 2) / 2)`` when *alpha* is given.
- ``chi_square``: goodness of fit of the current counts to the baseline's shares, over the baseline's categories
  only. While too many expected counts are small (below 5 for more than a fifth of the categories; below 10 for
  any of two) the smallest category is poured into the next one. The score is the p-value.

Reads: two columns of raw rows, never states. Cost: O(n log n).

Limits
------
For numbers the peer ranks the *distinct* values of its sketch: equal values count once, and n and m are numbers
of distinct values, so heavy ties change its distance. Its sketch (KLL, 2,048, shrinking 0.64) holds every value
up to 2,050 rows; past that it is random, and this is what it estimates. The flag
``correctForLowNumberOfSamples=true`` of the peer means *simple*. deequ itself has no threshold: 0.1 is that of
SageMaker's constraint files, and 0.05 for the p-value is ours.

No run of the real peer stands behind these numbers (its library is a Scala archive that is not on PyPI): they
are checked against the numbers in deequ's own unit tests and against closed forms.

References
----------
deequ, ``com.amazon.deequ.analyzers.Distance`` and ``QuantileNonSample`` (Apache-2.0), read for the definitions.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import log, sqrt
from typing import Any

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput, nearest
from watchkeeper.measures.compat.result import CompatResult
from watchkeeper.measures.compat.samples import array_of, counts_of, present_only, treated_as

PEER = "deequ"
METHODS = ("linf_robust", "linf_simple", "chi_square")
_SKETCH_HOLDS = 2050


def column_drift(
    reference: Any,
    current: Any,
    *,
    kind: Kind | str | None = None,
    method: str = "linf_robust",
    threshold: float | None = None,
    alpha: float | None = None,
) -> CompatResult:
    """Return deequ's distance of one column.

    Parameters
    ----------
    reference, current : columns of raw rows: arrays, lists, or anything that exports Arrow.
    kind : numeric or categorical; None goes by what the arrays hold.
    method : one of `METHODS`; ``chi_square`` is for categories.
    threshold : drift above it (below it for ``chi_square``).
    alpha : level of the robust correction, 0 to 1; None is the peer's constant 1.8.

    Raises
    ------
    BadInput
        the method is unknown, or not for this kind of column.

    >>> column_drift([1.0, 2, 3, 4], [2.0, 3, 4, 5], method="linf_simple").score
    0.25
    """
    if method not in METHODS:
        raise BadInput(
            f"{method!r} is no distance of deequ.{nearest(method, METHODS)}", f"Known: {', '.join(METHODS)}."
        )
    left, right = array_of(reference), array_of(current)
    numeric = treated_as(kind, left, right) == "numeric"
    if numeric and method == "chi_square":
        raise BadInput(
            "deequ's chi_square is for categorical columns.", "Say kind='categorical', or linf_robust."
        )
    left, right = present_only(left), present_only(right)
    rows: dict[str, Any] = {"baseline_rows": len(left), "rows": len(right)}
    limit = threshold if threshold is not None else 0.05 if method == "chi_square" else 0.1
    if not len(left) or not len(right):
        reason = "a side has no value, so the peer has no number"
        return CompatResult(peer=PEER, method=method, score=None, threshold=limit, reason=reason, **rows)
    if method == "chi_square":
        return _by_chi_square(counts_of(right), counts_of(left), limit, rows)
    if numeric:
        simple, n, m = numeric_distance(left, right)
    else:
        simple, n, m = categorical_distance(counts_of(left), counts_of(right))
    score = simple if method == "linf_simple" else robust(simple, n, m, alpha)
    note = ""
    if numeric and max(len(left), len(right)) > _SKETCH_HOLDS:
        note = "the peer's sketch is random past 2,050 values; this is the number that it estimates"
    return CompatResult(
        peer=PEER, method=method, score=score, threshold=limit, drifted=score > limit, note=note, **rows
    )


def numeric_distance(reference: np.ndarray, current: np.ndarray) -> tuple[float, int, int]:
    """The greatest gap between the distribution functions of the *distinct* values, and how many there are.

    >>> numeric_distance(np.array([1.0, 1, 1, 2]), np.array([1.0, 2, 2, 2]))
    (0.0, 2, 2)
    """
    left, right = np.unique(reference), np.unique(current)
    at = np.concatenate([left, right])
    gaps = np.searchsorted(left, at, "right") / len(left) - np.searchsorted(right, at, "right") / len(right)
    return float(np.max(np.abs(gaps))), len(left), len(right)


def categorical_distance(
    reference: Mapping[Hashable, int], current: Mapping[Hashable, int]
) -> tuple[float, int, int]:
    """The greatest gap between two shares, and the rows of both sides.

    >>> categorical_distance({"a": 3, "b": 1}, {"a": 1, "b": 1})
    (0.25, 4, 2)
    """
    n, m = sum(reference.values()), sum(current.values())
    keys = {**reference, **current}
    return max(abs(reference.get(k, 0) / n - current.get(k, 0) / m) for k in keys), n, m


def robust(simple: float, n: int, m: int, alpha: float | None = None) -> float:
    """The distance less what samples of *n* and *m* may show by chance.

    >>> round(robust(0.25, 400, 100), 10)
    0.048753882
    """
    factor = 1.8 if alpha is None else sqrt(-log(alpha / 2) / 2)
    return max(0.0, simple - factor * sqrt((n + m) / (n * m)))


def chi_square(
    current: Mapping[Hashable, int], reference: Mapping[Hashable, int]
) -> tuple[float, float] | None:
    """Statistic and p-value of the current counts against the reference's; None when one category is left.

    >>> statistic, p = chi_square({"a": 60, "b": 40}, {"a": 50, "b": 50})
    >>> statistic, round(p, 6)
    (4.0, 0.0455)
    """
    from scipy.special import gammainc

    seen = sum(count for value, count in current.items() if value in reference)
    total = sum(reference.values())
    observed, expected = _regrouped(
        dict(current), {value: count / total * seen for value, count in reference.items()}
    )
    if len(observed) < 2:
        return None
    o = np.array([observed.get(value, 0.0) for value in expected])
    e = np.array(list(expected.values()))
    scale = 1.0 if abs(o.sum() - e.sum()) < 1e-7 else o.sum() / e.sum()
    statistic = float(np.sum((o - e * scale) ** 2 / (e * scale)))
    return statistic, float(1.0 - gammainc((len(e) - 1) / 2, statistic / 2))


def _regrouped(
    observed: dict[Hashable, float], expected: dict[Hashable, float]
) -> tuple[dict[Hashable, float], dict[Hashable, float]]:
    """Pour the smallest expected category into the next one while too many are small."""
    while len(expected) >= 2:
        least, allowed = (5, int(0.2 * len(expected))) if len(expected) > 2 else (10, 0)
        if sum(count < least for count in expected.values()) <= allowed:
            break
        smallest = min(expected, key=expected.__getitem__)
        poured, seen = expected.pop(smallest), observed.pop(smallest, 0.0)
        into = min(expected, key=expected.__getitem__)
        expected[into] += poured
        observed[into] = observed.get(into, 0.0) + seen
    return observed, expected


def _by_chi_square(
    current: Mapping[Hashable, int], reference: Mapping[Hashable, int], limit: float, rows: dict[str, Any]
) -> CompatResult:
    with np.errstate(all="ignore"):
        found = chi_square(current, reference)
    if found is None or np.isnan(found[1]):
        reason = "fewer than two categories are left after small ones were joined, so the peer has no number"
        return CompatResult(
            peer=PEER, method="chi_square", score=None, threshold=limit, reason=reason, **rows
        )
    statistic, p = found
    return CompatResult(
        peer=PEER,
        method="chi_square",
        score=p,
        p_value=p,
        threshold=limit,
        drifted=p < limit,
        details={"statistic": statistic},
        **rows,
    )
