"""The tick: measure every window that must be measured, exactly once, whatever crashes.

What has to be done is written in the ledger's windows, not remembered here. A tick takes the lease, drains the
journals, profiles the stored windows that are marked, measures them, merges them into the windows that are judged,
and clears the marks. Running it twice changes nothing; a crash between two steps repeats the earlier one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa

from watchkeeper.domain.fact import Lease
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import LeaseLost, WatchkeeperError
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.loop.watch.drain import Drained
from watchkeeper.loop.watch.estimating import RowSampler, arrived_before, record_of_estimates, samples_of
from watchkeeper.loop.watch.lease import LEASE, LEASE_FOR
from watchkeeper.loop.watch.measuring import measure_groups, measure_stored
from watchkeeper.loop.watch.outside import outside_of
from watchkeeper.loop.watch.profile_rollups import MOST_PARTS
from watchkeeper.loop.watch.project import Project
from watchkeeper.loop.watch.retention import OLD_BINS, maintain
from watchkeeper.measures.estimate.told import PREFIX
from watchkeeper.ports.judge import Judge, JudgedWindow, Watching
from watchkeeper.ports.lake import Origin
from watchkeeper.profiles.lake_schema import lake_columns, watch_schema
from watchkeeper.profiles.segment_names import SegmentNames, give_names
from watchkeeper.profiles.stored_window import StoredWindow, cut_notes, judged_profiles, known_edges, parts_of
from watchkeeper.profiles.window_fold import Measured, WindowFold, segments_of_baseline
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan
from watchkeeper.stats.states.sample import Sample

_log = logging.getLogger("watchkeeper.tick")

DAY = timedelta(days=1)
TOGETHER = 7
"""Daily windows that are read in one pass and written in one commit."""


@dataclass(slots=True)
class Ticked:
    """What one tick did."""

    held_by_another: bool = False
    drained: dict[str, Drained] = field(default_factory=dict)
    stored_windows: int = 0
    judged_windows: int = 0
    measurements: int = 0
    problems: list[str] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)
    """Model -> why it could not be measured in this tick."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "held_by_another": self.held_by_another,
            "predictions": sum(d.predictions for d in self.drained.values()),
            "outcomes": sum(d.outcomes for d in self.drained.values()),
            "unmatched": sum(d.unplaced for d in self.drained.values()),
            "duplicates": sum(d.duplicates for d in self.drained.values()),
            "stored_windows": self.stored_windows,
            "judged_windows": self.judged_windows,
            "measurements": self.measurements,
            "problems": [*self.problems, *(p for d in self.drained.values() for p in d.problems)],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTick:
    """What the newest tick did, where `status` looks for it."""

    at: datetime
    holder: str
    held_by_another: bool = False
    predictions: int = 0
    outcomes: int = 0
    duplicates: int = 0
    unmatched: int = 0
    stored_windows: int = 0
    judged_windows: int = 0
    measurements: int = 0
    problems: tuple[str, ...] = ()


LAST_TICK = Kind("tick", LastTick, key=lambda _: "last")


class WindowMeasured(TypedDict):
    """What a judged window held, and how often it was measured."""

    rows: int
    outcomes: int
    mature: bool
    generation: int


WINDOW_MEASURED = FactKind("window.measured", WindowMeasured)


def tick(
    project: Project,
    *,
    models: Iterable[str] | None = None,
    judges: Sequence[Judge] = (),
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Ticked:
    """Do everything that is due now. One model's trouble is told in ``problems`` and does not hold up the others."""
    done = Ticked()
    wanted = [project.model(name) for name in (project.models if models is None else models)]
    lease = project.lease(LEASE, LEASE_FOR)
    if lease is None:
        done.held_by_another = True
        return done
    to_merge = MOST_PARTS
    for model in wanted:
        name = model.name
        try:
            if model.table is None:
                done.drained[name] = project.drain(model, lease)
            else:
                project.look_at_table(model, lease)
            lease = _Model(project, model, lease, done, judges, progress).run()
            kept = maintain(project, model, lease, most_parts=to_merge)
            to_merge -= kept.parts
            done.problems += [f"{name}: {said}" for said in kept.problems]
        except LeaseLost as lost:
            held = project.ledger.leases.holder(LEASE)
            if held is not None and held.token == lease.token and lost.fence > lease.token:
                project.ledger.leases.release(lease, above=lost.fence)
                done.problems.append(
                    f"The lake of {name} was written under lease {lost.fence} already, and the ledger gave out "
                    f"{lease.token}: it was restored from a backup, or begun anew. The next tick goes on."
                )
            else:
                done.problems.append(lost.what)
            return done
        except WatchkeeperError as problem:
            done.troubles[name] = problem.what
            done.problems.append(f"{name}: {problem.what}")
        except Exception as bug:  # one model's trouble must not hold up the others, also when it is ours
            _log.exception("the tick of %s failed", name)
            done.troubles[name] = f"{type(bug).__name__}: {bug}"
            done.problems.append(f"{name}: {type(bug).__name__}: {bug}")
    for name, drained in done.drained.items():
        if drained.problems:
            done.troubles.setdefault(name, drained.problems[0])
    at = Watching(ledger=project.ledger, models=project.models, now=project.clock(), lease=lease)
    for judge in judges:
        _guarded(done, lambda j: j.sources(at, done.troubles), judge)
    for judge in judges:
        _guarded(done, lambda j: j.after(at), judge)
    _write_down(project, done, lease)
    project.ledger.leases.release(lease)
    return done


def _guarded(done: Ticked, step: Callable[[Judge], object], judge: Judge) -> None:
    """Take a judge's step; what goes wrong is a problem of the tick, and holds up no other judge."""
    try:
        step(judge)
    except WatchkeeperError as problem:
        done.problems.append(problem.what)
    except Exception as bug:
        _log.exception("what follows a tick failed")
        done.problems.append(f"{type(bug).__name__}: {bug}")


def _write_down(project: Project, done: Ticked, lease: Lease) -> None:
    """Leave what this tick did where `status` looks for it."""
    try:
        now = project.clock()
        last = LastTick(at=now, holder=project.holder, **done.to_dict())
        Records(project.ledger.facts, LAST_TICK).put(last, now=now, lease=lease)
    except WatchkeeperError as problem:
        done.problems.append(problem.what)


class _Model:
    """The tick of one model."""

    def __init__(
        self,
        project: Project,
        model: WatchedModel,
        lease: Lease,
        done: Ticked,
        judges: Sequence[Judge],
        progress: Callable[[str, int, int | None], None] | None,
    ) -> None:
        self.project, self.model, self.lease, self.done = project, model, lease, done
        self.judges, self.progress = judges, progress
        self.now = project.clock()
        self.baseline = project.baseline(model.name)
        self.total: int | None = None

    def run(self) -> Lease:
        """Stored windows first, a day at a time; then the judged windows that have ended."""
        pending = [s for s in self._dirty() if self._is_stored(s)]
        self.total = len(pending)
        for day in _days(pending):
            self._renew()
            self._measure_day(day)
        for state in self._dirty():
            if not self._is_stored(state):
                self._renew()
                self._judge(state)
        self._judge_by_age()
        if self.baseline is None and self.project.adopt_baseline(self.model, self.lease):
            self.baseline = self.project.baseline(self.model.name)
            return self.run()
        return self.lease

    def _dirty(self) -> list[WindowState]:
        return self.project.ledger.windows.dirty(model=self.model.name, before=self.now, limit=1_000_000)

    def _is_stored(self, state: WindowState) -> bool:
        return state.key.window.length == self.model.cadence and not state.key.version

    def _renew(self) -> None:
        self.lease = self.project.renewed(self.lease)

    # ---- stored windows ------------------------------------------------------------------------------

    def _measure_day(self, states: Sequence[WindowState]) -> None:
        """Profile some windows of one day from one pass over its rows."""
        expired = self.model.retention.rows
        gone = [s for s in states if expired is not None and s.key.window.end <= self.now - expired]
        if gone:
            reason = "its raw rows have expired, so it cannot be rebuilt"
            self.project.ledger.windows.done(
                [replace(s, rebuildable=False, reason=reason) for s in gone], lease=self.lease
            )
            states = [s for s in states if s not in gone]
        if not states:
            return
        plan = self._plan()
        by_start = {s.key.window.start: s for s in states}
        span = Window(min(by_start), max(s.key.window.end for s in states))
        names = self._segment_names()
        measured, taken = self._folded(by_start, span, plan, names)
        names.save(self.project.ledger.facts, self.model.name, lease=self.lease)
        known = known_edges(self.baseline)
        parts, placed, done, judged = [], [], [], []
        final: list[tuple[WindowState, list[StoredWindow], list[PlacedMeasurement]]] = []
        for state, found in measured:
            mine: list[PlacedMeasurement] = []
            around = (
                self._around(state.key.window, taken.get(state.key.window.start))
                if self._is_judged(state.key)
                else _NOTHING
            )
            for stored in found.windows:
                mine += self._same_as_whole(stored, found.windows[0], mine) or self._placed(stored, around)
                # Numbered by its marks: after a crash before they are cleared, as many marks give the same profile
                # again, and more marks give one that counts instead.
                parts += parts_of(
                    stored.coarsen(OLD_BINS) if self._is_old(state) else stored, state.marks, known
                )
            if self._is_judged(state.key):
                mine += self._between_groups(found.windows)
            placed += mine
            measured_state = replace(
                state,
                rows=found.rows,
                outcomes=found.outcomes,
                mature=self._mature(state.key.window, found.rows, found.outcomes),
                generation=state.generation + 1,
                measured_at=self.now,
                reason="; ".join(found.notes),
            )
            done.append(measured_state)
            if self._is_judged(state.key):
                final.append((measured_state, found.windows, mine))
            else:
                judged.append(self._judged_key(state.key))
        self._renew()
        profiles = self.project.lake.profiles(self.model.name)
        next_one = profiles.sequence("tick") + 1
        origin = Origin(source="tick", first=next_one, last=next_one, token=self.lease.token)
        profiles.put(parts, origin=origin)
        ledger = self.project.ledger
        self.done.measurements += ledger.measurements.write(placed, at=self.now, lease=self.lease)
        final = [
            (
                s,
                w,
                mine
                + (self._record(s.key, mine) if s.mature else [])
                + outside_of(self.project, self.model, s.key.window),
            )
            for s, w, mine in final
        ]
        marks = {key for key in judged if key is not None}
        if marks:
            ledger.windows.mark_dirty(sorted(marks), reason="a stored window was measured", lease=self.lease)
        # A stored window that is judged as it is: its judges come before its mark is cleared, so that a crash
        # between the two repeats the judging and never skips it.
        for measured_state, windows, mine in final:
            self._hand_over(measured_state, windows, mine)
        ledger.windows.done(done, lease=self.lease)
        if self.model.rows_per_window:
            self.project.close_row_windows(self.model, self.lease)
        self.done.stored_windows += len(done)
        if self.progress:
            self.progress(self.model.name, self.done.stored_windows, self.total)

    def _folded(
        self,
        by_start: dict[datetime, WindowState],
        span: Window,
        plan: ProfilePlan,
        names: SegmentNames,
    ) -> tuple[list[tuple[WindowState, Measured]], dict[datetime, dict[str, Sample]]]:
        """Every window of *by_start*, from one pass over the rows of *span*; of those that are judged, samples too."""
        samplers: dict[datetime, RowSampler] = {}
        if (sampled := self._sampled_plan()) is not None:
            judged = [start for start, s in by_start.items() if self._is_judged(s.key)]
            samplers = {s: RowSampler(sampled, hashed=self.model.table is None) for s in judged}
        with ExitStack() as stack:
            folds: dict[datetime, WindowFold] = {}
            aside = stack.enter_context(ThreadPoolExecutor(max_workers=1))
            needed = lake_columns(plan.schema, self.model.segments)
            needed += [c for s in samplers.values() for c in s.columns if c not in needed]
            needed = list(dict.fromkeys(needed))
            for start, rows in self._rows(span, set(by_start), needed):
                self._renew()
                if start not in folds:
                    fold = WindowFold(by_start[start].key, plan, segments=self.model.segments, names=names)
                    folds[start] = stack.enter_context(fold)
                sampling = aside.submit(samplers[start].add, rows) if start in samplers else None
                folds[start].add(rows)
                if sampling is not None:
                    sampling.result()
            whole = [
                give_names(names, entry, (f.nameless(entry) for f in folds.values()))
                for entry in self.model.segments
            ]
            if not all(
                whole
            ):  # more came at once than are folded apart: read again, now that the largest have names
                return self._folded(by_start, span, plan, names)
            measured = []
            for start, state in sorted(by_start.items()):
                done = folds.get(start) or WindowFold(state.key, plan)
                lost = self.project.dropped(self.model, state.key.window)
                measured.append((state, done.finish(dropped=lost)))
            return measured, {start: sampler.samples() for start, sampler in samplers.items()}

    def _segment_names(self) -> SegmentNames:
        most = self.model.max_segments
        return SegmentNames.load(
            self.project.ledger.facts,
            self.model.name,
            self.model.segments,
            most=most,
            first=lambda entry: segments_of_baseline(entry, self.baseline, most),
        )

    def _is_old(self, state: WindowState) -> bool:
        """Whether profiles of this age are kept coarse."""
        keep = self.model.retention.full_profiles
        return keep is not None and state.key.window.end <= self.now - keep

    def _plan(self) -> ProfilePlan:
        if self.baseline is not None:
            schema = watch_schema({}, self.baseline.schema, self.model.roles)
            return replace(self.baseline.plan, schema=schema, sample_k=0)
        return ProfilePlan(schema=self.project.lake_schema(self.model), sample_k=0)

    def _rows(
        self, span: Window, wanted: set[datetime], columns: Sequence[str]
    ) -> Iterable[tuple[datetime, pa.Table]]:
        """Rows of the span by stored window. Only columns that somebody looks at are read."""
        for batch in self.project.rows(self.model, span, columns=columns):
            table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
            at = np.asarray(table["wk_at"].cast(pa.int64()))
            width = self.model.cadence // timedelta(microseconds=1)
            starts = at // width * width
            if not len(starts):
                continue
            if starts.min() == starts.max():
                parts = [(int(starts[0]), table)]
            else:
                order = np.argsort(starts, kind="stable")
                held, first = np.unique(starts[order], return_index=True)
                chunks = np.split(order, first[1:])
                parts = [(int(s), table.take(pa.array(rows))) for s, rows in zip(held.tolist(), chunks)]
            for us, rows in parts:
                start = _moment(us)
                if start in wanted:
                    yield start, rows

    def _mature(self, window: Window, rows: int, outcomes: int) -> bool:
        rule = self.model.maturity
        return (rows > 0 and outcomes >= rule.share * rows) or self.now >= window.end + rule.after

    def _is_judged(self, key: WindowKey) -> bool:
        """Whether stored windows are judged as they are, because both are of the same length."""
        return not self.model.rows_per_window and self.model.judged_window(key.window) == key.window

    def _judged_key(self, key: WindowKey) -> WindowKey | None:
        if self.model.rows_per_window:
            return None
        return WindowKey(model=key.model, window=self.model.judged_window(key.window))

    # ---- judged windows ------------------------------------------------------------------------------

    def _judge_by_age(self) -> None:
        """Windows that wait for outcomes that never came: their time is over, so they are judged as they are."""
        windows = self.project.ledger.windows
        ripe = windows.windows(
            self.model.name, immature_at=self.now - self.model.maturity.after, limit=1_000_000
        )
        ripe = [s for s in ripe if not s.dirty]  # marked since: the next tick measures it
        parts = [s for s in ripe if self._is_stored(s) and not self._is_judged(s.key)]
        if parts:
            windows.done([replace(s, mature=True) for s in parts], lease=self.lease)
        for state in ripe:
            if state not in parts:
                self._renew()
                self._judge(state)

    def _judge(self, state: WindowState) -> None:
        """Merge a judged window from its stored ones, measure it, and hand it to the judges."""
        window = state.key.window
        known = known_edges(self.baseline)
        table = self.project.lake.profiles(self.model.name).get(window.start, window.end, segment=None)
        merged, problems = judged_profiles(table, known, state.key, self.model.cadence)
        inside = [
            s
            for s in self.project.ledger.windows.windows(self.model.name, start=window.start, end=window.end)
            if s.key.window.length == self.model.cadence
        ]
        rows, outcomes = sum(s.rows for s in inside), sum(s.outcomes for s in inside)
        mature = self._mature(window, rows, outcomes)
        placed: list[PlacedMeasurement] = []
        around = self._around(window)
        for stored in sorted(merged.values(), key=lambda s: s.key):
            placed += self._same_as_whole(stored, merged["", ""], placed) or self._placed(stored, around)
        placed += self._between_groups(list(merged.values()))
        generation = state.generation + 1
        ledger = self.project.ledger
        self.done.measurements += ledger.measurements.write(placed, at=self.now, lease=self.lease)
        if mature:
            placed += self._record(state.key, placed)
        placed += outside_of(self.project, self.model, window)
        done = replace(
            state,
            rows=rows,
            outcomes=outcomes,
            mature=mature,
            generation=generation,
            measured_at=self.now,
            reason="; ".join(dict.fromkeys([*problems, *cut_notes(merged.values())])),
        )
        self._hand_over(done, list(merged.values()), placed)
        ledger.windows.done([done], lease=self.lease)

    def _hand_over(
        self, state: WindowState, windows: Sequence[StoredWindow], placed: Sequence[PlacedMeasurement]
    ) -> None:
        """Let the judges decide on a measured window, and write down that it was measured."""
        window = state.key.window
        project, model = self.project, self.model
        judged = JudgedWindow(
            ledger=project.ledger,
            model=model,
            window=window,
            measurements=placed,
            now=project.clock(),
            profiles={(w.key.version, w.key.segment): w.profile.effective() for w in windows if w.rows},
            baseline=project.baseline(model.name) if self.judges else None,
            mature=state.mature,
            read=lambda of, columns: project.rows(model, of, columns=columns),
            lease=self.lease,
        )
        for judge in self.judges:
            try:
                judge.judge(judged)
            except LeaseLost:
                raise
            except WatchkeeperError as problem:
                self.done.problems.append(f"{self.model.name}, {window.label}: {problem.what}")
        fact = WINDOW_MEASURED(
            {
                "rows": state.rows,
                "outcomes": state.outcomes,
                "mature": state.mature,
                "generation": state.generation,
            },
            at=self.now,
            actor="tick",
            model=self.model.name,
            subject=window.label,
            key=f"window.measured:{self.model.name}:{window.label}:{state.generation}",
        )
        write(self.project.ledger.facts, [fact], lease=self.lease)
        self.done.judged_windows += 1

    @staticmethod
    def _same_as_whole(
        stored: StoredWindow, whole: StoredWindow, measured: Sequence[PlacedMeasurement]
    ) -> list[PlacedMeasurement]:
        """The numbers of a version that made every prediction of the window: those of the window."""
        only = stored.key.version and not stored.key.segment and stored.rows == whole.rows > 0
        if not only:
            return []
        return [replace(p, key=stored.key) for p in measured if p.key == whole.key]

    def _placed(self, stored: StoredWindow, around: _Around) -> list[PlacedMeasurement]:
        found = measure_stored(
            stored,
            self.baseline,
            self.model,
            now=self.now,
            sample=around.samples.get(stored.key.version),
            arrived=around.arrived,
        )
        if around.expired:
            # What was estimated while there were rows is better than that it cannot be any more.
            found = [m for m in found if m.value is not None or not m.measure.startswith(PREFIX)]
        return [PlacedMeasurement(key=stored.key, measurement=m) for m in found]

    def _between_groups(self, windows: Sequence[StoredWindow]) -> list[PlacedMeasurement]:
        """Numbers of a judged window that rest on several of its segments or versions."""
        whole = replace(windows[0].key, version="", segment="") if windows else None
        found = measure_groups(windows, self.baseline, self.model)
        return [PlacedMeasurement(key=whole, measurement=m) for m in found if whole is not None]

    def _sampled_plan(self) -> ProfilePlan | None:
        """What rows are sampled by for estimates; None where nothing reads them."""
        if self.baseline is None or self.baseline.profile.sample is None:
            return None
        schema = watch_schema({}, self.baseline.schema, self.model.roles)
        return replace(self.baseline.plan, schema=schema)

    def _around(self, window: Window, taken: Mapping[str, Sample] | None = None) -> _Around:
        """What estimates of a judged window need that its own states do not hold; *taken* are its samples."""
        plan = self._sampled_plan()
        if plan is None:
            return _NOTHING
        if taken is None:
            expired = self.model.retention.rows
            if expired is not None and window.start <= self.now - expired:
                return _Around(expired=True)
            taken = samples_of(self.project, self.model, window, plan)
        return _Around(samples=taken, arrived=arrived_before(self.project, self.model, window))

    def _record(self, key: WindowKey, placed: Sequence[PlacedMeasurement]) -> list[PlacedMeasurement]:
        """How good estimates have been, this window's included: measured once its outcomes are there."""
        found = record_of_estimates(self.project, self.model, key, placed)
        self.done.measurements += self.project.ledger.measurements.write(found, at=self.now, lease=self.lease)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What estimates of a window read beside its states."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    """Sampled rows by version, ``""`` of all."""
    arrived: Sequence[Profile] = ()
    """The newest windows before it whose outcomes have arrived."""
    expired: bool = False
    """Its rows are not kept any more."""


_NOTHING = _Around()


def _days(states: Sequence[WindowState]) -> list[list[WindowState]]:
    """Windows that are read together, oldest first: a day's of short ones, a week's of long ones."""
    out: list[list[WindowState]] = []
    for state in sorted(states, key=lambda s: s.key.window.start):
        together = out[-1] if out else []
        short = state.key.window.length < DAY
        span = max(DAY if short else TOGETHER * DAY, state.key.window.length)
        if together and state.key.window.end - together[0].key.window.start <= span:
            together.append(state)
        else:
            out.append([state])
    return out


def _moment(us: int) -> datetime:
    from datetime import UTC

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
