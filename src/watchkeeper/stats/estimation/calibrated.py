"""A baseline's calibration of its scores, with the draws that say how uncertain it is.

What CBPE, importance-weighted and label-shift estimates all stand on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput
from watchkeeper.stats.estimation.calibration import WAYS, Curve, CurveDraws, calibrate_scores
from watchkeeper.stats.estimation.expected_metrics import CellCounts, Metric
from watchkeeper.stats.states.score_table import NEGATIVE, POSITIVE, ScoreTable, lattice

Floats = NDArray[np.float64]

DRAWS = 200
GROUPS = 200
SEED = 20240229
ISOTONIC_WIDENING = 1.5


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Calibrated:
    """A baseline's calibration, with the draws that say how uncertain it is.

    Cells of the lattice are put together in groups, that begin at ``starts``, for the draws.
    """

    curve: Curve
    drawn_probabilities: CurveDraws
    """What each drawn curve says of scores: ``(draws, scores)``."""
    starts: NDArray[np.intp]
    threshold: float
    baseline: ScoreTable
    draws: int = DRAWS
    seed: int = SEED

    @property
    def widening(self) -> float:
        """The bootstrap of an isotonic curve is too narrow (simulated: 91% cover of a 95% interval without this)."""
        return ISOTONIC_WIDENING if self.curve.name == "isotonic" else 1.0

    def grouped(self, cells: Floats) -> Floats:
        """Sums over each group, of ``(..., 2048)``."""
        return np.add.reduceat(cells, self.starts, axis=-1)

    def group_scores(self, rows: Floats, sums: Floats) -> tuple[Floats, Floats]:
        """Rows and mean score of each group; the middle of the group where there are none."""
        n, total = self.grouped(rows), self.grouped(sums)
        ends = np.concatenate([[0.0], lattice(), [1.0]])
        middles = (ends[self.starts] + ends[np.append(self.starts[1:], ends.size - 1)]) / 2
        return n, np.where(n > 0, total / np.where(n > 0, n, 1.0), middles)

    def first_of(self, rows: Floats, sums: Floats) -> tuple[int, int]:
        """The first cell that is decided positive, and its group."""
        cuts = lattice()
        cell = int(np.searchsorted(cuts, self.threshold, side="right"))
        if self.threshold > 1.0:
            cell = len(rows)
        elif self.threshold > 0.0 and not (cell and cuts[cell - 1] == self.threshold):
            # The cell that the threshold splits goes where its mean score lies.
            cell += bool(rows[cell] > 0 and sums[cell] < self.threshold * rows[cell])
        return cell, int(np.searchsorted(self.starts, cell))

    def cell_counts(self, rows: Floats, sums: Floats) -> CellCounts:
        """What is expected in each cell that holds rows."""
        first, _ = self.first_of(rows, sums)
        held = rows > 0
        scores = np.clip(sums[held] / rows[held], 0.0, 1.0)
        q = self.curve(scores)
        return CellCounts(rows[held] * q, rows[held] * (1 - q), scores, int(held[:first].sum()))

    def measure(
        self, rows: Floats, sums: Floats, metrics: Mapping[str, Metric]
    ) -> dict[str, tuple[float, float, float]]:
        """Value, sampling variance and calibration variance of each metric, for rows ``(2048,)`` by cell."""
        n, scores = self.group_scores(rows, sums)
        _, first = self.first_of(rows, sums)
        fine = self.cell_counts(rows, sums)
        q = np.clip(self.grouped(_spread(fine.positives, rows)) / np.where(n > 0, n, 1.0), 0.0, 1.0)
        rng = np.random.default_rng(self.seed)
        whole = np.round(n).astype(np.int64)
        hits = rng.binomial(whole, q, (self.draws, n.size)).astype(float)
        drawn = CellCounts(hits, whole - hits, scores, first)
        mean = CellCounts(whole * q, whole * (1 - q), scores, first)
        bent = n * self.drawn_probabilities(scores)
        curved = CellCounts(bent, n - bent, scores, first)
        out = {}
        for name, metric in metrics.items():
            of_draws = metric.function(drawn)
            of_curves = metric.function(curved)
            centre = float(metric.function(fine))
            seen = of_draws[np.isfinite(of_draws)]
            if seen.size > self.draws / 2 and np.isfinite(centre):
                centre += float(seen.mean() - metric.function(mean))
            else:
                centre = float("nan")
            known = of_curves[np.isfinite(of_curves)]
            if self.curve.name == "isotonic" and known.size:
                # Curves of redrawn baselines look sharper than this one by about as much as it does itself.
                centre -= float(known.mean() - metric.function(mean))
            if metric.low is not None:
                centre = max(centre, metric.low)
            if metric.high is not None:
                centre = min(centre, metric.high)
            out[name] = (
                centre,
                float(seen.var(ddof=1)) if seen.size > 1 else float("nan"),
                self.widening * float(known.var(ddof=1)) if known.size > 1 else float("nan"),
            )
        return out


def calibrate(
    baseline: ScoreTable,
    tables: Sequence[ScoreTable],
    *,
    threshold: float = 0.5,
    calibration: str = "auto",
    draws: int = DRAWS,
    seed: int = SEED,
) -> Calibrated:
    """Learn the calibration from *baseline*, with draws, on groups of cells that also suit *tables*.

    Raises
    ------
    BadInput
        *calibration* is no known way.
    """
    if calibration not in WAYS:
        raise BadInput(f"{calibration!r} is no way to calibrate.", f"Known: {', '.join(WAYS)}.")
    neg, pos = baseline.counts[NEGATIVE].astype(float), baseline.counts[POSITIVE].astype(float)
    masses = [pos + neg, *(table.counts.sum(axis=0).astype(float) for table in tables)]
    starts = _groups(masses, threshold)
    rows, sums = pos + neg, baseline.sums[NEGATIVE] + baseline.sums[POSITIVE]
    group_rows, group_pos = np.add.reduceat(rows, starts), np.add.reduceat(pos, starts)
    held = group_rows > 0
    x = np.add.reduceat(sums, starts)[held] / group_rows[held]
    hits, n = group_pos[held], group_rows[held]
    curve, drawn = calibrate_scores(x, hits, n, way=calibration, draws=draws, seed=seed + 1)
    return Calibrated(
        curve=curve,
        drawn_probabilities=drawn,
        starts=starts,
        threshold=threshold,
        baseline=baseline,
        draws=draws,
        seed=seed,
    )


def _spread(values: Floats, rows: Floats) -> Floats:
    out = np.zeros(rows.shape)
    out[rows > 0] = values
    return out


def _groups(masses: Sequence[Floats], threshold: float) -> NDArray[np.intp]:
    """First cells of at most about 200 groups: of equal mass, cut at the threshold and at every tenth."""
    cuts = lattice()
    share = np.zeros(cuts.size + 1)
    for mass in masses:
        share += mass / max(float(mass.sum()), 1e-300)
    upto = np.cumsum(share)
    marks = upto[-1] * np.arange(1, GROUPS) / GROUPS
    at = int(np.searchsorted(cuts, threshold, side="right"))
    fixed = [0, *(int(np.searchsorted(cuts, t / 10, side="right")) for t in range(1, 10))]
    starts = np.concatenate([fixed, [at, at + 1], np.searchsorted(upto, marks, side="left") + 1])
    return np.unique(starts[starts < share.size]).astype(np.intp)
