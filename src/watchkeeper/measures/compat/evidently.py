r"""Evidently's own column drift, on raw rows.

Definition
----------
Rows that are null, NaN or infinite are dropped on each side. The default test depends on the *reference's* rows
that are left, and on the distinct values of both sides:

====================  ==========================  ==========================================
reference rows        numeric                     categorical
====================  ==========================  ==========================================
at most 1,000         over 5 distinct: ``ks``     over 2 distinct: ``chisquare``, else ``z``
more                  over 5: ``wasserstein``     ``jensenshannon``
====================  ==========================  ==========================================

Numeric columns of at most 5 distinct values are tested as categories. PSI, KL and Jensen-Shannon of a numeric
column with more than 20 distinct reference values use equal-width bins by Sturges' rule over the *joint* range,
so they change with the window; otherwise each value is a bin. Empty bins get 0.0001 on each side without
renormalising (PSI and KL only).

Reads: two columns of raw rows, never states. Cost: O(n log n).

Limits
------
Documented thresholds differ from the code's for several tests; these are the code's. ``mannw`` is one-sided;
``g_test`` does not rescale and so fails when the sides differ in size. No multiplicity control anywhere.
``TVD`` compares rounded sums in the order of a set, so its p-value moves by the mass of tied shuffles from run
to run; ties are counted exactly here. With at most 20 rows on both sides its Cramer-von Mises counts orderings
in half or single precision; here they are exact.
NumPy widens integer bins to 1 since 2.1, and the peer's numbers move with the NumPy that it runs on: so do these.

References
----------
Evidently 0.7, ``evidently.legacy.calculations.stattests`` (Apache-2.0), read for its definitions;
https://docs.evidentlyai.com/metrics/customize_data_drift
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput, nearest
from watchkeeper.measures.compat.result import CompatResult
from watchkeeper.measures.compat.samples import (
    aligned_counts,
    array_of,
    distinct_values,
    finite_only,
    treated_as,
)

PEER = "evidently"
_SMALL = 1000
_BOTH = frozenset({"numeric", "categorical"})
_NUMERIC = frozenset({"numeric"})
_CATEGORICAL = frozenset({"categorical"})


class _Undefined(Exception):
    """The peer itself has no number for these rows."""


def default_method(reference: np.ndarray, current: np.ndarray, kind: str) -> str:
    """The test that the peer picks, from cleaned samples.

    >>> default_method(np.arange(2000.0), np.arange(50.0), "numeric")
    'wasserstein'
    """
    distinct = distinct_values(reference, current)
    if len(reference) > _SMALL:
        return "wasserstein" if kind == "numeric" and distinct > 5 else "jensenshannon"
    if kind == "numeric" and distinct > 5:
        return "ks"
    return "chisquare" if distinct > 2 else "z"


def column_drift(
    reference: Any,
    current: Any,
    *,
    kind: Kind | str | None = None,
    method: str | None = None,
    threshold: float | None = None,
) -> CompatResult:
    """Return what Evidently's ``ValueDrift`` says of one column.

    Parameters
    ----------
    reference, current : columns of raw rows: arrays, lists, or anything that exports Arrow.
    kind : numeric or categorical; ``integer`` follows the peer's rule (at most 10 distinct values of the current
        side is categorical); None goes by what the arrays hold, by the same rule.
    method : one of `METHODS`; None lets the peer's rule choose.
    threshold : instead of the method's own.

    Raises
    ------
    BadInput
        the method is unknown, or the kind is none that the peer can test (it compares text with a classifier).

    >>> column_drift([1.0, 2, 3, 4, 5, 6], [4.0, 5, 6, 7, 8, 9]).method
    'ks'
    >>> round(column_drift([1.0, 2, 3, 4, 5, 6], [4.0, 5, 6, 7, 8, 9], method="wasserstein").score, 6)
    1.75662
    """
    left, right = array_of(reference), array_of(current)
    as_kind = _kind_of(kind, left, right)
    left, right = finite_only(left), finite_only(right)
    rows: dict[str, Any] = {"baseline_rows": len(left), "rows": len(right)}
    if not len(left) or not len(right):
        side = "reference" if not len(left) else "current"
        reason = f"no finite value is left on the {side} side, and the peer refuses an empty column"
        return CompatResult(peer=PEER, method=method or "none", score=None, reason=reason, **rows)
    chosen = method or default_method(left, right, as_kind)
    if chosen not in METHODS:
        raise BadInput(
            f"{chosen!r} is no test of Evidently.{nearest(chosen, METHODS)}", f"Known: {', '.join(METHODS)}."
        )
    test = METHODS[chosen]
    if method is not None and as_kind not in test.kinds:
        raise BadInput(f"Evidently's {chosen} is not for {as_kind} columns.")
    limit = test.threshold if threshold is None else threshold
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # the tests' own remarks about ties and table limits
            score = float(test.function(left, right, as_kind))
    except (_Undefined, ValueError, TypeError) as cause:
        reason = f"the peer fails here too: {cause}"
        return CompatResult(peer=PEER, method=chosen, score=None, threshold=limit, reason=reason, **rows)
    if np.isnan(score):
        reason = "the peer's own number is NaN here"
        return CompatResult(peer=PEER, method=chosen, score=None, threshold=limit, reason=reason, **rows)
    return CompatResult(
        peer=PEER,
        method=chosen,
        score=score,
        p_value=score if test.is_p_value else None,
        threshold=limit,
        drifted=bool(test.drifted(score, limit)),
        note=_note(chosen, max(len(left), len(right))),
        **rows,
    )


@dataclass(frozen=True, slots=True)
class TableDrift:
    """The share of columns that drifted, and whether the peer calls the table drifted."""

    columns: dict[str, CompatResult]
    count: int
    share: float
    drifted: bool


def table_drift(
    reference: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    kinds: Mapping[str, Kind | str] | None = None,
    drift_share: float = 0.5,
) -> TableDrift:
    """Return Evidently's dataset drift: drifted columns over all columns, against *drift_share*.

    >>> table_drift({"a": [1.0] * 9, "b": [1, 2] * 9}, {"a": [1.0] * 9, "b": [1, 1] * 9}).share
    0.5
    """
    kinds = kinds or {}
    shared = [name for name in current if name in reference]
    found = {name: column_drift(reference[name], current[name], kind=kinds.get(name)) for name in shared}
    return share_of(found, drift_share)


def share_of(found: dict[str, CompatResult], drift_share: float | None) -> TableDrift:
    """Count the drifted columns; the table has drifted from *drift_share* on (None: when any column has)."""
    count = sum(result.drifted for result in found.values())
    share = count / len(found) if found else 0.0
    drifted = count > 0 if drift_share is None else bool(found) and share >= drift_share
    return TableDrift(columns=found, count=count, share=share, drifted=drifted)


def _kind_of(kind: Kind | str | None, reference: np.ndarray, current: np.ndarray) -> str:
    if kind == Kind.TEXT:
        raise BadInput(
            "Evidently compares text with a classifier, whose number is random.",
            "Say kind='categorical' to compare the values themselves.",
        )
    as_kind = treated_as(kind, reference, current)
    by_rule = kind is None or kind == Kind.INTEGER
    if by_rule and as_kind == "numeric" and current.dtype.kind in "iu" and len(np.unique(current)) <= 10:
        return "categorical"
    return as_kind


def _note(method: str, larger: int) -> str:
    if method == "TVD":
        return "the peer breaks ties between shuffles by rounding; here they are counted exactly"
    if method == "cramer_von_mises" and larger <= 20:
        return "the peer counts orderings in low precision at so few rows; here they are exact"
    return ""


# -- the tests ------------------------------------------------------------------------------------


def _shares(
    reference: np.ndarray, current: np.ndarray, kind: str, *, fill: bool
) -> tuple[np.ndarray, np.ndarray]:
    if kind == "numeric" and len(np.unique(reference)) > 20:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        left, right = np.histogram(reference, edges)[0], np.histogram(current, edges)[0]
    else:
        left, right, _ = aligned_counts(reference, current)
    p, q = left / len(reference), right / len(current)
    return (_filled(p), _filled(q)) if fill else (p, q)


def _filled(shares: np.ndarray) -> np.ndarray:
    least = shares[shares > 0].min()
    return np.where(shares == 0, least / 10**6 if least <= 0.0001 else 0.0001, shares)


def _psi(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    p, q = _shares(reference, current, kind, fill=True)
    return float(np.sum((p - q) * np.log(p / q)))


def _kl(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    p, q = _shares(reference, current, kind, fill=True)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _jensen_shannon(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(*_shares(reference, current, kind, fill=False)))


def _hellinger(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    if kind == "categorical":
        left, right, _ = aligned_counts(reference, current)
        overlap = np.sqrt(left / len(reference) * (right / len(current))).sum()
    else:
        # Sturges' rule on the distinct values, so the number of bins follows them and not the rows.
        edges = np.histogram_bin_edges(np.unique(np.concatenate([reference, current])), bins="sturges")
        p, q = (np.histogram(side, edges, density=True)[0] for side in (reference, current))
        overlap = np.sqrt(p * q).sum() * (edges[-1] - edges[0]) / (len(edges) - 1)
    return float(np.sqrt(1 - min(max(overlap, 0.0), 1.0)))


def _wasserstein(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(reference, current) / max(float(np.std(reference)), 0.001))


def _energy(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import energy_distance

    return float(energy_distance(reference, current))


def _ks(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import ks_2samp

    return float(ks_2samp(reference, current).pvalue)


def _anderson(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import anderson_ksamp

    return float(anderson_ksamp([reference, current]).pvalue)


def _cramer_von_mises(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import cramervonmises_2samp

    return float(cramervonmises_2samp(reference, current).pvalue)


def _mann_whitney(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(reference, current, alternative="less").pvalue)


def _epps_singleton(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import epps_singleton_2samp

    low, high = np.percentile(np.concatenate([reference, current]), [25, 75])
    if high == low:
        raise _Undefined("the middle half of the values is one value")
    return float(epps_singleton_2samp(reference, current).pvalue)


def _t_test(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import ttest_ind

    return float(ttest_ind(reference, current).pvalue)


def _chi_square(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import chisquare

    left, right, _ = aligned_counts(reference, current)
    return float(chisquare(right, left * (len(current) / len(reference))).pvalue)


def _g_test(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import power_divergence

    if len(reference) != len(current):
        raise _Undefined(
            "its G-test does not rescale the expected counts, so both sides must have as many rows"
        )
    left, right, _ = aligned_counts(reference, current)
    return float(power_divergence(right, left, lambda_="log-likelihood").pvalue)


def _z_test(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.special import ndtr

    left, right, keys = aligned_counts(reference, current)
    if len(keys) == 1:
        return 1.0
    first = keys.index(min(keys))  # type: ignore[type-var]
    n, m = len(reference), len(current)
    p, q = 1 - left[first] / n, 1 - right[first] / m
    pooled = (p * n + q * m) / (n + m)
    z = (p - q) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float(2 * (1 - ndtr(abs(z))))


def _fisher(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    from scipy.stats import fisher_exact

    left, right, keys = aligned_counts(reference, current)
    if len(keys) > 2:
        raise _Undefined("Fisher's test is for two values, and there are more")
    if len(reference) != len(current):
        raise _Undefined("its Fisher test wants as many rows on both sides")
    if len(keys) == 1:
        return 1.0
    return float(fisher_exact(np.array([right[::-1], left[::-1]])).pvalue)


def _total_variation(reference: np.ndarray, current: np.ndarray, kind: str) -> float:
    """The permutation p-value of 1,000 shuffles from the peer's fixed seed, with ties counted exactly."""
    left, right, _ = aligned_counts(reference, current)
    n, m = len(reference), len(current)
    total = left + right
    codes = _codes(reference, current)
    observed = int(np.abs(left * m - right * n).sum())
    shuffle = np.random.RandomState(0)
    reached = 0
    for _ in range(1000):
        drawn = np.bincount(codes[shuffle.permutation(n + m)[:n]], minlength=len(total))
        reached += int(np.abs(drawn * m - (total - drawn) * n).sum()) >= observed
    return reached / 1000


def _codes(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    place = {key: i for i, key in enumerate(aligned_counts(reference, current)[2])}
    return np.array([place[value] for side in (reference, current) for value in side.tolist()], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class _Test:
    function: Callable[[np.ndarray, np.ndarray, str], float]
    threshold: float
    drifted: Callable[[float, float], bool]
    kinds: frozenset[str]
    is_p_value: bool


def _p(
    function: Callable[..., float], kinds: frozenset[str], threshold: float = 0.05, at: Any = operator.lt
) -> _Test:
    return _Test(function, threshold, at, kinds, is_p_value=True)


def _distance(function: Callable[..., float], kinds: frozenset[str], at: Any = operator.ge) -> _Test:
    return _Test(function, 0.1, at, kinds, is_p_value=False)


METHODS: dict[str, _Test] = {
    "ks": _p(_ks, _NUMERIC, at=operator.le),
    "chisquare": _p(_chi_square, _CATEGORICAL),
    "z": _p(_z_test, _CATEGORICAL),
    "wasserstein": _distance(_wasserstein, _NUMERIC),
    "jensenshannon": _distance(_jensen_shannon, _BOTH),
    "psi": _distance(_psi, _BOTH),
    "kl_div": _distance(_kl, _BOTH),
    "hellinger": _distance(_hellinger, _BOTH),
    "TVD": _p(_total_variation, _CATEGORICAL, 0.1),
    "anderson": _p(_anderson, _NUMERIC, 0.1),
    "cramer_von_mises": _p(_cramer_von_mises, _NUMERIC, 0.1, at=operator.le),
    "g_test": _p(_g_test, _CATEGORICAL, 0.1),
    "mannw": _p(_mann_whitney, _NUMERIC),
    "ed": _distance(_energy, _NUMERIC, at=operator.gt),
    "es": _p(_epps_singleton, _NUMERIC),
    "t_test": _p(_t_test, _NUMERIC),
    "fisher_exact": _p(_fisher, _CATEGORICAL, 0.1),
}
"""Each test by the peer's own name."""
