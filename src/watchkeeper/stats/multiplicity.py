r"""Many tests at once: which to believe, with one stated budget of errors.

False discovery rate (FDR): the expected share of false ones among the findings. Family-wise error rate (FWER):
the probability of any false one. p-values go to `benjamini_hochberg` (independent or positively dependent
tests), `benjamini_yekutieli` (any dependence), `holm` (FWER, any dependence); e-values to `e_bh` (FDR, any
dependence) and, when they arrive one after another for ever, to `ELond`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput

Floats = NDArray[np.float64]


def benjamini_hochberg(p_values: Any) -> Floats:
    r"""Return q-values ``(k,)`` in the order given: a finding with :math:`q \le \alpha` keeps the FDR at alpha.

    :math:`q_{(i)} = \min_{j \ge i} k\,p_{(j)} / j`, at most 1. Holds for independent tests and for positively
    dependent ones.

    Reference: Y. Benjamini and Y. Hochberg, *Controlling the False Discovery Rate*, JRSS B 57, 1995.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    return _step_up(_checked_p(p_values), 1.0)


def benjamini_yekutieli(p_values: Any) -> Floats:
    r"""Return q-values that hold under any dependence: those of Benjamini-Hochberg times :math:`\sum_1^k 1/i`.

    Reference: Y. Benjamini and D. Yekutieli, *The Control of the False Discovery Rate in Multiple Testing under
    Dependency*, Ann. Stat. 29, 2001.

    >>> benjamini_yekutieli([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.0833, 0.1111, 0.1111, 1.0]
    """
    p = _checked_p(p_values)
    return _step_up(p, float(np.sum(1.0 / np.arange(1, p.size + 1))))


def holm(p_values: Any) -> Floats:
    r"""Return adjusted p-values: rejecting those :math:`\le \alpha` keeps the FWER at alpha, always.

    Reference: S. Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, Scand. J. Stat. 6, 1979.

    >>> holm([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.09, 0.09, 0.5]
    """
    p = _checked_p(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def e_bh(e_values: Any, *, alpha: float = 0.05) -> NDArray[np.bool_]:
    r"""Return which of k e-values ``(k,)`` to believe at FDR *alpha*, whatever their dependence.

    The largest :math:`\hat k` with :math:`e_{[\hat k]} \ge k / (\alpha \hat k)`; all at least as large are
    findings.

    Reference: R. Wang and A. Ramdas, *False Discovery Rate Control with E-values*, JRSS B 84, 2022.

    >>> e_bh([100, 50, 30, 1]).tolist()     # 4 / (.05 * 3) = 26.7
    [True, True, True, False]
    >>> e_bh([79, 1, 1, 1]).tolist()        # 4 / .05 = 80
    [False, False, False, False]
    """
    _check_alpha(alpha)
    e = np.asarray(e_values, dtype=np.float64)
    if e.ndim != 1 or np.isnan(e).any() or (e < 0).any():
        raise BadInput("E-values are numbers of at least 0, in one dimension.")
    falling = np.sort(e)[::-1]
    enough = np.flatnonzero(falling * np.arange(1, e.size + 1) >= e.size / alpha)
    return e >= falling[enough[-1]] if enough.size else np.zeros(e.size, bool)


@dataclass(frozen=True, slots=True)
class ELond:
    r"""e-LOND: e-values one after another, FDR at most *alpha* at every moment, under any dependence.

    The t-th is believed when :math:`e_t \ge 1/\alpha_t` with
    :math:`\alpha_t = \alpha\,\gamma_t\,(1 + \text{findings so far})` and :math:`\gamma_t = 1/(t(t+1))`, which
    sums to 1. Two numbers are the whole state.

    Reference: Z. Xu and A. Ramdas, *Online Multiple Testing with E-values*, AISTATS 2024.

    >>> test = ELond(alpha=0.1)
    >>> found, test = test.next(25.0)       # 1 / (.1 * 1/2) = 20
    >>> found, test.tests, test.findings
    (True, 1, 1)
    """

    alpha: float = 0.05
    tests: int = 0
    findings: int = 0

    @property
    def level(self) -> float:
        """The level of the next test: an e-value of at least its inverse is believed."""
        t = self.tests + 1
        return self.alpha / (t * (t + 1)) * (self.findings + 1)

    def next(self, e_value: float) -> tuple[bool, ELond]:
        """Judge one e-value; return whether it is believed, and the procedure after it."""
        _check_alpha(self.alpha)
        if math.isnan(e_value) or e_value < 0:
            raise BadInput(f"An e-value is a number of at least 0, not {e_value}.")
        found = e_value * self.level >= 1
        return found, replace(self, tests=self.tests + 1, findings=self.findings + found)


def e_lond(e_values: Iterable[float], *, alpha: float = 0.05) -> list[bool]:
    """Run `ELond` over *e_values* in their order.

    >>> e_lond([25, 1, 60, 60], alpha=0.1)
    [True, False, True, False]
    """
    test, out = ELond(alpha=alpha), []
    for e_value in e_values:
        found, test = test.next(e_value)
        out.append(found)
    return out


def _step_up(p: Floats, factor: float) -> Floats:
    order = np.argsort(p, kind="stable")
    raised = p[order] * factor * p.size / np.arange(1, p.size + 1)
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return out


def _checked_p(p_values: Any) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise BadInput(
            "p-values lie between 0 and 1, in one dimension.", "Leave out tests that gave no p-value."
        )
    return p


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise BadInput(f"The error budget alpha lies between 0 and 1, not {alpha}.")
