"""An alert as pages show it."""

from __future__ import annotations

from typing import Any

from watchkeeper.decisions.alerting.story import failed_sentence
from watchkeeper.domain.fact import Document
from watchkeeper.loop.incidents.evidence_chart import Evidence, evidence_of
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.web.dashboard.kit.frame import Room


def alert_evidence(room: Room, document: Document) -> Evidence | None:
    """What the alert judged; the page and its chart ask for the same, and profiles are read for it."""
    key = ("evidence", document.key, document.revision)
    return room.kept(key, lambda: evidence_of(room.watch, ALERT.read(document).value), seconds=60)


def alert_row(document: Document) -> dict[str, Any]:
    """One line of a list of alerts: plain JSON."""
    alert = ALERT.read(document).value
    what = dict(alert.what)
    return {
        "key": document.key,
        "model": alert.model or document.model,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "category": alert.category.value,
        "rule": alert.rule,
        "sentence": failed_sentence(alert) or f"The rule {alert.rule} fires.",
        "since": _text(alert.since or alert.pending_since or alert.fired_at),
        "fired_at": _text(alert.fired_at),
        "resolved_at": _text(alert.resolved_at),
        "changed_at": _text(alert.changed_at) or _text(document.updated_at),
        "acknowledged_by": alert.acknowledged_by,
        "flapping": alert.flapping,
        "retrospective": alert.retrospective,
        "cause": str(((what.get("details") or {}).get("cause") or {}).get("sentence", "")),
        "measure": str(what.get("measure", "")),
        "subject": str(what.get("subject", "")),
        "segment": str(what.get("segment", "")),
        "labels": dict(alert.labels),
    }


def summary_line(row: dict[str, Any]) -> str:
    """What to do about it, as a link's text."""
    return "Look into it" if row["acknowledged_by"] else "Look into it, or acknowledge it"


def _text(at: Any) -> str:
    return "" if at is None else at.isoformat()
