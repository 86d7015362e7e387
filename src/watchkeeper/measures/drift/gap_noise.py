r"""What sampling alone does to the area between two distribution functions.

When nothing moved, :math:`F - G` at x is close to normal with variance :math:`(1/n + 1/m)\,H(1-H)`, H the common
distribution function. So the means of both areas follow from the pooled histogram at full resolution,

.. math:: E\!\int |F-G| = \sqrt{\tfrac2\pi\big(\tfrac1n+\tfrac1m\big)}\int\!\sqrt{H(1-H)}\,dx,\qquad
          E\!\int (F-G)^2 = \big(\tfrac1n+\tfrac1m\big)\int\!H(1-H)\,dx

and the shapes of their distributions from a bridge over a few joined bins, scaled to these means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.measures.drift.alignment import OrderedBins
from watchkeeper.measures.drift.share_measurement import MARGIN_LEVEL
from watchkeeper.stats import sampling_noise
from watchkeeper.stats.states.histogram import Histogram

Floats = NDArray[np.float64]

_JOINED = 32
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class AreaNoise:
    """Mean and 99% level of the area between two distribution functions when nothing moved."""

    expected: float
    margin: float


def knots(histogram: Histogram) -> tuple[Floats, Floats]:
    """The distribution function as lines: values ``(k,)`` not falling, cumulative shares ``(k,)``."""
    x, f, _ = histogram._knots
    return x, f / histogram.n


def area_noise(bins: OrderedBins, n: float, m: float) -> AreaNoise:
    """Noise of the Wasserstein distance of *n* against *m* rows."""
    spread = math.sqrt(1 / n + 1 / m)
    expected = math.sqrt(2 / math.pi) * spread * _integral(bins, lambda h: np.sqrt(h * (1 - h)))
    masses, steps = _few(bins)
    if masses.size < 2:
        return AreaNoise(expected, expected)
    mean = float(np.sum(np.sqrt(np.cumsum(masses)[:-1] * (1 - np.cumsum(masses)[:-1])) * steps[:-1]))
    mean *= math.sqrt(2 / math.pi) * spread
    top = sampling_noise.bridge_quantile(
        lambda gap: np.abs(gap) @ steps, masses, n, m, level=MARGIN_LEVEL, draws=_DRAWS
    )
    return AreaNoise(expected, expected * (top / mean) if mean else expected)


def square_eigenvalues(bins: OrderedBins, n: float, m: float) -> Floats:
    r"""Eigenvalues ``(k,)`` of :math:`2\int (F-G)^2`, the squared energy distance, of *n* against *m* rows."""
    masses, steps = _few(bins)
    # Only the shape is taken from the few bins, so the steps may be in a unit that floats can square.
    found = sampling_noise.bridge_eigenvalues(masses, steps / (steps.max(initial=0.0) or 1.0))
    if not found.size:
        return found
    total = 2 * (1 / n + 1 / m) * _integral(bins, lambda h: h * (1 - h))
    return found * (total / found.sum())


def _integral(bins: OrderedBins, of: Callable[[Floats], Floats]) -> float:
    """Integrate a function of the pooled distribution function over the values, by Simpson's rule."""
    x, h = knots(bins.histograms[0].merge(bins.histograms[1]))
    h = np.clip(h, 0.0, 1.0)
    left, right = h[:-1], h[1:]
    mean = (of(left) + 4 * of((left + right) / 2) + of(right)) / 6
    return float(np.dot(mean, np.diff(x)))


def _few(bins: OrderedBins) -> tuple[Floats, Floats]:
    """Shares of the joined bins ``(k,)``, and from each one's mean value to the next ``(k,)``, the last 0."""
    pooled = bins.histograms[0].merge(bins.histograms[1])
    edges, filled = pooled.edges, bins.pooled > 0
    at = np.empty(edges.bins)
    cuts = edges.cuts.astype(np.float64)
    at[1:-1] = np.where(edges.atoms[1:-1], cuts[:-1], (cuts[:-1] + cuts[1:]) / 2)
    at[0] = pooled.low.mean if pooled.low.count else 0.0
    if edges.bins > 1:
        at[-1] = pooled.high.mean if pooled.high.count else 0.0
    weights = bins.pooled[filled]
    groups = sampling_noise.joined_groups(weights, limit=_JOINED)
    masses = np.asarray(np.bincount(groups, weights), dtype=np.float64)
    means = np.bincount(groups, weights * at[filled]) / masses
    return masses, np.append(np.maximum(np.diff(means), 0.0), 0.0)
