"""Broken now: one window that plainly differs from what the baseline's own windows do. See `stats.evidence.broken_window`.

Whether it lasts is another question (`effect_and_evidence`). Columns are judged by their counts, measures by their values
and standard errors, each beside the baseline's own windows; a segment beside the same segment's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from watchkeeper.decisions.explaining.columns import explain_column
from watchkeeper.decisions.explaining.explanation import Cause, Explanation
from watchkeeper.decisions.rules.condition import Context
from watchkeeper.decisions.rules.series import Series, number, verdict_of
from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.domain.measurement import Direction, Family
from watchkeeper.domain.rule import Evaluation, Reads, Rule, Severity
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput
from watchkeeper.stats.evidence.broken_window import (
    FEWEST_WINDOWS,
    Contrast,
    Verdicts,
    distribution,
    heavy_tails,
    judged,
    lag_one_of,
    location,
    measured,
    promise,
    rate,
    share,
)
from watchkeeper.stats.states.profile import ColumnProfile

Floats = NDArray[np.float64]

SCORED = tuple[float, float, float]
"""A window's value, its standard error (0: unknown), and its rows."""

RATES = ("accuracy", "error_rate")
"""Shares of rows: judged by their counts."""
RELATIVE = (
    "mae",
    "rmse",
    "row_count",
    "latency_mean",
    "latency_median",
    "latency_p95",
    "latency_p99",
    "median_error",
)
"""Judged on the scale of logarithms: what matters is a factor."""
_MATTERS = {"row_count": 0.7, "log_loss": 0.02, "brier": 0.01, "f1_macro": 0.03}
_LASTS = " One window so far; whether it lasts is not known."
_SURE = (
    Cause.TYPE,
    Cause.CONSTANT,
    Cause.MISSING,
    Cause.SCALE,
    Cause.SIGN,
    Cause.SWAPPED,
    Cause.RENAMED,
    Cause.FILLED,
)
"""Causes that leave no doubt of harm where half of the rows have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenNow:
    """Fails in the first window that plainly differs from what the baseline's own windows do."""

    kind: ClassVar[str] = "broken"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "series"
    may_page: ClassVar[bool] = True
    guarantee: ClassVar[str] = "on average so many windows a year are called broken that are not"

    matters: float = 0.0
    """Smallest difference that matters, in the measure's unit (a factor less 1 for errors, latencies and rows); 0: as the
    measure has it."""
    a_year: float = 1.0
    """Windows a year that may be called broken without being so, on average, in the whole deployment."""
    min_rows: float = 20

    def __post_init__(self) -> None:
        if self.matters < 0:
            raise BadInput("`matters` must not be negative.")
        if not 0 < self.a_year <= 365:
            raise BadInput("`a_year` lies above 0 and is at most 365 windows.")

    def evaluate(self, context: Context) -> Evaluation:
        """Say that it takes the baseline's own windows; `columns_broken` and `series_broken` judge with them."""
        sentence = "Judging one window takes the baseline's own windows, which are not here."
        return context.judged.evaluation(context.rule, Verdict.INCONCLUSIVE, sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """One test's chance to be wrong: a share of the false windows of a year."""

    a_year: float
    """False windows a year in the whole deployment."""
    tests: float
    """Tests of one kind (columns, measures, segments) in one window."""
    windows: float
    """Windows a year."""
    part: float
    """What this kind may use of ``a_year``: columns .5, measures .25, segments .25."""

    @property
    def each(self) -> float:
        """Of one test."""
        return min(self.a_year * self.part / max(self.tests * self.windows, 1.0), 0.5)


@dataclass(frozen=True, eq=False)
class OwnColumn:
    """One column in the baseline's own windows, counted."""

    binning: Binning
    whole: ColumnProfile
    windows: tuple[ColumnProfile, ...]

    @cached_property
    def counts(self) -> tuple[Floats, Floats]:
        """Rows by bin ``(B, K)`` and missing ``(B,)``."""
        counts, missing = self.binning.many(self.windows)
        return counts.astype(float), missing.astype(float)

    @property
    def tests(self) -> int:
        """How many contrasts are looked at."""
        return 6 if self.binning.ordered else self.counts[0].shape[-1] + 4

    @cached_property
    def first(self) -> Contrast:
        """The baseline's own contrast, for what its windows show of dependence and tails."""
        counts, _ = self.counts
        if self.binning.ordered:
            return location(counts[:1], counts)
        rows = counts.sum(-1)
        return share(counts[:1, 0], rows[:1], counts[:, 0], rows)[0]

    def contrasts(self, window: ColumnProfile) -> dict[str, tuple[Contrast, ...]]:
        """Every contrast of *window*, by name."""
        counts, missing = self.counts
        y, gone = self.binning.counts(window)
        now, lost = y[None, :].astype(float), np.array([float(gone)])
        rows, all_rows = now.sum(-1), counts.sum(-1)
        out: dict[str, tuple[Contrast, ...]] = {}
        if self.binning.ordered:
            if rows[0] > 0:
                out["location"] = (location(now, counts),)
                out["distribution"] = (distribution(now, counts),)
                out["out of range"] = self._beyond(window, rows, all_rows)
        else:
            for k in range(counts.shape[-1]):
                out[f"share:{k}"] = share(now[:, k], rows, counts[:, k], all_rows)
            out["new"] = self._new(window, rows, all_rows)
        out["missing"] = share(lost, rows + lost, missing, all_rows + missing)
        misfits = np.array([w.misfits for w in self.windows], dtype=float)
        out["another type"] = share(
            np.array([float(window.misfits)]), rows + lost, misfits, all_rows + missing
        )
        return out

    def _beyond(self, window: ColumnProfile, rows: Floats, all_rows: Floats) -> tuple[Contrast, ...]:
        ends = [(c.moments.min, c.moments.max) for c in self.windows if c.moments is not None and c.moments.n]
        if len(ends) != len(self.windows) or window.moments is None or window.histogram is None:
            return ()
        lows, highs = np.array([e[0] for e in ends]), np.array([e[1] for e in ends])
        # Of the baseline's windows the one that holds an extreme has at least a row beyond the others.
        usual = (lows == lows.min()).astype(float) + (highs == highs.max())
        points = np.array([lows.min(), np.nextafter(highs.max(), np.inf)])
        below = window.histogram.share_below(points)
        hits = 0.0
        if window.moments.min < lows.min():
            hits += max(float(below[0]) * rows[0], 1.0)
        if window.moments.max > highs.max():
            hits += max(float(1 - below[1]) * rows[0], 1.0)
        return share(np.array([min(hits, rows[0])]), rows, usual, all_rows)

    def _new(self, window: ColumnProfile, rows: Floats, all_rows: Floats) -> tuple[Contrast, ...]:
        f, states = window.frequencies, [c.frequencies for c in self.windows]
        if f is None or self.whole.frequencies is None or any(s is None for s in states):
            return ()
        seen: dict[str, int] = {}
        for s in states:
            for name in s.counts if s is not None else ():
                seen[name] = seen.get(name, 0) + 1
        usual = [sum(n for name, n in s.counts.items() if seen[name] == 1) for s in states if s is not None]
        known: Mapping[str, float] = self.whole.frequencies.counts
        hits = sum(n for name, n in f.counts.items() if name not in known)
        return share(np.array([float(hits)]), rows, np.array(usual, float), all_rows)

    def became_constant(self, window: ColumnProfile, chance: float) -> bool:
        """Whether every row has one value, and no window of the baseline was so."""
        if not window.is_constant or any(w.is_constant for w in self.windows):
            return False
        f, h = self.whole.frequencies, self.whole.histogram
        most = 1.0
        if f is not None and f.n:
            most = max(f.counts.values(), default=0) / f.n
        elif h is not None and h.n:
            most = float(h.shares.max())
        return bool(most ** max(window.rows - window.missing - 1, 0) < chance)


@dataclass(frozen=True, eq=False)
class OwnColumns:
    """The columns in the baseline's own windows, and what these show of dependence and tails."""

    columns: Mapping[str, OwnColumn]

    @cached_property
    def windows(self) -> int:
        """How many windows the baseline has."""
        return min((len(c.windows) for c in self.columns.values()), default=0)

    @cached_property
    def tests(self) -> int:
        """Contrasts of one window."""
        return sum(c.tests for c in self.columns.values())

    @cached_property
    def correlation(self) -> float:
        """Of neighbouring windows, over all columns."""
        return lag_one_of(*self._first) if self._first[0].size else 0.0

    @cached_property
    def heavy(self) -> bool:
        """Whether days have heavy tails."""
        return heavy_tails(*self._first) if self._first[0].size else False

    @cached_property
    def _first(self) -> tuple[Floats, Floats]:
        first = [c.first for c in self.columns.values()]
        if not first:
            return np.zeros((0, 0)), np.zeros((0, 0))
        return np.stack([c.usual for c in first]), np.stack([c.usual_noise for c in first])


def columns_broken(
    rule: Rule,
    series: Sequence[Series],
    own: OwnColumns,
    columns: Mapping[str, ColumnProfile],
    *,
    windows_a_year: float,
) -> list[Evaluation]:
    """Judge the columns that *series* name, in one window; each series has that window as its last point."""
    condition = cast(BrokenNow, rule.condition)
    out = []
    for one in series:
        column, window = own.columns[one.subject], columns[one.subject]
        if window.rows < condition.min_rows:
            sentence = (
                f"{one.subject} has {window.rows:,.0f} rows, and this rule needs {condition.min_rows:,.0f}."
            )
            out.append(one.evaluation(rule, Verdict.INCONCLUSIVE, sentence, rows=window.rows))
            continue
        chance = Chance(a_year=condition.a_year, tests=own.tests, windows=windows_a_year, part=0.5).each
        found = {
            name: verdict
            for name, contrasts in column.contrasts(window).items()
            for contrast in contrasts
            if (
                verdict := judged(contrast, chance=chance, correlation=own.correlation, heavy=own.heavy)
            ).broken.any()
        }
        constant = column.became_constant(window, chance)
        usual_rows = float(np.median([w.rows for w in column.windows]))
        guarantee, assumption = promise(
            a_year=condition.a_year,
            correlation=own.correlation,
            heavy=own.heavy,
            growth=window.rows / max(usual_rows, 1.0),
        )
        if constant and not found:
            guarantee, assumption = "exact: counted, and no window of the baseline was so", ""
        if not found and not constant:
            sentence = f"{one.subject} is within what the baseline's windows did."
            out.append(one.evaluation(rule, Verdict.PASS, sentence, rows=window.rows, guarantee=guarantee))
            continue
        explanations = explain_column(column.whole, window, usual=column.windows, known=True)
        best = explanations[0] if explanations else _unexplained(one.subject)
        sure = best.cause in _SURE and best.share >= 0.5
        out.append(
            one.evaluation(
                rule,
                Verdict.FAIL,
                best.sentence + ("" if one.firing else _LASTS),
                effect=best.share,
                rows=window.rows,
                since=one.last.window.start,
                guarantee=guarantee,
                assumption=assumption,
                loudest=None if sure else Severity.WARNING,
                details={
                    "explanation": best.to_dict(),
                    "advice": best.advice,
                    "statistic": _statistics(found, column.binning, constant),
                },
            )
        )
    return out


def _statistics(found: Mapping[str, Verdicts], binning: Binning, constant: bool) -> list[str]:
    """What was beyond its limit, for whoever asks how sure this is."""
    out = ["one value in every row"] if constant else []
    for name, verdict in found.items():
        if name.startswith("share:"):
            k = int(name.removeprefix("share:"))
            name = (
                f"share of {binning.categories[k]!r}" if k < len(binning.categories) else "share of the rest"
            )
        out.append(
            f"{name}: {verdict.sampling.max():.0f} standard errors, beyond what the baseline's windows did"
        )
    return out


def _unexplained(column: str) -> Explanation:
    return Explanation(
        cause=Cause.SHAPE,
        column=column,
        sentence=f"{column} differs from the baseline more than any of the baseline's windows.",
        advice=f"Compare the column's picture with the baseline's:  watchkeeper explain {column}",
        share=0.0,
    )


def series_broken(
    rule: Rule, series: Series, own: Sequence[SCORED], *, tests: float, windows_a_year: float
) -> Evaluation:
    """Judge the last window of one measured *series* by the values of the baseline's *own* windows."""
    condition = cast(BrokenNow, rule.condition)
    undecided = verdict_of(series, rule, min_rows=condition.min_rows)
    if undecided is not None:
        return undecided
    if len(own) < FEWEST_WINDOWS:
        sentence = f"{series.title} has {len(own)} baseline windows to compare with, and {FEWEST_WINDOWS} are needed."
        return series.evaluation(rule, Verdict.INCONCLUSIVE, sentence)
    point = series.last
    assert point.value is not None
    worse = {Direction.HIGHER_IS_WORSE: 1, Direction.LOWER_IS_WORSE: -1}.get(series.direction, 0)
    contrast = _contrast(series, own, condition.matters)
    correlation = lag_one_of(contrast.usual[None], contrast.usual_noise[None])
    # A single series shows too little of its tails and, in few windows, of its dependence.
    chance = Chance(a_year=condition.a_year, tests=tests, windows=windows_a_year, part=0.25).each
    verdict = judged(contrast, chance=chance, correlation=correlation, worse=worse)
    values = np.array([v for v, _, _ in own])
    usual = float(np.median(values))
    growth = point.rows / max(float(np.median([n for _, _, n in own])), 1.0)
    guarantee, assumption = promise(
        a_year=condition.a_year, correlation=correlation, heavy=False, growth=growth
    )
    if not verdict.broken[0]:
        return series.evaluation(
            rule,
            Verdict.PASS,
            f"{series.title} is {number(point.value)}, within what the baseline's windows did.",
            baseline=usual,
            guarantee=guarantee,
        )
    return series.evaluation(
        rule,
        Verdict.FAIL,
        _sentence(series, usual, values) + ("" if series.firing else _LASTS),
        baseline=usual,
        effect=point.value - usual,
        since=point.window.start,
        guarantee=guarantee,
        assumption=assumption,
        details={
            "statistic": [
                f"{verdict.sampling[0]:.0f} standard errors, beyond what the baseline's {len(own)} windows did "
                f"({number(float(values.min()))} to {number(float(values.max()))})"
            ]
        },
    )


def _contrast(series: Series, own: Sequence[SCORED], matters: float) -> Contrast:
    point = series.last
    assert point.value is not None
    values, errors, rows = (np.array(column, dtype=float) for column in zip(*own, strict=True))
    if series.measure in RATES:
        found = rate(np.array([point.value * point.rows]), np.array([float(point.rows)]), values * rows, rows)
        return found
    relative = series.measure in RELATIVE
    positive = point.value > 0 and values.min() > 0
    if matters == 0:
        matters = _MATTERS.get(series.measure, 0.1 if relative else 0.02)
    elif relative:
        matters = float(np.log1p(matters))
    error = point.standard_error or 0.0
    if series.measure == "row_count":
        error, errors = float(np.sqrt(point.value)), np.sqrt(values)
    return measured(
        np.array([point.value]),
        np.array([error]),
        values,
        errors,
        matters=matters,
        logarithm=relative and positive,
    )


def _sentence(series: Series, usual: float, values: Floats) -> str:
    point = series.last
    where = f" in {series.segment}" if series.segment else ""
    range_ = ""
    if point.low is not None and point.high is not None:
        range_ = f" ({number(point.low)} to {number(point.high)})"
    guesses = (
        series.measure == "roc_auc"
        and point.low is not None
        and point.low <= 0.5 <= (point.high or 0)
        and usual > 0.6
    )
    what = f"The model now guesses{where}: {series.title}" if guesses else f"{series.title}{where}"
    sentence = f"{what} {number(usual)} became {number(point.value)}{range_}"
    if series.described is not None and series.described.family is Family.PERFORMANCE:
        sentence += f" on {point.rows:,.0f} rows"
    return (
        sentence
        + f"; the baseline's windows had {number(float(values.min()))} to {number(float(values.max()))}."
    )


def own_columns(
    binnings: Mapping[str, Binning],
    whole: Mapping[str, ColumnProfile],
    windows: Sequence[Mapping[str, ColumnProfile]],
) -> OwnColumns:
    """Count the baseline's *windows* by column."""
    columns = {}
    for name, binning in binnings.items():
        own = tuple(w[name] for w in windows if name in w and w[name].rows > w[name].missing)
        if len(own) == len(windows) and len(own) >= FEWEST_WINDOWS:
            columns[name] = OwnColumn(binning, whole[name], own)
    return OwnColumns(columns)
