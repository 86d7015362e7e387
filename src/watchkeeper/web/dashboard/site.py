"""Which pages there are. A new part adds its page with one line here, and its entry in the navigation with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Route

from watchkeeper.web.dashboard import alerts, chart_routes, search
from watchkeeper.web.dashboard.column import column_page
from watchkeeper.web.dashboard.facts_page import facts_page
from watchkeeper.web.dashboard.fleet import fleet
from watchkeeper.web.dashboard.frame import Room, action, page, plain, static_file
from watchkeeper.web.dashboard.live import Live
from watchkeeper.web.dashboard.model import model_page
from watchkeeper.web.dashboard.reads import Reads
from watchkeeper.web.dashboard.sign_in import SignIn
from watchkeeper.web.security import Keys

__all__ = ["site_of"]


def site_of(watch: Any, keys: Keys) -> Sequence[BaseRoute]:
    """The routes of all pages over one watch."""
    room = Room(watch, Reads(watch.ledger))
    live, sign_in = Live(room.reads), SignIn(room, keys)
    room.navigation = [
        ("fleet", "/", "Models"),
        ("alerts", "/alerts", "Alerts"),
        ("facts", "/facts", "Facts"),
    ]
    return [
        Route("/", page(room, fleet)),
        Route("/models/{model}", page(room, model_page)),
        Route("/models/{model}/charts/{chart}.{form}", plain(room, chart_routes.chart)),
        Route("/models/{model}/columns/{column:path}", page(room, column_page)),
        Route("/alerts", page(room, alerts.alerts_page)),
        Route("/alerts/{key}", page(room, alerts.alert_page)),
        Route("/alerts/{key}/acknowledge", action(room, alerts.acknowledge), methods=["POST"]),
        Route("/alerts/{key}/silence", action(room, alerts.silence_alert), methods=["POST"]),
        Route("/silences", page(room, alerts.silences_page), methods=["GET"]),
        Route("/silences", action(room, alerts.make_silence), methods=["POST"]),
        Route("/silences/{id}/expire", action(room, alerts.expire), methods=["POST"]),
        Route("/facts", page(room, facts_page)),
        Route("/search", plain(room, search.search)),
        Route("/live", live.stream),
        Route("/sign-in", sign_in.show, methods=["GET"]),
        Route("/sign-in", sign_in.enter, methods=["POST"]),
        Route("/sign-out", sign_in.leave, methods=["POST"]),
        Route("/static/{name}", static_file),
    ]
