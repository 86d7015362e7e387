"""Dead letters as a Delta table of each model, and the trial that finds out what a table refuses."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from watchkeeper.adapters.lakes.files import DeltaFiles
from watchkeeper.adapters.lakes.fitting import fit
from watchkeeper.adapters.lakes.reading import fetched, is_panic, no_hooks, text_of
from watchkeeper.adapters.lakes.tables import TABLES, fields_of, partitions_of
from watchkeeper.ports.lake import Origin
from watchkeeper.ports.quarantine import DeadLetter

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

TABLE = "dead_letters"


def set_aside(files: DeltaFiles, model: str, letters: Sequence[DeadLetter], origin: Origin) -> int:
    """See `watchkeeper.ports.quarantine.Quarantine`."""
    rows = [
        {
            "source": x.source,
            "sequence": x.sequence,
            "place": x.place,
            "wk_at": x.at,
            "version": x.version,
            "rows": x.rows,
            "reason": x.reason,
            "event": x.event,
            "wk_day": x.at.strftime("%Y-%m-%d"),
        }
        for x in letters
    ]
    return files.append(model, TABLE, pa.Table.from_pylist(rows, schema=TABLES[TABLE]), origin)


def dead_letters(files: DeltaFiles, model: str) -> list[DeadLetter]:
    """See `watchkeeper.ports.quarantine.Quarantine`."""
    names = ["source", "sequence", "place", "wk_at", "version", "rows", "reason", "event"]
    found = fetched(
        lambda: files.scan(model, TABLE, None),
        "letters",
        f"SELECT {', '.join(names)} FROM letters ORDER BY wk_at, source, sequence, place",  # noqa: S608
        {},
    )
    return [] if found is None else [DeadLetter(at=r.pop("wk_at"), **r) for r in found.to_pylist()]


def drop_letters(files: DeltaFiles, model: str, keys: Iterable[tuple[str, int, int]], token: int) -> None:
    """See `watchkeeper.ports.quarantine.Quarantine`."""
    named = [f"(source = {text_of(s)} AND sequence = {n} AND place = {p})" for s, n, p in keys]
    for start in range(0, len(named), 100):
        where = " OR ".join(named[start : start + 100])

        def write(handle: DeltaTable, properties: CommitProperties, where: str = where) -> None:
            handle.delete(where, commit_properties=properties, post_commithook_properties=no_hooks())

        files.commit(model, TABLE, token, write)
    if named and (handle := files.handle(model, TABLE)) is not None:
        files.clean(handle, token)


def refusal(schema: pa.Schema, table: str, rows: pa.Table) -> str | None:
    """Why a table of *schema* cannot take *rows*; None when it can, or when nothing at all can be written here."""
    from deltalake import DeltaTable, write_deltalake

    with tempfile.TemporaryDirectory(prefix="watchkeeper-trial-") as folder:
        try:
            for name in ("control", "trial"):
                DeltaTable.create(Path(folder) / name, schema, partition_by=list(partitions_of(table)))
            write_deltalake(
                Path(folder) / "control", TABLES[table].empty_table(), mode="append", schema_mode="merge"
            )
        except Exception:
            return None
        try:
            fitted, _ = fit(rows, dict(fields_of(schema)))
            write_deltalake(Path(folder) / "trial", fitted, mode="append", schema_mode="merge")
        except BaseException as fault:
            if isinstance(fault, OSError) or not (isinstance(fault, Exception) or is_panic(fault)):
                raise
            return f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}"
    return None
