"""Windows: which must be measured, and what was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from watchkeeper.adapters.ledgers.stored import DAY_US, MICROSECOND, chunks, moment, us_of
from watchkeeper.domain.fact import Lease
from watchkeeper.domain.series import DayOfWindows, WindowKey, WindowState
from watchkeeper.domain.window import Window

if TYPE_CHECKING:
    from watchkeeper.adapters.ledgers.connections import Connections


EARLY_US = 719_162 * DAY_US
"""From the first day of the year 1 to 1970."""
_KEY = ("model", "start_us", "end_us", "version", "segment")


class SqlWindows:
    """Which windows must be measured."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def mark_dirty(self, keys: Iterable[WindowKey], *, reason: str, lease: Lease | None = None) -> int:
        """See `watchkeeper.ports.ledger.WindowStore`."""
        from watchkeeper.adapters.ledgers.tables import windows

        records = [
            {
                **_window_name(key),
                "marks": 1,
                "cleared": 0,
                "rows": 0,
                "outcomes": 0,
                "mature": 0,
                "generation": 0,
                "rebuildable": 1,
                "reason": reason,
            }
            for key in dict.fromkeys(keys)
        ]
        if not records:
            return 0
        insert = self._connections.insert(windows)
        statement = insert.on_conflict_do_update(
            index_elements=list(_KEY), set_={"marks": windows.c.marks + 1, "reason": insert.excluded.reason}
        )
        with self._connections.writing(lease) as connection:
            for chunk in chunks(records, 5_000):
                connection.execute(statement, chunk)
        return len(records)

    def dirty(
        self, *, model: str | None = None, before: datetime | None = None, limit: int = 1000
    ) -> list[WindowState]:
        """See `watchkeeper.ports.ledger.WindowStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import windows

        query = select(windows).where(windows.c.marks > windows.c.cleared)
        if model is not None:
            query = query.where(windows.c.model == model)
        if before is not None:
            query = query.where(windows.c.end_us <= us_of(before))
        query = query.order_by(windows.c.end_us, windows.c.model, windows.c.version, windows.c.segment).limit(
            limit
        )
        with self._connections.reading() as connection:
            return [_window_state(row) for row in connection.execute(query)]

    def done(self, states: Sequence[WindowState], *, lease: Lease | None = None) -> None:
        """See `watchkeeper.ports.ledger.WindowStore`."""
        from watchkeeper.adapters.ledgers.tables import windows

        records = [
            {
                **_window_name(state.key),
                "marks": state.marks,
                "cleared": state.marks,
                "rows": state.rows,
                "outcomes": state.outcomes,
                "mature": int(state.mature),
                "generation": state.generation,
                "measured_us": None if state.measured_at is None else us_of(state.measured_at),
                "rebuildable": int(state.rebuildable),
                "reason": state.reason,
            }
            for state in states
        ]
        if not records:
            return
        insert = self._connections.insert(windows)
        kept = {c.name: insert.excluded[c.name] for c in windows.columns if c.name not in (*_KEY, "marks")}
        statement = insert.on_conflict_do_update(index_elements=list(_KEY), set_=kept)
        with self._connections.writing(lease) as connection:
            connection.execute(statement, records)

    def windows(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        immature_at: datetime | None = None,
        limit: int = 10_000,
    ) -> list[WindowState]:
        """See `watchkeeper.ports.ledger.WindowStore`."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import windows

        query = select(windows).where(windows.c.model == model)
        if start is not None:
            query = query.where(windows.c.end_us > us_of(start))
        if end is not None:
            query = query.where(windows.c.start_us < us_of(end))
        if immature_at is not None:
            query = query.where(
                windows.c.mature == 0, windows.c.generation > 0, windows.c.end_us <= us_of(immature_at)
            )
        query = query.order_by(windows.c.start_us, windows.c.version, windows.c.segment).limit(limit)
        with self._connections.reading() as connection:
            return [_window_state(row) for row in connection.execute(query)]

    def by_day(
        self, model: str, *, length: timedelta, start: datetime | None = None, end: datetime | None = None
    ) -> list[DayOfWindows]:
        """See `watchkeeper.ports.ledger.WindowStore`."""
        from sqlalchemy import Integer, cast, func, select

        from watchkeeper.adapters.ledgers.tables import windows

        c = windows.c
        # Days are counted from long before anything was recorded, since databases cut quotients towards zero.
        day = ((c.start_us + EARLY_US) // DAY_US).label("day")
        query = (
            select(
                day,
                func.count().label("windows"),
                func.sum(c.cleared).label("stamp"),
                func.sum(cast(c.marks > c.cleared, Integer)).label("dirty"),
                func.max(c.measured_us).label("measured_us"),
            )
            .where(c.model == model, c.version == "", c.segment == "")
            .where(c.end_us - c.start_us == length // MICROSECOND)
            .group_by(day)
            .order_by(day)
        )
        if start is not None:
            query = query.where(c.start_us >= us_of(start))
        if end is not None:
            query = query.where(c.start_us < us_of(end))
        with self._connections.reading() as connection:
            return [
                DayOfWindows(
                    start=moment(int(row.day) * DAY_US - EARLY_US),
                    length=length,
                    windows=row.windows,
                    stamp=int(row.stamp),
                    dirty=row.dirty,
                    measured_at=None if row.measured_us is None else moment(row.measured_us),
                )
                for row in connection.execute(query)
            ]


def _window_name(key: WindowKey) -> dict[str, Any]:
    return {
        "model": key.model,
        "start_us": us_of(key.window.start),
        "end_us": us_of(key.window.end),
        "version": key.version,
        "segment": key.segment,
    }


def _window_state(row: Any) -> WindowState:
    return WindowState(
        key=WindowKey(
            model=row.model,
            window=Window(moment(row.start_us), moment(row.end_us)),
            version=row.version,
            segment=row.segment,
        ),
        dirty=row.marks > row.cleared,
        rows=row.rows,
        outcomes=row.outcomes,
        mature=bool(row.mature),
        generation=row.generation,
        measured_at=None if row.measured_us is None else moment(row.measured_us),
        rebuildable=bool(row.rebuildable),
        reason=row.reason,
        marks=row.marks,
    )
