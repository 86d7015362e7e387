"""Alertmanager (API v2): our alerts in, its grouping and routing out; silences both ways.

An alert that fires is sent again and again with an end a few intervals ahead, so that it resolves by itself should
we die; one that resolves is sent with its end in the past, for as long as Alertmanager needs to notice.
Spoken against 0.25 and later: unknown fields of an answer are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from watchkeeper.adapters.notifiers.exchange import TIMEOUT_S, Refused, request_json
from watchkeeper.domain.silence import Matcher, Silence

LABEL = re.compile(r"[^A-Za-z0-9_]")
MOST_AT_ONCE = 500


class AlertmanagerNotifier:
    """One Alertmanager, by its base address (``http://127.0.0.1:9093``).

    Parameters
    ----------
    resend_every : how often firing alerts are sent; they end by themselves after four times as long.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        resend_every: timedelta = timedelta(minutes=1),
        link: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self.resend_every = resend_every
        self._base = url.rstrip("/").removesuffix("/api/v2") + "/api/v2"
        self._link, self._timeout_s = link.rstrip("/"), timeout_s

    def send(self, message: Mapping[str, Any], *, key: str) -> None:
        """See `watchkeeper.ports.notifier.Notifier`: the alerts of one message, now."""
        alerts = [a for a in message.get("alerts", ()) if a.get("labels")]
        if not alerts:
            severity = str(message.get("severity") or "notice")
            labels = {
                "alertname": "WatchkeeperNotice",
                "severity": severity,
                "group": str(message.get("group") or key),
            }
            alerts = [{"labels": labels, "headline": message.get("title", ""), "fingerprint": key}]
        self.push(alerts, now=datetime.now(UTC))

    def push(self, alerts: Iterable[Mapping[str, Any]], *, now: datetime) -> int:
        """Send alerts (bodies of `Alert`), firing and resolved; return how many.

        Raises
        ------
        TryAgain, Refused
        """
        payload = [alert_payload(a, now=now, lasts=4 * self.resend_every, link=self._link) for a in alerts]
        for i in range(0, len(payload), MOST_AT_ONCE):
            self._ask("POST", "/alerts", payload[i : i + MOST_AT_ONCE])
        return len(payload)

    def alerts(self) -> list[dict[str, Any]]:
        """What Alertmanager holds, with ``status.state`` and ``status.silencedBy``."""
        return list(self._ask("GET", "/alerts") or [])

    def silences(self) -> list[tuple[Silence, str]]:
        """Every silence that it knows, with its state (``active``, ``pending``, ``expired``).

        One that would mute everything, or whose pattern Python cannot read, is left out: it stays theirs.
        """
        out = []
        for raw in self._ask("GET", "/silences") or []:
            try:
                out.append((_silence(raw), str(raw.get("status", {}).get("state", "active"))))
            except (ValueError, KeyError, TypeError, Refused):
                continue
            except Exception as fault:
                if type(fault).__module__ != "watchkeeper.errors":
                    raise
        return out

    def put_silence(self, silence: Silence, *, id: str = "") -> str:
        """Create or replace a silence; return its name there (a changed one may get a new name)."""
        payload: dict[str, Any] = {
            "matchers": [
                {
                    "name": LABEL.sub("_", m.label),
                    "value": m.value,
                    "isRegex": m.operator in ("=~", "!~"),
                    "isEqual": m.operator in ("=", "=~"),
                }
                for m in silence.matchers
            ],
            "startsAt": _time(silence.starts_at),
            "endsAt": _time(silence.ends_at),
            "createdBy": silence.author,
            "comment": silence.reason,
        }
        if id:
            payload["id"] = id
        return str(self._ask("POST", "/silences", payload)["silenceID"])

    def expire_silence(self, id: str) -> None:
        """End a silence now; one that is gone already is as good as ended."""
        try:
            self._ask("DELETE", f"/silence/{quote(id, safe='')}")
        except Refused as fault:
            if "404" not in fault.what:
                raise

    def _ask(self, method: str, path: str, payload: Any = None) -> Any:
        return request_json(
            method, self._base + path, payload, timeout_s=self._timeout_s, whom=f"Alertmanager {self.name!r}"
        )


def alert_payload(
    alert: Mapping[str, Any], *, now: datetime, lasts: timedelta, link: str = ""
) -> dict[str, Any]:
    """One alert as Alertmanager takes it: all values text, label names of its alphabet.

    >>> at = datetime(2026, 3, 1, tzinfo=UTC)
    >>> alert_payload({"labels": {"model": "m", "a-b": 1}, "rule": "psi"}, now=at, lasts=timedelta(minutes=4))["labels"]
    {'model': 'm', 'a_b': '1', 'alertname': 'psi'}
    """
    labels = {LABEL.sub("_", str(k)): str(v) for k, v in alert["labels"].items() if str(v) != ""}
    labels = {("_" + k if k[0].isdigit() else k): v for k, v in labels.items() if k}
    labels.setdefault("alertname", str(alert.get("rule") or labels.get("rule") or "Watchkeeper"))
    if alert.get("severity"):
        labels.setdefault("severity", str(alert["severity"]))
    said = {
        "summary": alert.get("headline") or alert.get("sentence"),
        "description": alert.get("about"),
        "runbook_url": alert.get("runbook"),
        "since": alert.get("since"),
    }
    what = alert.get("what")
    said["value"] = what.get("value") if isinstance(what, Mapping) else what
    resolved = alert.get("state") == "resolved"
    # The clock of the alert is event time, which may be weeks old; Alertmanager forgets what ended long ago.
    out = {
        "labels": labels,
        "annotations": {k: str(v) for k, v in said.items() if v is not None and v != ""},
        "endsAt": _time(now if resolved else now + lasts),
    }
    started = _moment(alert.get("changed_at") if not resolved else None) or _moment(alert.get("started_at"))
    if started is not None and started < now:
        out["startsAt"] = _time(started)
    elif resolved:
        out["startsAt"] = _time(now - timedelta(seconds=1))
    if link:
        out["generatorURL"] = f"{link}/alerts/{alert.get('fingerprint', '')}"
    return out


def _silence(raw: Mapping[str, Any]) -> Silence:
    signs = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    matchers: Sequence[Mapping[str, Any]] = raw["matchers"]
    return Silence(
        id=str(raw["id"]),
        matchers=tuple(
            Matcher(m["name"], signs[bool(m["isRegex"]), bool(m.get("isEqual", True))], m["value"])
            for m in matchers
        ),
        author=str(raw.get("createdBy") or "alertmanager"),
        reason=str(raw.get("comment") or "no comment"),
        starts_at=_moment(raw["startsAt"]) or datetime.now(UTC),
        ends_at=_moment(raw["endsAt"]) or datetime.now(UTC),
        details={"from": "alertmanager"},
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    # Go writes nanoseconds, which Python's parser does not take.
    try:
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
