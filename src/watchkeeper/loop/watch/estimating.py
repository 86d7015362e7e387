"""What estimates need of the watch beside a window's states: sampled rows, outcomes that arrived, and a track record.

Windows are stored as states, without rows. But losses that follow the columns (DLE), weights under covariate shift
(PAPE) and decisions among several classes need rows. So when a window is judged, a sample of its rows is read from
the lake, used and dropped: the rows whose id has the smallest hash, the same ones each time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.loop.watch.project import Project
from watchkeeper.measures.estimate.told import PREFIX
from watchkeeper.measures.estimate.track_record import track_record
from watchkeeper.profiles.lake_schema import lake_columns, values_of_rows
from watchkeeper.profiles.stored_window import REST, known_edges, profiles_of
from watchkeeper.stats.hashing import hash_text_array
from watchkeeper.stats.states.accumulator import SampleFold
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan
from watchkeeper.stats.states.sample import Sample, smallest

ARRIVED = 7
"""Windows whose outcomes have arrived, the newest ones, that may contradict an estimate."""
SCORED = 30
"""Windows, the newest ones, that the track record of estimates is of."""
_REACH = 4
"""So many times as many windows back is looked for them."""
_ROLES = (Role.FEATURE, Role.SCORE, Role.PREDICTION, Role.OUTCOME)
_ID, _HASH = "wk_id", "wk_hash"


class RowSampler:
    """Takes samples out of a window's rows as they come by: of all versions (``""``) and of each.

    There is none where rows were captured at several rates: it would be of no window that there was. *hashed*: the
    rows come from the lake, which keeps the hash of each id; those of a user's own table come with the id alone.
    """

    def __init__(self, plan: ProfilePlan, *, hashed: bool) -> None:
        self._hashed = hashed
        self._schema = _sampled_schema(plan.schema, hashed=hashed)
        self._plan = replace(plan, schema=self._schema, segments=())
        self._folds: dict[str, SampleFold] = {}
        self._rates: set[float] = set()

    @property
    def columns(self) -> list[str]:
        """The columns of the lake that it reads."""
        return [*lake_columns(self._schema), _HASH if self._hashed else _ID]

    def add(self, table: pa.Table) -> None:
        """Offer some rows, as `Lake.joined` gives them."""
        self._rates.update(_distinct(table, "wk_rate", 1.0))
        if len(self._rates) > 1:
            return
        versions = _distinct(table, "wk_version", "")
        for version in versions:
            rows = table
            if len(versions) > 1:
                rows = table.filter(
                    pc.equal(pc.fill_null(table["wk_version"].cast(pa.string()), ""), version)
                )
            fold = self._folds.setdefault(str(version), SampleFold(self._plan))
            seen = rows.num_rows
            rows, hashes = self._with_a_chance(rows, fold.sample)
            values = values_of_rows(rows, self._schema)
            if values:
                fold.add(values, int(fold.sample.rows), hashes or fold.hash_ids(values))
                passed_over = seen - rows.num_rows
                fold.sample = replace(fold.sample, rows=fold.sample.rows + passed_over)

    def _with_a_chance(self, rows: pa.Table, sample: Sample) -> tuple[pa.Table, dict[str, np.ndarray]]:
        """The rows that may still come into *sample*, and their hashes: nothing else of the others is looked at."""
        hashes, name = self._hashes(rows)
        if hashes is None:
            return rows, {}
        chosen = np.flatnonzero(hashes <= np.uint64(sample.limit))
        if len(chosen) > sample.k:
            chosen = np.sort(chosen[smallest(hashes[chosen], sample.k)])
        return rows.take(pa.array(chosen)), {name: hashes[chosen]}

    def _hashes(self, rows: pa.Table) -> tuple[np.ndarray | None, str]:
        """The hash of each row's id, and the id's name; None where hashes of the values will do."""
        if self._hashed:
            return np.asarray(pc.fill_null(rows[_HASH], 0)).view(np.uint64), _ID
        column = self._schema.first(Role.ID)
        if column is None or column.kind not in (Kind.TEXT, Kind.CATEGORICAL) or rows[_ID].null_count:
            return None, _ID
        return hash_text_array(rows[_ID].combine_chunks()), column.name

    def samples(self) -> dict[str, Sample]:
        """What was taken, by version."""
        if len(self._rates) > 1:
            return {}
        samples = {version: fold.sample for version, fold in self._folds.items() if fold.sample.size}
        whole: Sample | None = None
        for sample in samples.values():
            whole = sample if whole is None else whole.merge(sample)
        return {} if whole is None else {**samples, "": whole}


def samples_of(project: Project, model: WatchedModel, window: Window, plan: ProfilePlan) -> dict[str, Sample]:
    """Read a window's rows for what `RowSampler` takes out of them."""
    sampler = RowSampler(plan, hashed=model.table is None)
    for batch in project.rows(model, window, columns=sampler.columns):
        sampler.add(pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch)
    return sampler.samples()


def arrived_before(project: Project, model: WatchedModel, window: Window) -> list[Profile]:
    """What is known of how the model did in the newest mature windows before *window*; no columns, no rows."""
    span = _REACH * ARRIVED * model.judge_every
    states = project.ledger.windows.windows(model.name, start=window.start - span, end=window.start)
    ripe = [
        s
        for s in states
        if _as_long(s.key.window, window) and s.mature and s.outcomes and s.key.window.end <= window.start
    ][-ARRIVED:]
    out, held = [], project.performances
    for state in ripe:
        at = (model.name, state.key.window)
        if at not in held or held[at][0] != state.generation:
            held[at] = (state.generation, _performance(project, model, state.key.window))
        found = held[at][1]
        if found is not None:
            out.append(found)
    wanted = {s.key.window for s in ripe}
    for at in [a for a in held if a[0] == model.name and a[1] not in wanted]:
        del held[at]
    return out


def record_of_estimates(
    project: Project, model: WatchedModel, key: WindowKey, placed: Sequence[PlacedMeasurement]
) -> list[PlacedMeasurement]:
    """Score the estimates of the last mature windows, *key*'s included, against what their outcomes showed.

    One error and one coverage for each metric that was both estimated and realised; empty where none was.
    """
    here = [p.measurement for p in placed if p.key.version == "" and p.key.segment == ""]
    names = sorted(
        {m.measure for m in here if not m.subject}
        & {m.measure.removeprefix(PREFIX) for m in here if m.measure.startswith(PREFIX) and not m.subject}
    )
    if not names:
        return []
    span = _REACH * SCORED * key.window.length
    mature = {
        s.key.window.start
        for s in project.ledger.windows.windows(model.name, start=key.window.start - span, end=key.window.end)
        if _as_long(s.key.window, key.window) and s.mature and s.outcomes
    } | {key.window.start}
    table = project.ledger.measurements.table(
        model.name,
        start=key.window.start - span,
        end=key.window.end,
        measures=[*names, *(PREFIX + n for n in names)],
        subjects=[""],
        segments=[""],
        versions=[""],
    )
    series: dict[str, dict[Any, Measurement]] = {}
    for row in table.to_pylist():
        if row["start"] in mature and _as_long(Window(row["start"], row["end"]), key.window):
            series.setdefault(row["measure"], {})[row["start"]] = _measurement(row)
    out = []
    for name in names:
        told, real = series.get(PREFIX + name, {}), series.get(name, {})
        both = [t for t in sorted(told) if t in real and real[t].value is not None][-SCORED:]
        found = track_record([told[t] for t in both], [real[t] for t in both], metric=name)
        out += [PlacedMeasurement(key=key, measurement=m) for m in found if m.value is not None]
    return out


def _as_long(one: Window, other: Window) -> bool:
    """Of one length; a day that is an hour longer or shorter is still a day."""
    slack = timedelta(hours=1) if other.length >= timedelta(hours=23) else timedelta(0)
    return abs(one.length - other.length) <= slack


def _sampled_schema(schema: Schema, *, hashed: bool) -> Schema:
    """Only the columns that estimates look at; rows are told apart by their hash, by the id that the schema names, or
    by the recorder's.
    """
    kept = tuple(c for c in schema.columns if c.role in _ROLES or (c.role is Role.ID and not hashed))
    if not hashed and not any(c.role is Role.ID for c in kept):
        kept = (*kept, Column(name=_ID, kind=Kind.TEXT, role=Role.ID))
    return replace(schema, columns=kept)


def _distinct(table: pa.Table, column: str, default: Any) -> list[Any]:
    if column not in table.column_names or not table.num_rows:
        return [default]
    return list(dict.fromkeys(default if v is None else v for v in pc.unique(table[column]).to_pylist()))


def _performance(project: Project, model: WatchedModel, window: Window) -> Profile | None:
    """The merge of the stored windows in *window*, of which only what outcomes tell is read."""
    baseline = project.baseline(model.name)
    table = project.lake.profiles(model.name).get(
        window.start, window.end, version="", segment="", parts=[REST]
    )
    merged: Profile | None = None
    for key, stored in profiles_of(table, known_edges(baseline)).items():
        if key.window.length != model.cadence or not stored.profile.states:
            continue
        one = stored.profile.estimate()
        merged = one if merged is None else merged.merge(one)
    return merged


def _measurement(row: Mapping[str, Any]) -> Measurement:
    details = json.loads(row["details"]) if row["details"] else {}
    interval = None
    if row["low"] is not None and row["high"] is not None and row["value"] is not None:
        interval = Interval(row["low"], row["high"], 0.95)
    return Measurement(
        measure=row["measure"],
        value=row["value"],
        rows=row["rows"] or 0,
        interval=interval,
        reason=row["reason"] if row["value"] is None else None,
        details=details,
    )
