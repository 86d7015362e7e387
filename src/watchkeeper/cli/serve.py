"""``watchkeeper serve``: API, dashboard, tick and messages in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(
    epilog="""\b
Examples:
  watchkeeper serve
  watchkeeper serve --host 0.0.0.0 --port 8471        behind your own TLS proxy
  watchkeeper serve --no-tick                         takes rows only; another process ticks

Several may run over one project: a lease lets one of them tick. Ctrl-C or SIGTERM ends it cleanly."""
)
@click.option("--host", help="Address to listen on; otherwise that of watchkeeper.toml, which is loopback.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; otherwise that of watchkeeper.toml. 0: a free one."
)
@click.option(
    "--tick/--no-tick", "ticking", default=True, show_default=True, help="Whether this process ticks."
)
@project_option
def serve(host: str | None, port: int | None, ticking: bool, project: Path) -> None:
    """Run the HTTP API, the dashboard, the tick and the messages in one process."""
    from watchkeeper.errors import MissingExtra

    try:
        import uvicorn
    except ImportError as cause:
        raise MissingExtra(adapter="server", library="uvicorn", extra="server") from cause
    from watchkeeper.web.security import Keys
    from watchkeeper.web.server import Server
    from watchkeeper.wiring.telling import outbox_of

    with opened(project) as watch:
        place = host or watch.config.server.host
        server = Server(watch, ticking=ticking, outbox=outbox_of(watch) if ticking else None)
        if place not in _LOOPBACK and not Keys(watch.ledger.facts, watch.clock).exist():
            click.echo(
                "No token exists yet, so only this machine may come in. Make one:\n"
                "  watchkeeper token create NAME --role admin",
                err=True,
            )
        number = watch.config.server.port if port is None else port
        _must_be_free(place, number)
        settings = uvicorn.Config(
            server,
            host=place,
            port=number,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=10,
        )
        _server(settings).run()


def _must_be_free(host: str, port: int) -> None:
    """Raise `StoreUnavailable` with who has the port, before anything starts."""
    import errno
    import socket

    from watchkeeper.errors import StoreUnavailable

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as cause:
            if cause.errno != errno.EADDRINUSE:
                return  # the server itself says what is wrong with the address
            raise StoreUnavailable(
                f"Port {port} of {host} is in use{_holder(port)}.",
                f"Take another:  watchkeeper serve --port {port + 1 if port < 65535 else 0}",
                "Or stop what has it.",
            ) from None


def _holder(port: int) -> str:
    """Which process listens on *port*, as far as this user may know."""
    import psutil

    try:
        for c in psutil.net_connections("tcp"):
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid:
                return f" by {psutil.Process(c.pid).name()} (process {c.pid})"
    except (psutil.Error, OSError):
        pass
    return ""


def _server(settings: Any) -> Any:
    import uvicorn

    class Told(uvicorn.Server):
        """Says where it listens, also on a free port."""

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            for listening in self.servers:
                for socket in listening.sockets:
                    name, number = socket.getsockname()[:2]
                    click.echo(f"Watching at http://{f'[{name}]' if ':' in name else name}:{number}/")

    return Told(settings)
