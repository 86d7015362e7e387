"""The peers' own definitions on raw rows, for a user who comes from one of them.

An explicit path of its own: their bins depend on both samples, so states cannot give their numbers. Judgements
of ours are in `watchkeeper.measures.drift`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput, nearest
from watchkeeper.measures.compat import alibi, deequ, evidently, nannyml, whylogs
from watchkeeper.measures.compat.evidently import TableDrift
from watchkeeper.measures.compat.result import CompatResult

__all__ = ["PEERS", "CompatResult", "TableDrift", "column_drift", "table_drift"]

PEERS: dict[str, Any] = {
    "evidently": evidently,
    "nannyml": nannyml,
    "whylogs": whylogs,
    "deequ": deequ,
    "alibi": alibi,
}
"""Each peer's module; all have ``column_drift(reference, current, *, kind, method, threshold)``."""


def column_drift(
    peer: str, reference: Any, current: Any, *, kind: Kind | str | None = None, method: str | None = None
) -> CompatResult:
    """Return what *peer* says of one column, by its default method unless *method* is given.

    Parameters
    ----------
    peer : one of `PEERS`.
    reference, current : columns of raw rows: arrays, lists, or anything that exports Arrow.

    Raises
    ------
    BadInput
        the peer or the method is unknown.

    >>> column_drift("nannyml", [1.0, 2, 3, 4] * 5, [1.0, 2, 3, 4] * 5).drifted
    False
    """
    if peer not in PEERS:
        raise BadInput(
            f"{peer!r} is none of the known peers.{nearest(peer, PEERS)}", f"Known: {', '.join(PEERS)}."
        )
    chosen = {} if method is None else {"method": method}
    found: CompatResult = PEERS[peer].column_drift(reference, current, kind=kind, **chosen)
    return found


def table_drift(
    peer: str,
    reference: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    kinds: Mapping[str, Kind | str] | None = None,
    drift_share: float = 0.5,
) -> TableDrift:
    """Return what *peer* says of every column on both sides, and the share that drifted.

    Only Evidently calls a whole table drifted (from *drift_share* on); for the others one column is enough.

    Raises
    ------
    BadInput
        the peer is unknown.

    >>> table_drift("deequ", {"a": [1, 2, 3]}, {"a": [1, 2, 3]}).share
    0.0
    """
    kinds = kinds or {}
    found = {
        name: column_drift(peer, reference[name], current[name], kind=kinds.get(name))
        for name in current
        if name in reference
    }
    return evidently.share_of(found, drift_share if peer == "evidently" else None)
