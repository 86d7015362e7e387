"""From a source to a profile or a baseline: the passes over the rows, with bounded memory and progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.domain.values import Values
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, UnreadableSource
from watchkeeper.loop.batch.copies import CopyCount
from watchkeeper.stats.states.accumulator import Accumulator
from watchkeeper.stats.states.baseline import Baseline, WindowProfile
from watchkeeper.stats.states.codec import MAGIC, decode, encode
from watchkeeper.stats.states.crew import Call, Crew
from watchkeeper.stats.states.edge_search import EdgeSearch
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan

if TYPE_CHECKING:
    from watchkeeper.rows.sources import Source


Progress = Callable[[str, int, int | None], None]
"""Called as ``progress(stage, rows so far, rows in all or None)``."""

BASELINE_SUFFIX = ".wkb"
WINDOW_BINS = 64
MAX_WINDOWS = 400
_LENGTHS = tuple(timedelta(hours=h) for h in (1, 3, 6, 12, 24, 168, 720))


def profile(
    source: Any,
    *,
    schema: Schema | None = None,
    columns: Sequence[str] | None = None,
    roles: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    task: str | None = None,
    positive: str | None = None,
    segments: Sequence[str | Sequence[str]] = (),
    plan: ProfilePlan | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    copies: CopyCount | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Profile every column of *source*: any frame, file, folder, glob, query or stream (see `rows.open_source`).

    Two passes where the rows can be read again (the first finds the histograms' edges), else one with a sketch.
    With *plan* (of a baseline), one pass on its edges, so that the two profiles can be compared and merged.
    *positive* is the outcome that a binary model looks for. *encoding* is that of text files,
    where it is not UTF-8, and *missing* are the words that stand for a missing value in them. *copies* also sees every batch.

    Raises
    ------
    UnreadableSource
        nothing can be read.
    NotFound
        a named column does not exist.
    BadInput
        a role, kind or task is not known.
    """
    opened, found, notes = _opened(source, schema, columns, roles, kinds, task, positive, encoding, missing)
    if plan is None:
        plan = _plan(opened, found, _segments(segments, found), progress, notes=notes)
    made, _ = _counted(opened, plan, progress, copies=copies)
    return _with_notes(made, [*notes, *opened.problems])


def baseline(
    source: Any,
    *,
    schema: Schema | None = None,
    columns: Sequence[str] | None = None,
    roles: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    task: str | None = None,
    positive: str | None = None,
    segments: Sequence[str | Sequence[str]] = (),
    window: timedelta | None = None,
    name: str = "",
    sample_rows: int | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Baseline:
    """Take a baseline of *source*: schema, edges, profile, a sample of rows, and where it came from.

    With a time column it also keeps its own windows (of length *window*, or as long as gives at least 20 of
    them), which is how much variation is normal. A `Profile` becomes a baseline as it is. *positive* is the outcome
    that a binary model looks for; otherwise it is guessed, and a note says so. *encoding* and *missing* are as in
    `profile`.

    Raises
    ------
    UnreadableSource
        nothing can be read.
    NotFound
        a named column does not exist.
    BadInput
        a role, kind or task is not known.
    """
    created = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(source, Profile):
        return Baseline.of_profile(source, created_at=created, name=name, source={"kind": "profile"})
    opened, found, notes = _opened(source, schema, columns, roles, kinds, task, positive, encoding, missing)
    options: dict[str, Any] = {} if sample_rows is None else {"sample_k": sample_rows}
    span: list[int] = []
    plan = _plan(opened, found, _segments(segments, found), progress, span=span, notes=notes, **options)
    length = window or _window_length(span)
    made, windows = _counted(opened, plan, progress, window=length)
    return Baseline(
        # Of a stream the edges are known only now; what comes later is counted between the same ones.
        plan=replace(plan, edges={**made.edges, **plan.edges}),
        profile=_with_notes(made, [*notes, *opened.problems]),
        windows=windows,
        source=opened.describe(),
        created_at=created,
        name=name or opened.name,
    )


def save_baseline(made: Baseline, path: str | Path) -> Path:
    """Write *made* to one file, whole or not at all.

    Raises
    ------
    BadInput
        the file cannot be written.
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(encode(made))
        part.replace(target)
    except OSError as cause:
        raise BadInput(f"The baseline cannot be written to {target}: {cause.strerror or cause}.") from cause
    return target


def load_baseline(path: str | Path) -> Baseline:
    """Read a baseline, or a profile as one.

    Raises
    ------
    UnreadableSource
        there is no such file.
    BadInput
        it is damaged, or holds something else.
    Incompatible
        a later version wrote it.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as cause:
        raise UnreadableSource(
            f"The baseline {path} cannot be read: {cause.strerror or cause}.",
            "Take one:  watchkeeper baseline DATA --output FILE",
        ) from cause
    found = decode(raw)
    if isinstance(found, Profile):
        return Baseline.of_profile(found)
    if not isinstance(found, Baseline):
        raise BadInput(
            f"{path} is a stored {getattr(found, 'kind', 'thing')}, not a baseline.",
            "Make one:   watchkeeper baseline DATA --output FILE",
        )
    return found


def is_baseline_file(path: Any) -> bool:
    """Whether *path* names a stored baseline or profile, by its first bytes."""
    if not isinstance(path, (str, Path)):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


# ---- passes -----------------------------------------------------------------------------------------


def _opened(
    source: Any,
    schema: Schema | None,
    columns: Sequence[str] | None,
    roles: Mapping[str, str] | None,
    kinds: Mapping[str, str] | None,
    task: str | None,
    positive: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
) -> tuple[Source, Schema, list[str]]:
    from watchkeeper.rows.infer import infer
    from watchkeeper.rows.sources import open_source

    wanted = columns
    if schema is not None and columns is None:
        opened = open_source(source, schema=schema, encoding=encoding, missing=missing)
        there = set(opened.available)
        wanted = [n for n in schema.names if n in there]
        if len(wanted) != len(opened.available):
            opened = opened.select(wanted)
    else:
        opened = open_source(source, columns=wanted, schema=schema, encoding=encoding, missing=missing)
    if schema is not None:
        names = set(opened.arrow_schema.names)
        kept = replace(schema, columns=tuple(c for c in schema.columns if c.name in names))
        return opened, replace(kept, positive=positive or kept.positive), []
    inference = infer(opened, roles=roles, kinds=kinds, task=task)
    return opened, replace(inference.schema, positive=positive), list(inference.reasons)


def _segments(wanted: Sequence[str | Sequence[str]], schema: Schema) -> tuple[tuple[str, ...], ...]:
    entries = tuple((s,) if isinstance(s, str) else tuple(s) for s in wanted)
    for entry in entries:
        for name in entry:
            schema[name]
    return entries or tuple((c.name,) for c in schema.of_role(Role.SEGMENT))


def _plan(
    opened: Source,
    schema: Schema,
    segments: tuple[tuple[str, ...], ...],
    progress: Progress | None,
    *,
    notes: list[str],
    span: list[int] | None = None,
    **options: Any,
) -> ProfilePlan:
    """The first pass, and in *notes* what it guessed. A stream that comes by only once is counted on edges found on
    the way.
    """
    if not opened.rereadable:
        return ProfilePlan(schema=schema, segments=segments, **options)
    time = schema.first(Role.TIME)
    with EdgeSearch(schema) as search, closing(Crew()) as crew:
        done = 0
        for batch in opened.batches():
            values = _values(batch, schema, crew, only=search.columns)
            search.add(values)
            if span is not None and time is not None and time.name in values:
                _widen(span, values[time.name])
            done += batch.num_rows
            if progress:
                progress("looking", done, opened.row_count_hint)
        notes += search.notes
        return search.plan(segments=segments, **options)


def _widen(span: list[int], values: Values) -> None:
    if values.data is None or not len(values.data) or values.data.dtype.kind != "i":
        return
    data = values.data if values.valid is None else values.data[values.valid]
    if len(data):
        low, high = int(data.min()), int(data.max())
        span[:] = [min(low, span[0]), max(high, span[1])] if span else [low, high]


def _window_length(span: list[int]) -> timedelta | None:
    """The longest usual length that gives at least 20 windows."""
    if not span or span[1] <= span[0]:
        return None
    width = timedelta(microseconds=span[1] - span[0])
    fitting = [length for length in _LENGTHS if 20 <= width / length <= MAX_WINDOWS]
    return max(fitting, default=None)


def _counted(
    opened: Source,
    plan: ProfilePlan,
    progress: Progress | None,
    *,
    window: timedelta | None = None,
    copies: CopyCount | None = None,
) -> tuple[Profile, tuple[WindowProfile, ...]]:
    """The second pass: the whole, and, with *window*, each window of the time column."""
    time = plan.schema.first(Role.TIME) if window is not None else None
    folds: dict[int, Accumulator] = {}
    lean = replace(plan, sample_k=0, segments=(), distinct=())
    done = 0
    too_many = False
    with ExitStack() as stack:
        whole = stack.enter_context(Accumulator(plan))
        crew = stack.enter_context(closing(Crew()))
        for batch in opened.batches():
            values = _values(batch, plan.schema, crew)
            whole.add(values)
            if copies is not None:
                copies.add(values)
            if time is not None and window is not None and not too_many:
                for start, part in _split(batch, values[time.name], window):
                    if start not in folds:
                        if len(folds) >= MAX_WINDOWS:
                            too_many = True
                            folds.clear()
                            break
                        folds[start] = stack.enter_context(Accumulator(lean, workers=1))
                    folds[start].add(_values(part, plan.schema, crew))
            done += batch.num_rows
            if progress:
                progress("counting", done, opened.row_count_hint)
        made = whole.profile()
        windows = tuple(
            _window(start, window, fold) for start, fold in sorted(folds.items()) if window is not None
        )
    if too_many:
        made = _with_notes(
            made, [f"More than {MAX_WINDOWS} windows of {window}: the baseline keeps none of its own."]
        )
    return made, windows


def _split(batch: Any, time: Values, window: timedelta) -> list[tuple[int, Any]]:
    """The batch cut up by window start (microseconds); rows without a time belong to none."""
    import pyarrow as pa

    if time.data is None or not len(time.data) or time.data.dtype.kind != "i":
        return []
    length = window // timedelta(microseconds=1)
    starts = time.data // length * length
    rows = np.arange(len(starts)) if time.valid is None else np.flatnonzero(time.valid)
    if not len(rows):
        return []
    order = rows[np.argsort(starts[rows], kind="stable")]
    values, first = np.unique(starts[order], return_index=True)
    parts = np.split(order, first[1:])
    return [(int(start), batch.take(pa.array(part))) for start, part in zip(values.tolist(), parts)]


def _window(start: int, length: timedelta, fold: Accumulator) -> WindowProfile:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)
    width = length // timedelta(microseconds=1)
    return WindowProfile(
        label=Window(begin, begin + length).label,
        start_us=start,
        end_us=start + width,
        profile=fold.profile().coarsen(WINDOW_BINS),
    )


def _values(batch: Any, schema: Schema, crew: Crew, *, only: set[str] | None = None) -> dict[str, Values]:
    """The batch's columns as plain arrays; reading text takes a while, so the columns are read in threads."""
    from watchkeeper.rows.values import classes_of, values_of

    there = set(batch.schema.names)
    columns = [
        c
        for c in schema.columns
        if c.name in there and c.role is not Role.IGNORED and (only is None or c.name in only)
    ]
    # A column that could not be read at all stays what it is here: rows of an unknown kind.
    out = {c.name: Values(kind=Kind.UNKNOWN, rows=batch.num_rows, data=None) for c in columns}

    def read(column: Column) -> None:
        reader = classes_of if column.name in schema.classes else values_of
        out[column.name] = reader(batch.column(column.name), column)

    crew.run((c.name, Call(read, c)) for c in columns)
    return out


def _with_notes(made: Profile, notes: Sequence[str]) -> Profile:
    return replace(made, notes=tuple(dict.fromkeys([*notes, *made.notes])))
