"""Replay: many columns over many windows at once, for null replays and `watchkeeper calibrate`.

Says the same as `ColumnEvidence` folded window by window (a test holds it), in arrays over columns. Ranks are
computed only where an effect gate is open, since only there PERSISTENT can fire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats.evidence.autocorrelation import prewhiten
from watchkeeper.stats.evidence.break_rule import break_threshold
from watchkeeper.stats.evidence.column_evidence import (
    EFFECT_WINDOWS,
    EvidenceRules,
    correlations,
    gate,
    kept_before,
    score_weights,
    tolerated,
)
from watchkeeper.stats.evidence.rank_e_process import (
    evidence_bound,
    log_evidence,
    log_evidence_of_ranks,
    ranks_of_last,
)
from watchkeeper.stats.evidence.window_scores import WindowScorer, jitter

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """When the rules fired on each of C columns; windows are numbered from 1, and 0 means never."""

    persistent: NDArray[np.int64]
    broken: NDArray[np.int64]
    correlated: NDArray[np.bool_]
    """Whether the baseline's windows were found to be correlated, so that alarms say "heuristic"."""
    log_evidence: Floats | None
    """Largest ln of weighted evidence over all windows ``(C,)``, gate or not; None unless asked for."""

    @property
    def first(self) -> NDArray[np.int64]:
        """The first window in which either rule fired ``(C,)``."""
        both = np.stack([self.persistent, self.broken])
        soonest = np.where(both > 0, both, np.iinfo(np.int64).max).min(0)
        return np.where((both > 0).any(0), soonest, 0)


def replay(
    baseline: NDArray[Any],
    windows: NDArray[Any],
    *,
    rules: EvidenceRules,
    ordered: bool = True,
    names: list[str] | None = None,
    strata: tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]] | None = None,
    missing: tuple[NDArray[Any], NDArray[Any]] | None = None,
    everywhere: bool = False,
) -> Replay:
    """Run the default rules over C columns.

    Parameters
    ----------
    baseline, windows : counts ``(C, B, K)`` and ``(C, T, K)``, every window with at least ``fewest_rows`` rows.
    names : what jitter is seeded by, one a column; None: ``"0"``, ``"1"``, ...
    strata, missing : of the baseline's windows and of the new ones; ``(B,), (T,)`` and ``(C, B), (C, T)``.
    everywhere : compute the evidence in every window, not only where an effect is large enough (slow).
    """
    many, windows_before = baseline.shape[:2]
    total = windows.shape[1]
    names = names or [str(c) for c in range(many)]
    season_before, season = strata if strata is not None else (None, None)
    gone_before, gone = missing if missing is not None else (None, None)
    scorer, before, _ = WindowScorer.of(baseline, gone_before, ordered=ordered, strata=season_before)
    after, effects = scorer.score(windows, gone, strata=season)
    ticks = np.arange(-windows_before, total)
    scores = np.concatenate([before, after], axis=1)
    scores += np.stack([jitter(name, ticks, scores.shape[-1]) for name in names])
    scores = np.ascontiguousarray(np.moveaxis(scores, 1, 2))  # (C, J, B + T)
    where = None if season_before is None or season is None else np.concatenate([season_before, season])
    _, rho = correlations(scores[..., :windows_before], season_before)
    ranked = _whitened(scores, rho, scorer, where)

    rows = windows.sum(-1) + (0.0 if gone is None else gone)
    usual = np.zeros(total, int) if season is None else season
    effects = _rolling_mean(effects - scorer.effect_mean[:, usual])
    limits = tolerated(scorer, _rolling_sum(rows), rules)
    open_gate: NDArray[Any] = gate(effects, limits)  # (C, T, J, 2)
    with np.errstate(divide="ignore"):
        weight = np.log(score_weights(scorer))
    need: NDArray[Any] = np.ones(open_gate.shape[:3], bool) if everywhere else np.asarray(open_gate.any(-1))

    persistent = np.zeros(many, np.int64)
    highest = np.full(many, -np.inf)
    ranks = None
    for t in range(1, total + 1):
        skip = kept_before(t, rules.memory)
        oldest = skip - rules.memory // 2 if skip else 0
        if everywhere and where is None:
            stop = windows_before + t
            column, j = np.nonzero(np.ones((many, len(weight)), bool))
            if ranks is None or (skip and t == skip + 1):
                keep = np.r_[0:windows_before, windows_before + oldest : stop]
                ranks = ranks_of_last(ranked[:, :, keep].reshape(-1, len(keep)), len(keep))
            else:
                ranks = _with_rank_of_last(
                    ranks, ranked[:, :, keep].reshape(len(ranks), -1), ranked[:, :, stop - 1]
                )
                keep = np.append(keep, stop - 1)
            suspects = t - skip
            log_m, _ = log_evidence_of_ranks(
                ranks[:, len(keep) - suspects :], np.array([len(keep)]), np.zeros(suspects, int), skip + 1
            )
        else:
            wanted = need[:, t - 1] if everywhere else need[:, t - 1] & (persistent == 0)[:, None]
            column, j = np.nonzero(wanted)
            keep = np.r_[0:windows_before, windows_before + oldest : windows_before + t]
            if where is None:
                worth = _worthwhile(
                    ranked[column[:, None], j[:, None], keep] if oldest else ranked[column, j, : len(keep)],
                    open_gate[column, t - 1, j],
                    rules.log_threshold - weight[j],
                    t - skip,
                    skip + 1,
                )
                column, j = column[worth], j[worth]
            if not len(column):
                continue
            log_m, _ = log_evidence(
                ranked[column[:, None], j[:, None], keep] if oldest else ranked[column, j, : len(keep)],
                reference=windows_before + skip - oldest,
                first=skip + 1,
                strata=None if where is None else where[keep],
            )
        weighted = log_m + weight[j]
        np.maximum.at(highest, column, weighted.max(-1))
        fires = (weighted >= rules.log_threshold) & open_gate[column, t - 1, j]
        hit = np.unique(column[fires.any(-1)])
        persistent[hit] = np.where(persistent[hit] == 0, t, persistent[hit])

    return Replay(
        persistent=persistent,
        broken=_breaks(scorer, windows, gone, rows, rules),
        correlated=np.asarray((rho > 0).any(-1)),
        log_evidence=highest if everywhere else None,
    )


def _worthwhile(
    scores: Floats, gates: NDArray[np.bool_], needed: Floats, suspects: int, first: int
) -> NDArray[np.intp]:
    """The rows ``(S, N)`` of which a tail with an open gate could reach ln M *needed* ``(S, 2)``."""
    if not len(scores):
        return np.zeros(0, np.intp)
    n = scores.shape[1]
    ranks = ranks_of_last(scores, suspects)
    could = np.zeros(len(scores), bool)
    for side in (0, 1):
        rows = np.flatnonzero(gates[:, side])
        if len(rows):
            these = ranks[rows] if side == 0 else n + 1 - ranks[rows]
            could[rows] |= evidence_bound(these, n, first) >= needed[rows, side]
    return np.flatnonzero(could)


def _with_rank_of_last(ranks: NDArray[np.int32], past: Floats, new: Floats) -> NDArray[np.int32]:
    """Return the ranks ``(S, N + 1)`` once *new* scores ``(C, J)`` have joined *past* ones ``(S, N)``."""
    below = past < new.reshape(-1, 1)
    own = below.sum(1, dtype=np.int32)[:, None] + 1
    return np.concatenate([ranks + ~below, own], axis=1, dtype=np.int32)


def _whitened(scores: Floats, rho: Floats, scorer: WindowScorer, where: NDArray[Any] | None) -> Floats:
    at = np.nonzero(rho > 0)
    if not len(at[0]):
        return scores
    seasons = np.zeros(scores.shape[-1], int) if where is None else where
    out = scores.copy()
    mean = scorer.score_mean[at[0][:, None], seasons[None, :], at[1][:, None]]
    out[at] = prewhiten(scores[at] - mean, rho[at])
    return out


def _breaks(
    scorer: WindowScorer, windows: NDArray[Any], gone: NDArray[Any] | None, rows: Floats, rules: EvidenceRules
) -> NDArray[np.int64]:
    missing = np.zeros(windows.shape[:2]) if gone is None else gone
    y = np.concatenate([windows, missing[..., None]], axis=-1)
    limit = break_threshold(
        window=np.arange(1, windows.shape[1] + 1),
        rows=rows,
        baseline_rows=scorer.baseline_rows[:, None],
        widest_gap=scorer.widest_gap[:, None],
        columns=rules.columns,
        budget=rules.break_budget,
        margin=rules.break_margin,
        cells=1 if scorer.ordered else scorer.bins + 1,
    )
    over = scorer.distance(y, scorer.totals[:, None, :]) > limit
    run = over.copy()
    for back in range(1, rules.break_windows):
        run[:, back:] &= over[:, :-back]
        run[:, :back] = False
    return np.where(run.any(1), run.argmax(1) + 1, 0).astype(np.int64)


def _rolling_sum(values: Floats) -> Floats:
    """Sums of the last four ``(C, T)`` (fewer at the start)."""
    out = np.array(values, dtype=float)
    for back in range(1, EFFECT_WINDOWS):
        out[:, back:] += values[:, :-back]
    return out


def _rolling_mean(values: Floats) -> Floats:
    count = np.minimum(np.arange(values.shape[1]) + 1, EFFECT_WINDOWS)
    return _rolling_sum(values) / count[None, :, None]
