"""One window of a model's rows as stored profiles: for each version, each segment, and each sampling rate.

A profile is stored in parts, one for each column and one for the rest, so that a chart of one column over a year
reads that column alone. The part of rows that were captured at a rate below 1 carries the rate in its name: counts
stay whole numbers, and are scaled when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.window import Window
from watchkeeper.errors import Incompatible, WatchkeeperError
from watchkeeper.profiles.segment_names import Entry, SegmentNames, other_of
from watchkeeper.rows.values import values_of
from watchkeeper.stats.states.accumulator import Accumulator
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.codec import decode, encode
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.profile import ColumnProfile, Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan
from watchkeeper.stats.states.service import ServiceState

_SERVED = (
    "wk_at",
    "wk_version",
    "wk_rate",
    "wk_latency_s",
    "wk_error",
    "wk_rescued",
    "wk_actual",
    "wk_outcome_at",
)
"""What every profile needs beside the schema's columns."""
OLD_BINS = 64
"""Bins of profiles that are older than the full ones are kept."""
COLUMN = "column:"
REST = "rest"
SERVICE = "service"


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredWindow:
    """What is known of one window, version and segment: the profile by sampling rate, and how it was served."""

    key: WindowKey
    profile: ByRate[Profile]
    service: ByRate[ServiceState]
    outcomes: int = 0

    @property
    def rows(self) -> int:
        """Captured rows."""
        return int(sum(p.rows for p in self.profile.states.values()))

    def coarsen(self, bins: int) -> StoredWindow:
        """The same with histograms of at most *bins* bins: how older days are kept."""
        return replace(
            self,
            profile=ByRate(states={rate: p.coarsen(bins) for rate, p in self.profile.states.items()}),
        )

    def merge(self, other: StoredWindow) -> StoredWindow:
        """Two windows of the same version and segment as one; the key stays that of the first.

        A full profile and one that was made coarse because of its age become a coarse one.
        """
        try:
            profile = self.profile.merge(other.profile)
        except Incompatible:
            profile = self.coarsen(OLD_BINS).profile.merge(other.coarsen(OLD_BINS).profile)
        return replace(
            self,
            profile=profile,
            service=self.service.merge(other.service),
            outcomes=self.outcomes + other.outcomes,
        )


@dataclass(slots=True)
class Measured:
    """Everything that came out of one window."""

    windows: list[StoredWindow] = field(default_factory=list)
    rows: int = 0
    outcomes: int = 0
    notes: list[str] = field(default_factory=list)


def merged_column(one: ColumnProfile, other: ColumnProfile) -> ColumnProfile:
    """Two profiles of a column as one; a full one and one that was made coarse become a coarse one.

    Raises
    ------
    Incompatible
        their bins are those of different baselines.
    """
    try:
        return one.merge(other)
    except Incompatible:
        return one.coarsen(OLD_BINS).merge(other.coarsen(OLD_BINS))


def column_and_rate(part: str) -> tuple[str, float]:
    """The column and the sampling rate that a part's name says.

    >>> column_and_rate("column:age"), column_and_rate("column:age@0.1"), column_and_rate("column:x@2@1")
    (('age', 1.0), ('age', 0.1), ('x@2', 1.0))
    """
    name, rate = _name_and_rate(part)
    return name.removeprefix(COLUMN), rate


def _name_and_rate(part: str) -> tuple[str, float]:
    name, _, suffix = part.rpartition("@")
    return (name, float(suffix)) if name and _is_number(suffix) else (part, 1.0)


def _part_name(name: str, rate: float) -> str:
    """A name whose own end reads as a rate always carries one."""
    return name if rate == 1.0 and _name_and_rate(name)[0] == name else f"{name}@{rate:g}"


def model_columns(schema: Schema) -> dict[str, str]:
    """Lake column -> the schema's own name for it: what a recorder calls prediction, a table may call y_hat."""
    names: dict[str, str] = {}
    for role, lake in (
        (Role.ID, "wk_id"),
        (Role.TIME, "wk_at"),
        (Role.VERSION, "wk_version"),
        (Role.PREDICTION, "wk_prediction"),
        (Role.OUTCOME, "wk_actual"),
    ):
        column = schema.first(role)
        if column is not None:
            names[lake] = column.name
    for column in schema.of_role(Role.SCORE):
        names["wk_score" if column.score_of is None else f"wk_score:{column.score_of}"] = column.name
    return names


def lake_columns(schema: Schema, segments: Sequence[tuple[str, ...]] = ()) -> list[str]:
    """What has to be read of the lake for profiles of *schema*; a name may be missing there."""
    by_own = {own: lake for lake, own in model_columns(schema).items()}
    own = [c.name for c in schema.columns if c.role is not Role.IGNORED]
    names = [by_own.get(n, n) for n in (*own, *(n for entry in segments for n in entry))]
    return list(dict.fromkeys([*_SERVED, *names]))


def known_edges(baseline: Baseline | None) -> dict[str, Edges]:
    """Edges that are not stored with each profile: the baseline's, and what they become when they get old."""
    if baseline is None:
        return {}
    coarse = (edges.coarsen(OLD_BINS) for edges in baseline.edges.values())
    return baseline.known | {edges.digest: edges for edges in coarse}


def watch_schema(
    columns: Mapping[str, pa.DataType], baseline: Schema | None, roles: Mapping[str, str]
) -> Schema:
    """The schema by which a lake's rows are profiled: the baseline's, or one told from the lake's own types."""
    if baseline is not None:
        return baseline.with_roles({n: r for n, r in roles.items() if n in baseline})
    own = {
        "wk_id": ("id", Role.ID),
        "wk_at": ("at", Role.TIME),
        "wk_prediction": ("prediction", Role.PREDICTION),
        "wk_actual": ("outcome", Role.OUTCOME),
        "wk_score": ("score", Role.SCORE),
    }
    found = []
    for name, dtype in columns.items():
        plain, role, score_of = name, Role.FEATURE, None
        if name in own:
            plain, role = own[name]
        elif name.startswith("wk_score:"):
            score_of = name.partition(":")[2]
            plain, role = f"score:{score_of}", Role.SCORE
        elif name.startswith("wk_"):
            continue
        if plain != name and plain in columns:
            plain = name  # a feature has that name already
        found.append(
            Column(name=plain, kind=_kind(dtype, role), role=role, dtype=str(dtype), score_of=score_of)
        )
    return Schema(columns=tuple(found)).with_roles(
        {n: r for n, r in roles.items() if n in {c.name for c in found}}
    )


def _kind(dtype: pa.DataType, role: Role) -> Kind:
    if pa.types.is_boolean(dtype):
        return Kind.BOOLEAN
    if pa.types.is_floating(dtype) or pa.types.is_integer(dtype):
        return Kind.NUMERIC
    if pa.types.is_timestamp(dtype):
        return Kind.DATETIME
    if pa.types.is_list(dtype):
        return Kind.VECTOR
    return Kind.TEXT if role is Role.ID else Kind.CATEGORICAL


class WindowFold:
    """Folds the rows of one stored window: all versions together, each version, each segment.

    Segments are those of all versions together; *names* says which of them are measured by name.
    """

    def __init__(
        self,
        key: WindowKey,
        plan: ProfilePlan,
        *,
        segments: Sequence[Entry] = (),
        names: SegmentNames | None = None,
    ) -> None:
        self.key = key
        self.rows = 0
        self._whole = replace(plan, segments=())
        self._lean = replace(self._whole, sample_k=0)
        self._segments = tuple(segments)
        self._called = names or SegmentNames(segments, most=50)
        self._folds: dict[tuple[str, str, float], Accumulator] = {}
        self._services: dict[tuple[str, str, float], ServiceState] = {}
        self._labelled: dict[tuple[str, str, float], int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> WindowFold:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, rows: pa.Table) -> None:
        """Fold in some rows of the window, as `Lake.joined` gives them."""
        self.rows += rows.num_rows
        for version, segment, rate, part in _cuts(rows, self._segments, self._called):
            place = (version, segment, rate)
            if place not in self._folds:
                plan = self._lean if segment else self._whole
                # Threads pay for large parts; many small segments would drown in them.
                workers = 1 if segment or rows.num_rows < 20_000 else None
                self._folds[place] = self._stack.enter_context(Accumulator(plan, workers=workers))
                self._services[place] = ServiceState.empty()
                self._labelled[place] = 0
            self._folds[place].add(values_of_rows(part, self._whole.schema))
            self._services[place] = self._services[place].merge(_service(part))
            self._labelled[place] += _outcomes(part)

    def finish(self, *, dropped: int = 0) -> Measured:
        """Everything that was folded; *dropped* rows were lost before they could be recorded."""
        out = Measured(rows=self.rows)
        by_key: dict[tuple[str, str], dict[float, tuple[Profile, ServiceState, int]]] = {("", ""): {}}
        for (version, segment, rate), fold in self._folds.items():
            place = (version, segment, rate)
            profile = fold.profile() if self._whole.edges else _without_histograms(fold.profile())
            made = (profile, self._services[place], self._labelled[place])
            if version or segment:
                by_key.setdefault((version, segment), {})[rate] = made
            if not segment:  # all rows are the merge of the versions
                whole = by_key["", ""].get(rate)
                by_key["", ""][rate] = made if whole is None else _both(whole, made)
        for (version, segment), by_rate in sorted(by_key.items()):
            services = {rate: s for rate, (_, s, _) in by_rate.items()}
            if dropped and not version and not segment:
                rate = max(services, default=1.0)
                services[rate] = replace(services.get(rate, ServiceState.empty()), dropped=dropped)
            out.windows.append(
                StoredWindow(
                    key=replace(self.key, version=version, segment=segment),
                    profile=ByRate(states={rate: p for rate, (p, _, _) in by_rate.items()}),
                    service=ByRate(states=services),
                    outcomes=sum(n for _, _, n in by_rate.values()),
                )
            )
        out.outcomes = out.windows[0].outcomes
        out.notes += cut_notes(out.windows)
        return out


def _both(
    one: tuple[Profile, ServiceState, int], other: tuple[Profile, ServiceState, int]
) -> tuple[Profile, ServiceState, int]:
    return one[0].merge(other[0]), one[1].merge(other[1]), one[2] + other[2]


def _without_histograms(profile: Profile) -> Profile:
    """Before there is a baseline there are no common edges, and histograms on others cannot be merged later."""
    return replace(
        profile,
        columns={
            name: replace(c, states={n: s for n, s in c.states.items() if n != "histogram"})
            for name, c in profile.columns.items()
        },
    )


def _cuts(
    table: pa.Table,
    segments: Sequence[Entry],
    names: SegmentNames,
) -> Iterator[tuple[str, str, float, pa.Table]]:
    """The batch by (version, segment, rate): each version's rows, each segment's."""
    for rate, rows in _by_value(table, "wk_rate"):
        captured = 1.0 if rate is None else float(rate)
        for version, part in _by_value(rows, "wk_version"):
            yield str(version or ""), "", captured, part
        for entry in segments:
            present = [n for n in entry if n in rows.column_names]
            if len(present) != len(entry):
                continue
            together: dict[str, list[np.ndarray]] = {}
            for label, places in segment_rows(rows, entry).items():
                together.setdefault(names.of(entry, label), []).append(places)
            for name, parts in together.items():
                yield "", name, captured, rows.take(pa.array(np.sort(np.concatenate(parts))))


def _by_value(table: pa.Table, name: str) -> Iterator[tuple[Any, pa.Table]]:
    if name not in table.column_names:
        yield None, table
        return
    values = pc.unique(table[name]).to_pylist()
    if len(values) == 1:
        yield values[0], table
        return
    for value in values:
        mask = (
            pc.is_null(table[name])
            if value is None
            else pc.equal(table[name], pa.scalar(value, table[name].type))
        )
        yield value, table.filter(mask)


def segment_rows(rows: pa.Table, entry: Entry) -> dict[str, np.ndarray]:
    """Segment -> places of its rows. A missing value is a segment of its own."""
    codes = np.zeros(rows.num_rows, dtype=np.int64)
    names = [""]
    for column in entry:
        encoded = rows[column].combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        words = [_word(v) for v in encoded.dictionary.to_pylist()]
        codes = codes * len(words) + np.asarray(encoded.indices)
        names = [
            f"{left} & {column}={word}" if left else f"{column}={word}" for left in names for word in words
        ]
    order = np.argsort(codes, kind="stable")
    held, first = np.unique(codes[order], return_index=True)
    return {names[code]: part for code, part in zip(held.tolist(), np.split(order, first[1:]))}


def _word(value: Any) -> str:
    if value is None:
        return "(missing)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def segments_of_baseline(entry: Entry, baseline: Baseline | None, most: int) -> list[str]:
    """Segments of the baseline, largest first; of crossed columns it keeps no counts."""
    if baseline is None or len(entry) != 1:
        return []
    column = baseline.profile.columns.get(entry[0])
    if column is None or column.frequencies is None:
        return []
    return [f"{entry[0]}={name}" for name, _ in column.frequencies.top(most)]


def cut_notes(windows: Iterable[StoredWindow]) -> list[str]:
    """What a reader must know of segments that have no name of their own."""
    return [
        f"{w.rows:,} rows are in segments of {' x '.join(_columns_of(w.key.segment))} beyond those kept by name"
        for w in windows
        if w.key.segment and w.key.segment == other_of(_columns_of(w.key.segment)) and w.rows
    ]


def _columns_of(segment: str) -> Entry:
    return tuple(part.partition("=")[0] for part in segment.split(" & "))


def values_of_rows(rows: pa.Table, schema: Schema) -> dict[str, Any]:
    """The schema's columns out of *rows* as the lake names them; a column that is not there is left out."""
    by_own = {own: lake for lake, own in model_columns(schema).items()}
    out = {}
    for column in schema.columns:
        if column.role is Role.IGNORED:
            continue
        lake = by_own.get(column.name, column.name)
        if lake in rows.column_names:
            out[column.name] = values_of(rows[lake], column)
    return out


def _service(rows: pa.Table) -> ServiceState:
    def column(name: str) -> Any:
        return rows[name] if name in rows.column_names else pa.nulls(rows.num_rows)

    latency = pc.fill_null(column("wk_latency_s").cast(pa.float64()), float("nan"))
    rescued = pc.sum(pc.is_valid(column("wk_rescued"))).as_py() or 0
    delay: Any = ()
    if "wk_outcome_at" in rows.column_names and "wk_at" in rows.column_names:
        late = pc.subtract(rows["wk_outcome_at"].cast(pa.int64()), rows["wk_at"].cast(pa.int64()))
        delay = np.asarray(pc.drop_null(late)).astype(np.float64) / 1e6
    elif "wk_actual" in rows.column_names:
        delay = np.full(_outcomes(rows), np.nan)  # a table of the user's own does not say when they came
    return ServiceState.of(
        latency_s=np.asarray(latency),
        failed=np.asarray(pc.is_valid(column("wk_error"))),
        delay_s=delay,
        rescued=int(rescued),
    )


def _outcomes(rows: pa.Table) -> int:
    if "wk_actual" not in rows.column_names:
        return 0
    return int(rows.num_rows - rows["wk_actual"].null_count)


# ---- storing ----------------------------------------------------------------------------------------


def parts_of(stored: StoredWindow, generation: int, known: Mapping[str, Edges]) -> list[dict[str, Any]]:
    """The rows that the lake keeps of one window, version and segment."""
    key = stored.key
    place = {
        "start": key.window.start,
        "end": key.window.end,
        "version": key.version,
        "segment": key.segment,
        "generation": generation,
    }
    out = []
    for rate, profile in stored.profile.states.items():
        for name, column in profile.columns.items():
            part = _part_name(f"{COLUMN}{name}", rate)
            out.append({**place, "part": part, "payload": encode(column, known=known)})
        rest = replace(profile, columns={}, sample=None)
        out.append({**place, "part": _part_name(REST, rate), "payload": encode(rest, known=known)})
    out.append({**place, "part": SERVICE, "payload": encode(stored.service)})
    return out


def profiles_of(table: pa.Table, known: Mapping[str, Edges]) -> dict[WindowKey, StoredWindow]:
    """Read back what `parts_of` wrote; the model's name is not stored and stays empty."""
    columns: dict[tuple[WindowKey, float], dict[str, ColumnProfile]] = {}
    rests: dict[tuple[WindowKey, float], Profile] = {}
    services: dict[WindowKey, ByRate[ServiceState]] = {}
    for row in table.to_pylist():
        key = WindowKey(
            model="", window=Window(row["start"], row["end"]), version=row["version"], segment=row["segment"]
        )
        name, rate = _name_and_rate(row["part"])
        thing = decode(row["payload"], known=known)
        if name == SERVICE:
            services[key] = thing
        elif name == REST:
            rests[key, rate] = thing
        else:
            columns.setdefault((key, rate), {})[name.removeprefix(COLUMN)] = thing
    out: dict[WindowKey, StoredWindow] = {}
    by_key: dict[WindowKey, dict[float, Profile]] = {}
    for place in dict.fromkeys([*rests, *columns]):
        key, rate = place
        held = columns.get(place, {})
        rest = rests.get(place) or Profile(schema=Schema(columns=tuple(c.column for c in held.values())))
        by_key.setdefault(key, {})[rate] = replace(rest, columns=held)
    for key in dict.fromkeys([*by_key, *services]):
        out[key] = StoredWindow(
            key=key,
            profile=ByRate(states=by_key.get(key, {})),
            service=services.get(key, ByRate.empty()),
        )
    return out


def judged_profiles(
    table: pa.Table, known: Mapping[str, Edges], whole: WindowKey, cadence: timedelta
) -> tuple[dict[tuple[str, str], StoredWindow], list[str]]:
    """A judged window *whole*, by version and segment: the merge of its stored windows in *table*; and what went wrong."""
    merged: dict[tuple[str, str], StoredWindow] = {}
    problems = []
    for key, stored in profiles_of(table, known).items():
        if key.window.length != cadence:
            continue
        place = (key.version, key.segment)
        moved = replace(stored, key=replace(whole, version=key.version, segment=key.segment))
        try:
            merged[place] = merged[place].merge(moved) if place in merged else moved
        except WatchkeeperError as problem:
            problems.append(problem.what)
    return merged, problems


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def renamed_rows(watch: Any, name: str, start: Any, end: Any) -> pa.Table:
    """Recorded rows of [start, end) under the names of the model's schema, with their outcomes; held in memory.

    Raises
    ------
    BadInput
        there are none.
    """
    from watchkeeper.errors import BadInput

    model = watch.model(name)
    schema = watch.lake_schema(model)
    names = model_columns(schema)
    parts = []
    for batch in watch.rows(model, Window(start, end)):
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        table = table.rename_columns([names.get(n, n) for n in table.column_names])
        parts.append(table.select([n for n in table.column_names if n in schema]))
    if not parts:
        raise BadInput(f"{name!r} has no rows from {start:%Y-%m-%d} to {end:%Y-%m-%d}.")
    return pa.concat_tables(parts, promote_options="permissive")
