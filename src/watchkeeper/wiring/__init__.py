"""From configuration to objects: the only place that knows every adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.errors import BadInput

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.ports.ledger import Ledger
    from watchkeeper.ports.page_reads import PageReads

__all__ = ["open_project", "page_reads"]


def open_project(path: str | Path = ".", *, clock: Callable[[], datetime] | None = None) -> Watch:
    """Open the project at or above *path*: its configuration, ledger and lake.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "watchkeeper.toml").write_text('[models.churn]\\ntask = "binary"\\n')
    >>> with open_project(folder) as watch:
    ...     list(watch.models)
    ['churn']

    Raises
    ------
    BadConfig
        there is no project, or its file has faults.
    MissingExtra
        the server extra is not installed.
    StoreUnavailable
        the ledger cannot be reached.
    """
    from watchkeeper.adapters.lakes.delta import open_lake
    from watchkeeper.adapters.ledgers.sql import open_ledger
    from watchkeeper.adapters.sources.table import open_table
    from watchkeeper.loop.alerting.judging import AlertJudge
    from watchkeeper.loop.incidents.follow import IncidentFollower
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.wiring.config import find_project, load_config, secret

    folder = find_project(path)
    config = load_config(folder)
    data = folder / config.project.data
    url = secret(config.ledger.url) if config.ledger.url else data / "ledger.db"
    options = {name: secret(value) for name, value in config.lake.options.items()}
    return Watch(
        path=folder,
        data=data,
        models=config.watched(),
        ledger=open_ledger(url),
        lake=open_lake(config.lake.path or data / "lake", options=options),
        config=config,
        clock=clock,
        judges=(AlertJudge(config.alerting()), IncidentFollower(config.incidents.policy())),
        table_reader=lambda model: open_table(
            model, folder, location=secret(model.table.location) if model.table else None
        ),
    )


def page_reads(ledger: Ledger) -> PageReads:
    """What pages ask of *ledger*.

    Raises
    ------
    BadInput
        the ledger is no database of ours.
    """
    from watchkeeper.adapters.ledgers.connections import Connections
    from watchkeeper.adapters.ledgers.page_reads import SqlPageReads

    if not isinstance(ledger, Connections):
        raise BadInput(f"Pages cannot read a ledger of type {type(ledger).__name__}.")
    return SqlPageReads(ledger)


open = open_project  # the front door's name for it
