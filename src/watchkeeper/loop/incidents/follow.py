"""What joins alerts, incidents and messages: incidents follow alerts, messages get charts, incidents and lessons."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.decisions.incidents.incidents import IncidentPolicy
from watchkeeper.loop.incidents.evidence_chart import evidence_of
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records
from watchkeeper.ports.judge import JudgedWindow, Watching

_log = logging.getLogger("watchkeeper.telling")


class IncidentFollower:
    """A judge that is given behind that of alerts: after each pass incidents take what alerts did."""

    def __init__(self, policy: IncidentPolicy | None = None) -> None:
        self._policy = policy

    def judge(self, window: JudgedWindow) -> None:
        """A measured window: nothing to do until the pass is over."""

    def sources(self, at: Watching, troubles: Mapping[str, str]) -> None:
        """Alerts tell of sources, and those are followed."""

    def after(self, at: Watching) -> int:
        """Open and feed incidents; return how many."""
        ledger = at.ledger
        return Incidents(
            ledger.facts,
            ledger.measurements,
            models=at.models,
            policy=self._policy,
            clock=lambda: at.now,
        ).follow()


def incidents_of(watch: Any, policy: IncidentPolicy | None = None) -> Incidents:
    """The incidents of an open project; *policy* is that of its configuration where it is not given."""
    config = getattr(watch, "config", None)
    if policy is None and config is not None:
        policy = config.incidents.policy()
    return Incidents(
        watch.ledger.facts, watch.ledger.measurements, models=watch.models, policy=policy, clock=watch.clock
    )


def enrichment(watch: Any) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What an outbox adds when it sends: the chart of the first alert, its incident, and what was learnt last time.

    Each that cannot be had is logged and left out; the others are still there.
    """
    incidents = incidents_of(watch)

    def add(body: Mapping[str, Any]) -> dict[str, Any]:
        alerts = body.get("alerts") or ()
        if not alerts:
            return {}
        lead = alerts[0]
        name = str(lead.get("fingerprint") or "")
        over = body.get("status") == "resolved"

        def incident() -> dict[str, Any] | None:
            found = incidents.of_alert(name)
            return None if found is None else {"number": found.number, "owner": found.owner}

        def chart() -> dict[str, Any] | None:
            kept = Records(watch.ledger.facts, ALERT).get(name)
            found = None if kept is None else evidence_of(watch, kept.value)
            return None if found is None else found.chart()

        parts: dict[str, Callable[[], Any]] = {"incident": incident, "chart": chart}
        if not over:
            parts["lessons"] = lambda: incidents.lessons(lead.get("labels") or {})
        out: dict[str, Any] = {}
        for part, made in parts.items():
            try:
                if value := made():
                    out[part] = value
            except Exception as fault:
                _log.warning("a message goes out without its %s: %s", part, type(fault).__name__)
        return out

    return add
