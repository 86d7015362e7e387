"""Profiles in the lake: of every stored window, and merged by day and month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from watchkeeper.adapters.lakes.files import DeltaFiles
from watchkeeper.adapters.lakes.reading import days_of, fetched, no_hooks, quoted, text_of, told
from watchkeeper.adapters.lakes.tables import TABLES
from watchkeeper.domain.window import Window
from watchkeeper.ports.lake import Origin

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

ROWS_TOGETHER = 128
"""Rows of a row group: who reads one column of many decodes little else."""


class DeltaProfiles:
    """Profiles of one model: one row for each window and part, the newest generation counts."""

    def __init__(self, files: DeltaFiles, model: str) -> None:
        self._files, self._model = files, model
        self.rollups = DeltaProfileRollups(files, model)

    def put(self, rows: Sequence[Mapping[str, Any]], *, origin: Origin) -> int:
        """Write parts: dicts of start, end, version, segment, part, generation, payload. Exactly once, as `append`."""
        schema = TABLES["profiles"]
        table = pa.Table.from_pylist(
            [{**r, "wk_day": r["start"].astimezone(UTC).strftime("%Y-%m-%d")} for r in rows], schema=schema
        )
        return self._files.append(self._model, "profiles", table, origin)

    def get(
        self,
        start: datetime,
        end: datetime,
        *,
        version: str | None = None,
        segment: str | None = "",
        parts: Sequence[str] | None = None,
        column: str | None = None,
        days: list[str] | None = None,
    ) -> pa.Table:
        """Parts of all windows within [start, end): start, end, version, segment, part, generation, payload, by time.

        *days* reads only windows that start on these days; *column* only the parts of that column, at every rate.
        """
        if days is None and end - start <= timedelta(days=800):
            days = days_of(Window(start, end))
        names = ["start", "end", "version", "segment", "part", "generation", "payload"]
        where, parameters = ['"start" >= $start', '"end" <= $end'], {"start": start, "end": end}
        for name, value in (("version", version), ("segment", segment)):
            if value is not None:
                where.append(f"{name} = ${name}")
                parameters[name] = value  # type: ignore[assignment]
        if parts is not None:
            where.append("part IN (SELECT unnest($parts))")
            parameters["parts"] = list(parts)  # type: ignore[assignment]
        where += _of_column(column)
        found = fetched(
            lambda: self._files.scan(self._model, "profiles", days),
            "profiles",
            # A generation is a whole window: a segment that a later one does not have is gone.
            f"""SELECT {", ".join(quoted(n) for n in names)} FROM profiles
            JOIN (SELECT "start", "end", max(generation) AS generation FROM profiles
                  WHERE "start" >= $start AND "end" <= $end GROUP BY ALL) USING ("start", "end", generation)
            WHERE {" AND ".join(where)}
            QUALIFY row_number() OVER (PARTITION BY "start", "end", version, segment, part) = 1
            ORDER BY "start", version, segment, part""",  # noqa: S608 - names are ours, values are parameters
            parameters,
        )
        if found is None:
            return pa.table({n: pa.array([], TABLES["profiles"].field(n).type) for n in names})
        return found

    def sequence(self, source: str) -> int:
        """The last sequence of *source*; 0 before the first."""
        return self._files.drained(self._model, "profiles", source).sequence

    def replace_day(self, day: str, rows: pa.Table, *, token: int) -> None:
        """Rewrite one day of profiles: how old days are kept coarser, and older generations go."""
        from deltalake import write_deltalake

        def write(handle: DeltaTable, properties: CommitProperties) -> None:
            write_deltalake(
                handle,
                rows,
                mode="overwrite",
                predicate=f"wk_day = {text_of(day)}",
                commit_properties=properties,
                post_commithook_properties=no_hooks(),
            )

        with self._files.lock, told(f"the profiles of {self._model}"):
            self._files.commit(self._model, "profiles", token, write)
            handle = self._files.handle(self._model, "profiles")
            assert handle is not None
            self._files.clean(handle, token)


class DeltaProfileRollups:
    """Merged profiles of one model: one row for each span of time (a day, a month), segment and part.

    Span and stamp are the names of the files' folders, so which spans there are, and of what, is read from the log.
    """

    TABLE = "profile_rollups"

    def __init__(self, files: DeltaFiles, model: str) -> None:
        self._files, self._model = files, model

    def spans(self) -> dict[str, str]:
        """Span -> the stamp that it was written with."""
        with self._files.lock, told(f"the merged profiles of {self._model}"):
            handle = self._files.handle(self._model, self.TABLE)
            return {} if handle is None else {str(p["span"]): str(p["stamp"]) for p in handle.partitions()}

    def get(self, spans: Iterable[str], *, segment: str | None = None, column: str | None = None) -> pa.Table:
        """The parts of these spans: segment, part, payload, span, stamp; in the order of spans."""
        schema = TABLES[self.TABLE]
        wanted = list(spans)
        if not wanted:
            return schema.empty_table()
        where, parameters = ["true", *_of_column(column)], {}
        if segment is not None:
            where.append("segment = $segment")
            parameters["segment"] = segment
        found = fetched(
            lambda: self._files.scan(self._model, self.TABLE, wanted),
            "rollups",
            f"SELECT {', '.join(schema.names)} FROM rollups WHERE {' AND '.join(where)} ORDER BY span, segment, part",  # noqa: S608
            parameters,
        )
        return schema.empty_table() if found is None else found

    def replace(self, rows: pa.Table, *, token: int) -> None:
        """Put *rows* in the place of all that is there of their spans; readers see all of it or nothing."""
        spans = sorted(set(rows["span"].to_pylist()))
        if spans:
            self._rewrite(spans, rows, token)

    def drop(self, spans: Iterable[str], *, token: int) -> int:
        """Remove these spans, old versions of their files too; how many there were."""
        held = sorted(set(spans) & set(self.spans()))
        if held:
            self._rewrite(held, None, token)
        return len(held)

    def _rewrite(self, spans: Sequence[str], rows: pa.Table | None, token: int) -> None:
        from deltalake import WriterProperties, write_deltalake

        where = f"span IN ({', '.join(map(text_of, spans))})"

        def write(handle: DeltaTable, properties: CommitProperties) -> None:
            if rows is None:
                handle.delete(where, commit_properties=properties, post_commithook_properties=no_hooks())
                return
            write_deltalake(
                handle,
                rows.select(TABLES[self.TABLE].names).sort_by(
                    [("part", "ascending"), ("segment", "ascending")]
                ),
                mode="overwrite",
                predicate=where,
                writer_properties=WriterProperties(max_row_group_size=ROWS_TOGETHER),
                commit_properties=properties,
                post_commithook_properties=no_hooks(),
            )

        with self._files.lock, told(f"the merged profiles of {self._model}"):
            leaves_old_files = not self.spans().keys().isdisjoint(spans)
            self._files.commit(self._model, self.TABLE, token, write)
            handle = self._files.handle(self._model, self.TABLE)
            if leaves_old_files and handle is not None:
                self._files.clean(handle, token)


def _of_column(column: str | None) -> list[str]:
    """Conditions on the parts of one column: the range is what row groups are passed over by."""
    if column is None:
        return []
    name, sampled = f"column:{column}", f"column:{column}@"
    return [
        f"part >= {text_of(name)} AND part < {text_of(f'column:{column}A')}",  # A follows @
        f"(part = {text_of(name)} OR starts_with(part, {text_of(sampled)}))",
    ]
