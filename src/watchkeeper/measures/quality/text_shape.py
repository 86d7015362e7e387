r"""Texts: their mean length, and the share of each shape (empty, digits, e-mail, ...).

Formula
-------
Mean number of characters; share of the texts for which the shape's regular expression matches.

Reads: one `ColumnProfile` with the state ``text``. Exact. Intervals: Student's and Wilson's.

Limits
------
Shapes are syntax: a text of the shape of an e-mail address need not be one.

References
----------
The shapes are listed in `watchkeeper.stats.states.text.PATTERNS`.
"""

from __future__ import annotations

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.measures.quality.completeness import share_of_rows
from watchkeeper.stats.intervals import mean_interval
from watchkeeper.stats.states.profile import ColumnProfile
from watchkeeper.stats.states.text import TextLengths


def text_length(window: ColumnProfile, baseline: ColumnProfile | None = None) -> Measurement:
    """Return the mean length in characters.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.domain.values import Values
    >>> words = np.array(["ab", "abcd"], dtype=object)
    >>> text = TextLengths.of(Values(kind=Kind.TEXT, rows=2, data=np.array([0, 1]), dictionary=words))
    >>> text_length(ColumnProfile(column=Column(name="t", kind=Kind.TEXT), states={"text": text}, rows=2)).value
    3.0
    """
    state = window.states.get("text")
    if not isinstance(state, TextLengths) or not state.n:
        return Measurement.missing("text_length", "There are no texts.", subject=window.name)
    length = state.length
    found = mean_interval(length.mean, length.variance(ddof=1), length.n)
    before = baseline.states.get("text") if baseline is not None else None
    details = {"min": length.min, "max": length.max}
    if isinstance(before, TextLengths) and before.n:
        details["baseline"] = before.length.mean
    return Measurement(
        measure="text_length",
        subject=window.name,
        value=length.mean,
        rows=length.n,
        interval=Interval(max(0.0, found.low), found.high),
        bound=0.0,
        details=details,
    )


def text_shapes(window: ColumnProfile, baseline: ColumnProfile | None = None) -> list[Measurement]:
    """Return the share of texts of each shape; the subject is ``column:shape``.

    >>> import numpy as np
    >>> from watchkeeper.domain.schema import Column, Kind
    >>> from watchkeeper.domain.values import Values
    >>> words = np.array(["ab", "123"], dtype=object)
    >>> text = TextLengths.of(Values(kind=Kind.TEXT, rows=2, data=np.array([0, 1]), dictionary=words))
    >>> found = text_shapes(ColumnProfile(column=Column(name="t", kind=Kind.TEXT), states={"text": text}, rows=2))
    >>> [(m.subject, m.value) for m in found if m.subject == "t:digits"]
    [('t:digits', 0.5)]
    """
    state = window.states.get("text")
    if not isinstance(state, TextLengths) or not state.n:
        return [Measurement.missing("text_shapes", "There are no texts.", subject=window.name)]
    before = baseline.states.get("text") if baseline is not None else None
    known = before if isinstance(before, TextLengths) and before.n else None
    return [
        share_of_rows(
            "text_shapes",
            f"{window.name}:{shape}",
            (count, state.n),
            None if known is None or shape not in known.patterns else (known.patterns[shape], known.n),
            {"shape": shape},
        )
        for shape, count in state.patterns.items()
    ]
