"""An alert in words: what changed, since when, for whom, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from watchkeeper.decisions.rules.series import number
from watchkeeper.domain.alert import Alert, AlertState, Story


def alert_story(alert: Alert) -> Story:
    """Return the four answers, in order, and a headline.

    >>> from watchkeeper.domain.rule import Severity
    >>> story = alert_story(Alert(fingerprint="0", labels={"model": "churn"}, severity=Severity.WARNING, model="churn",
    ...                           rule="psi", sentence="PSI of age is 0.3.", state=AlertState.FIRING))
    >>> story.headline, story.done
    ('churn: PSI of age is 0.3.', 'Nothing yet.')
    """
    what = alert.what
    sentence = failed_sentence(alert)
    parts = [sentence]
    interval = what.get("interval")
    if interval and "95%" not in sentence:
        parts.append(f"The {interval[2]:.0%} interval is {number(interval[0])} to {number(interval[1])}.")
    rows = what.get("rows")
    if rows:
        parts.append(f"{rows:,.0f} rows.")
    cause = (what.get("details") or {}).get("cause")
    if cause:
        parts.append(cause["sentence"])
    guarantee = what.get("guarantee")
    if guarantee:
        # Its first clause; what else there is to say about it stands on the alert's page.
        assumption = str(what.get("assumption") or "").split(";")[0]
        parts.append(f"Guarantee: {guarantee}" + (f", {assumption}." if assumption else "."))
    return Story(
        headline=_headline(alert, sentence),
        what=" ".join(parts),
        since=_since(alert),
        whom=_whom(alert),
        done=_done(alert),
    )


def failed_sentence(alert: Alert) -> str:
    """What its rule said when it last failed; one that comes and goes may pass just now."""
    return str(alert.what.get("sentence") or alert.sentence)


def _headline(alert: Alert, sentence: str) -> str:
    state = {
        AlertState.RESOLVED: "resolved: ",
        AlertState.PENDING: "seen: ",
        AlertState.INACTIVE: "passed: ",
    }.get(alert.state, "")
    if alert.flapping:
        state = "comes and goes: "
    back = "looking back: " if alert.retrospective else ""
    return f"{alert.model}: {back}{state}{sentence}" if alert.model else f"{back}{state}{sentence}"


def _since(alert: Alert) -> str:
    if alert.since is None:
        return "Unknown."
    text = f"{_moment(alert.since)}"
    if alert.fired_at is not None:
        text += f"; fired with the window that ended {_moment(alert.fired_at)}"
    if alert.resolved_at is not None:
        text += f"; over with the one that ended {_moment(alert.resolved_at)}"
    if alert.retrospective:
        text += "; known only now, from what came late"
    if alert.episode > 1:
        text += f"; it is the {_ordinal(alert.episode)} time"
    return text + "."


def _whom(alert: Alert) -> str:
    whom = alert.whom
    column, segment = alert.labels.get("column", ""), alert.labels.get("segment", "")
    parts = [f"Segment {segment}." if segment else "All rows."]
    if column:
        parts.append(f"Column {column}.")
    segments = whom.get("segments") or ()
    if segments:
        parts.append(f"Most in {_listed([str(s['segment']) for s in segments])}.")
    columns = whom.get("columns") or ()
    if columns:
        parts.append(f"Columns that moved with it: {_listed([str(c['column']) for c in columns])}.")
    if alert.labels.get("version"):
        parts.append(f"Version {alert.labels['version']}.")
    return " ".join(parts)


def _done(alert: Alert) -> str:
    entries = [
        e for e in alert.log if e.actor != "watchkeeper" or e.text.startswith(("Told", "Silenced", "Muted"))
    ]
    if not entries:
        return "Nothing yet."
    return " ".join(f"{_moment(e.at)} {e.actor}: {e.text}" for e in entries[-5:])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _ordinal(n: int) -> str:
    end = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{end}"
