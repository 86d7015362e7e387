"""A peer's own answer on raw rows, beside ours: both sides are read whole, and its own definitions applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchkeeper.documents.batch.answer import PeerAnswer, PeerColumn
from watchkeeper.domain.schema import Kind, Role, Schema
from watchkeeper.errors import BadInput, WatchkeeperError, nearest
from watchkeeper.loop.batch.profiling import is_baseline_file
from watchkeeper.measures.compat import PEERS, CompatResult, column_drift
from watchkeeper.measures.compat.evidently import share_of
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile

NAMES = {
    "evidently": "Evidently",
    "nannyml": "NannyML",
    "whylogs": "whylogs",
    "deequ": "Deequ",
    "alibi": "Alibi Detect",
}
DRIFT_SHARE = 0.5
"""From this share of drifted columns on Evidently calls the table drifted; the others know no such thing."""
_NOT_COMPARED = frozenset({Role.ID, Role.TIME, Role.IGNORED, Role.VERSION})


def check_peer(peer: str) -> None:
    """Refuse a peer that is not known.

    Raises
    ------
    BadInput
        with the nearest name.
    """
    if peer not in PEERS:
        raise BadInput(
            f"{peer!r} is none of the known peers.{nearest(peer, PEERS)}", f"Known: {', '.join(PEERS)}."
        )


def rows_of(
    side: Any, what: str, peer: str, encoding: str | None = None, missing: Sequence[str] | None = None
) -> Any:
    """Read one side whole, as an Arrow table: the peers' bins depend on the rows of both.

    Raises
    ------
    BadInput
        *side* is a baseline or a profile, which hold no rows or a sample of them.
    """
    import pyarrow as pa

    from watchkeeper.rows.sources import open_source

    if isinstance(side, (Baseline, Profile)) or is_baseline_file(side):
        raise BadInput(
            f"compat={peer!r} needs the rows of {what}, and a saved baseline or profile does not hold them all.",
            "Give the rows themselves: the file, folder, frame or query that it was taken from.",
        )
    opened = open_source(side, encoding=encoding, missing=missing)
    schema = opened.arrow_schema
    batches = [pa.Table.from_batches([batch]) for batch in opened.batches()]
    return pa.concat_tables(batches, promote_options="permissive") if batches else schema.empty_table()


def peer_answer(peer: str, reference: Any, current: Any, schema: Schema) -> PeerAnswer:
    """What *peer* says of every column that both tables have, by its default methods."""
    found: dict[str, CompatResult] = {}
    names = set(current.column_names)
    for column in schema.columns:
        if (
            column.name not in names
            or column.name not in reference.column_names
            or column.role in _NOT_COMPARED
        ):
            continue
        found[column.name] = _one(peer, reference[column.name], current[column.name], _kind(column.kind))
    counted = {n: r for n, r in found.items() if r.score is not None}
    table = share_of(counted, DRIFT_SHARE if peer == "evidently" else None)
    return PeerAnswer(
        peer=peer,
        title=NAMES[peer],
        columns=tuple(_column(name, result) for name, result in found.items()),
        drifted_columns=table.count,
        drifted=table.drifted if peer == "evidently" else None,
        drift_share=DRIFT_SHARE if peer == "evidently" else None,
    )


def _kind(kind: Kind) -> Kind:
    """Booleans are categories to every peer."""
    return Kind.CATEGORICAL if kind is Kind.BOOLEAN else kind


def _one(peer: str, reference: Any, current: Any, kind: Kind) -> CompatResult:
    try:
        return column_drift(peer, reference, current, kind=kind)
    except WatchkeeperError as cause:
        reason = cause.what
    except Exception as cause:
        reason = f"{type(cause).__name__}: {cause}"
    return CompatResult(peer=peer, method="none", score=None, reason=reason)


def _column(name: str, result: CompatResult) -> PeerColumn:
    raw: Mapping[str, Any] = result.to_dict()
    return PeerColumn(
        name=name,
        method=result.method,
        score=raw["score"],
        raw_score=raw.get("raw_score"),
        p_value=result.p_value,
        threshold=result.threshold,
        drifted=result.drifted,
        reason=result.reason,
        note=result.note,
    )
