"""Rules, routes and the rest of alerting in tests, as people write them in ``watchkeeper.toml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from watchkeeper.decisions.alerting.inhibition import InhibitionTable
from watchkeeper.decisions.alerting.maintenance import AnyMaintenanceTable
from watchkeeper.decisions.alerting.routing import RouteTable
from watchkeeper.decisions.rules.catalogue import parse_rule
from watchkeeper.decisions.tables import read
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.loop.alerting.plan import AlertingPlan, alerting_plan


def model_of(name: str = "m", rules: Iterable[Mapping[str, Any]] = (), **rest: Any) -> WatchedModel:
    """A model with rules as its owner would write them."""
    raw = list(rules)
    return WatchedModel(
        name=name,
        rules=tuple(parse_rule(r) for r in raw if r.get("enabled", True)),
        rules_off=frozenset(r["name"] for r in raw if not r.get("enabled", True)),
        **rest,
    )


def plan_of(
    models: Mapping[str, WatchedModel],
    *,
    routes: Iterable[Mapping[str, Any]] = (),
    inhibit: Iterable[Mapping[str, Any]] = (),
    maintenance: Iterable[Mapping[str, Any]] = (),
    **rest: Any,
) -> AlertingPlan:
    """A plan whose parts are written as in the file."""
    windows: list[Any] = [read(AnyMaintenanceTable, m, "The maintenance window") for m in maintenance]
    return alerting_plan(
        models,
        routes=[read(RouteTable, r, "The route").route() for r in routes],
        inhibit=[read(InhibitionTable, i, "The inhibition").inhibition() for i in inhibit],
        maintenance=[w.window() for w in windows],
        **rest,
    )
