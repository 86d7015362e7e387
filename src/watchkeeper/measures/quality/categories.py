r"""New and vanished categories, by name.

Formula
-------
With :math:`q_c, p_c` the baseline's and the window's share of category c,

.. math:: \mathrm{new} = \sum_{c:\,q_c = 0} p_c, \qquad \mathrm{vanished} = \sum_{c:\,p_c = 0} q_c.

Reads: two `Frequencies`. What a window would show with nothing changed is expected: of new ones the Good-Turing
share (the baseline's categories that occurred once, over its rows), of vanished ones the share of the baseline's
rows whose category would be missed by M of its own rows, :math:`\sum_c q_c (1 - M/N)^{N q_c - 1}` (with M at most
N). The p-values are a binomial tail, and the chance that all rows of the most frequent category that is gone
were on the baseline's side.

Limits
------
Past the cap of names a category that a side does not name may be one whose name was not kept. Only those count then
that the side would have named, by a binomial test at 1% shared by all of them (Bonferroni); ``bound`` says what share
the others hold.

References
----------
I. J. Good, *The population frequencies of species and the estimation of population parameters*, Biometrika 40, 1953.
"""

from __future__ import annotations

from typing import Any

from watchkeeper.domain.measurement import Measurement
from watchkeeper.measures.quality.counting import tail_probability
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.profile import ColumnProfile

SHOWN = 20
SURE = 0.01
"""Chance, for all categories together, that one passes for new or gone whose name was merely not kept."""


def new_categories(window: ColumnProfile, baseline: ColumnProfile) -> Measurement:
    """Return the share of the window's rows whose category the baseline did not have.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> def city(**counts):
    ...     column, f = Column(name="city", kind=Kind.CATEGORICAL), Frequencies.of_counts(counts)
    ...     return ColumnProfile(column=column, states={"frequencies": f}, rows=f.total)
    >>> found = new_categories(city(rome=70, oslo=30), city(rome=50, bonn=50))
    >>> found.value, found.details["names"]
    (0.3, ['oslo'])
    """
    sides = _both("new_categories", window, baseline)
    if isinstance(sides, Measurement):
        return sides
    now, then = sides
    new = {name: count for name, count in now.counts.items() if name not in then.counts}
    unsure = 0.0
    if then.error:
        known = {name: count for name, count in new.items() if _lost(count, now.n, then, len(new)) < SURE}
        unsure, new = sum(new.values()) - sum(known.values()), known
    # Rows that are not counted by name are new too, but for those that a name of the baseline may have among them.
    lost = now.error * sum(name not in now.counts for name in then.counts)
    unnamed = 0.0 if then.other else max(now.other - lost, 0.0)
    hits = sum(new.values()) + unnamed
    details: dict[str, Any] = _named(window.name, "new", new, hits / now.n, more=unnamed > 0)
    if then.error:
        p_value = min((_lost(count, now.n, then, len(now.counts)) for count in new.values()), default=1.0)
        details |= {"expected": 0.0, "unnamed": then.other / then.n}
    else:
        singles = sum(1 for count in then.counts.values() if count <= 1)
        # Not knowing better than its interval what the baseline has not seen, we take the upper end.
        p_value = tail_probability(hits, now.n, wilson(singles, then.n).high)
        details["expected"] = singles / then.n
    return Measurement(
        measure="new_categories",
        subject=window.name,
        value=hits / now.n,
        rows=now.n,
        baseline_rows=then.n,
        interval=wilson(hits, now.n),
        p_value=p_value,
        bound=(unsure + now.other - unnamed) / now.n,
        details=details,
    )


def vanished_categories(window: ColumnProfile, baseline: ColumnProfile) -> Measurement:
    """Return the share of the baseline's rows whose category the window does not have.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> def city(**counts):
    ...     column, f = Column(name="city", kind=Kind.CATEGORICAL), Frequencies.of_counts(counts)
    ...     return ColumnProfile(column=column, states={"frequencies": f}, rows=f.total)
    >>> found = vanished_categories(city(rome=70, oslo=30), city(rome=50, bonn=50))
    >>> found.value, found.details["names"]
    (0.5, ['bonn'])
    """
    sides = _both("vanished_categories", window, baseline)
    if isinstance(sides, Measurement):
        return sides
    now, then = sides
    gone = {name: count for name, count in then.counts.items() if name not in now.counts}
    unsure = 0.0
    if now.error:
        known = {name: count for name, count in gone.items() if _lost(count, then.n, now, len(gone)) < SURE}
        unsure, gone = sum(gone.values()) - sum(known.values()), known
    hits = sum(gone.values())
    passed_over = max(1.0 - now.n / then.n, 0.0)
    expected = sum(c * passed_over ** max(c - 1, 0) for c in then.counts.values()) / then.n
    most = max(gone.values(), default=0)
    details: dict[str, Any] = _named(window.name, "vanished", gone, hits / then.n)
    details["expected"] = 0.0 if now.error else expected
    if now.error:
        details["unnamed"] = now.other / now.n
    return Measurement(
        measure="vanished_categories",
        subject=window.name,
        value=hits / then.n,
        rows=now.n,
        baseline_rows=then.n,
        # The most frequent one that is gone is the strongest evidence; Bonferroni for having chosen it.
        p_value=_lost(most, then.n, now, len(then.counts)) if gone else 1.0,
        bound=unsure / then.n,
        details=details,
    )


def _lost(count: float, rows: float, other: Frequencies, searched: int) -> float:
    """Chance that one of *searched* categories with *count* of *rows* here lost its name on the *other* side.

    Given how many rows of a category both sides have together, how many lie on the other side is binomial; a category
    lost its name, or never had one, with at most ``error`` rows.
    """
    from scipy.special import bdtr

    kept = round(other.error)
    chance = float(bdtr(kept, round(count) + kept, other.n / (other.n + rows)))
    return min(1.0, searched * chance)


def _both(
    name: str, window: ColumnProfile, baseline: ColumnProfile
) -> tuple[Frequencies, Frequencies] | Measurement:
    now, then = window.frequencies, baseline.frequencies
    if now is None or then is None:
        return Measurement.missing(name, "Its values are not counted by name.", subject=window.name)
    if not now.n or not then.n:
        side = "window" if not now.n else "baseline"
        return Measurement.missing(name, f"The {side} has no values.", subject=window.name)
    return now, then


def _named(
    column: str, word: str, counts: dict[str, float], share: float, *, more: bool = False
) -> dict[str, Any]:
    """*more*: there are others, which were too many to count by name."""
    names = sorted(counts, key=lambda name: (-counts[name], name))
    details: dict[str, Any] = {"names": names[:SHOWN], "categories": len(names)}
    if names:
        shown = ", ".join(repr(name) for name in names[:3])
        rest = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        side = "the rows" if word == "new" else "the baseline's rows"
        plural = "y" if len(names) == 1 else "ies"
        details["sentence"] = (
            f"{'More than ' if more else ''}{len(names):,} {word} categor{plural} of {column} hold{'s' if len(names) == 1 else ''} "
            f"{100 * share:.3g}% of {side}: {shown}{rest}."
        )
    return details
