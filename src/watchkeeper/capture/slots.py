"""A small set of leased places: one journal for each living process, and no more journals than processes.

A slot is a file that its process keeps locked. The operating system drops the lock when the process ends, in
whatever way, so a free lock means that nobody writes to that journal, and the next process adopts it. The lock
lies in a file beside the journal, never on the journal itself: opening and closing a database file a second
time would drop SQLite's own locks in this process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from watchkeeper.capture.journal import set_aside
from watchkeeper.errors import StoreUnavailable

_MOST_SLOTS = 1000


class Slot:
    """The lease on ``journal-<number>.db`` in *folder*, held until `release` or the end of the process."""

    def __init__(self, folder: Path, number: int, descriptor: int) -> None:
        self.folder, self.number, self._descriptor = folder, number, descriptor

    @property
    def journal(self) -> Path:
        """The path of the journal that this slot stands for."""
        return self.folder / f"journal-{self.number:03d}.db"

    @classmethod
    def lease(cls, folder: Path) -> Slot:
        """Take the lowest free slot of *folder*, and with it the journal that a dead process left there.

        Raises
        ------
        OSError
            the folder cannot be made or written.
        StoreUnavailable
            every slot is taken.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(_MOST_SLOTS):
            descriptor = os.open(folder / f"journal-{number:03d}.lock", os.O_RDWR | os.O_CREAT, 0o644)
            if _try_lock(descriptor):
                return cls(folder, number, descriptor)
            os.close(descriptor)
        raise StoreUnavailable(
            f"All {_MOST_SLOTS} journals in {folder} belong to running processes.",
            "Give each application its own path, or run fewer processes.",
        )

    def release(self) -> None:
        """Give the slot back. In a forked child this leaves the parent's lease as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def set_aside_if_free(journal: Path) -> Path | None:
    """Set a damaged journal aside, unless a living process writes to it; its new path, or None."""
    descriptor = os.open(journal.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return set_aside(journal) if _try_lock(descriptor) else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # flock, not lockf: it belongs to this opening of the file, so two recorders in one process also
            # see each other, and closing a forked copy does not free it.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
