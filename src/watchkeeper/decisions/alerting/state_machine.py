"""The state machine of one alert: inactive, pending, firing, resolved. Pure: a state and an evaluation in, a state out.

Time is the windows' own (their ends), so a replay of last month goes through the same states as last month did.

============  ==========================  ==========================================================
from          the rule says               to
============  ==========================  ==========================================================
inactive      fail                        pending, or firing where the hold time is nothing
pending       fail, held long enough      firing
pending       pass                        inactive (dropped)
firing        pass, and keep-firing over  resolved (an acknowledgement ends with it)
resolved      fail                        pending or firing, as from inactive: the next episode
any           inconclusive or error       the same: too little data neither alarms nor heals
============  ==========================  ==========================================================

An evaluation of the window that was judged last is a correction of it (late outcomes). One of an older window
never touches the present alert: the shell keeps an alert of its own for it (`retrospective_labels`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.decisions.alerting.flapping import WINDOWS, is_flapping
from watchkeeper.domain.alert import Alert, AlertState, LogEntry, Transition, fingerprint
from watchkeeper.domain.rule import Evaluation, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadTransition

_LOG = 50
_QUIET = (AlertState.INACTIVE, AlertState.RESOLVED)


def alert_labels(
    evaluation: Evaluation, rule: Rule, labels: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The labels of an evaluation's alert: what routes, silences and inhibitions see.

    *labels* are the model's own; the rule's come on top, and the place of the series on top of both.
    """
    severity = rule.severity.least(evaluation.loudest)
    out = {**labels} if labels else {}
    if rule.labels:
        out.update(rule.labels)
    out["rule"] = evaluation.rule
    out["model"] = evaluation.model
    out["severity"] = severity.value
    out["category"] = evaluation.category.value
    if evaluation.measure:
        out["measure"] = evaluation.measure
    if evaluation.subject:
        out["column"] = evaluation.subject
    if evaluation.segment:
        out["segment"] = evaluation.segment
    if evaluation.version:
        out["version"] = evaluation.version
    return out


def identity(labels: Mapping[str, str]) -> str:
    """The fingerprint: severity may change while an alert stays itself."""
    return fingerprint({k: labels[k] for k in _IDENTITY if k in labels})


_IDENTITY = ("rule", "model", "category", "measure", "column", "segment", "version", "window", "source")


def retrospective_labels(labels: Mapping[str, str], evaluation: Evaluation) -> dict[str, str]:
    """The labels of the alert of one old window: its window joins its name."""
    window = evaluation.window
    return {**labels, "window": window.label if window else ""}


def step(
    alert: Alert | None,
    evaluation: Evaluation,
    rule: Rule,
    *,
    now: datetime,
    labels: Mapping[str, str] | None = None,
    recent: timedelta | None = None,
    retrospective: bool = False,
    whom: Mapping[str, Any] | None = None,
) -> tuple[Alert | None, tuple[Transition, ...]]:
    """Return the alert after *evaluation*, and what happened to it.

    Parameters
    ----------
    alert : as it was; None: there is none yet, and none is made for a pass.
    labels : those that the alert gets (`alert_labels`); worked out where None.
    recent : a failing window that ended longer ago than this is retrospective: nobody is paged for it.
    retrospective : it is one in any case.
    whom : segments and columns in which the change shows.

    An evaluation of a window before the alert's newest changes nothing.
    """
    verdict = evaluation.verdict
    if alert is None:
        if verdict is not Verdict.FAIL:
            return None, ()
        if labels is None:
            labels = alert_labels(evaluation, rule)
        alert = Alert(
            fingerprint=identity(labels),
            labels=labels,
            severity=rule.severity.least(evaluation.loudest),
            category=evaluation.category,
            rule=rule.name,
            model=evaluation.model,
            about=rule.about,
            runbook=rule.runbook,
        )
    window = evaluation.window
    at = now if window is None else window.end
    if alert.window_end is not None and at < alert.window_end:
        return alert, ()
    if verdict is Verdict.INCONCLUSIVE or verdict is Verdict.ERROR:
        # What is not known yet neither heals nor holds: windows that mature later are still to be judged in their order.
        return alert, ()
    if verdict is Verdict.PASS and alert.state in _QUIET and "1" not in alert.flips and not alert.flapping:
        return alert, ()  # long over: a pass is no news, and is not written down with every window
    again = alert.window_end == at and alert.flips != ""
    if verdict is Verdict.FAIL:
        after, found = _failed(alert, evaluation, rule, at, now, labels, recent, retrospective, whom)
    else:
        after, found = _passed(alert, evaluation, rule, at, now, again)
    if window is None and not found and alert.verdict == verdict.value:
        return alert, ()  # looked at with every tick: only changes count
    firing = "1" if after.state is AlertState.FIRING else "0"
    flips = (after.flips[:-1] if again else after.flips[-(WINDOWS - 1) :]) + firing
    flapping = is_flapping(flips, before=alert.flapping)
    if flapping != alert.flapping:
        text = "Comes and goes: it counts as firing until it is steady." if flapping else "Is steady again."
        found = [*found, Transition("flapping" if flapping else "calmed", text)]
    if (
        not found
        and again
        and alert.verdict == verdict.value
        and alert.sentence == evaluation.sentence
        and flips == alert.flips
    ):
        return alert, ()
    log = after.log
    if found:
        log = (*log, *(LogEntry(at if t.kind in _OF_WINDOW else now, "watchkeeper", t.text) for t in found))[
            -_LOG:
        ]
    after = replace(
        after,
        verdict=verdict.value,
        sentence=evaluation.sentence,
        window_start=None if window is None else window.start,
        window_end=at,
        flips=flips,
        flapping=flapping,
        changed_at=now if found else after.changed_at,
        log=log,
    )
    return after, tuple(found)


_OF_WINDOW = ("pending", "fired", "resolved", "dropped", "reopened")


def _failed(
    alert: Alert,
    evaluation: Evaluation,
    rule: Rule,
    at: datetime,
    now: datetime,
    labels: Mapping[str, str] | None,
    recent: timedelta | None,
    retrospective: bool,
    whom: Mapping[str, Any] | None,
) -> tuple[Alert, list[Transition]]:
    old = retrospective or (recent is not None and now - at > recent)
    severity = rule.severity.least(evaluation.loudest)
    began = evaluation.window.start if evaluation.window is not None else at
    live = alert.state in (AlertState.PENDING, AlertState.FIRING)
    first = (evaluation.since or began) if not live or alert.since is None else alert.since
    changes: dict[str, Any] = {
        "severity": severity,
        "labels": labels if labels is not None else {**alert.labels, "severity": severity.value},
        "what": evaluation.to_dict(),
        "about": rule.about,
        "runbook": rule.runbook,
        "last_failed": at,
        "passes": 0,
        "since": min(first, evaluation.since) if evaluation.since is not None else first,
    }
    if whom is not None:
        changes["whom"] = dict(whom)
    found: list[Transition] = []
    if alert.state is AlertState.FIRING:
        if alert.retrospective and not old:
            changes["retrospective"] = False
            found.append(Transition("current", "It still goes on in the newest window."))
        return replace(alert, **changes), found
    corrected = alert.state is AlertState.RESOLVED and alert.window_end == at and alert.fired_at is not None
    since = alert.pending_since if alert.state is AlertState.PENDING and alert.pending_since else at
    if at - since >= rule.hold:
        kind = "reopened" if corrected or (old and alert.episode) else "fired"
        changes |= {
            "state": AlertState.FIRING,
            "episode": alert.episode + 1,
            "fired_at": at,
            "resolved_at": None,
            "pending_since": since,
            "retrospective": old,
        }
        found.append(Transition(kind, f"Fired: {evaluation.sentence}"))
    elif alert.state is not AlertState.PENDING:
        changes |= {
            "state": AlertState.PENDING,
            "pending_since": at,
            "resolved_at": None,
            "retrospective": old,
        }
        found.append(Transition("pending", f"Seen first: {evaluation.sentence}"))
    return replace(alert, **changes), found


def _passed(
    alert: Alert, evaluation: Evaluation, rule: Rule, at: datetime, now: datetime, again: bool
) -> tuple[Alert, list[Transition]]:
    if alert.state is AlertState.PENDING:
        dropped = replace(alert, state=AlertState.INACTIVE, pending_since=None)
        return dropped, [Transition("dropped", "Passed again before its hold time was over.")]
    if alert.state is not AlertState.FIRING:
        return alert, []
    corrected = again and alert.last_failed == at
    passes = alert.passes + (0 if again else 1)
    if not corrected and passes < rule.resolve_after:
        return replace(alert, passes=passes), []
    kept = rule.keep_firing_for and alert.last_failed is not None
    if not corrected and kept and at - alert.last_failed <= rule.keep_firing_for:  # type: ignore[operator]
        return alert, []
    found = []
    if corrected:
        found.append(Transition("corrected", "What came late changed this window: it passes now."))
    found.append(Transition("resolved", f"Resolved: {evaluation.sentence}"))
    if alert.acknowledged_by:
        found.append(Transition("unacknowledged", "The acknowledgement ended with it."))
    resolved = replace(
        alert,
        state=AlertState.RESOLVED,
        resolved_at=at,
        pending_since=None,
        passes=0,
        acknowledged_by="",
        acknowledged_at=None,
        acknowledged_note="",
    )
    return resolved, found


def acknowledge(alert: Alert, *, actor: str, now: datetime, note: str = "") -> Alert:
    """Somebody has seen it: repeats stop until it resolves, when the acknowledgement ends by itself.

    Raises
    ------
    BadTransition
        it neither fires nor is pending.
    """
    if alert.state not in (AlertState.FIRING, AlertState.PENDING):
        raise BadTransition(
            f"The alert {alert.fingerprint} is {alert.state.value}, so there is nothing to acknowledge.",
            "To mute what may come, add a silence:  watchkeeper silences add",
        )
    said = f": {note}" if note else ""
    return replace(
        with_log(alert, now, actor, f"Acknowledged{said}."),
        acknowledged_by=actor,
        acknowledged_at=now,
        acknowledged_note=note,
        changed_at=now,
    )


def unacknowledge(alert: Alert, *, actor: str, now: datetime) -> Alert:
    """Take an acknowledgement back: repeats begin again.

    Raises
    ------
    BadTransition
        it is not acknowledged.
    """
    if not alert.acknowledged_by:
        raise BadTransition(f"The alert {alert.fingerprint} is not acknowledged.")
    return replace(
        with_log(alert, now, actor, "Took the acknowledgement back."),
        acknowledged_by="",
        acknowledged_at=None,
        acknowledged_note="",
        changed_at=now,
    )


def with_log(alert: Alert, at: datetime, actor: str, text: str) -> Alert:
    """The alert with one more line of what was done; the oldest of more than 50 go."""
    return replace(alert, log=(*alert.log, LogEntry(at, actor, text))[-_LOG:])
