"""Every deliberate failure: what happened, why, and what to do next.

All of them descend from `WatchkeeperError`, so that one ``except`` catches whatever we raise on purpose
and nothing that is a bug. The message reads as a short letter to the user: the first line says what
happened, the indented lines say what to do.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BadConfig",
    "BadInput",
    "BadTransition",
    "Conflict",
    "Incompatible",
    "LeaseLost",
    "MissingExtra",
    "NotFound",
    "NotPermitted",
    "StoreUnavailable",
    "UnreadableSource",
    "WatchkeeperError",
    "nearest",
]


class WatchkeeperError(Exception):
    """The root of every deliberate failure.

    Parameters
    ----------
    what : the failure in one sentence.
    next_steps : lines that say what to do about it.

    >>> print(WatchkeeperError("The file is empty.", "Write a header and at least one row."))
    The file is empty.
      Write a header and at least one row.
    """

    def __init__(self, what: str, *next_steps: str) -> None:
        self.what = what
        self.next_steps = next_steps
        super().__init__("\n  ".join((what, *next_steps)))


class BadInput(WatchkeeperError):
    """What the user handed us cannot be used as it is (a value, an option, a frame, a request)."""


class UnreadableSource(BadInput):
    """A file, folder, table or query could not be read as rows."""


class BadConfig(BadInput):
    """A setting is missing, unknown or of the wrong type; the place is part of the message."""


class Incompatible(WatchkeeperError):
    """Two things that must agree do not (edges, schema, a format of a later version)."""


class NotFound(WatchkeeperError):
    """What was asked for by name does not exist."""


class NotPermitted(WatchkeeperError):
    """The actor may not do this."""


class Conflict(WatchkeeperError):
    """Somebody else changed it in the meantime, or it exists already."""


class BadTransition(Conflict):
    """A state machine was asked for a step that it does not have."""


class LeaseLost(Conflict):
    """Another holder has taken the lease, so this write was refused (its fencing token is too old).

    ``fence`` is the newer token, where a lake that keeps one refused it.
    """

    def __init__(self, what: str, *next_steps: str, fence: int = 0) -> None:
        self.fence = fence
        super().__init__(what, *next_steps)


class StoreUnavailable(WatchkeeperError):
    """A lake, ledger or journal cannot be reached or written just now; nothing acknowledged was lost."""


class MissingExtra(WatchkeeperError):
    """An optional library is not installed.

    >>> print(MissingExtra(adapter="Spark lake", library="pyspark", extra="spark",
    ...                    instead='Or stay local: set [lake] kind = "delta" in watchkeeper.toml'))
    The Spark lake needs the 'pyspark' library, which is not installed.
      Install it:    pip install 'watchkeeper[spark]'
      Or stay local: set [lake] kind = "delta" in watchkeeper.toml
    """

    def __init__(self, *, adapter: str, library: str, extra: str, instead: str | None = None) -> None:
        self.library, self.extra = library, extra
        steps = [f"Install it:    pip install 'watchkeeper[{extra}]'"]
        if instead:
            steps.append(instead)
        super().__init__(f"The {adapter} needs the {library!r} library, which is not installed.", *steps)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known word nearest to *word*, or an empty string.

    >>> nearest("wassertein", ["psi", "wasserstein"])
    " Did you mean 'wasserstein'?"
    >>> nearest("zzz", ["psi"])
    ''
    """
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
