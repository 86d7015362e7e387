"""What keeps an alert from being told, and what a silence would mute before it is added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.decisions.alerting.inhibition import Inhibition, Inhibitors
from watchkeeper.decisions.alerting.maintenance import Maintenance
from watchkeeper.decisions.alerting.story import failed_sentence
from watchkeeper.domain.alert import Alert, AlertState
from watchkeeper.domain.silence import Matcher, Silence, all_match
from watchkeeper.errors import nearest


@dataclass(frozen=True, slots=True)
class Mute:
    """Why an alert is not told: ``kind`` is silence, maintenance or inhibition; ``by`` names it."""

    kind: str
    by: str
    reason: str
    until: datetime | None = None


class Muting:
    """All that mutes at one moment, asked about many alerts."""

    def __init__(
        self,
        now: datetime,
        *,
        silences: Iterable[Silence] = (),
        maintenance: Iterable[Maintenance] = (),
        inhibitions: Sequence[Inhibition] = (),
        firing: Iterable[Alert] = (),
    ) -> None:
        self.now = now
        self._silences = [s for s in silences if s.active(now)]
        self._maintenance = [(m, until) for m in maintenance if (until := m.until(now)) is not None]
        self._inhibitors = Inhibitors(inhibitions, firing)

    def why(self, alert: Alert) -> Mute | None:
        """Why *alert* is muted; None: it is not."""
        for silence in self._silences:
            if all_match(silence.matchers, alert.labels):
                return Mute("silence", silence.id, f"{silence.reason} ({silence.author})", silence.ends_at)
        for window, until in self._maintenance:
            if all_match(window.matchers, alert.labels):
                return Mute("maintenance", window.name, window.reason or window.name, until)
        source = self._inhibitors.source_of(alert)
        if source is not None:
            return Mute("inhibition", source.fingerprint, f"{source.rule} fires: {failed_sentence(source)}")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a silence would mute now; ``hints`` say why it may mute less than was meant."""

    firing: tuple[Alert, ...]
    pending: tuple[Alert, ...]
    quiet: int
    """Alerts that do not fire now and would be muted if they did."""
    hints: tuple[str, ...]


def preview(matchers: Sequence[Matcher], alerts: Iterable[Alert]) -> Preview:
    """Return what *matchers* would mute among *alerts*."""
    known = list(alerts)
    hit = [a for a in known if all_match(matchers, a.labels)]
    labels = {label for a in known for label in a.labels}
    hints = []
    for matcher in matchers:
        if labels and matcher.label not in labels:
            hints.append(f"No alert has the label {matcher.label!r}.{nearest(matcher.label, labels)}")
        elif known and not any(matcher.matches(a.labels) for a in known):
            values = {a.labels[matcher.label] for a in known if matcher.label in a.labels}
            hints.append(f"No alert matches {matcher}.{nearest(matcher.value, values)}")
    return Preview(
        firing=tuple(a for a in hit if a.state is AlertState.FIRING),
        pending=tuple(a for a in hit if a.state is AlertState.PENDING),
        quiet=sum(a.state in (AlertState.INACTIVE, AlertState.RESOLVED) for a in hit),
        hints=tuple(hints),
    )
