"""A project: its models, its ledger, its lake, and the baselines and rows that they hold."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

from watchkeeper.capture.journal import journals
from watchkeeper.domain.fact import Lease
from watchkeeper.domain.schema import Role, Schema
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, LeaseLost, NotFound, nearest
from watchkeeper.loop.batch.profiling import load_baseline, save_baseline
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.loop.watch.drain import Drained, drain
from watchkeeper.loop.watch.lease import LEASE_FOR
from watchkeeper.profiles.lake_schema import model_columns, watch_schema
from watchkeeper.profiles.stored_window import StoredWindow, known_edges, profiles_of
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile

if TYPE_CHECKING:
    import pyarrow as pa

    from watchkeeper.ports.lake import Lake
    from watchkeeper.ports.ledger import Ledger


ADOPT_AFTER = 20
"""Mature judged windows from which a model without a baseline takes one."""


class BaselineSet(TypedDict):
    """Where a baseline lies now, and what it was made of."""

    rows: float
    windows: int
    path: str
    source: dict[str, Any]


BASELINE_SET = FactKind("baseline.set", BaselineSet)


@dataclass(frozen=True, slots=True)
class RowWindows:
    """Until when a model's stored windows were cut into windows of so many rows."""

    model: str
    until: datetime


ROW_WINDOWS = Kind("row_windows", RowWindows, key="model", model="model")


class Project:
    """What one project knows: measurements, baselines, windows and rows. Close it when done."""

    def __init__(
        self,
        *,
        path: Path,
        data: Path,
        models: Mapping[str, WatchedModel],
        ledger: Ledger,
        lake: Lake,
        config: Any = None,
        clock: Callable[[], datetime] | None = None,
        table_reader: Callable[[WatchedModel], Any] | None = None,
    ) -> None:
        self.path, self.data, self.models = path, data, dict(models)
        self.ledger, self.lake, self.config = ledger, lake, config
        self.clock = clock or (lambda: datetime.now(UTC))
        self.holder = f"{_processes_here()}:{os.getpid()}:{id(self):x}"
        self._table_reader = table_reader
        self._baselines: dict[str, tuple[tuple[str, float], Baseline]] = {}
        self.performances: dict[tuple[str, Window], tuple[int, Profile | None]] = {}
        """How models did in their newest windows, by generation (`estimating.arrived_before`): read once, not every tick."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections."""
        self.ledger.close()

    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        """Take or renew a lease; None while another holds it. One whose process is gone need not be waited for."""
        leases, now = self.ledger.leases, self.clock()
        taken = leases.acquire(name, self.holder, ttl, now)
        if taken is None and (held := leases.holder(name)) is not None and _is_gone(held.holder):
            leases.release(held)
            taken = leases.acquire(name, self.holder, ttl, now)
        return taken

    def renewed(self, lease: Lease, ttl: timedelta = LEASE_FOR) -> Lease:
        """The same lease, for *ttl* from now; as it is while more than half of that is left.

        Raises
        ------
        LeaseLost
            another process holds it now.
        """
        now = self.clock()
        if lease.expires_at - now > ttl / 2:
            return lease
        taken = self.ledger.leases.acquire(lease.name, self.holder, ttl, now)
        if taken is None or taken.token != lease.token:
            if taken is not None:
                self.ledger.leases.release(taken)
            raise LeaseLost("Another process ticks now; it goes on where this one stopped.")
        return taken

    def model(self, name: str) -> WatchedModel:
        """One model's configuration.

        Raises
        ------
        NotFound
            with the nearest name.
        """
        if name not in self.models:
            raise NotFound(
                f"There is no model {name!r} in this project.{nearest(name, self.models)}",
                f"Known: {', '.join(self.models) or 'none yet; add [models.NAME] to watchkeeper.toml'}.",
            )
        return self.models[name]

    # ---- what was measured ---------------------------------------------------------------------------

    def measurements(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        measures: Sequence[str] = (),
        subjects: Sequence[str] = (),
        segments: Sequence[str] = (),
        versions: Sequence[str] = (),
    ) -> pa.Table:
        """Measurements as an Arrow table, one row each: series, window, value, interval, margin, reason."""
        self.model(model)
        return self.ledger.measurements.table(
            model,
            start=start,
            end=end,
            measures=measures,
            subjects=subjects,
            segments=segments,
            versions=versions,
        )

    # ---- baselines -----------------------------------------------------------------------------------

    def baseline_path(self, name: str) -> Path:
        """Where the baseline of a model lies, or would."""
        model = self.model(name)
        return self.path / model.baseline if model.baseline else self.data / "baselines" / f"{name}.wkb"

    def baseline(self, name: str) -> Baseline | None:
        """The model's baseline; None while there is none. Read again when the file changes."""
        path = self.baseline_path(name)
        try:
            stamp = (str(path), path.stat().st_mtime)
        except OSError:
            if self.model(name).baseline:
                raise NotFound(
                    f"The baseline of {name!r}, {path}, is not there.",
                    f"Take one:  watchkeeper baseline DATA --output {path}",
                ) from None
            return None
        held = self._baselines.get(name)
        if held is None or held[0] != stamp:
            held = (stamp, load_baseline(path))
            self._baselines[name] = held
        return held[1].with_positive(self.model(name).positive, f"The configuration of {name!r}")

    def set_baseline(self, name: str, made: Baseline, *, actor: str, lease: Lease | None = None) -> None:
        """Put *made* in the place of the model's baseline; all windows since its end are measured again."""
        path = save_baseline(made, self.baseline_path(name))
        said: BaselineSet = {
            "rows": made.profile.rows,
            "windows": len(made.windows),
            "path": str(path),
            "source": made.source,
        }
        write(self.ledger.facts, [BASELINE_SET(said, at=self.clock(), actor=actor, model=name)], lease=lease)
        keys = [s.key for s in self.ledger.windows.windows(name, limit=1_000_000)]
        self.ledger.windows.mark_dirty(keys, reason="a new baseline was set", lease=lease)

    def rebaseline(self, name: str, start: datetime, end: datetime, *, actor: str) -> Baseline:
        """Take a new baseline from the recorded rows of [start, end)."""
        model = self.model(name)
        made = self._baseline_of(model, Window(start, end))
        self.set_baseline(name, made, actor=actor)
        return made

    def adopt_baseline(self, model: WatchedModel, lease: Lease) -> bool:
        """A model without a baseline takes its first mature windows as one; whether it did."""
        if model.baseline or self.baseline(model.name) is not None:
            return False
        judged: dict[Window, bool] = {}
        for state in self.ledger.windows.windows(model.name, limit=100_000):
            if state.key.window.length == model.cadence and state.rows:
                window = model.judged_window(state.key.window)
                judged[window] = judged.get(window, True) and state.mature
        ripe = [w for w in sorted(judged) if judged[w]][:ADOPT_AFTER]
        if len(ripe) < ADOPT_AFTER:
            return False
        self.set_baseline(
            model.name,
            self._baseline_of(model, Window(ripe[0].start, ripe[-1].end)),
            actor="watchkeeper",
            lease=lease,
        )
        return True

    def _baseline_of(self, model: WatchedModel, window: Window) -> Baseline:
        from watchkeeper.loop.batch.profiling import baseline

        rows = _RecordedRows(self, model, window)
        schema = self.lake_schema(model)
        return baseline(
            rows.stream,
            schema=schema,
            segments=model.segments,
            window=model.judge_every,
            name=f"{model.name}, {window.label}",
            now=self.clock(),
        )

    # ---- rows ----------------------------------------------------------------------------------------

    def lake_schema(self, model: WatchedModel) -> Schema:
        """The model's schema: its baseline's, or told from what the lake holds."""
        made = self.baseline(model.name)
        if made is not None:
            return watch_schema({}, made.schema, model.roles)
        if model.table is not None:
            columns = dict(self._reader(model).columns())
        else:
            columns = dict(self.lake.columns(model.name, "predictions"))
            outcomes = self.lake.columns(model.name, "outcomes")
            if "wk_actual" in outcomes:
                columns["wk_actual"] = outcomes["wk_actual"]
        schema = watch_schema(columns, None, model.roles)
        return replace(schema, task=model.task or _task_of(schema), positive=model.positive)

    def drain(self, model: WatchedModel, lease: Lease) -> Drained:
        """Move what recorders have committed into the lake: from the data folder, and from the project's."""
        done = drain(
            model, data=self.data, lake=self.lake, ledger=self.ledger, lease=lease, renew=self.renewed
        )
        if self.data != self.path and journals(self.path, model.name):
            done.add(
                drain(
                    model, data=self.path, lake=self.lake, ledger=self.ledger, lease=lease, renew=self.renewed
                )
            )
        return done

    def rows(
        self, model: WatchedModel, window: Window, *, columns: Sequence[str] | None = None
    ) -> Iterator[Any]:
        """Rows of a window as the lake names them: recorded ones, or those of the user's own table.

        Of *columns* those are given that there are; None is all.
        """
        if model.table is not None:
            yield from self._reader(model).rows(window, columns=columns)
        elif columns is None:
            yield from self.lake.joined(model.name, window)
        else:
            there = self.lake.columns(model.name, "predictions")
            chosen = [c for c in columns if c in there or c in ("wk_actual", "wk_outcome_at", "wk_hash")]
            yield from self.lake.joined(model.name, window, columns=chosen)

    def dropped(self, model: WatchedModel, window: Window) -> int:
        """Rows that recorders had to drop in a window, or that could not be stored and are in quarantine."""
        if model.table is not None:
            return 0
        counted = self.lake.counters(model.name, window.start, window.end)
        return int(counted.get("dropped", 0) + counted.get("quarantined", 0))

    def look_at_table(self, model: WatchedModel, lease: Lease) -> int:
        """Mark the windows of a user's own table whose rows or outcomes have changed since the last look."""
        return int(self._reader(model).mark_changes(self.ledger, self.clock(), lease))

    def _reader(self, model: WatchedModel) -> Any:
        if self._table_reader is None:
            raise BadInput(
                f"The table of {model.name!r} cannot be read here.",
                "Open the project with watchkeeper.open().",
            )
        return self._table_reader(model)

    def windows(
        self,
        name: str,
        window: Window,
        *,
        version: str | None = "",
        segment: str | None = "",
        parts: Sequence[str] | None = None,
    ) -> list[StoredWindow]:
        """Stored windows within *window*, by time; ``parts`` such as ``["column:age"]`` reads only these."""
        made = self.baseline(name)
        table = self.lake.profiles(name).get(
            window.start, window.end, version=version, segment=segment, parts=parts
        )
        found = profiles_of(table, known_edges(made))
        return [replace(s, key=replace(s.key, model=name)) for s in found.values()]

    def close_row_windows(self, model: WatchedModel, lease: Lease) -> int:
        """Windows by rows: cut the stored windows since the last cut whenever enough rows have come."""
        wanted = model.rows_per_window or 0
        cuts = Records(self.ledger.facts, ROW_WINDOWS)
        cursor = cuts.get(model.name)
        since = None if cursor is None else cursor.value.until
        start, rows, closed = since, 0, []
        for state in self.ledger.windows.windows(model.name, start=since, limit=1_000_000):
            if state.key.window.length != model.cadence or state.key.version or not state.generation:
                continue
            start = start or state.key.window.start
            rows += state.rows
            if rows >= wanted:
                closed.append(Window(start, state.key.window.end))
                start, rows = state.key.window.end, 0
        if closed:
            self.ledger.windows.mark_dirty(
                [WindowKey(model=model.name, window=w) for w in closed],
                reason="enough rows came",
                lease=lease,
            )
            cuts.put(RowWindows(model.name, closed[-1].end), now=self.clock(), lease=lease)
        return len(closed)


class _RecordedRows:
    """Recorded rows under the names of a schema, as a source that can be read again."""

    def __init__(self, project: Project, model: WatchedModel, window: Window) -> None:
        self._project, self._model, self._window = project, model, window
        self._names = model_columns(project.lake_schema(model))

    @property
    def stream(self) -> Any:
        """An Arrow table in the schema's names; held in memory, so a baseline's window should be bounded."""
        import pyarrow as pa

        parts = []
        for batch in self._project.rows(self._model, self._window):
            table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
            parts.append(table.rename_columns([self._names.get(n, n) for n in table.column_names]))
        if not parts:
            raise BadInput(f"{self._model.name!r} has no rows in {self._window.label}.")
        return pa.concat_tables(parts, promote_options="permissive")


def _task_of(schema: Schema) -> Any:
    from watchkeeper.domain.schema import Kind, Task

    outcome, score = schema.first(Role.OUTCOME), schema.of_role(Role.SCORE)
    if outcome is None:
        return None
    if len(score) > 1:
        return Task.MULTICLASS
    if score or outcome.kind is Kind.BOOLEAN:
        return Task.BINARY
    return Task.REGRESSION if outcome.kind is Kind.NUMERIC else Task.MULTICLASS


def _processes_here() -> str:
    """A name for the processes that this one can see: those of another machine or container are none of ours."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}:{space}"


def _is_gone(holder: str) -> bool:
    """Whether the process of *holder* could be seen from here, and is there no more."""
    here, _, process = holder.rpartition(":")[0].rpartition(":")
    if here != _processes_here() or not process.isdigit() or here.endswith(":0"):
        return False
    return not os.path.exists(f"/proc/{process}")


def renamed_rows(watch: Project, name: str, start: datetime, end: datetime) -> pa.Table:
    """Recorded rows of [start, end) under the names of the model's schema, with their outcomes; held in memory.

    Raises
    ------
    BadInput
        there are none.
    """
    import pyarrow as pa

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
