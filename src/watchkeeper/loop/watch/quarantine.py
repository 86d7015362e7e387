"""How much of each model could not be stored, for `status`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchkeeper.loop.records.records import Kind, Records, write

if TYPE_CHECKING:
    from watchkeeper.domain.fact import Lease
    from watchkeeper.ports.ledger import FactStore
    from watchkeeper.ports.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Quarantined:
    """How many rows of a model are set aside, and the commonest reason."""

    model: str
    rows: int = 0
    reason: str = ""


QUARANTINE = Kind("quarantine", Quarantined, key="model", model="model")


def note_quarantine(facts: FactStore, lake: Quarantine, model: str, *, lease: Lease) -> None:
    """Keep for `status` how much of *model* is in quarantine."""
    letters = lake.dead_letters(model)
    reasons: Counter[str] = Counter()
    for letter in letters:
        reasons[letter.reason] += letter.rows
    reason = reasons.most_common(1)[0][0] if reasons else ""
    now = Quarantined(model, sum(x.rows for x in letters), reason)
    kept = Records(facts, QUARANTINE).get(model) or QUARANTINE.new(Quarantined(model))
    if kept.value != now:
        write(facts, [], [kept.to(now)], lease=lease)
