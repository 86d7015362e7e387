"""Absence: nothing comes any more, or outcomes stay away. One alert for one broken source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.domain.duration import duration_words
from watchkeeper.domain.rule import Category, Evaluation, Reads
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Fails where nothing has come for longer than ``after``."""

    kind: ClassVar[str] = "absence"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "arrivals"

    of: str = "predictions"
    """"predictions" or "outcomes"."""
    after: timedelta = timedelta(days=2)

    may_page: ClassVar[bool] = True
    guarantee: ClassVar[str] = "exact: nothing came"

    def __post_init__(self) -> None:
        known = ("predictions", "outcomes")
        if self.of not in known:
            raise BadInput(
                f"Absence of {self.of!r} is not known.{nearest(self.of, known)}",
                "Known: predictions, outcomes.",
            )
        if self.after <= timedelta(0):
            raise BadInput("Absence needs a time after which it is one.", 'Say after = "2d".')

    def evaluate(self, context: Context) -> Evaluation:
        """Judge what has arrived until now."""
        rule, arrivals = context.rule, context.arrivals
        assert arrivals is not None
        last = arrivals.predictions_until if self.of == "predictions" else arrivals.outcomes_until
        given: dict[str, Any] = {
            "rule": rule.name,
            "model": arrivals.model,
            "measure": self.of,
            "guarantee": self.guarantee,
            "category": Category.NO_DATA,
        }
        start = last or arrivals.watched_since
        if start is None or (self.of == "outcomes" and arrivals.predictions_until is None):
            return Evaluation(
                **given, verdict=Verdict.INCONCLUSIVE, sentence=f"No {self.of} of this model were ever seen."
            )
        # Without new predictions no outcomes can be due: that is the other rule's matter.
        due = (
            arrivals.now
            if self.of == "predictions"
            else min(arrivals.now, arrivals.predictions_until or start)
        )
        waited = due - start
        if waited <= self.after:
            return Evaluation(**given, verdict=Verdict.PASS, sentence=f"The last {self.of} came in time.")
        never = "" if last is not None else " (none has ever come)"
        return Evaluation(
            **given,
            verdict=Verdict.FAIL,
            sentence=f"No {self.of} of {arrivals.model} since {start:%Y-%m-%d %H:%M} UTC{never}: "
            f"{duration_words(waited)}, and {duration_words(self.after)} is allowed.",
            value=waited.total_seconds(),
            limit=self.after.total_seconds(),
            effect=(waited - self.after).total_seconds(),
            since=start,
        )
