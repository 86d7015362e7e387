"""What a commit wrote to a local folder is brought to the disk, and a log that lost its end is found.

The Delta writer makes no fsync: data files are written and renamed, log files written and linked. After a power cut
a table whose log is on the disk and whose data is not cannot be read, and one whose last log file is empty opens
without its rows. So a commit's files, their folders and its log file are synced before it counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from watchkeeper.errors import StoreUnavailable

LOG = "_delta_log"


def log_file(table: Path, version: int) -> Path:
    """The log file of one version.

    >>> log_file(Path("t"), 7).as_posix()
    't/_delta_log/00000000000000000007.json'
    """
    return table / LOG / f"{version:020}.json"


def sync_commits(table: Path, versions: Iterable[int]) -> None:
    """Bring the files that these versions added to the disk, then their folders, then the log."""
    logs = [log for v in versions if (log := log_file(table, v)).exists()]
    added = [table / path for log in logs for path in _added(log)]
    for path in added:
        _sync(path)
    for folder in sorted({parent for path in added for parent in _up_to(path.parent, table)}):
        _sync(folder)
    for log in logs:
        _sync(log)
    if logs:
        _sync(table / LOG)
        _sync(table)


def sync_new_table(table: Path, root: Path) -> None:
    """Bring a new table to the disk, with the folders above it."""
    sync_commits(table, [0])
    for folder in (*_up_to(table.parent, root.parent), root.parent):
        _sync(folder)


def sync_checkpoint(table: Path, version: int) -> None:
    """Bring a checkpoint to the disk, before the log files that it replaces are removed."""
    log = table / LOG
    for path in (*log.glob(f"{version:020}.checkpoint*"), log / "_last_checkpoint"):
        if path.exists():
            _sync(path)
    _sync(log)


def refuse_empty_end(table: Path, version: int) -> None:
    """Set the last log file aside when it is empty, as a power cut leaves one whose content was not on the disk.

    Its rows were not synced, so no journal has forgotten them: they are drained again.

    Raises
    ------
    StoreUnavailable
        it was empty; open the table anew.
    """
    log = log_file(table, version)
    try:
        if log.stat().st_size:
            return
    except FileNotFoundError:
        return  # a checkpoint stands for it
    aside = log.with_suffix(".json.empty")
    log.rename(aside)
    _sync(log.parent)
    raise StoreUnavailable(
        f"The last log file of {table}, version {version}, was empty, as after a power cut. It was set aside as {aside.name}.",
        "What it should have held is still in the journals and is moved again by the next tick.",
    )


def _added(log: Path) -> list[str]:
    actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [unquote(a["add"]["path"]) for a in actions if "add" in a]


def _up_to(folder: Path, top: Path) -> list[Path]:
    """*folder* and those above it, below *top*."""
    folders = []
    while folder != top and folder != folder.parent:
        folders.append(folder)
        folder = folder.parent
    return folders


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # a folder cannot be opened there; the file system journals its entries
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
