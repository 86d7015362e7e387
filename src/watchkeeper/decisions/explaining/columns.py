"""What happened to a column, and to all columns of a window: the catalogue of explanations, read from states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from watchkeeper.decisions.explaining.categories import Counts, explain_categories
from watchkeeper.decisions.explaining.explanation import Cause, Explanation
from watchkeeper.decisions.explaining.numbers import Numbers, explain_numbers
from watchkeeper.decisions.explaining.significance import Gate
from watchkeeper.decisions.explaining.wording import figure, percent, quoted
from watchkeeper.domain.schema import Kind
from watchkeeper.errors import Incompatible
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram, common_coarsening
from watchkeeper.stats.states.profile import ColumnProfile, Profile

FEW_VALUES = 12
"""A numeric column with at most so many values is spoken of value by value."""


def explain_column(
    baseline: ColumnProfile,
    window: ColumnProfile,
    *,
    usual: Sequence[ColumnProfile] = (),
    known: bool = False,
) -> tuple[Explanation, ...]:
    """Return what happened to one column, the most telling first; nothing where the two differ by chance.

    Parameters
    ----------
    usual : the column in the baseline's own windows; what they did is no news.
    known : something else has found that the column differs, so also small differences get their words.

    >>> from watchkeeper.domain.schema import Column
    >>> def city(**counts):
    ...     f = Frequencies.of_counts(counts)
    ...     return ColumnProfile(column=Column(name="city", kind=Kind.CATEGORICAL), states={"frequencies": f}, rows=f.n)
    >>> explain_column(city(Bonn=600, Ulm=400), city(bonn=61, Ulm=39))[0].sentence
    "city: the category 'bonn' is new and has 61% of rows; 'Bonn' is gone. Renamed?"
    """
    if not window.rows or not baseline.rows:
        return ()
    gate = Gate(usual=usual, known=known)
    found = [
        *_type(baseline, window, gate),
        *_missing(baseline, window, gate),
        *_values(baseline, window, gate),
    ]
    if any(e.cause is Cause.TYPE for e in found):
        # What does not fit is counted as missing too, and is one thing.
        # The values that still fit are a part of all, so what can be said of them misleads.
        of_type = next(e for e in found if e.cause is Cause.TYPE)
        found = [
            e
            for e in found
            if e is of_type
            or ((of_type.share < 0.05 or e.cause is Cause.MISSING) and e.share > 2 * of_type.share)
        ]
    order = list(Cause)
    return tuple(sorted(found, key=lambda e: (-_weight(e), order.index(e.cause))))


def explain_profile(
    baseline: Profile,
    window: Profile,
    *,
    usual: Sequence[Profile] = (),
    columns: Iterable[str] | None = None,
    known: bool = False,
) -> tuple[Explanation, ...]:
    """Return what happened to the *columns* (None: all that both have), one explanation each, largest first.

    Two columns that have changed places are one explanation.
    """
    names = [
        n
        for n in (baseline.columns if columns is None else columns)
        if n in baseline.columns and n in window.columns
    ]
    found: dict[str, Explanation] = {}
    for name in names:
        own = [p.columns[name] for p in usual if name in p.columns]
        best = explain_column(baseline.columns[name], window.columns[name], usual=own, known=known)
        if best:
            found[name] = best[0]
    changed = list(found)
    for i, a in enumerate(changed):
        for b in changed[i + 1 :]:
            if a in found and b in found and _swapped(baseline, window, a, b):
                del found[b]
                found[a] = Explanation(
                    cause=Cause.SWAPPED,
                    column=a,
                    sentence=f"{a} and {b} have changed places: each looks like the other did.",
                    advice="Check the order of columns where rows are put together.",
                    share=1.0,
                    details={"swapped": [a, b]},
                )
    order = list(Cause)
    return tuple(sorted(found.values(), key=lambda e: (-_weight(e), order.index(e.cause))))


def _weight(e: Explanation) -> float:
    """To a tenth: of two that concern about as many rows the more telling cause comes first."""
    return round(e.share, 1)


def _type(baseline: ColumnProfile, window: ColumnProfile, gate: Gate) -> list[Explanation]:
    name = window.name
    if not gate.share(window.misfits, window.rows, baseline.misfits, baseline.rows):
        return []
    now, then = window.misfits / window.rows, baseline.misfits / baseline.rows
    if now <= then:
        return []
    example = f", for instance {quoted(window.misfit_example)}" if window.misfit_example else ""
    return [
        Explanation(
            cause=Cause.TYPE,
            column=name,
            sentence=(
                f"{name}: {percent(now)} of rows have a value of another type{example}; usually {percent(then)}. "
                f"The column is {baseline.column.kind.value}."
            ),
            advice=f"Check how {name} is written where it comes from: type, decimal sign, format.",
            share=now - then,
            details={"example": window.misfit_example},
        )
    ]


def _missing(baseline: ColumnProfile, window: ColumnProfile, gate: Gate) -> list[Explanation]:
    if not gate.missing(window.missing, window.rows, baseline.missing, baseline.rows):
        return []
    now, then = window.missing / window.rows, baseline.missing / baseline.rows
    rows = "no row has a value" if now == 1 else f"{percent(now)} of rows have no value"
    return [
        Explanation(
            cause=Cause.MISSING,
            column=window.name,
            sentence=f"{window.name}: {rows}, usually {percent(then)}.",
            advice=f"Check whether the source of {window.name} still delivers, and joins still match.",
            share=abs(now - then),
            details={"missing": now, "usual": then},
        )
    ]


def _values(baseline: ColumnProfile, window: ColumnProfile, gate: Gate) -> list[Explanation]:
    name = window.name
    before, after = baseline.distribution, window.distribution
    if isinstance(before, Frequencies) and isinstance(after, Frequencies):
        if len(after.counts) == 1 and not after.other and len(before.counts) > 1 and after.n >= 20:
            value = next(iter(after.counts))
            if gate.share(after.n, after.n, before.counts.get(value, 0), before.n, value):
                return [
                    Explanation(
                        cause=Cause.CONSTANT,
                        column=name,
                        sentence=f"{name} is {quoted(value)} in every row; usually in {percent(before.share(value))} of rows.",
                        advice=f"Check whether {name} is still filled, or holds a default.",
                        share=1 - before.share(value),
                        details={"value": value},
                    )
                ]
        return explain_categories(
            name, Counts(before.counts, before.other), Counts(after.counts, after.other), gate
        )
    if (
        not isinstance(before, Histogram)
        or not isinstance(after, Histogram)
        or baseline.column.kind is Kind.DATETIME
    ):
        return []
    try:
        before, after = common_coarsening(before, after)
    except Incompatible:
        return []
    if baseline.moments is None or window.moments is None:
        return []
    then, now = Numbers(before, baseline.moments), Numbers(after, window.moments)
    found = explain_numbers(name, then, now, gate, widest=_widest(before, gate.usual))
    values = _few(before), _few(after)
    vague = not found or (
        found[0].cause in _VAGUE and not any(found[0].details.get(k) for k in ("new", "exact"))
    )
    if values[0] is not None and values[1] is not None and vague:
        # Grades and flags are spoken of value by value.
        found = explain_categories(name, values[0], values[1], gate) or found
    return found


_VAGUE = (Cause.SHIFT, Cause.SPREAD, Cause.SHAPE, Cause.MIXTURE, Cause.FILLED)


def _few(h: Histogram) -> Counts | None:
    """The values and how often each occurs, where they are few and each has its own bin."""
    if h.fullest_share > 0:
        return None
    filled = np.flatnonzero(h.counts)
    if not 0 < len(filled) <= FEW_VALUES:
        return None
    named = {}
    for i in filled.tolist():
        value = h.low.min if i == 0 else h.high.min if i == len(h.counts) - 1 else h.edges.cuts[i - 1]
        named[figure(float(value))] = float(h.counts[i])
    return Counts(named)


def _widest(before: Histogram, usual: Sequence[ColumnProfile]) -> float:
    """Largest distance of a baseline window from the baseline, at the cuts that both have."""
    widest = 0.0
    for column in usual:
        own = column.histogram
        if own is None or not own.n or not len(own.edges.cuts):
            continue
        at = own.edges.cuts.astype(float)
        widest = max(widest, float(np.abs(own.share_below(at) - before.share_below(at)).max()))
    return widest


def _swapped(baseline: Profile, window: Profile, a: str, b: str) -> bool:
    """Whether two numeric columns each look like the other did."""
    sides = [p.columns[n] for p in (baseline, window) for n in (a, b)]
    if any(c.histogram is None or c.moments is None or c.histogram.n < 2 for c in sides):
        return False
    was_a, was_b, is_a, is_b = (Numbers(c.histogram, c.moments) for c in sides)  # type: ignore[arg-type]

    def apart(one: Numbers, other: Numbers) -> float:
        cuts = other.histogram.edges.cuts.astype(float)  # where the window's counts are exact
        gap = float(np.abs(one.below(cuts) - other.below(cuts)).max()) if len(cuts) else 1.0
        sd = max(one.moments.sd, other.moments.sd, 1e-300)
        return max(
            gap,
            abs(one.moments.mean - other.moments.mean) / sd,
            abs(one.moments.sd - other.moments.sd) / sd / 3,
        )

    noise = 0.05 + 2 / np.sqrt(min(is_a.rows, is_b.rows))
    return apart(was_b, is_a) <= noise and apart(was_a, is_b) <= noise and apart(was_a, was_b) > 2 * noise
