"""What a rule says of a measurement. Too little data is inconclusive, never a pass."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["Verdict"]


class Verdict(StrEnum):
    """Pass, fail, inconclusive or error.

    >>> Verdict.worst([Verdict.PASS, Verdict.INCONCLUSIVE])
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    """

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAIL = "fail"

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """The gravest of *verdicts*: fail, then error, then inconclusive; nothing at all is inconclusive."""
        order = list(cls)
        return max(verdicts, key=order.index, default=cls.INCONCLUSIVE)
