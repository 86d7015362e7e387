r"""Evidence over time for one column: baseline windows, then one window after another, for ever.

Rule
----
PERSISTENT, for changes that last: *evidence* and *effect* in the same score.

- evidence: :math:`v_j M_j \ge C / \beta` with :math:`M_j` the rank e-process of score j and tail,
  :math:`\sum_j v_j = 1`, C columns and :math:`\beta = .02`;
- effect: the mean of the last four windows is off the baseline's mean by more than
  :math:`\max(.02, 3 s_b, 3\sigma, k\sqrt{\sigma^2 + \sigma_0^2 + s_b^2/B})`, in the direction of the tail;
  :math:`s_b` is the variation that the baseline's windows showed beyond sampling (it is tolerated), :math:`\sigma` the
  sampling error of four windows and :math:`\sigma_0` that of the baseline; k rises from 3 to 4 where windows grow to four
  times the baseline's. Location and spread are in mean rank (.02 is about .07 standard deviations), categories and missing
  in share, omnibus in :math:`\phi^2`; omnibus evidence may also rest on an effect of another score.

BREAK, for sudden large damage, is in `break_rule` and takes :math:`.005`. One window is enough where the user
declares independent rows. Otherwise three in a row are needed: days with heavy tails (Student's t with 3
degrees) broke the one-window rule in every simulated deployment of 100 columns, and never the other.

Guarantee: at most 1 chance in 40 that any of C columns ever fires falsely, under any dependence between
columns and between the rows of a window, if windows are exchangeable with the baseline's (within a season, if
seasons are declared). Union over scores, tails and columns; Ville over time.

State: J scores a window (four for a numeric column), at most *memory* windows beside the baseline. When it is
full an *epoch* begins: the older half is dropped and only later windows are suspected. Epochs share the
weights :math:`w_s` of the windows in which a change may begin, which sum to less than one, so the guarantee
holds over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.measurement import Interval
from watchkeeper.domain.rule import NO_GUARANTEE
from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.autocorrelation import lag_one, lag_one_band, lag_one_interval, prewhiten
from watchkeeper.stats.evidence.break_rule import break_threshold
from watchkeeper.stats.evidence.payload import pack, unpack
from watchkeeper.stats.evidence.rank_e_process import log_evidence
from watchkeeper.stats.evidence.window_scores import WindowScorer, jitter

Floats = NDArray[np.float64]

EFFECT_WINDOWS = 4
FEWEST_WINDOWS = 20
_COLUMNS_TOGETHER = 10
"""Columns that count at most as independent when they show together whether windows hang together."""
_TOGETHER = 0.3
"""Mean lag-1 correlation of their locations above which nothing is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRules:
    """What the user may set. The defaults are the ones that the null replays of the test suite hold."""

    columns: float = 1
    """How many columns of the deployment share the budget."""
    budget: float = 0.02
    """Chance that PERSISTENT ever fires falsely in the deployment."""
    break_budget: float = 0.005
    """Chance that BREAK does."""
    independent_rows: bool = False
    """Whether the user declares that rows are independent: then BREAK needs one window, else three in a row."""
    tolerance: float = 0.02
    """Smallest effect that matters, in mean rank or share."""
    break_margin: float = 0.1
    memory: int = 1000
    """Production windows kept before the older half is dropped."""
    fewest_rows: int = 20
    """A window with fewer rows is not folded."""

    def __post_init__(self) -> None:
        if not (0 < self.budget < 1 and 0 < self.break_budget < 1):
            raise BadInput(
                "A budget for false alarms lies between 0 and 1.", "The defaults are 0.02 and 0.005."
            )
        if self.columns < 1 or self.memory < 2 * EFFECT_WINDOWS or self.tolerance < 0:
            raise BadInput("Evidence needs at least one column, a memory of 8 windows, and a tolerance >= 0.")

    @property
    def break_windows(self) -> int:
        """How many windows in a row BREAK needs."""
        return 1 if self.independent_rows else 3

    @property
    def log_threshold(self) -> float:
        """ln of what the weighted evidence of one score and tail must reach."""
        return log(self.columns / self.budget)


def revision_share(revision: int) -> float:
    """Return the share of a budget that revision 1, 2, ... of the past may use: together they use all of it.

    >>> [revision_share(r) for r in (1, 3)]
    [0.5, 0.08333333333333333]
    """
    if revision < 1:
        raise BadInput(f"Revisions are counted from 1, not from {revision}.")
    return 1 / (revision * (revision + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a column's evidence says after its last window."""

    column: str
    window: int
    """How many production windows were folded."""
    score: str
    """The score with the most evidence, or the one that fires."""
    tail: str
    """``"high"`` or ``"low"``."""
    since: int
    """The production window (1, 2, ...) in which the change most likely began; 0 before the first."""
    log_evidence: float
    """ln of the weighted evidence (natural units), to be read against ``log_threshold``."""
    log_threshold: float
    effect: float | None
    """Mean of the last four windows less the baseline's, in the score's unit; None before the first."""
    tolerated: float
    """How large an effect the baseline's own variation, and sampling, explain."""
    persistent: bool
    broken: bool
    distance: float
    """The last window's distance from the baseline (BREAK's)."""
    break_threshold: float
    correlation: Interval
    """Lag-1 correlation between the baseline's windows, in this score."""
    guarantee: str
    assumption: str

    @property
    def fires(self) -> bool:
        """Whether either rule says that the column has changed."""
        return self.persistent or self.broken

    @property
    def share_of_threshold(self) -> float:
        """ln evidence over ln threshold: 1 and more is enough evidence; never below 0."""
        return max(0.0, self.log_evidence / self.log_threshold) if self.log_threshold > 0 else inf


def score_weights(scorer: WindowScorer) -> Floats:
    """Return the shares v ``(J, 2)`` of the budget for each score's high and low tail; they sum to 1.

    >>> scorer, _, _ = WindowScorer.of(np.ones((20, 20)))
    >>> score_weights(scorer).tolist()
    [[0.2, 0.2], [0.1, 0.1], [0.1, 0.0], [0.3, 0.0]]
    """
    if scorer.ordered:
        return np.array([[0.2, 0.2], [0.1, 0.1], [0.1, 0.0], [0.3, 0.0]])
    shares = scorer.bins + 1
    return np.concatenate([np.full((shares, 2), 0.25 / shares), [[0.5, 0.0]]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnEvidence:
    """The state of one column: fold windows in order with `update`, ask with `reading`.

    >>> rng = np.random.default_rng(1)
    >>> rows = rng.multinomial(500, np.full(20, 0.05), size=20)
    >>> state = ColumnEvidence.of(rows, column="age")
    >>> shifted = np.linspace(0.8, 1.2, 20) / 20
    >>> for _ in range(8):
    ...     state = state.update(rng.multinomial(500, shifted))
    >>> reading = state.reading()
    >>> reading.persistent, reading.score, reading.tail, reading.since
    (True, 'location', 'high', 1)
    """

    column: str
    rules: EvidenceRules
    scorer: WindowScorer
    scores: Floats
    """``(J, N)``, oldest first, with jitter."""
    strata: NDArray[np.int64] | None
    reference: int
    """Windows at the front that are not suspected."""
    first: int
    """Number of the first suspect window."""
    folded: int
    skipped: int
    rho: Floats
    """Prewhitening ``(J,)``: all 0 unless the baseline's windows are significantly correlated."""
    correlation: Floats
    """Lag-1 correlation of the baseline's windows ``(J,)``."""
    recent: Floats
    """Effects of the last windows, less the baseline's mean of their season ``(at most 4, J)``."""
    recent_rows: Floats
    distance: float
    streak: int
    """How many windows in a row, up to the last, were past BREAK's threshold."""
    baseline_windows: int

    @classmethod
    def of(
        cls,
        counts: NDArray[Any],
        missing: NDArray[Any] | None = None,
        *,
        column: str = "",
        ordered: bool = True,
        strata: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        rules: EvidenceRules | None = None,
    ) -> ColumnEvidence:
        """Begin from the counts ``(B, K)`` of a baseline's windows in order of time.

        Parameters
        ----------
        counts : rows by bin; about 20 bins that hold equal shares of the baseline (see `group_bins`), or the
            19 most frequent categories and the rest.
        missing : missing rows of each window ``(B,)``.
        ordered : False for categories.
        strata : the season of each window ``(B,)``, 0, 1, ... (see `season_codes`).

        Raises
        ------
        BadInput
            fewer than 20 windows, or a window without rows.
        """
        rules = rules or EvidenceRules()
        counts = np.asarray(counts)
        if counts.ndim != 2 or len(counts) < FEWEST_WINDOWS:
            raise BadInput(
                f"Evidence over time needs at least {FEWEST_WINDOWS} baseline windows, not "
                f"{len(counts) if counts.ndim == 2 else 0}.",
                "Cut the baseline into shorter windows, or give a longer one.",
            )
        groups = None if strata is None else np.asarray(strata, dtype=np.int64)
        scorer, scores, _ = WindowScorer.of(counts, missing, ordered=ordered, strata=groups)
        scores = scores + jitter(column, np.arange(-len(counts), 0), scores.shape[-1])
        r, rho = correlations(scores.T, groups)
        return cls(
            column=column,
            rules=rules,
            scorer=scorer,
            scores=np.ascontiguousarray(scores.T),
            strata=groups,
            reference=len(counts),
            first=1,
            folded=0,
            skipped=0,
            rho=rho,
            correlation=r,
            recent=np.zeros((0, scores.shape[-1])),
            recent_rows=np.zeros(0),
            distance=0.0,
            streak=0,
            baseline_windows=len(counts),
        )

    def update(self, counts: NDArray[Any], missing: float = 0, *, stratum: int = 0) -> ColumnEvidence:
        """Return the state after one more window, with *counts* ``(K,)`` and *missing* rows.

        A window with fewer than ``rules.fewest_rows`` rows is counted as skipped and not folded.

        Raises
        ------
        BadInput
            the number of bins, or the season, is not one of the baseline's.
        """
        counts = np.asarray(counts, dtype=float)
        if counts.shape != (self.scorer.bins,):
            raise BadInput(f"This window has {counts.shape} bins, and the baseline {self.scorer.bins}.")
        if self.strata is not None and not (
            0 <= stratum < self.scorer.score_mean.shape[0] and np.isfinite(self.scorer.score_mean[stratum, 0])
        ):
            raise BadInput(
                f"The baseline of {self.column!r} has no window in season {stratum}.",
                "Give a baseline that covers every season.",
            )
        rows = float(counts.sum()) + missing
        if rows < self.rules.fewest_rows:
            return replace(self, skipped=self.skipped + 1)
        kept = self._with_room()
        season = np.array([stratum if self.strata is not None else 0])
        scores, effects = self.scorer.score(counts[None, :], np.array([missing]), strata=season)
        scores = scores + jitter(self.column, np.array([self.folded]), scores.shape[-1])
        distance = float(self.scorer.distance(np.append(counts, missing), self.scorer.totals))
        return replace(
            kept,
            scores=np.concatenate([kept.scores, scores.T], axis=1),
            strata=None if kept.strata is None else np.append(kept.strata, stratum),
            folded=self.folded + 1,
            recent=np.concatenate([self.recent, effects - self.scorer.effect_mean[season[0]]])[
                -EFFECT_WINDOWS:
            ],
            recent_rows=np.append(self.recent_rows, rows)[-EFFECT_WINDOWS:],
            distance=distance,
            streak=self.streak + 1 if distance > self._break_threshold(self.folded + 1, rows) else 0,
        )

    def update_many(
        self,
        counts: NDArray[Any],
        missing: NDArray[Any] | None = None,
        *,
        strata: Sequence[int] | None = None,
    ) -> ColumnEvidence:
        """Fold the windows ``(T, K)`` in order."""
        state = self
        for t, window in enumerate(np.asarray(counts)):
            gone = 0.0 if missing is None else float(missing[t])
            state = state.update(window, gone, stratum=0 if strata is None else strata[t])
        return state

    def rebased(
        self,
        counts: NDArray[Any],
        missing: NDArray[Any] | None = None,
        *,
        strata: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    ) -> ColumnEvidence:
        """Go on against another baseline (a rolling one, or after a change was accepted), on the same budget.

        Windows are numbered on, so that the weights of all epochs together stay below one: the guarantee of
        PERSISTENT spans them. The new baseline must be chosen by the calendar or by a person, not because an
        alarm looked near.
        """
        fresh = ColumnEvidence.of(
            counts,
            missing,
            column=self.column,
            ordered=self.scorer.ordered,
            strata=strata,
            rules=self.rules,
        )
        return replace(fresh, first=self.folded + 1, folded=self.folded, skipped=self.skipped)

    def reading(self) -> Reading:
        """What the evidence says now."""
        return read_all([self])[0]

    def to_payload(self) -> dict[str, Any]:
        """Plain values for a ledger (JSON or msgpack)."""
        return {
            "version": 1,
            "column": self.column,
            "rules": asdict(self.rules),
            "scorer": self.scorer.to_payload(),
            "scores": pack(self.scores),
            "strata": None if self.strata is None else self.strata.tolist(),
            "rho": pack(self.rho),
            "correlation": pack(self.correlation),
            "recent": pack(self.recent),
            "recent_rows": pack(self.recent_rows),
            "distance": self.distance,
            **{name: getattr(self, name) for name in _WHOLE},
        }

    @classmethod
    def of_payload(cls, payload: dict[str, Any]) -> ColumnEvidence:
        """Read what `to_payload` wrote."""
        strata = payload["strata"]
        return cls(
            column=payload["column"],
            rules=EvidenceRules(**payload["rules"]),
            scorer=WindowScorer.of_payload(payload["scorer"]),
            scores=unpack(payload["scores"]),
            strata=None if strata is None else np.asarray(strata, dtype=np.int64),
            rho=unpack(payload["rho"]),
            correlation=unpack(payload["correlation"]),
            recent=unpack(payload["recent"]),
            recent_rows=unpack(payload["recent_rows"]),
            distance=float(payload["distance"]),
            **{name: int(payload[name]) for name in _WHOLE},
        )

    # ---------------------------------------------------------------------------------------- inside

    def _with_room(self) -> ColumnEvidence:
        production = self.scores.shape[1] - self.baseline_windows
        if production < self.rules.memory:
            return self
        drop = production - self.rules.memory // 2
        keep = np.r_[0 : self.baseline_windows, self.baseline_windows + drop : self.scores.shape[1]]
        return replace(
            self,
            scores=self.scores[:, keep],
            strata=None if self.strata is None else self.strata[keep],
            reference=len(keep),
            first=self.folded + 1,
        )

    def _ranked(self) -> Floats:
        """The series that ranks are taken of: scores, or prewhitened scores where windows are correlated."""
        if not self.rho.any():
            return self.scores
        seasons = np.zeros(self.scores.shape[1], int) if self.strata is None else self.strata
        left = self.scores - self.scorer.score_mean[seasons].T
        return np.where(self.rho[:, None] > 0, prewhiten(left, self.rho), self.scores)

    def _break_threshold(self, window: int, rows: float) -> float:
        rules, scorer = self.rules, self.scorer
        return float(
            break_threshold(
                window=window,
                rows=rows,
                baseline_rows=scorer.baseline_rows,
                widest_gap=scorer.widest_gap,
                columns=rules.columns,
                budget=rules.break_budget,
                margin=rules.break_margin,
                cells=1 if scorer.ordered else scorer.bins + 1,
            )
        )

    def _tolerated(self) -> Floats:
        return tolerated(self.scorer, self.recent_rows.sum(), self.rules)

    def _reading(self, log_m: Floats, length: NDArray[np.int64], together: tuple[float, float]) -> Reading:
        """Judge ln M ``(J, 2)`` with its lengths ``(J, 2)``; *together* the correlation that all columns
        show, and its upper end."""
        rules, scorer = self.rules, self.scorer
        with np.errstate(divide="ignore"):
            weighted = log_m + np.log(score_weights(scorer))
        effects = self.recent.mean(0) if len(self.recent) else np.zeros(len(scorer.names))
        limits = self._tolerated()
        fires = (weighted >= rules.log_threshold) & gate(effects, limits)
        pool = np.where(fires, weighted, -np.inf) if fires.any() else weighted
        j, side = np.unravel_index(int(pool.argmax()), pool.shape)
        # What is told is an effect that matters: omnibus evidence may rest on that of another score.
        told, tail = int(j), int(side)
        if fires.any() and abs(effects[j]) <= limits[j]:
            told = int(np.argmax(np.abs(effects) / limits))
            tail = int(effects[told] < 0)
        last_rows = float(self.recent_rows[-1]) if len(self.recent_rows) else 1.0
        promised, assumption = self._assumption(int(length[j, side]), together)
        return Reading(
            column=self.column,
            window=self.folded,
            score=scorer.names[told],
            tail=("high", "low")[tail],
            since=self.folded - int(length[j, side]) + 1 if length[j, side] else 0,
            log_evidence=float(weighted[j, side]),
            log_threshold=rules.log_threshold,
            effect=float(effects[told]) if len(self.recent) else None,
            tolerated=float(limits[told]),
            persistent=bool(fires.any()),
            broken=self.streak >= rules.break_windows,
            distance=self.distance,
            break_threshold=self._break_threshold(max(self.folded, 1), last_rows),
            correlation=lag_one_interval(float(self.correlation[j]), self.baseline_windows),
            guarantee=self._guarantee() if promised else NO_GUARANTEE,
            assumption=assumption,
        )

    def _guarantee(self) -> str:
        total = self.rules.budget + self.rules.break_budget
        return (
            f"at most a 1 in {1 / total:.3g} chance of ever firing falsely in this deployment "
            f"({self.rules.columns:g} columns)"
        )

    def _assumption(self, length: int, together: tuple[float, float]) -> tuple[bool, str]:
        """Whether a bound can be stated, and what that rests on, or why not."""
        within = "" if self.strata is None else " of the same season"
        run = "one window" if self.rules.independent_rows else "three windows in a row"
        breaks = f"; a break ({run}) also assumes independent rows"
        # Around the means before and after the change that is suspected, which is no correlation by itself.
        n = self.scores.shape[1]
        parts = (np.arange(n) >= n - length) + 2 * (np.zeros(n, int) if self.strata is None else self.strata)
        still = lag_one_band(lag_one(self._ranked(), parts), n, level=1 - 0.05 / len(self.scores))[0]
        worst = int(self.correlation.argmax())
        if still.max() > 0 or self.rho.any() or together[0] > _TOGETHER:
            shown = max(float(self.correlation[worst]), together[0])
            return False, (
                f"heuristic: windows are dependent (lag-1 correlation {shown:.2f} in {self.scorer.names[worst]}), "
                "which no correction has been confirmed for; longer windows, or seasons, would help" + breaks
            )
        if together[1] > 0.5:
            return False, (
                f"heuristic: {self.baseline_windows} windows cannot show whether neighbouring windows hang together "
                f"(their lag-1 correlation may be up to {together[1]:.2f}); a longer baseline would help"
                + breaks
            )
        return True, f"if windows{within} are exchangeable with the baseline's" + breaks


_WHOLE = ("reference", "first", "folded", "skipped", "streak", "baseline_windows")


def kept_before(t: int, memory: int) -> int:
    """How many production windows lie before the first suspect when window *t* is folded (0: none).

    >>> [kept_before(t, memory=8) for t in (8, 9, 12, 13, 17)]
    [0, 8, 8, 12, 16]
    """
    half = memory - memory // 2
    return 0 if t <= memory else memory + (t - 1 - memory) // half * half


def correlations(scores: Floats, strata: NDArray[np.integer[Any]] | None) -> tuple[Floats, Floats]:
    """Return lag-1 correlations ``(..., J)`` of *scores* ``(..., J, B)``, and what to prewhiten by.

    That is the upper end of each score's 95% interval if any score of the column is significantly correlated
    (5%, shared by the J scores), and 0 elsewhere. All of them, since what days do to location they also do to
    omnibus, where it is harder to see: with a correlation of .6 between days, nearly all false alarms came
    from there.
    """
    many, n = scores.shape[-2:]
    r = lag_one(scores, strata)
    significant = (lag_one_band(r, n, level=1 - 0.05 / many)[0] > 0).any(-1, keepdims=True)
    return r, np.where(significant, np.clip(lag_one_band(r, n)[1], 0.0, 0.95), 0.0)


def tolerated(scorer: WindowScorer, rows: Any, rules: EvidenceRules) -> Floats:
    """Return how large an effect ``(..., J)`` the baseline's variation and sampling explain.

    *rows* ``(...)`` are those of the windows that the effect is the mean of. The baseline is an estimate too: its own
    sampling error, and that of its mean over B windows, are part of the difference, however large new windows are.
    """
    rows = np.asarray(rows, dtype=float)
    spread = scorer.sampling_noise(rows)

    def over_rows(values: Floats) -> Floats:
        return values.reshape(*values.shape[:-1], *([1] * (spread.ndim - values.ndim)), values.shape[-1])

    noise = 3 * spread
    # phi-square of four windows is a mean of four noisy squares, not the phi-square of their sum
    noise[..., -1] *= np.sqrt(EFFECT_WINDOWS)
    floor = np.full(scorer.effect_excess.shape[-1], rules.tolerance)
    # .02 in mean rank is .07 standard deviations of a normal column, and phi-square the square of that
    floor[-1] = 12 * rules.tolerance**2
    excess = over_rows(scorer.effect_excess)
    of_baseline = over_rows(scorer.sampling_noise(scorer.baseline_rows))
    windows = over_rows(np.maximum(scorer.baseline_rows / scorer.usual_rows, 2.0)[..., None])
    growth = rows / EFFECT_WINDOWS / over_rows(scorer.usual_rows[..., None])[..., 0]
    times = 3 + np.clip(np.log(np.maximum(growth, 1.0)) / np.log(4), 0, 1)[..., None]
    both = times * np.sqrt(spread**2 + of_baseline**2 + excess**2 / windows)
    # the baseline's error is a bias of phi-square: its cells over its rows, give or take
    cells = over_rows(np.maximum((scorer.totals > 0).sum(-1) - 1, 1)[..., None])[..., 0]
    bias = (cells + times[..., 0] * np.sqrt(2 * cells)) / over_rows(scorer.baseline_rows[..., None])[..., 0]
    out = np.maximum(np.maximum(floor, 3 * excess), noise)
    both[..., -1] = out[..., -1] + bias
    return np.maximum(out, both)


def gate(effects: Floats, limits: Floats) -> NDArray[np.bool_]:
    """Return whether an effect matters ``(..., J, 2)`` for the high and the low tail.

    The last score, omnibus, passes with any of them.
    """
    high, low = effects > limits, effects < -limits
    high[..., -1] |= (high | low).any(-1)
    low[..., -1] = False
    return np.stack([high, low], axis=-1)


def read_all(states: Sequence[ColumnEvidence]) -> list[Reading]:
    """Return the readings of many columns; those of one shape are computed together."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, state in enumerate(states):
        seasons = None if state.strata is None else state.strata.tobytes()
        shape = (state.scores.shape[1], state.reference, state.first, seasons)
        alike.setdefault(shape, []).append(i)
    out: list[Reading | None] = [None] * len(states)
    # What days do to the location, pooled: one column alone shows little in 20 windows.
    shown = float(np.mean([s.correlation[0] for s in states])) if states else 0.0
    windows = min((s.baseline_windows for s in states), default=1)
    counted = windows * min(len(states), _COLUMNS_TOGETHER)
    together = shown, shown + 1.96 * (1 + 3 / windows) / max(counted, 1) ** 0.5
    for members in alike.values():
        one = states[members[0]]
        stacked = np.concatenate([states[i]._ranked() for i in members])
        log_m, length = log_evidence(stacked, reference=one.reference, first=one.first, strata=one.strata)
        start = 0
        for i in members:
            stop = start + len(states[i].scores)
            out[i] = states[i]._reading(log_m[start:stop], length[start:stop], together)
            start = stop
    return [reading for reading in out if reading is not None]
