r"""Scores that are no probabilities: outside of 0 to 1.

Formula
-------
Rows whose score lies below 0 or above 1 (by more than rounding, 1e-6), over the rows with a score.

Reads: `ScoreTable`, of scores that were probabilities in the baseline. A model whose scores never were (log-odds,
percentages, ranks) is measured by their order alone, and has none. The p-value is that of a share that grew.

Limits
------
One score of 0.9 where 90% was meant is not seen; 90 is.

References
----------
E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Role
from watchkeeper.measures.quality.counting import more_than_baseline
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.score_table import ScoreTable

__all__ = ["impossible_scores"]


def impossible_scores(window: Profile, baseline: Profile) -> list[Measurement]:
    """Return the share of scores outside [0, 1] for each column of scores.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind, Schema
    >>> schema = Schema(columns=(Column(name="p", kind=Kind.NUMERIC, role=Role.SCORE),))
    >>> def scored(*scores):
    ...     return Profile(schema=schema, performance={"score_table": ScoreTable.of(np.array(scores))})
    >>> impossible_scores(scored(0.2, 70.0, 0.4, 0.1), scored(0.2, 0.3))[0].value
    0.25
    """
    out = []
    for column in window.schema.of_role(Role.SCORE):
        now, then = (
            p.performance.get("score_table", p.performance.get(f"score_table:{column.score_of}"))
            for p in (window, baseline)
        )
        if not isinstance(now, ScoreTable) or now.ranks or not now.scored:
            continue
        known = isinstance(then, ScoreTable) and then.scored > 0
        n, before = (then.scored, then.outside) if known and isinstance(then, ScoreTable) else (0.0, 0.0)
        share = now.outside / now.scored
        details: dict[str, object] = {"count": now.outside, "expected": before / n if n else 0.0}
        if now.outside:
            details["sentence"] = (
                f"{100 * share:.3g}% of the scores in {column.name!r} lie outside 0 to 1, so they are no probabilities."
            )
        out.append(
            Measurement(
                measure="impossible_scores",
                subject=column.name,
                value=share,
                rows=now.scored,
                baseline_rows=n,
                interval=wilson(now.outside, now.scored),
                p_value=more_than_baseline(now.outside, now.scored, before, n) if n else None,
                bound=0.0,
                details=details,
            )
        )
    return out
