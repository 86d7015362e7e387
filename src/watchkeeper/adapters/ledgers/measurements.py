"""Measurements: series, latest values and daily roll-ups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from watchkeeper.adapters.ledgers.stored import CHUNK, DAY_US, MICROSECOND, chunks, packed, us_of
from watchkeeper.domain.fact import Lease
from watchkeeper.domain.rule import OUTSIDE
from watchkeeper.domain.series import PlacedMeasurement
from watchkeeper.domain.window import Window

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    from watchkeeper.adapters.ledgers.connections import Connections


class SqlMeasurements:
    """Series, latest values and daily roll-ups."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._ids: dict[tuple[Any, ...], int] = {}
        self._token: int | None = None

    def write(self, rows: Sequence[PlacedMeasurement], *, at: datetime, lease: Lease | None = None) -> int:
        """See `watchkeeper.ports.ledger.MeasurementStore`."""
        if not rows:
            return 0
        if lease is not None and lease.token != self._token:
            if self._token is None or lease.token != self._token + 1:
                # Another holder came between; it may have removed series (see `drop_stale`).
                self._ids.clear()
            self._token = lease.token
        try:
            return self._write(rows, us_of(at), lease)
        except BaseException:
            # Series that this transaction made are gone with it, and their numbers may go to others.
            self._ids.clear()
            raise

    def _write(self, rows: Sequence[PlacedMeasurement], written_us: int, lease: Lease | None) -> int:
        from watchkeeper.adapters.ledgers import tables

        with self._connections.writing(lease) as connection:
            ids = self._series_ids(connection, [_series_name(r) for r in rows])
            # The same place twice in one batch: the later one stands (one INSERT may not touch a row twice).
            records: dict[tuple[int, int], dict[str, Any]] = {}
            for row, series_id in zip(rows, ids):
                m, start = row.measurement, us_of(row.key.window.start)
                records[series_id, start] = {
                    "series_id": series_id,
                    "start_us": start,
                    "value": m.value,
                    "low": m.interval.low if m.interval else None,
                    "high": m.interval.high if m.interval else None,
                    "margin": m.margin,
                    "p_value": m.p_value,
                    "rows": float(m.rows),
                    "reason": m.reason,
                    "details": packed(m.details) if m.details else None,
                    "written_us": written_us,
                }
            self._upsert(connection, tables.measurements, ["series_id", "start_us"], list(records.values()))
            newest: dict[int, dict[str, Any]] = {}
            for (series_id, start), record in records.items():
                if series_id not in newest or newest[series_id]["start_us"] < start:
                    newest[series_id] = record
            self._upsert(connection, tables.latest, ["series_id"], list(newest.values()), only_newer=True)
            self._roll_up(connection, records)
        return len(records)

    def _series_ids(self, connection: Connection, names: list[tuple[Any, ...]]) -> list[int]:
        from sqlalchemy import and_, or_, select

        from watchkeeper.adapters.ledgers.tables import series

        fields = ("model", "measure", "subject", "segment", "version", "length_us")
        missing = [n for n in dict.fromkeys(names) if n not in self._ids]
        if len(self._ids) > 500_000:
            self._ids.clear()
            missing = list(dict.fromkeys(names))
        for chunk in chunks(missing, 100):
            insert = self._connections.insert(series).on_conflict_do_nothing()
            connection.execute(insert, [dict(zip(fields, n)) for n in chunk])
            same = or_(*(and_(*(series.c[f] == v for f, v in zip(fields, n))) for n in chunk))
            found = {
                tuple(r[1:]): r[0]
                for r in connection.execute(select(series.c.id, *(series.c[f] for f in fields)).where(same))
            }
            self._ids.update(found)
        return [self._ids[n] for n in names]

    def _upsert(
        self,
        connection: Connection,
        table: Any,
        keys: list[str],
        records: list[dict[str, Any]],
        *,
        only_newer: bool = False,
    ) -> None:
        insert = self._connections.insert(table)
        changed = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
        where = insert.excluded["start_us"] >= table.c.start_us if only_newer else None
        statement = insert.on_conflict_do_update(index_elements=keys, set_=changed, where=where)
        for chunk in chunks(records, 5_000):
            connection.execute(statement, chunk)

    def _roll_up(self, connection: Connection, records: Iterable[tuple[int, int]]) -> None:
        from sqlalchemy import func, literal, select

        from watchkeeper.adapters.ledgers.tables import measurements, rollups

        by_day: dict[int, set[int]] = {}
        for series_id, start in records:
            by_day.setdefault(start // DAY_US * DAY_US, set()).add(series_id)
        for day, ids in by_day.items():
            for chunk in chunks(sorted(ids), CHUNK):
                sums = (
                    select(
                        measurements.c.series_id,
                        literal(day),
                        func.count(),
                        func.avg(measurements.c.value),
                        func.min(measurements.c.value),
                        func.max(measurements.c.value),
                        func.sum(measurements.c.rows),
                    )
                    .where(
                        measurements.c.series_id.in_(chunk),
                        measurements.c.start_us >= day,
                        measurements.c.start_us < day + DAY_US,
                    )
                    .group_by(measurements.c.series_id)
                )
                names = ["series_id", "day_us", "windows", "mean", "low", "high", "rows"]
                insert = self._connections.insert(rollups).from_select(names, sums)
                connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=["series_id", "day_us"],
                        set_={n: insert.excluded[n] for n in names[2:]},
                    )
                )

    def series(
        self,
        model: str,
        measure: str,
        *,
        subject: str = "",
        segment: str = "",
        version: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        length: timedelta | None = None,
        buckets: int | None = None,
    ) -> pa.Table:
        """See `watchkeeper.ports.ledger.MeasurementStore`."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        found = select(s.c.id, s.c.length_us).where(
            s.c.model == model,
            s.c.measure == measure,
            s.c.subject == subject,
            s.c.segment == segment,
            s.c.version == version,
        )
        if length is not None:
            found = found.where(s.c.length_us == length // MICROSECOND)
        with self._connections.reading() as connection:
            row = connection.execute(found.order_by(s.c.length_us.desc()).limit(1)).first()
            if row is None:
                return _series_table([], buckets is not None, 0)
            series_id, length_us = row
            where = [m.c.series_id == series_id]
            if start is not None:
                where.append(m.c.start_us >= us_of(start))
            if end is not None:
                where.append(m.c.start_us < us_of(end))
            plain = select(
                m.c.start_us, m.c.value, m.c.low, m.c.high, m.c.margin, m.c.rows, m.c.reason
            ).where(*where)
            if buckets is None:
                return _series_table(connection.execute(plain.order_by(m.c.start_us)).all(), False, length_us)
            # Each of these ends early by the key; together in one SELECT they would read the whole series.
            some = select(m.c.start_us).where(*where).limit(buckets + 1).subquery()
            first, last, count = connection.execute(
                select(
                    select(func.min(m.c.start_us)).where(*where).scalar_subquery(),
                    select(func.max(m.c.start_us)).where(*where).scalar_subquery(),
                    select(func.count()).select_from(some).scalar_subquery(),
                )
            ).one()
            if not count:
                return _series_table([], True, length_us)
            if count <= buckets:
                rows = connection.execute(plain.order_by(m.c.start_us)).all()
                single = [
                    (r[0], r[0] + length_us, r[1], r[1], r[1], r[2], r[3], r[4], r[5], r[6]) for r in rows
                ]
                return _series_table(single, True, length_us)
            width = -(-(last - first + length_us) // max(1, buckets))
            bucket = ((m.c.start_us - first) // width).label("bucket")
            query = (
                select(
                    func.min(m.c.start_us),
                    func.max(m.c.start_us) + length_us,
                    func.avg(m.c.value),
                    func.min(m.c.value),
                    func.max(m.c.value),
                    func.min(m.c.low),
                    func.max(m.c.high),
                    func.avg(m.c.margin),
                    func.sum(m.c.rows),
                    func.max(m.c.reason),
                )
                .where(*where)
                .group_by(bucket)
                .order_by(bucket)
            )
            return _series_table(connection.execute(query).all(), True, length_us)

    def latest(
        self, *, model: str | None = None, measures: Sequence[str] = (), segment: str | None = None
    ) -> pa.Table:
        """See `watchkeeper.ports.ledger.MeasurementStore`."""
        from watchkeeper.adapters.ledgers.tables import latest, series

        where = []
        if model is not None:
            where.append(series.c.model == model)
        if measures:
            where.append(series.c.measure.in_(list(measures)))
        if segment is not None:
            where.append(series.c.segment == segment)
        return self._long_table(latest, where)

    def table(
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
        """See `watchkeeper.ports.ledger.MeasurementStore`."""
        from watchkeeper.adapters.ledgers.tables import measurements, series

        where = [series.c.model == model]
        for column, wanted in (
            ("measure", measures),
            ("subject", subjects),
            ("segment", segments),
            ("version", versions),
        ):
            if wanted:
                where.append(series.c[column].in_(list(wanted)))
        if start is not None:
            where.append(measurements.c.start_us >= us_of(start))
        if end is not None:
            where.append(measurements.c.start_us < us_of(end))
        return self._long_table(measurements, where)

    def _long_table(self, source: Any, where: list[Any]) -> pa.Table:
        import pyarrow as pa
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import series

        names = ("model", "version", "segment", "measure", "subject")
        numbers = ("value", "low", "high", "margin", "p_value", "rows", "reason", "details")
        query = (
            select(
                *(series.c[n] for n in names),
                source.c.start_us,
                (source.c.start_us + series.c.length_us).label("end_us"),
                *(source.c[n] for n in numbers),
            )
            .join(series, series.c.id == source.c.series_id)
            .where(*where)
            .order_by(*(series.c[n] for n in names), source.c.start_us)
        )
        with self._connections.reading() as connection:
            columns = list(zip(*connection.execute(query).all())) or [()] * 15
        text, time, number = pa.string(), pa.timestamp("us", tz="UTC"), pa.float64()
        fields = [
            *((n, text) for n in names),
            ("start", time),
            ("end", time),
            *((n, number) for n in numbers[:6]),
            ("reason", text),
            ("details", text),
        ]
        return pa.table(
            [pa.array(c, type=t) for c, (_, t) in zip(columns, fields)], names=[n for n, _ in fields]
        )

    def delete(self, model: str, *, before: datetime) -> int:
        """See `watchkeeper.ports.ledger.MeasurementStore`."""
        from sqlalchemy import delete, select

        from watchkeeper.adapters.ledgers.tables import measurements, series

        ids = select(series.c.id).where(series.c.model == model)
        with self._connections.writing() as connection:
            return connection.execute(
                delete(measurements).where(
                    measurements.c.series_id.in_(ids), measurements.c.start_us < us_of(before)
                )
            ).rowcount

    def drop_stale(self, model: str, windows: Sequence[Window], *, before: datetime) -> int:
        """See `watchkeeper.ports.ledger.MeasurementStore`."""
        from sqlalchemy import delete, exists, select

        from watchkeeper.adapters.ledgers.tables import latest, measurements, rollups, series

        self._ids.clear()
        dropped, touched = 0, set()
        with self._connections.writing() as connection:
            for window in windows:
                start, length = us_of(window.start), window.length // MICROSECOND
                ids = select(series.c.id).where(
                    series.c.model == model,
                    series.c.length_us == length,
                    ~series.c.measure.startswith(OUTSIDE, autoescape=True),  # no row of ours is behind them
                )
                for table in (measurements, latest):
                    gone = connection.execute(
                        delete(table)
                        .where(
                            table.c.series_id.in_(ids),
                            table.c.start_us == start,
                            table.c.written_us < us_of(before),
                        )
                        .returning(table.c.series_id)
                    ).scalars()
                    found = [(series_id, start) for series_id in gone]
                    dropped += len(found) if table is measurements else 0
                    touched.update(found)
            days = {(series_id, start // DAY_US * DAY_US) for series_id, start in touched}
            for series_id, day in days:
                connection.execute(
                    delete(rollups).where(rollups.c.series_id == series_id, rollups.c.day_us == day)
                )
            self._roll_up(connection, touched)
            self._newest_again(connection, {series_id for series_id, _ in touched})
            for chunk in chunks(sorted({series_id for series_id, _ in touched}), CHUNK):
                left = [
                    ~exists().where(t.c.series_id == series.c.id) for t in (measurements, latest, rollups)
                ]
                connection.execute(delete(series).where(series.c.id.in_(chunk), *left))
        return dropped

    def _newest_again(self, connection: Connection, ids: set[int]) -> None:
        """Series whose latest value was dropped show the one before it."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import latest, measurements

        names = [c.name for c in measurements.columns]
        for chunk in chunks(sorted(ids), CHUNK):
            last = (
                select(measurements.c.series_id, func.max(measurements.c.start_us).label("start_us"))
                .where(measurements.c.series_id.in_(chunk))
                .group_by(measurements.c.series_id)
                .subquery()
            )
            rows = select(*(measurements.c[n] for n in names)).join(
                last,
                (measurements.c.series_id == last.c.series_id) & (measurements.c.start_us == last.c.start_us),
            )
            insert = self._connections.insert(latest).from_select(names, rows)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["series_id"],
                    set_={n: insert.excluded[n] for n in names if n != "series_id"},
                )
            )


def _series_name(row: PlacedMeasurement) -> tuple[Any, ...]:
    m, key = row.measurement, row.key
    return (key.model, m.measure, m.subject, key.segment, key.version, key.window.length // MICROSECOND)


def _series_table(rows: Sequence[Any], bucketed: bool, length_us: int) -> pa.Table:
    import pyarrow as pa

    time, number = pa.timestamp("us", tz="UTC"), pa.float64()
    if bucketed:
        fields = [
            ("start", time),
            ("end", time),
            ("value", number),
            ("value_min", number),
            ("value_max", number),
        ]
    else:
        fields = [("start", time), ("end", time), ("value", number)]
        rows = [(r[0], r[0] + length_us, *r[1:]) for r in rows]
    fields += [
        ("low", number),
        ("high", number),
        ("margin", number),
        ("rows", number),
        ("reason", pa.string()),
    ]
    columns = list(zip(*rows)) or [()] * len(fields)
    return pa.table([pa.array(c, type=t) for c, (_, t) in zip(columns, fields)], names=[n for n, _ in fields])
