"""What joins alerts, incidents and messages: incidents follow alerts, messages get charts, incidents and lessons."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from watchkeeper.decisions.incidents.incidents import IncidentPolicy
from watchkeeper.documents.drawing.charts import points_of, series_line
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.fact import Lease
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.records.kinds import ALERT
from watchkeeper.loop.records.records import Records
from watchkeeper.measures.catalogue import described_measures

_log = logging.getLogger("watchkeeper.telling")
HISTORY, BEFORE, MOST_HISTORY = 90, 20, 400
"""Windows that a chart shows: at least, at least before it began, at most."""


class IncidentFollower:
    """Handed to the watch beside the judge of alerts: after each pass incidents take what alerts did."""

    def __init__(self, policy: IncidentPolicy | None = None) -> None:
        self._policy = policy

    def __call__(self, *args: Any) -> None:
        """A measured window: nothing to do until the pass is over."""

    def after(self, watch: Any, lease: Lease | None = None) -> int:
        """Open and feed incidents; return how many."""
        return incidents_of(watch, self._policy).follow()


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
            return None if kept is None else alert_chart(watch, kept.value)

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


def alert_chart(watch: Any, alert: Alert) -> dict[str, Any] | None:
    """The series that an alert is about, with its level, its baseline, and when it began and fired; None without one."""
    what = alert.what
    column = alert.labels.get("column", "")
    measure = str(what.get("measure") or alert.labels.get("measure") or "")
    named = bool(measure)
    if not measure and column:
        measure = "psi"  # rules on whole distributions name no measure; the distance from the baseline shows the same
    if not measure or not alert.model:
        return None
    end = alert.window_end
    length = None if alert.window_start is None or end is None else end - alert.window_start
    start = None
    if length is not None and end is not None:
        before = end if alert.since is None else alert.since - BEFORE * length
        start = max(min(end - HISTORY * length, before), end - MOST_HISTORY * length)
    table = watch.ledger.measurements.series(
        alert.model,
        measure,
        subject=str(what.get("subject") or column),
        segment=alert.labels.get("segment", ""),
        version=alert.labels.get("version", ""),
        start=start,
        end=None if end is None else end + timedelta(seconds=1),
        length=length,
    )
    points = points_of(table)
    if not any(p["value"] is not None for p in points):
        return None
    marks = []
    first, last = points[0]["at"], points[-1]["at"]
    if alert.since is not None and alert.since >= first:
        near = (alert.since - first) < 0.15 * (last - first)  # there is no room before its line
        marks.append({"at": alert.since, "text": "it began", **({} if near else {"side": "left"})})
    if alert.fired_at is not None and length is not None and alert.fired_at - length >= first:
        marks.append({"at": alert.fired_at - length, "text": "fired", "kind": "fail"})
    subject = str(what.get("subject") or column)
    described = described_measures().get(measure)
    title = described.title if described is not None else measure
    return series_line(
        points,
        title=f"{title} of {subject}" if subject else title,
        subtitle=", ".join(p for p in (alert.model, alert.labels.get("segment", "")) if p),
        unit=described.unit if described is not None else "",
        threshold=what.get("limit") if named else None,
        baseline=what.get("baseline") if named else None,
        marks=marks,
    )
