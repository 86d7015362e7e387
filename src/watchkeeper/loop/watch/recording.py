"""Predictions and outcomes from files: which column is what, which rows cannot be placed, and what meets nothing.

What the project knows of a model (its roles and its baseline's) says what a file's columns are, unless they are named.
A row without an id gets one made of what it holds and where it stands, so that recording a file again changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.capture.batch_rows import table_in
from watchkeeper.capture.events import Batch, Prediction
from watchkeeper.capture.journal import journals, read_after
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.instant import HOW_TO_WRITE
from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.errors import BadInput, NotFound, StoreUnavailable, nearest
from watchkeeper.rows.infer import infer_schema
from watchkeeper.rows.row_keys import ids_of, instants_of
from watchkeeper.rows.sources import Source, open_source
from watchkeeper.rows.values import as_text, is_number_like
from watchkeeper.stats.hashing import hash_floats, hash_texts, mix

if TYPE_CHECKING:
    from watchkeeper.loop.watch.project import Project

NOW = "now"
"""Instead of a column of times: the rows are of this moment."""
AHEAD_US = 3_600_000_000
"""A file's row may be an hour ahead of our clock, as a posted one may."""
EXAMPLES = 3
_FLOATS = re.compile(r"-?\d+(\.0+)?|-?\d(\.\d+)?e\+\d+", re.IGNORECASE)
_ROLES = {
    "id": Role.ID,
    "at": Role.TIME,
    "prediction": Role.PREDICTION,
    "score": Role.SCORE,
    "version": Role.VERSION,
}

Named = Mapping[str, str | Mapping[str, str] | None]
Progress = Callable[[str, int, int | None], None]


@dataclass(slots=True)
class Recorded:
    """What became of a file's rows."""

    rows: int = 0
    refused: int = 0
    repeats: int = 0
    """Rows that are in the lake already, at another time."""
    unmatched: int = 0
    """Outcomes whose prediction is neither in the lake nor in a journal."""
    notes: list[str] = field(default_factory=list)

    def refuse(self, row: int, why: str) -> None:
        """Row number *row* (from 0) cannot be taken; the first few are noted."""
        self.refused += 1
        if self.refused <= EXAMPLES:
            self.notes.append(f"row {row + 1:,} is refused: {why}")


def record_file(
    project: Project,
    model: str,
    file: str,
    *,
    version: str | None,
    named: Named,
    progress: Progress | None = None,
) -> Recorded:
    """Record the predictions in *file* for *model*.

    *named* says which column is ``id``, ``at``, ``prediction`` and ``score`` (or class -> column); what it leaves out
    is taken from the project. ``at`` may be `NOW`.

    Raises
    ------
    NotFound
        a named column does not exist.
    BadInput
        no row can be recorded, there is no version, or the file lacks the time that the model's rows have.
    StoreUnavailable
        the journal cannot be written; the same command may be run again.
    """
    known, source, roles = _opened(project, model, file, named)
    done = Recorded()
    at = roles.pop("at", None)
    by_version = None if version is not None else roles.pop("version", None)
    if version is None and by_version is None:
        raise BadInput("Which version made these predictions?", "Give --version NAME.")
    roles.pop("version", None)
    at = _time(known, source, at, model, done)
    outcome = next((c.name for c in known.of_role(Role.OUTCOME) if c.name in source.available), None)
    if outcome is not None:
        done.notes.append(
            f"{outcome!r} is the outcome, so it is no feature. Record it with:  "
            f"watchkeeper outcomes {file} --model {model} --id COLUMN --actual {outcome}"
        )
    own_ids = None if "id" in roles else _MadeIds(source, with_file=at is None)
    now_us = int(project.clock().timestamp() * 1e6)
    recorders: dict[str, Recorder] = {}
    try:
        first = 0
        for batch in source.batches():
            table = pa.Table.from_batches([batch])
            table, keep = _placed(table, at, now_us, first, done)
            if own_ids is not None:
                table = table.append_column("wk_made_id", own_ids.of(batch, first))
            else:
                table = _named_by(table, str(roles["id"]), keep, first, done, needed=False)
            table = table.filter(pa.array(keep))
            ids = "wk_made_id" if own_ids is not None else str(roles["id"])
            if (
                at is None and table.num_rows
            ):  # now differs at every repeat, and repeats are known by their day
                there = pc.is_valid(project.lake.place(model, table[ids].combine_chunks()))
                done.repeats += pc.sum(there).as_py() or 0
                table = table.filter(pc.invert(there))
            if outcome is not None:
                table = table.drop_columns([outcome])
            given = {
                **roles,
                "id": ids,
                "at": at or "",
                "prediction": roles.get("prediction", ""),
                "score": roles.get("score", ""),
            }
            for which, rows in _by_version(table, version, by_version):
                if which not in recorders:
                    recorders[which] = Recorder(model, which, path=project.data, flush_interval_s=60)
                _commit(recorders[which], "record_batch", rows, given, done)
            first += batch.num_rows
            if progress:
                progress("recording", first, source.row_count_hint)
    finally:
        for recorder in recorders.values():
            recorder.close()
    return _finished(done, source, file)


def record_outcomes(
    project: Project, model: str, file: str, *, named: Named, progress: Progress | None = None
) -> Recorded:
    """Record the outcomes in *file*; count those that meet no prediction.

    Raises
    ------
    NotFound
        a named column does not exist.
    BadInput
        no row can be recorded, or the file lacks ids or outcomes.
    StoreUnavailable
        the journal cannot be written; the same command may be run again.
    """
    known, source, roles = _opened(project, model, file, named)
    actual = named.get("actual") or next(
        (
            n
            for n in ("actual", *(c.name for c in known.of_role(Role.OUTCOME)), "outcome")
            if n in source.available
        ),
        None,
    )
    for role, column in (("id", roles.get("id")), ("actual", actual)):
        if column is None:
            raise BadInput(f"{source.name} has no column {role!r}.", f"Name it:  --{role} COLUMN")
    at = named.get("at") or ("at" if "at" in source.available else None)
    done, first = Recorded(), 0
    lonely: list[str] = []
    now_us = int(project.clock().timestamp() * 1e6)
    with Recorder(model, "", path=project.data, flush_interval_s=60) as recorder:
        for batch in source.batches():
            table = pa.Table.from_batches([batch])
            table, keep = _placed(table, at if isinstance(at, str) else None, now_us, first, done)
            table = _named_by(table, str(roles["id"]), keep, first, done, needed=True).filter(pa.array(keep))
            ids = table[str(roles["id"])].combine_chunks()
            if len(ids):
                lonely += ids.filter(pc.is_null(project.lake.place(model, ids))).to_pylist()
                _commit(
                    recorder, "outcomes", table, {"id": roles["id"], "actual": actual, "at": at or ""}, done
                )
            first += batch.num_rows
            if progress:
                progress("recording", first, source.row_count_hint)
    if lonely:
        _tell_lonely(project, model, lonely, done)
    return _finished(done, source, file)


# ---- what is which ------------------------------------------------------------------------------------------


def _opened(project: Project, model: str, file: str, named: Named) -> tuple[Schema, Source, dict[str, Any]]:
    """What is known of the model's columns, the file, and which of its columns is what."""
    watched = project.model(model)
    source = open_source(file)
    try:
        baseline = project.baseline(model)
    except NotFound:  # rows may come before their baseline
        baseline = None
    known = baseline.schema if baseline is not None else infer_schema(source)
    known = known.with_roles({n: Role(r) for n, r in watched.roles.items() if n in known})
    _check(source, named)
    roles: dict[str, Any] = {role: column for role, column in named.items() if column and role in _ROLES}
    for role, meant in _ROLES.items():
        if role in roles:
            continue
        there = [c for c in known.of_role(meant) if c.name in source.available]
        if role == "score" and any(c.score_of is not None for c in there):
            roles[role] = {str(c.score_of): c.name for c in there if c.score_of is not None}
        elif there:
            roles[role] = there[0].name
        elif role in source.available and role != "version":
            roles[role] = role
    if isinstance(roles.get("id"), str):  # 00123 and 2^70 are names, not numbers
        texts = Column(name=roles["id"], kind=Kind.TEXT, dtype="string")
        rest = [c for c in known.columns if c.name != texts.name]
        source = open_source(file, schema=Schema(columns=(texts, *rest)))
    return known, source, roles


def _check(source: Source, named: Named) -> None:
    for role, given in named.items():
        for column in given.values() if isinstance(given, Mapping) else [given]:
            if column and column not in source.available and not (role == "at" and column == NOW):
                raise NotFound(
                    f"{source.name} has no column {column!r}.{nearest(column, source.available)}",
                    f"It has: {', '.join(source.available)}.",
                )


def _time(known: Schema, source: Source, at: str | None, model: str, done: Recorded) -> str | None:
    """The column of times; None where the rows are of now, which is said or asked for."""
    if at == NOW and NOW not in source.available:
        return None
    if at is not None:
        return at
    usual = known.first(Role.TIME)
    if usual is not None:
        raise BadInput(
            f"{source.name} has no column {usual.name!r}, which is the time of {model!r}.",
            "Name the column that is:  --at COLUMN",
            "Or, if the predictions were made just now:  --at now",
        )
    done.notes.append(
        "There is no column of times, so the rows count as predicted now. Name one with --at COLUMN, or say --at now."
    )
    return None


# ---- rows ---------------------------------------------------------------------------------------------------


def _placed(
    table: pa.Table, at: str | None, now_us: int, first: int, done: Recorded
) -> tuple[pa.Table, np.ndarray]:
    """The table with its times as instants, and which rows have one that can be a prediction's."""
    if at is None:
        return table, np.ones(table.num_rows, bool)
    found = instants_of(table[at], now_us, ahead_us=AHEAD_US)
    for row in np.flatnonzero(~found.good).tolist():
        done.refuse(first + row, f"{found.why(row)}; {HOW_TO_WRITE}" if done.refused < EXAMPLES else "")
    if not found.zoned and not first:
        done.notes.append(f"The times in {at!r} name no zone; they are taken as UTC.")
    us = pa.Array.from_buffers(pa.int64(), len(found.us), [None, pa.py_buffer(found.us)])
    place = table.column_names.index(at)
    return table.set_column(place, at, us.cast(pa.timestamp("us", "UTC"))), found.good.copy()


def _named_by(
    table: pa.Table, column: str, keep: np.ndarray, first: int, done: Recorded, *, needed: bool
) -> pa.Table:
    """The table with its ids as text; rows whose id names nothing are struck from *keep*."""
    found = ids_of(table[column])
    texts = _without_fractions(found.texts)
    for row in np.flatnonzero(np.asarray(pc.is_null(texts))).tolist():
        if keep[row] and (needed or row in found.refused):
            keep[row] = False
            done.refuse(first + row, found.refused.get(row, "it has no id"))
    return table.set_column(table.column_names.index(column), column, texts)


def _without_fractions(texts: pa.Array) -> pa.Array:
    """Ids that went through a column of floats (``10000.0``, R's ``1e+05``) as the integers that they are."""
    if not pc.any(pc.match_substring_regex(texts, r"(\.0+|e\+\d+)$", ignore_case=True)).as_py():
        return texts
    words = texts.to_pylist()
    if not all(word is None or _FLOATS.fullmatch(word) for word in words):
        return texts
    return pa.array([None if word is None else str(int(Decimal(word))) for word in words], pa.string())


def _by_version(table: pa.Table, version: str | None, column: str | None) -> Iterator[tuple[str, pa.Table]]:
    if version is not None or column is None:
        yield version or "", table
        return
    names = as_text(table[column])
    for name in pc.unique(names).to_pylist():
        mask = pc.is_null(names) if name is None else pc.fill_null(pc.equal(names, name), False)
        yield name or "", table.filter(mask).drop_columns([column])


def _commit(recorder: Recorder, how: str, rows: pa.Table, given: Mapping[str, Any], done: Recorded) -> None:
    if not rows.num_rows:
        return
    dropped = recorder.stats().dropped
    getattr(recorder, how)(rows, **given)
    if not recorder.flush():
        raise StoreUnavailable(
            f"The journal cannot be written just now: {recorder.stats().last_error}.",
            f"{done.rows:,} rows are recorded. Run the same command again: rows count once.",
        )
    if recorder.stats().dropped > dropped:
        raise BadInput(f"The rows cannot be recorded: {recorder.stats().last_error}.")
    done.rows += rows.num_rows


class _MadeIds:
    """Ids of rows that have none: the hash of all that a row holds, and how often the same was there before.

    Where the rows of a file do not all differ, or hold no time, the same row may well be another prediction in another
    file; then the file's own hash and the row's place are part of the id.
    """

    def __init__(self, source: Source, *, with_file: bool) -> None:
        hashes = [_content(batch) for batch in source.batches()]
        whole = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
        self._file = ""
        if with_file or len(np.unique(whole)) < len(whole):
            self._file = sha256(whole.tobytes()).hexdigest()[:16]

    def of(self, batch: pa.RecordBatch, first: int) -> pa.Array:
        """The ids of the batch whose first row is number *first* (from 0)."""
        words = _content(batch).tolist()
        if not self._file:
            return pa.array([f"row-{word:016x}" for word in words], pa.string())
        return pa.array(
            [f"row-{self._file}-{word:016x}-{first + i}" for i, word in enumerate(words)], pa.string()
        )


def _content(batch: pa.RecordBatch) -> np.ndarray:
    """A hash of each row's values, uint64 ``(rows,)``; the order of columns does not matter."""
    out = np.zeros(batch.num_rows, np.uint64)
    for name in sorted(batch.schema.names):
        column = batch.column(name)
        if is_number_like(column.type) and not pa.types.is_decimal(column.type):
            words = hash_floats(np.asarray(column.cast(pa.float64(), safe=False).fill_null(float("nan"))))
        else:
            words = hash_texts(as_text(column).to_pylist())
        with np.errstate(over="ignore"):
            out = mix(out * np.uint64(0x9E3779B97F4A7C15) + words)
    return out


# ---- what meets nothing -------------------------------------------------------------------------------------


def _tell_lonely(project: Project, model: str, lonely: Sequence[str], done: Recorded) -> None:
    wanted = set(lonely)
    seen: list[str] = []
    for id in _waiting_ids(project.data, model):
        wanted.discard(id)
        if len(seen) < EXAMPLES:
            seen.append(id)
    done.unmatched = sum(id in wanted for id in lonely)
    if not done.unmatched:
        return
    shown = ", ".join(map(repr, sorted(wanted)[:EXAMPLES]))
    what = "1 outcome meets" if done.unmatched == 1 else f"{done.unmatched:,} outcomes meet"
    there = project.lake.some_ids(model, EXAMPLES) or seen
    of_those = f"; predictions have ids such as {', '.join(map(repr, there))}" if there else ""
    done.notes.append(
        f"{what} no prediction of {model!r} so far (ids such as {shown}{of_those}). "
        "They wait for theirs; if it is not still to come, check which column is the id:  --id COLUMN"
    )


def _waiting_ids(data: Path, model: str) -> Iterator[str]:
    """Ids of predictions that are in a journal still."""
    for path in journals(data, model):
        for _, events in read_after(path):
            for event in events:
                if isinstance(event, Prediction):
                    yield event.id
                elif isinstance(event, Batch) and event.what == "predictions":
                    yield from table_in(event).column(event.roles["id"]).to_pylist()


def _finished(done: Recorded, source: Source, file: str) -> Recorded:
    if done.refused > EXAMPLES:
        done.notes.append(f"{done.refused:,} rows are refused in all.")
    if done.refused and not done.rows and not done.repeats:
        raise BadInput(f"No row of {file} can be recorded.", *done.notes)
    if done.repeats:
        done.notes.append(f"{done.repeats:,} rows were recorded before and are left out.")
    done.notes += source.problems
    return done
