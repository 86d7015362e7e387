"""Alerts of other systems: Alertmanager's webhook, and a plain one. They open or feed incidents like our own.

So that trouble of machines and trouble of models meet: an alert with the label ``model`` joins that model's
incident. What comes in is a stranger's text: it is measured, never run, and cut to a bounded size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watchkeeper.decisions.incidents.incidents import AlertSign
from watchkeeper.domain.alert import fingerprint
from watchkeeper.domain.incident import Incident
from watchkeeper.domain.rule import Severity
from watchkeeper.errors import BadInput
from watchkeeper.loop.incidents.incidents import Incidents

MOST_ALERTS = 1_000
MOST_LABELS = 64
LONGEST = 1_000
SEVERITIES = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "error": Severity.CRITICAL,
    "high": Severity.CRITICAL,
    "emergency": Severity.CRITICAL,
    "warning": Severity.WARNING,
    "warn": Severity.WARNING,
    "medium": Severity.WARNING,
    "notice": Severity.NOTICE,
    "info": Severity.NOTICE,
    "low": Severity.NOTICE,
    "none": Severity.NOTICE,
}
"""What other systems call them; an unknown word counts as a warning."""


def alertmanager(incidents: Incidents, payload: Mapping[str, Any], *, now: datetime) -> list[Incident]:
    """Take Alertmanager's webhook (version 4); return the incidents that it opened or fed.

    The same delivery twice changes nothing. Alerts that Watchkeeper itself sent there are passed over.

    Raises
    ------
    BadInput
        it is not such a payload; the field is named.
    """
    return incidents.receive(alertmanager_signs(payload, now=now))


def generic(incidents: Incidents, payload: Mapping[str, Any], *, now: datetime) -> list[Incident]:
    """Take a plain webhook: ``{"title": ..., "status": "firing" | "resolved", "severity"?, "labels"?, "key"?, "at"?}``.

    ``key`` names the alert; without it title and labels do.

    Raises
    ------
    BadInput
    """
    return incidents.receive(generic_signs(payload, now=now))


def alertmanager_signs(payload: Mapping[str, Any], *, now: datetime) -> list[AlertSign]:
    """Read the webhook. Unknown keys are passed over: later versions add some."""
    payload = _mapping(payload, "the body")
    if str(payload.get("version", "4")) != "4":
        raise BadInput(
            f"This is version {str(payload.get('version'))[:20]!r} of Alertmanager's webhook; we read version 4."
        )
    alerts = payload.get("alerts")
    if not isinstance(alerts, Sequence) or isinstance(alerts, (str, bytes)):
        raise BadInput("'alerts' must be a list.", "Point a webhook_config of Alertmanager here.")
    out = []
    for i, raw in enumerate(alerts[:MOST_ALERTS]):
        alert = _mapping(raw, f"alerts[{i}]")
        labels = _labels(alert.get("labels"), f"alerts[{i}].labels")
        said = _labels(alert.get("annotations") or {}, f"alerts[{i}].annotations")
        if _is_ours(labels, alert):
            continue
        status = str(alert.get("status") or payload.get("status") or "firing")
        started = _time(alert.get("startsAt"), f"alerts[{i}].startsAt")
        ended = _time(alert.get("endsAt"), f"alerts[{i}].endsAt")
        resolved = status == "resolved"
        out.append(
            AlertSign(
                fingerprint=_cut(f"am:{alert.get('fingerprint') or fingerprint(labels)}"),
                state="resolved" if resolved else "firing",
                at=min((ended if resolved else started) or now, now),
                labels=labels,
                severity=_severity(labels.get("severity")),
                text=_cut(
                    said.get("summary") or said.get("description") or labels.get("alertname") or "an alert"
                ),
                since=started,
                source="alertmanager",
                group=_cut(f"am:{payload.get('groupKey') or ''}"),
            )
        )
    return out


def generic_signs(payload: Mapping[str, Any], *, now: datetime) -> list[AlertSign]:
    """Read the plain webhook."""
    payload = _mapping(payload, "the body")
    title = payload.get("title") or payload.get("message") or payload.get("text")
    if not isinstance(title, str) or not title.strip():
        raise BadInput("'title' is needed: a few words that say what is wrong.")
    status = str(payload.get("status") or "firing").lower()
    if status not in ("firing", "resolved"):
        raise BadInput(f'\'status\' is {status[:40]!r}; it must be "firing" or "resolved".')
    labels = _labels(payload.get("labels") or {}, "labels")
    for name in ("model", "severity"):
        if isinstance(payload.get(name), str) and payload[name]:
            labels.setdefault(name, _cut(payload[name]))
    key = payload.get("key")
    name = str(key) if key else fingerprint({**labels, "title": title})
    at = _time(payload.get("at"), "at") or now
    return [
        AlertSign(
            fingerprint=_cut(f"hook:{name}"),
            state=status,
            at=min(at, now),
            labels=labels,
            severity=_severity(labels.get("severity")),
            text=_cut(title.strip()),
            since=min(at, now),
            source=_cut(str(payload.get("source") or "webhook")),
        )
    ]


def _is_ours(labels: Mapping[str, str], alert: Mapping[str, Any]) -> bool:
    """What we sent to Alertmanager comes back through its webhook; we know of it already."""
    return {"rule", "model", "category"} <= set(labels) or labels.get("alertname") == "WatchkeeperNotice"


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{where} must be a JSON object, not {type(value).__name__}.")
    return value


def _labels(value: Any, where: str) -> dict[str, str]:
    raw = _mapping(value if value is not None else {}, where)
    if len(raw) > MOST_LABELS:
        raise BadInput(f"{where} has {len(raw)} entries; at most {MOST_LABELS} are read.")
    return {_cut(str(k)): _cut(str(v)) for k, v in raw.items()}


def _severity(word: str | None) -> Severity:
    return SEVERITIES.get((word or "").lower(), Severity.WARNING)


def _time(value: Any, where: str) -> datetime | None:
    if not value:
        return None
    try:
        at = datetime.fromisoformat(_microseconds(str(value)))
    except ValueError:
        raise BadInput(
            f"{where} is {str(value)[:40]!r}, which is not a time.", "Write 2026-03-01T12:00:00Z."
        ) from None
    # Go's zero time, year 1, means that there is none.
    if at.year < 1971:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _microseconds(text: str) -> str:
    """Go writes nanoseconds, which `datetime.fromisoformat` cuts off only since Python 3.11, and only some."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return f"{head}.{digits[:6]}{tail[len(digits) :]}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
