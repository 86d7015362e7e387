"""How a model is, in words: what needs a person comes first, and silence is never taken for health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.domain.fact import Document
from watchkeeper.domain.rule import Severity
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.web.dashboard.kit.words import ago, plural

ORDER = ("needs_you", "silent", "unsure", "steady", "waiting")
LIVE = 10
"""Added to the rank of an alert that is about now, not about windows of long ago."""
SILENT_AFTER = 4
"""Windows without a row until a model counts as silent."""


@dataclass(frozen=True, slots=True)
class Health:
    """A state of `ORDER`, its word and its sentence. ``rank`` sorts: larger needs a person more."""

    state: str
    word: str
    sentence: str
    rank: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"state": self.state, "word": self.word, "sentence": self.sentence}


def health_of(
    model: WatchedModel | None,
    tally: Mapping[str, tuple[int, float]],
    last: datetime | None,
    now: datetime,
    *,
    pressing: int = 0,
) -> Health:
    """How a model is, from its open alerts and its newest window; *pressing* ones do harm and nobody has them.

    >>> from datetime import UTC
    >>> now = datetime(2026, 3, 1, tzinfo=UTC)
    >>> health_of(None, {"firing": (2, 1.0)}, now, now, pressing=1).word
    'needs you'
    >>> health_of(None, {"firing": (2, 1.0)}, now, now).word
    'worth a look'
    >>> health_of(None, {}, None, now).word
    'waiting'
    """
    firing, rank = tally.get("firing", (0, 0.0))
    pending, _ = tally.get("pending", (0, 0.0))
    if firing:
        verb = "is" if firing == 1 else "are"
        said = f"{plural(firing, 'alert')} {verb} firing."
        if pressing:
            return Health("needs_you", "needs you", said, 100 + rank + pressing / 1e4)
        return Health("unsure", "worth a look", said, 30 + rank + firing / 1e4)
    if last is None:
        return Health("waiting", "waiting", "Nothing has been recorded yet.", 0)
    cadence = model.cadence if model is not None else timedelta(hours=1)
    if now - last > SILENT_AFTER * cadence:
        return Health("silent", "silent", f"No predictions came since {ago(last, now)}.", 50)
    if pending:
        verb = "is" if pending == 1 else "are"
        return Health(
            "unsure",
            "worth a look",
            f"{plural(pending, 'alert')} {verb} pending: not sure yet.",
            20 + pending / 1e4,
        )
    return Health("steady", "well", "Nothing needs you.", 1)


def pressing(alerts: Iterable[Document]) -> Counter[str]:
    """By model, the firing alerts that do harm now and that nobody has: drift that hurts nothing is not among them."""
    return Counter(
        d.model
        for d in alerts
        if d.state == "firing"
        and d.rank >= LIVE + Severity.CRITICAL.rank
        and not d.body.get("acknowledged_by")
    )


def headline(states: Sequence[str]) -> tuple[str, str]:
    """The answer for all models in one line, and the sentence after it.

    >>> headline(["steady", "needs_you", "silent"])[0]
    '1 of 3 models needs you'
    """
    n = len(states)
    count = {s: sum(x == s for x in states) for s in ORDER}
    said = []
    if count["silent"]:
        said.append(
            f"{plural(count['silent'], 'model')} {'has' if count['silent'] == 1 else 'have'} gone silent"
        )
    if count["unsure"]:
        said.append(f"{count['unsure']:,} {'is' if count['unsure'] == 1 else 'are'} worth a look")
    if count["waiting"]:
        said.append(
            f"{count['waiting']:,} {'is' if count['waiting'] == 1 else 'are'} waiting for {'its' if count['waiting'] == 1 else 'their'} first predictions"
        )
    if count["steady"]:
        said.append(f"{count['steady']:,} {'is' if count['steady'] == 1 else 'are'} well")
    sentence = (", ".join(said) + ".") if said else ""
    sentence = sentence[:1].upper() + sentence[1:]
    if not n:
        return "No model is watched yet", ""
    if count["needs_you"]:
        verb = "needs" if count["needs_you"] == 1 else "need"
        of = f"{count['needs_you']:,} of {n:,} models" if n > 1 else "The model"
        return f"{of} {verb} you", sentence
    if count["unsure"] and not count["silent"]:
        return (
            "Nothing is urgent; something is worth a look" if n > 1 else "The model is worth a look"
        ), sentence
    if count["silent"]:
        return (
            "Nothing is firing, but not every model is talking" if n > 1 else "The model has gone silent"
        ), sentence
    if count["waiting"] == n:
        return ("Waiting for the first predictions"), sentence
    return "Nothing needs you", sentence
