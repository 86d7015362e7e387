"""``watchkeeper demo``: a real year under watch, in minutes."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

__all__ = ["demo"]


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("watchkeeper-demo"),
    show_default=True,
    help="Where everything goes; an earlier demo there is replaced.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.1),
    help="Days of 2013 a second at most; as fast as it goes without it.",
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="End the replay before 2014.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8471,
    show_default=True,
    help="Of the dashboard; 0 or a taken one: another.",
)
@click.option("--headless", is_flag=True, help="End by itself, with the summary as JSON.")
def demo(folder: Path, speed: float | None, until: datetime | None, port: int, headless: bool) -> None:
    """Put a model under watch, replay the flights of 2013 through it, and look at what was seen."""
    from watchkeeper.cli.demo.story import run_demo
    from watchkeeper.cli.terminal import print_json

    summary = run_demo(
        folder,
        speed=speed,
        until=None if until is None else until.replace(tzinfo=UTC) + timedelta(hours=5),
        headless=headless,
        port=port,
        quiet=headless,
        serve=serve_dashboard,
    )
    if headless:
        print_json(summary)


def serve_dashboard(watch: Any, port: int, tell: Any) -> None:
    """The dashboard of the replayed year, until Ctrl-C."""
    import socket

    import uvicorn

    from watchkeeper.web.app import create_app
    from watchkeeper.web.security import create_token

    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            tell.say(f"Port {port} is taken; the dashboard takes another.")
            port = 0
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
    token = create_token(
        watch.ledger.facts, name="demo", role="admin", by="demo", now=watch.clock(), lasts=timedelta(days=1)
    )
    tell.say(f"\nThe dashboard: http://127.0.0.1:{port}/?token={token}\nLeave with Ctrl-C.", style="bold")
    settings = uvicorn.Config(
        create_app(watch), host="127.0.0.1", port=port, log_level="warning", access_log=False
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run()
