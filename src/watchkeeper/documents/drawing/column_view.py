"""One column of a report: two profiles of it, side by side, as a picture and in figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from watchkeeper.documents.drawing.picture import Picture
from watchkeeper.domain.schema import Kind
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile
from watchkeeper.stats.states.text import TextLengths
from watchkeeper.stats.states.vector import VectorState

BINS = 40
FEW_VALUES = 24
"""A numeric column with at most so many values is drawn value by value."""
FEW_IN_WORDS = 6
"""A numeric column with at most so many values is spoken of value by value."""
FEW_CATEGORIES = 12
TAIL = 0.005
"""Share of the rows at each end that a picture leaves out, so that one outlier does not flatten it."""


def missing_share(profile: ColumnProfile) -> float:
    """Share of rows without a value (null or NaN)."""
    return float(profile.missing / profile.rows) if profile.rows else 0.0


def picture_of(baseline: ColumnProfile, current: ColumnProfile) -> Picture | None:
    """What can be drawn of the two; None where there is nothing to draw."""
    before, after = baseline.distribution, current.distribution
    if isinstance(before, Histogram) and isinstance(after, Histogram):
        return _numbers(before, after, is_time=baseline.column.kind is Kind.DATETIME)
    if isinstance(before, Frequencies) and isinstance(after, Frequencies):
        return _categories(before, after)
    texts = baseline.states.get("text"), current.states.get("text")
    if isinstance(texts[0], TextLengths) and isinstance(texts[1], TextLengths):
        return _numbers(texts[0].lengths, texts[1].lengths, is_time=False)
    return None


def _numbers(before: Histogram, after: Histogram, *, is_time: bool) -> Picture | None:
    if not before.n and not after.n:
        return None
    if not is_time:
        values = _few_values(before, after)
        if values is not None:
            return _value_by_value(values, before, after)
    sides = [h for h in (before, after) if h.n]
    ends = np.array([h.quantile([TAIL, 1 - TAIL]) for h in sides])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not high > low:
        low, high = low - 0.5, high + 0.5
    borders = _borders(low, high, whole=not is_time and all(_is_whole(h) for h in sides))
    shares = []
    for h in (before, after):
        below = h.share_below(borders)
        inside = np.diff(below)
        if h.n:
            # What lies beyond the picture is drawn at its ends, so that nothing is hidden.
            inside[0] += below[0]
            inside[-1] += 1 - below[-1]
        shares.append(tuple(np.maximum(inside, 0.0).tolist()))
    return Picture(baseline=shares[0], current=shares[1], borders=tuple(borders.tolist()), is_time=is_time)


def _borders(low: float, high: float, *, whole: bool) -> np.ndarray:
    """About `BINS` intervals of equal width; of whole numbers each holds as many, or the picture is a comb."""
    if not whole or high - low < 1:
        return np.linspace(low, high, BINS + 1)
    first = math.floor(low)
    width = math.ceil((math.floor(high) + 1 - first) / BINS)
    return first + width * np.arange(math.ceil((math.floor(high) + 1 - first) / width) + 1.0)


def _is_whole(histogram: Histogram) -> bool:
    """Whether it holds whole numbers alone, as far as its bins tell."""
    cuts, atoms = histogram.edges.cuts, histogram.edges.atoms
    if cuts.dtype.kind in "iu":
        return True
    values = cuts[np.flatnonzero(atoms) - 1]
    loose = histogram.counts[1:-1][~atoms[1:-1]].sum()
    ends = [end for tail in (histogram.low, histogram.high) if tail.count for end in (tail.min, tail.max)]
    return bool(
        len(values) and loose <= 0.01 * histogram.n and (np.trunc([*values, *ends]) == [*values, *ends]).all()
    )


def _few_values(before: Histogram, after: Histogram) -> np.ndarray | None:
    """The values themselves, where both sides hold only few and each has its own bin."""
    seen: set[float] = set()
    for h in (before, after):
        if h.fullest_share > 0:
            return None
        filled = np.flatnonzero(h.counts)
        if len(filled) > FEW_VALUES:
            return None
        for i in filled.tolist():
            if i == 0:
                seen.add(float(h.low.min))
            elif i == len(h.counts) - 1:
                seen.add(float(h.high.min))
            else:
                seen.add(float(h.edges.cuts[i - 1]))
    return np.array(sorted(seen)) if 0 < len(seen) <= FEW_VALUES else None


def _value_by_value(values: np.ndarray, before: Histogram, after: Histogram) -> Picture:
    shares = []
    for h in (before, after):
        upto = np.append(h.share_below(values), 1.0 if h.n else 0.0)
        shares.append(tuple(np.diff(upto).tolist()))
    return Picture(baseline=shares[0], current=shares[1], labels=tuple(f"{v:.6g}" for v in values.tolist()))


def _categories(before: Frequencies, after: Frequencies) -> Picture | None:
    if not before.total and not after.total:
        return None
    totals = [max(side.total, 1) for side in (before, after)]
    names = dict.fromkeys(n for side in (before, after) for n, _ in side.top(4 * FEW_CATEGORIES))
    weight = {n: before.counts.get(n, 0) / totals[0] + after.counts.get(n, 0) / totals[1] for n in names}
    shown = sorted(names, key=lambda n: -weight[n])[: FEW_CATEGORIES - 2]
    labels = [*shown]
    columns = [[side.counts.get(n, 0) / total for n in shown] for side, total in zip((before, after), totals)]
    rest = [
        (side.n - sum(side.counts.get(n, 0) for n in shown)) / total
        for side, total in zip((before, after), totals)
    ]
    if any(r > 1e-12 for r in rest):
        labels.append("all others")
        for column, share in zip(columns, rest):
            column.append(max(0.0, share))
    if before.nulls or after.nulls:
        labels.append("missing")
        for column, side, total in zip(columns, (before, after), totals):
            column.append(side.nulls / total)
    return Picture(baseline=tuple(columns[0]), current=tuple(columns[1]), labels=tuple(labels))


def missing_in_words(baseline: ColumnProfile, current: ColumnProfile) -> str:
    """How the share of missing values moved; "" if hardly."""
    gone, come = missing_share(baseline), missing_share(current)
    if abs(come - gone) < 0.02:
        return ""
    return f"missing values went from {_percent(gone)} to {_percent(come)}"


def change_in_words(baseline: ColumnProfile, current: ColumnProfile) -> str:
    """What moved, in one clause: shares of categories, or the middle and the spread of numbers; "" if unclear."""
    before, after = baseline.distribution, current.distribution
    said = []
    if isinstance(before, Frequencies) and isinstance(after, Frequencies) and before.n and after.n:
        shares = {n: (before.share(n), after.share(n)) for n in (*before.counts, *after.counts)}
        said += _shares_in_words(shares, _name)
    elif isinstance(before, Histogram) and isinstance(after, Histogram) and before.n and after.n:
        said += _numbers_in_words(before, after, is_time=baseline.column.kind is Kind.DATETIME)
    return "; ".join(said)


def _shares_in_words(shares: dict[str, tuple[float, float]], spoken: Callable[[str], str] = str) -> list[str]:
    moved = sorted(shares.items(), key=lambda item: -abs(item[1][1] - item[1][0]))[:2]
    return [
        f"{spoken(name)} {'rose' if b > a else 'fell'} from {_percent(a)} to {_percent(b)}"
        for name, (a, b) in moved
        if abs(b - a) >= 0.01
    ]


def _numbers_in_words(before: Histogram, after: Histogram, *, is_time: bool) -> list[str]:
    values = None if is_time else _few_values(before, after)
    if values is not None and len(values) <= FEW_IN_WORDS:  # of flags and grades the shares say more
        drawn = _value_by_value(values, before, after)
        return _shares_in_words(dict(zip(drawn.labels, zip(drawn.baseline, drawn.current))))
    (low_a, mid_a, high_a), (low_b, mid_b, high_b) = (h.quantile([0.25, 0.5, 0.75]) for h in (before, after))
    if is_time:
        return [f"the median moved from {_moment(mid_a)} to {_moment(mid_b)}"] if mid_a != mid_b else []
    said = []
    width = max(high_a - low_a, 1e-12 * max(abs(mid_a), 1.0))
    if abs(mid_b - mid_a) >= 0.05 * width:
        said.append(
            f"the median {'rose' if mid_b > mid_a else 'fell'} from {_figure(mid_a)} to {_figure(mid_b)}"
        )
    ratio = (high_b - low_b) / width
    if high_a > low_a and not 0.87 < ratio < 1.15:
        said.append(
            f"the middle half {'widened' if ratio > 1 else 'narrowed'} from {_figure(high_a - low_a)} "
            f"to {_figure(high_b - low_b)}"
        )
    if not said:
        edges = before.quantile([0.05, 0.95])
        below = after.share_below(edges)
        for share, end in (
            (float(below[0]), f"below {_figure(edges[0])}"),
            (1 - float(below[1]), f"above {_figure(edges[1])}"),
        ):
            if share >= 0.08:
                said.append(f"{_percent(share)} of the values lie {end}, where 5% did")
    return said


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _figure(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1e4 else f"{x:,.4g}"


def _name(name: str) -> str:
    return f"{name!r}" if len(name) <= 40 else f"{name[:39]!r}…"


Row = tuple[str, Any, Any]


def summary_of(baseline: ColumnProfile, current: ColumnProfile) -> tuple[Row, ...]:
    """The column in figures: (name, baseline, current). A figure appears where both sides have it."""
    pair = (baseline, current)

    def row(name: str, figure: Callable[[ColumnProfile], Any]) -> Row:
        return (name, figure(pair[0]), figure(pair[1]))

    rows = [row("Rows", lambda p: _whole(p.rows))]
    if any(p.missing for p in pair):
        rows.append(row("Missing", lambda p: _whole(p.missing)))
    if any(p.misfits for p in pair):
        rows.append(row("Of another type", lambda p: _whole(p.misfits)))
    for figures in (_number_figures, _category_figures, _text_figures, _vector_figures):
        sides = [figures(p) for p in pair]
        rows += [(name, sides[0][name], sides[1][name]) for name in sides[0] if name in sides[1]]
    if baseline.distribution is None and any(p.distinct is not None for p in pair):
        rows.append(row("Distinct values", lambda p: _whole(p.distinct)))
    return tuple(rows)


def _number_figures(p: ColumnProfile) -> dict[str, Any]:
    h = p.histogram
    if h is None:
        return {}
    if p.column.kind is Kind.DATETIME:
        return {"Earliest": _moment(h.min), "Latest": _moment(h.max)}
    out: dict[str, Any] = {"Infinite": _whole(h.infinite)} if h.infinite else {}
    if p.moments is not None:
        out["Mean"] = _rounded(p.moments.mean) if p.moments.n else None
        out["Standard deviation"] = _rounded(p.moments.sd) if p.moments.n > 1 else None
    out["Smallest"] = _rounded(h.min)
    out |= zip(("5%", "Median", "95%"), map(_rounded, h.quantile([0.05, 0.5, 0.95])), strict=True)
    return {**out, "Largest": _rounded(h.max)}


def _category_figures(p: ColumnProfile) -> dict[str, Any]:
    f = p.frequencies
    if f is None:
        return {}
    top = f.top(1)
    most = f"{top[0][0]} ({100 * top[0][1] / f.n:.3g}%)" if top and f.n else None
    return {"Categories": len(f.counts), "Most frequent": most}


def _text_figures(p: ColumnProfile) -> dict[str, Any]:
    state = p.states.get("text")
    return {"Mean length": _rounded(state.length.mean)} if isinstance(state, TextLengths) else {}


def _vector_figures(p: ColumnProfile) -> dict[str, Any]:
    state = p.states.get("vector")
    if not isinstance(state, VectorState):
        return {}
    return {"Dimensions": state.dimensions, "Mean length of a vector": _rounded(state.norms.mean)}


def _rounded(x: Any) -> float | None:
    number = float(x)
    return float(f"{number:.6g}") if number - number == 0 else None


def _whole(x: Any) -> int | float | None:
    return None if x is None else (int(x) if float(x).is_integer() else float(f"{x:.6g}"))


def _moment(us: float) -> str | None:
    from datetime import UTC, datetime, timedelta

    if us != us:
        return None
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).strftime("%Y-%m-%d %H:%M")
    except OverflowError:
        return f"{us:.3g} µs after 1970"
