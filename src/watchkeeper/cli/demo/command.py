"""``watchkeeper demo``: a real year under watch, in minutes."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click


@click.command(
    epilog="""\b
Examples:
  watchkeeper demo                       a few minutes, then the dashboard
  watchkeeper demo --speed 2             two days a second, to read along
  watchkeeper demo --show                the dashboard of the last one again
  watchkeeper demo --headless            the summary as JSON"""
)
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
@click.option("--show", is_flag=True, help="Replay nothing: the dashboard of the demo in the folder.")
@click.option("--headless", is_flag=True, help="End by itself, with the summary as JSON.")
def demo(
    folder: Path, speed: float | None, until: datetime | None, port: int, show: bool, headless: bool
) -> None:
    """Put a model under watch, replay the flights of 2013 through it, and look at what was seen."""
    from watchkeeper.cli.demo.replay import day_start
    from watchkeeper.cli.demo.story import finished_demo, run_demo
    from watchkeeper.cli.demo.teller import Teller
    from watchkeeper.cli.terminal import print_json

    if show:
        with finished_demo(folder) as watch:
            serve_dashboard(watch, port, Teller())
        return
    end = None if until is None else day_start(until.month, until.day, until.year)
    if end is not None and not day_start(3) < end <= day_start(1, 1, 2014):
        raise click.BadParameter("the replay is of March to December 2013.", param_hint="--until")
    summary = run_demo(
        folder, speed=speed, until=end, headless=headless, port=port, quiet=headless, serve=serve_dashboard
    )
    if headless:
        print_json(summary)


def serve_dashboard(watch: Any, port: int, tell: Any) -> None:
    """The dashboard of the replayed year, until Ctrl-C."""
    import uvicorn

    from watchkeeper.web.app import create_app
    from watchkeeper.web.security import create_token

    free = _free(port)
    if free != port and port:
        tell.say(f"Port {port} is taken; the dashboard takes another.", style="dim")
    facts = watch.ledger.facts
    now, day = watch.clock(), timedelta(days=1)
    token = create_token(facts, name="you", role="admin", by="demo", now=now, lasts=day, once=True)

    class Told(uvicorn.Server):
        """Says the link when it listens."""

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            address = f"http://127.0.0.1:{free}/sign-in?token={token}"
            tell.say(f"\nThe dashboard, by a link that works once:\n  {address}")
            tell.say("Ctrl-C ends it; `watchkeeper demo --show` opens it again.", style="dim")

    try:
        with contextlib.suppress(KeyboardInterrupt):
            settings = uvicorn.Config(
                create_app(watch),
                host="127.0.0.1",
                port=free,
                log_level="critical",  # a page that is open at Ctrl-C is cut off, which is no fault
                access_log=False,
                timeout_graceful_shutdown=1,
            )
            Told(settings).run()
    finally:
        # Whoever serves this folder later is not locked out by a link that was for now.
        kinds = ("session", "token")
        facts.forget((d.kind, d.key) for kind in kinds for d in facts.documents(kind, limit=1000))
    tell.say("\nNothing is left running.", style="dim")


def _free(port: int) -> int:
    """*port*, or any other where it is taken."""
    import socket

    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")
