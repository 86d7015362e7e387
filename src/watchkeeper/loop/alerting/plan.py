"""The plan of alerting: what the configuration says of rules, routes, inhibitions and maintenance, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from watchkeeper.decisions.alerting.inhibition import (
    BUILT_IN,
    Inhibition,
    check_inhibitions,
    parse_inhibition,
)
from watchkeeper.decisions.alerting.maintenance import Maintenance, parse_maintenance
from watchkeeper.decisions.alerting.routing import Route, check_routes, parse_route
from watchkeeper.decisions.rules.catalogue import check_rules, parse_rule
from watchkeeper.decisions.rules.preset import Budget, default_rules
from watchkeeper.domain.rule import Rule
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.errors import BadInput, MissingExtra


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingPlan:
    """Everything that alerting was told: checked when it is made, so that nothing is found out at night."""

    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    """By model: the owner's own; the preset's are added when the schema is known."""
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    inhibitions: tuple[Inhibition, ...] = BUILT_IN
    maintenance: tuple[Maintenance, ...] = ()
    budget: Budget = field(default_factory=Budget)
    preset: bool = True


def alerting_plan(
    models: Mapping[str, WatchedModel],
    *,
    routes: Sequence[Mapping[str, Any]] = (),
    inhibit: Sequence[Mapping[str, Any]] = (),
    maintenance: Sequence[Mapping[str, Any]] = (),
    channels: Iterable[str] = (),
    measures: Iterable[str] | None = None,
    preset: bool = True,
) -> AlertingPlan:
    """Read and check what the configuration says of alerting.

    Without routes every channel hears of everything, by model. A rule with ``enabled = false`` takes the preset's
    rule of that name out; one that is written anew stands in its place.

    Raises
    ------
    BadInput
        a rule, route, inhibition or maintenance window cannot be used; the key and the nearest known one are named.
    """
    names = list(channels)
    rules: dict[str, tuple[Rule, ...]] = {}
    left_out: dict[str, frozenset[str]] = {}
    known = None if measures is None else list(measures)
    for name, model in models.items():
        own, out = [], set()
        for raw in model.rules:
            if raw.get("enabled") is False:
                out.add(str(raw.get("name", "")))
                continue
            rule = parse_rule(raw, measures=known)
            own.append(rule)
            out.add(rule.name)
        rules[name], left_out[name] = tuple(own), frozenset(out)
        all_rules = [*own, *(default_rules(model.task, leave_out=out) if preset else ())]
        check_rules(all_rules)
    parsed = tuple(parse_route(raw) for raw in routes)
    if not parsed and names:
        parsed = (Route(channels=tuple(names)),)
    labels = {label for m in models.values() for label in m.labels}
    labels |= {label for several in rules.values() for rule in several for label in rule.labels}
    check_routes(parsed, channels=names, labels=sorted(labels))
    inhibitions = (*BUILT_IN, *(parse_inhibition(raw) for raw in inhibit))
    check_inhibitions(inhibitions)
    windows = tuple(parse_maintenance(raw) for raw in maintenance)
    for window in windows:
        if window.cron:
            with_spans(window, datetime(2026, 1, 1, tzinfo=UTC))
    return AlertingPlan(
        rules=rules,
        left_out=left_out,
        routes=parsed,
        inhibitions=inhibitions,
        maintenance=windows,
        preset=preset,
    )


def with_spans(window: Maintenance, now: datetime) -> Maintenance:
    """Work out when the windows of a cron line near *now* begin and end.

    Raises
    ------
    BadInput
        the line cannot be read.
    MissingExtra
        the library that reads it is not installed.
    """
    if not window.cron:
        return window
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as cause:
        raise MissingExtra(
            adapter="cron line of a maintenance window", library="cronsim", extra="server"
        ) from cause
    try:
        times = CronSim(
            window.cron, (now - window.duration - timedelta(minutes=1)).astimezone(ZoneInfo(window.timezone))
        )
    except CronSimError as cause:
        raise BadInput(
            f"The maintenance window {window.name!r} has a cron line that cannot be read: {cause}.",
            'For example cron = "0 2 * * SUN".',
        ) from None
    spans = []
    for at in times:
        if at > now:
            break
        begins = at.astimezone(UTC)
        spans.append((begins, begins + window.duration))
    return replace(window, spans=tuple(spans))
