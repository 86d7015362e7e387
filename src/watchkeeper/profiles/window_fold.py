"""One window of a model's rows, folded into profiles: for each version, each segment, and each sampling rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.series import WindowKey
from watchkeeper.profiles.lake_schema import values_of_rows
from watchkeeper.profiles.segment_names import CANDIDATES, Entry, SegmentNames, other_of
from watchkeeper.profiles.stored_window import StoredWindow, cut_notes
from watchkeeper.stats.states.accumulator import Accumulator
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.profile import Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan
from watchkeeper.stats.states.service import ServiceState


@dataclass(slots=True)
class Measured:
    """Everything that came out of one window."""

    windows: list[StoredWindow] = field(default_factory=list)
    rows: int = 0
    outcomes: int = 0
    notes: list[str] = field(default_factory=list)


class WindowFold:
    """Folds the rows of one stored window: all versions together, each version, each segment.

    Segments are those of all versions together; *names* says which of them are measured by name. Others are folded
    apart while there is room for more names: `nameless` says how large they are, and `finish` merges those that got none
    into one.
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
        self._names = names or SegmentNames(segments, most=50)
        self._candidates: dict[Entry, dict[str, int]] = {e: {} for e in self._segments}
        self._overflowed: dict[Entry, dict[str, int]] = {e: {} for e in self._segments}
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
        for version, segment, rate, part in self._cuts(rows):
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

    def nameless(self, entry: Entry) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Rows of the segments that have no name, while there is room for more: those folded apart, and the others."""
        return self._candidates[entry], self._overflowed[entry]

    def _cuts(self, table: pa.Table) -> Iterator[tuple[str, str, float, pa.Table]]:
        """The rows by (version, segment, rate): each version's rows, each segment's."""
        for rate, rows in _by_value(table, "wk_rate"):
            captured = 1.0 if rate is None else float(rate)
            for version, part in _by_value(rows, "wk_version"):
                yield str(version or ""), "", captured, part
            for entry in self._segments:
                if not all(n in rows.column_names for n in entry):
                    continue
                together: dict[str, list[np.ndarray]] = {}
                for label, places in segment_rows(rows, entry).items():
                    together.setdefault(self._place(entry, label, len(places)), []).append(places)
                for name, parts in together.items():
                    yield "", name, captured, rows.take(pa.array(np.sort(np.concatenate(parts))))

    def _place(self, entry: Entry, label: str, rows: int) -> str:
        """The segment that *rows* more rows of *label* are folded into."""
        if self._names.has(entry, label):
            return label
        fresh = self._candidates[entry]
        if label in fresh or len(fresh) < CANDIDATES * self._names.room(entry):
            fresh[label] = fresh.get(label, 0) + rows
            return label
        if fresh:
            over = self._overflowed[entry]
            over[label] = over.get(label, 0) + rows
        return other_of(entry)

    def finish(self, *, dropped: int = 0) -> Measured:
        """Everything that was folded; *dropped* rows were lost before they could be recorded."""
        out = Measured(rows=self.rows)
        nameless = {
            label: other_of(entry)
            for entry, fresh in self._candidates.items()
            for label in fresh
            if not self._names.has(entry, label)
        }
        by_key: dict[tuple[str, str], dict[float, tuple[Profile, ServiceState, int]]] = {("", ""): {}}

        def keep(place: tuple[str, str], rate: float, made: tuple[Profile, ServiceState, int]) -> None:
            rates = by_key.setdefault(place, {})
            rates[rate] = _both(rates[rate], made) if rate in rates else made

        for (version, segment, rate), fold in self._folds.items():
            profile = fold.profile() if self._whole.edges else _without_histograms(fold.profile())
            place = (version, segment, rate)
            made = (profile, self._services[place], self._labelled[place])
            if version or segment:
                keep((version, nameless.get(segment, segment)), rate, made)
            if not segment:  # all rows are the merge of the versions
                keep(("", ""), rate, made)
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
