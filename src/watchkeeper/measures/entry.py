"""One line of a room's catalogue: a measure, the function behind it, and what that function reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.schema import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a catalogue says of one measure.

    ``function`` holds the arithmetic. What it takes follows from ``reads``, the name of a state or of a pair
    of profiles: ``"histogram"``, ``"frequencies"``, ``"distribution"`` (either of the two), ``"sample"``,
    ``"column"`` (two `ColumnProfile`), ``"profile"`` (two `Profile`), ``"score_table"``, ``"confusion"``,
    ``"residuals"``, ``"groups"`` (`Groups`: several segments or versions of one window), ... ``kinds`` are the kinds of column that it makes sense for; empty means that the
    measure belongs to no column. ``default`` measures are taken when the user names none. ``reference`` is
    where the definition comes from.

    >>> from watchkeeper.domain.measurement import Family
    >>> rows = Measure(name="rows", family=Family.QUALITY, title="Rows")
    >>> Entry(measure=rows, function=len, reads="profile", reference="a count").name
    'rows'
    """

    measure: Measure
    function: Callable[..., Any]
    reads: str
    kinds: frozenset[Kind] = field(default_factory=frozenset)
    default: bool = True
    reference: str = ""

    @property
    def name(self) -> str:
        """The name of the measure."""
        return self.measure.name
