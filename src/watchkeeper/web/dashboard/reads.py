"""What pages ask of the ledger, in one question each: a page of 50 of 2,000 models never asks 2,000 times.

Everything here only reads, by index. Answers that several people ask for in the same moment are kept for a few
seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from watchkeeper.web.charts_data import ALIKE

OPEN = ("firing", "pending")
"""States of alerts that are not over."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEPT_S = 3.0
FEW_ALERTS = 1_000
T = TypeVar("T")


class Reads:
    """Questions to one ledger."""

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def kept(self, key: Any, ask: Callable[[], T], *, seconds: float = KEPT_S) -> T:
        """The answer to *ask*, at most *seconds* old."""
        now = time.monotonic()
        with self._lock:
            found = self._kept.get(key)
        if found is not None and now - found[0] < seconds:
            return found[1]  # type: ignore[no-any-return]
        answer = ask()
        with self._lock:
            if len(self._kept) > 2_000:
                self._kept.clear()
            self._kept[key] = (now, answer)
        return answer

    def known(self, key: Any) -> bool:
        """Whether an answer to *key* was kept, however old it is by now."""
        with self._lock:
            return key in self._kept

    def newest(self) -> int:
        """The sequence of the newest fact: when it grows, something happened."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import facts

        with self.ledger.reading() as connection:
            return int(connection.execute(select(func.max(facts.c.sequence))).scalar() or 0)

    def alert_tally(self) -> dict[str, dict[str, tuple[int, float]]]:
        """Open alerts by model and state: how many, and the highest rank among them."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import documents as d

        # Not grouped by the database: it would walk all alerts by model, where the open ones are few.
        query = select(d.c.model, d.c.state, d.c.rank).where(d.c.kind == "alert", d.c.state.in_(OPEN))
        out: dict[str, dict[str, tuple[int, float]]] = {}
        with self.ledger.reading() as connection:
            for model, state, rank in connection.execute(query):
                count, highest = out.setdefault(model, {}).get(state, (0, rank))
                out[model][state] = (count + 1, max(highest, rank))
        return out

    def open_alerts(
        self, *, states: Sequence[str] = OPEN, model: str | None = None, limit: int = 200, offset: int = 0
    ) -> list[Any]:
        """Documents of open alerts, gravest first.

        While they are few, all of them are read by their state and sorted here: by rank, the database would walk
        past every alert that is over to find that there is no further one.
        """
        tally = self.kept("tally", self.alert_tally)
        asked = [tally.get(model, {})] if model is not None else list(tally.values())
        there = sum(counts.get(state, (0, 0.0))[0] for counts in asked for state in states)
        read = self.ledger.facts.documents
        if there > FEW_ALERTS:
            return list(read("alert", states=states, model=model, limit=limit, offset=offset, order="-rank"))
        found = [d for s in states for d in read("alert", states=[s], model=model, limit=FEW_ALERTS)]
        return sorted(found, key=lambda d: (-d.rank, d.key))[offset : offset + limit]

    def models_seen(self) -> list[str]:
        """Models that have measurements, configured or not: from one to the next by the index, in one question."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import series as s

        seen = select(func.min(s.c.model).label("model")).cte("seen", recursive=True)
        following = select(func.min(s.c.model)).where(s.c.model > seen.c.model).scalar_subquery()
        seen = seen.union_all(select(following).where(seen.c.model.is_not(None)))
        query = select(seen.c.model).where(seen.c.model.is_not(None)).limit(10_000)
        with self.ledger.reading() as connection:
            return [row[0] for row in connection.execute(query)]

    def last_windows(self, models: Iterable[str]) -> dict[str, datetime]:
        """The end of the newest window with rows of each model that has one: windows that wait for rows do not count."""
        import json

        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import windows as w

        names = json.dumps(list(models))
        # One index lookup a model; grouping would walk every window of every model.
        each = func.json_each(names) if self.ledger.is_sqlite else func.json_array_elements_text(names)
        asked = each.table_valued("value", name="asked")
        newest = (
            select(w.c.end_us)
            .where(w.c.model == asked.c.value, w.c.rows > 0)
            .order_by(w.c.end_us.desc())
            .limit(1)
            .scalar_subquery()
        )
        with self.ledger.reading() as connection:
            rows = connection.execute(select(asked.c.value, newest)).all()
        return {model: _time(end) for model, end in rows if end is not None}

    def first_window(self, model: str) -> datetime | None:
        """The start of the oldest window that is known."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import windows as w

        def ask() -> datetime | None:
            with self.ledger.reading() as connection:
                first = connection.execute(select(func.min(w.c.start_us)).where(w.c.model == model)).scalar()
            return None if first is None else _time(first)

        return self.kept(("first", model), ask, seconds=60)

    def latest(
        self, models: Sequence[str], measures: Sequence[str], *, whole: bool = True, segment: str = ""
    ) -> list[dict[str, Any]]:
        """Newest values of *measures* of *models*, all rows and versions; *whole* leaves columns out."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import latest as t
        from watchkeeper.adapters.ledgers.tables import series as s

        names = ("value", "low", "high", "margin", "rows", "reason", "details", "start_us")
        query = (
            select(s.c.model, s.c.measure, s.c.subject, s.c.length_us, *(t.c[n] for n in names))
            .join(t, t.c.series_id == s.c.id)
            .where(
                s.c.model.in_(list(models)),
                s.c.measure.in_(list(measures)),
                s.c.segment == segment,
                s.c.version == "",
            )
            .order_by(s.c.length_us)
        )
        if whole:
            query = query.where(s.c.subject == "")
        with self.ledger.reading() as connection:
            return _standing([dict(row._mapping) for row in connection.execute(query)])

    def series_of(self, model: str) -> list[tuple[str, str, str, str, int]]:
        """Which series there are: (measure, subject, segment, version, length in microseconds)."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import series as s

        query = select(s.c.measure, s.c.subject, s.c.segment, s.c.version, s.c.length_us).where(
            s.c.model == model
        )

        def ask() -> list[tuple[str, str, str, str, int]]:
            with self.ledger.reading() as connection:
                return [tuple(row) for row in connection.execute(query)]

        return self.kept(("series", model), ask, seconds=15)

    def spreads(
        self, model: str, column: str, *, start: datetime, end: datetime, segment: str = ""
    ) -> list[tuple[int, float, float, float, float, float, float]]:
        """(start in microseconds, rows, 5%, 25%, 50%, 75%, 95%) of each of the column's longest windows, by time."""
        import msgspec
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        wanted = select(s.c.id, s.c.length_us).where(
            s.c.model == model,
            s.c.measure == "median",
            s.c.subject == column,
            s.c.segment == segment,
            s.c.version == "",
        )
        us = timedelta(microseconds=1)
        decode = msgspec.json.Decoder(dict[str, float]).decode
        found = []
        with self.ledger.reading() as connection:
            known = connection.execute(wanted).all()
            longest = max((length for _, length in known), default=0)
            query = (
                select(m.c.start_us, m.c.rows, m.c.value, m.c.details)
                .where(
                    m.c.series_id.in_([i for i, length in known if length >= ALIKE * longest]),
                    m.c.start_us >= (start - EPOCH) // us,
                    m.c.start_us < (end - EPOCH) // us,
                    m.c.value.is_not(None),
                )
                .order_by(m.c.start_us)
            )
            for at, rows, middle, details in connection.execute(query):
                q = decode(details)
                found.append((at, rows, q["p5"], q["p25"], middle, q["p75"], q["p95"]))
        return found

    def versions(self, model: str) -> list[dict[str, Any]]:
        """The versions that answered: name, first and last window, predictions; oldest first."""
        from sqlalchemy import func, select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        query = (
            select(
                s.c.version,
                s.c.length_us,
                func.min(m.c.start_us),
                func.max(m.c.start_us),
                func.sum(m.c.value),
            )
            .join(m, m.c.series_id == s.c.id)
            .where(s.c.model == model, s.c.measure == "row_count", s.c.subject == "", s.c.segment == "")
            .where(s.c.version != "", m.c.value > 0)
            .group_by(s.c.version, s.c.length_us)
            .order_by(s.c.length_us)
        )

        def ask() -> list[dict[str, Any]]:
            with self.ledger.reading() as connection:
                rows = connection.execute(query).all()
            found = {  # the same rows are counted in windows of several lengths: the longest stands
                version: {
                    "version": version,
                    "first": _time(first).isoformat(),
                    "last": _time(last + length).isoformat(),
                    "rows": int(count or 0),
                }
                for version, length, first, last, count in rows
            }
            return sorted(found.values(), key=lambda v: v["first"])

        return self.kept(("versions", model), ask, seconds=30)

    def last_known(
        self, models: Sequence[str], measures: Sequence[str], *, segment: str = ""
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """The newest value that there is, by (model, measure): where outcomes come late it is an older one."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        wanted = select(s.c.id, s.c.model, s.c.measure, s.c.subject, s.c.length_us).where(
            s.c.model.in_(list(models)),
            s.c.measure.in_(list(measures)),
            s.c.segment == segment,
            s.c.version == "",
            s.c.subject == "",
        )
        found = []
        with self.ledger.reading() as connection:
            for series_id, model, measure, subject, length in connection.execute(wanted).all():
                row = connection.execute(
                    select(m.c.value, m.c.low, m.c.high, m.c.margin, m.c.rows, m.c.reason, m.c.start_us)
                    .where(m.c.series_id == series_id, m.c.value.is_not(None))
                    .order_by(m.c.start_us.desc())
                    .limit(1)
                ).first()
                if row is not None:
                    named = {"model": model, "measure": measure, "subject": subject, "length_us": length}
                    found.append({**named, **row._mapping})
        return {(row["model"], row["measure"]): row for row in _standing(found)}

    def by_segment(self, model: str, measure: str) -> list[dict[str, Any]]:
        """The newest value that there is of *measure* in each segment."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import measurements as m
        from watchkeeper.adapters.ledgers.tables import series as s

        wanted = select(s.c.id, s.c.segment, s.c.length_us).where(
            s.c.model == model,
            s.c.measure == measure,
            s.c.segment != "",
            s.c.version == "",
            s.c.subject == "",
        )
        found = []
        with self.ledger.reading() as connection:
            for series_id, segment, length in connection.execute(wanted.limit(1000)).all():
                row = connection.execute(
                    select(m.c.value, m.c.low, m.c.high, m.c.rows, m.c.reason, m.c.start_us)
                    .where(m.c.series_id == series_id, m.c.value.is_not(None))
                    .order_by(m.c.start_us.desc())
                    .limit(1)
                ).first()
                if row is not None:
                    found.append({"segment": segment, "length_us": length, **row._mapping})
        return _standing(found)

    def facts(
        self,
        *,
        kinds: Sequence[str] = (),
        model: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Any]:
        """Facts, newest first, of a sequence below *before*."""
        import json

        from sqlalchemy import or_, select

        from watchkeeper.adapters.ledgers.tables import facts as f
        from watchkeeper.domain.fact import Fact

        query = select(f).order_by(f.c.sequence.desc()).limit(limit)
        if kinds:
            starts = [f.c.kind.startswith(k[:-1], autoescape=True) for k in kinds if k.endswith(".*")]
            query = query.where(or_(f.c.kind.in_([k for k in kinds if not k.endswith(".*")]), *starts))
        for column, value in ((f.c.model, model), (f.c.actor, actor)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(f.c.sequence < before)
        with self.ledger.reading() as connection:
            return [
                Fact(
                    kind=r.kind,
                    at=_time(r.at_us),
                    actor=r.actor,
                    model=r.model,
                    subject=r.subject,
                    body=json.loads(r.body),
                    sequence=r.sequence,
                )
                for r in connection.execute(query)
            ]

    def search(self, words: str, *, limit: int = 8) -> list[tuple[str, str]]:
        """(model, column) pairs whose column holds *words*."""
        from sqlalchemy import select

        from watchkeeper.adapters.ledgers.tables import series as s

        query = (
            select(s.c.model, s.c.subject)
            .where(
                s.c.measure == "psi",
                s.c.segment == "",
                s.c.version == "",
                s.c.subject.icontains(words, autoescape=True),
            )
            .distinct()
            .limit(limit)
        )
        with self.ledger.reading() as connection:
            return [(m, c) for m, c in connection.execute(query)]


def _standing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each model, measure, column and segment the newest of the longest windows.

    Days of 23 and of 25 hours are series of their own in the ledger: none of them may hide a newer day.
    """
    longest: dict[tuple[Any, ...], dict[str, Any]] = {}

    def name(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(k) for k in ("model", "measure", "subject", "segment"))

    for row in sorted(rows, key=lambda r: -r["length_us"]):
        held = longest.setdefault(name(row), row)
        if row["length_us"] >= ALIKE * held["length_us"] and row["start_us"] > held["start_us"]:
            longest[name(row)] = row
    return list(longest.values())


def _time(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)
