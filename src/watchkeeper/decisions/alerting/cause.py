"""Why a model got worse: other inputs, or other outcomes of like inputs.

The estimate without labels assumes that inputs which are alike still have outcomes that are alike. What it sees
of a change is therefore what the inputs explain (*input drift*); what it does not see is that the outcomes of
like inputs changed (*conditional change*, also called concept drift). Retraining on newer rows helps against the
second; against the first only where the model never learnt such inputs.

Limits
------
The difference between realised and estimated also holds what the estimate itself gets wrong, so the parts are
told side by side and the larger is named; nothing is claimed where they are alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from watchkeeper.decisions.rules.series import number

CLEAR = 2.0
"""One part must be so many times the other to be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A change of one measure of performance since it began, in two parts that add up to it."""

    inputs: float
    conditional: float
    windows: int

    @property
    def kind(self) -> str:
        """``conditional change``, ``input drift``, or ``both``."""
        if abs(self.conditional) >= CLEAR * abs(self.inputs):
            return "conditional change"
        return "input drift" if abs(self.inputs) >= CLEAR * abs(self.conditional) else "both"

    @property
    def sentence(self) -> str:
        """The cause in words.

        >>> Cause(inputs=-0.002, conditional=0.052, windows=60).sentence
        'Conditional change rather than input drift: inputs explain -0.002 of it, other outcomes of like inputs +0.052.'
        """
        named = {
            "conditional change": "Conditional change rather than input drift",
            "input drift": "Input drift rather than conditional change",
            "both": "Input drift and conditional change",
        }[self.kind]
        return (
            f"{named}: inputs explain {_signed(self.inputs)} of it, other outcomes of like inputs "
            f"{_signed(self.conditional)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "kind": self.kind,
            "inputs": self.inputs,
            "conditional": self.conditional,
            "windows": self.windows,
            "sentence": self.sentence,
        }


def cause_of(baseline: float, windows: Iterable[tuple[float, float, float]]) -> Cause | None:
    """Split the change from *baseline* over windows of ``(rows, realised, estimated)``; None where there is none.

    >>> cause_of(0.17, [(900, 0.24, 0.17), (1100, 0.22, 0.16)]).kind
    'conditional change'
    """
    known = list(windows)
    rows = sum(n for n, _, _ in known)
    if not rows:
        return None
    realised = sum(n * r for n, r, _ in known) / rows
    estimated = sum(n * e for n, _, e in known) / rows
    return Cause(inputs=estimated - baseline, conditional=realised - estimated, windows=len(known))


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{number(abs(value))}"
