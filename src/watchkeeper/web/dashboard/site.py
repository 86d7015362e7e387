"""Which pages there are. A new part adds its page with one line here, and its entry in the navigation with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Route

from watchkeeper.web.dashboard import search, settings
from watchkeeper.web.dashboard.comparing import Comparing
from watchkeeper.web.dashboard.facts_page import facts_page
from watchkeeper.web.dashboard.fleet import fleet
from watchkeeper.web.dashboard.kit.frame import Room, action, page, plain, shown_once, static_file
from watchkeeper.web.dashboard.kit.live import Live
from watchkeeper.web.dashboard.model import charts as chart_routes
from watchkeeper.web.dashboard.model.change import change_page
from watchkeeper.web.dashboard.model.column import column_page
from watchkeeper.web.dashboard.model.labels import Labels
from watchkeeper.web.dashboard.model.page import model_page
from watchkeeper.web.dashboard.operate import alerts, incidents
from watchkeeper.web.dashboard.sign_in import SignIn
from watchkeeper.web.security import Keys, Role
from watchkeeper.wiring import page_reads


def site_of(watch: Any, keys: Keys) -> Sequence[BaseRoute]:
    """The routes of all pages over one watch."""
    room = Room(watch, page_reads(watch.ledger))
    live, sign_in = Live(room.reads), SignIn(room, keys)
    comparing, labels = Comparing(room), Labels(room)
    room.navigation = [
        ("fleet", "/", "Models"),
        ("alerts", "/alerts", "Alerts"),
        ("incidents", "/incidents", "Incidents"),
        ("labels", "/labels", "Outcomes"),
        ("compare", "/compare", "Compare"),
        ("facts", "/facts", "Facts"),
        ("settings", "/settings", "Settings"),
    ]
    return [
        Route("/", page(room, fleet)),
        Route("/models/{model}", page(room, model_page)),
        Route("/models/{model}/change", page(room, change_page)),
        Route("/models/{model}/charts/{chart}.{form}", plain(room, chart_routes.chart)),
        Route("/models/{model}/columns/{column:path}", page(room, column_page)),
        Route("/alerts", page(room, alerts.alerts_page)),
        Route("/alerts/{key}", page(room, alerts.alert_page)),
        Route("/alerts/{key}/acknowledge", action(room, alerts.acknowledge), methods=["POST"]),
        Route("/alerts/{key}/silence", action(room, alerts.silence_alert), methods=["POST"]),
        Route("/silences", page(room, alerts.silences_page), methods=["GET"]),
        Route("/silences", action(room, alerts.make_silence), methods=["POST"]),
        Route("/silences/{id}/expire", action(room, alerts.expire), methods=["POST"]),
        Route("/incidents", page(room, incidents.incidents_page), methods=["GET"]),
        Route("/incidents", action(room, incidents.open_incident), methods=["POST"]),
        Route("/incidents/{key}", page(room, incidents.incident_page)),
        Route("/incidents/{key}/runbook", action(room, incidents.run_step), methods=["POST"]),
        Route("/incidents/{key}/post-mortem.{form}", plain(room, incidents.postmortem)),
        Route("/incidents/{key}/{verb}", action(room, incidents.change), methods=["POST"]),
        Route("/labels", page(room, labels.page), methods=["GET"]),
        Route("/labels", labels.upload, methods=["POST"]),
        Route("/labels/next", labels.next, methods=["POST"]),
        Route("/compare", page(room, comparing.page), methods=["GET"]),
        Route("/compare", comparing.run, methods=["POST"]),
        Route("/compare/{key}", page(room, comparing.report_page)),
        Route("/compare/{key}/report.{form}", plain(room, comparing.report_file)),
        Route("/settings", page(room, settings.settings_page)),
        Route("/settings/tokens", shown_once(room, settings.make_token, needs=Role.ADMIN), methods=["POST"]),
        Route(
            "/settings/tokens/{id}/revoke", action(room, settings.revoke, needs=Role.ADMIN), methods=["POST"]
        ),
        Route("/facts", page(room, facts_page)),
        Route("/search", plain(room, search.search)),
        Route("/live", live.stream),
        Route("/sign-in", sign_in.show, methods=["GET"]),
        Route("/sign-in", sign_in.enter, methods=["POST"]),
        Route("/sign-out", sign_in.leave, methods=["POST"]),
        Route("/static/{name}", static_file),
    ]
