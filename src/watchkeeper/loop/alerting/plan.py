"""The plan of alerting: what the configuration says of rules, routes, inhibitions and maintenance, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from watchkeeper.decisions.alerting.inhibition import BUILT_IN, Inhibition, check_inhibitions
from watchkeeper.decisions.alerting.maintenance import Maintenance
from watchkeeper.decisions.alerting.routing import Route, route_faults
from watchkeeper.decisions.rules.budget import Budget
from watchkeeper.decisions.rules.catalogue import rule_faults
from watchkeeper.decisions.rules.preset import default_rules
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
    routes: Sequence[Route] = (),
    inhibit: Sequence[Inhibition] = (),
    maintenance: Sequence[Maintenance] = (),
    channels: Iterable[str] = (),
    preset: bool = True,
    check: bool = True,
) -> AlertingPlan:
    """Put together what the configuration says of alerting.

    Without routes every channel hears of everything, by model. A rule that is switched off takes the preset's rule
    of that name out; one that is written anew stands in its place. Without *check* its parts may contradict each other
    (`plan_faults`).

    Raises
    ------
    BadInput
        rules, routes, inhibitions or maintenance windows cannot stand together.
    """
    names = list(channels)
    plan = AlertingPlan(
        rules={name: model.rules for name, model in models.items()},
        left_out={name: model.rules_off | {r.name for r in model.rules} for name, model in models.items()},
        routes=tuple(routes) or ((Route(channels=tuple(names)),) if names else ()),
        inhibitions=(*BUILT_IN, *inhibit),
        maintenance=tuple(maintenance),
        preset=preset,
    )
    if check:
        for _, fault in plan_faults(models, plan, names):
            raise fault
    return plan


def plan_faults(
    models: Mapping[str, WatchedModel], plan: AlertingPlan, channels: Iterable[str]
) -> Iterator[tuple[tuple[str | int, ...], BadInput]]:
    """What cannot stand together, each with its place in the file."""
    for name, model in models.items():
        preset = default_rules(model.task, leave_out=plan.left_out[name]) if plan.preset else ()
        for rule, fault in rule_faults((*model.rules, *preset)):
            yield ("models", name, "rules", rule), fault
    labels = {
        label for m in models.values() for label in (*m.labels, *(x for r in m.rules for x in r.labels))
    }
    for n, fault in route_faults(plan.routes, channels=channels, labels=sorted(labels)):
        yield ("routes", n), fault
    try:
        check_inhibitions(plan.inhibitions)
    except BadInput as circle:
        yield ("inhibit", 0), circle
    for n, window in enumerate(plan.maintenance):
        try:
            with_spans(window, datetime(2026, 1, 1, tzinfo=UTC))
        except BadInput as fault:
            yield ("maintenance", n), fault


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
