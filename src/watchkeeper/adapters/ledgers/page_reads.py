"""What pages ask of the ledger, in one question each: a page of 50 of 2,000 models never asks 2,000 times.

Everything here only reads, by index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select

from watchkeeper.adapters.ledgers.stored import EPOCH
from watchkeeper.adapters.ledgers.tables import documents as d
from watchkeeper.adapters.ledgers.tables import facts as f
from watchkeeper.adapters.ledgers.tables import latest as t
from watchkeeper.adapters.ledgers.tables import measurements as m
from watchkeeper.adapters.ledgers.tables import rollups as r
from watchkeeper.adapters.ledgers.tables import series as s
from watchkeeper.adapters.ledgers.tables import windows as w
from watchkeeper.domain.fact import Fact
from watchkeeper.domain.series import ALIKE
from watchkeeper.ports.page_reads import Grid, NewestValue, SeriesName, SparkPoint, Spread, VersionSeen

if TYPE_CHECKING:
    from watchkeeper.adapters.ledgers.connections import Connections

DAY_US = 86_400_000_000
_NAMES = ("model", "measure", "subject", "segment", "length_us")
_VALUES = ("value", "low", "high", "margin", "rows", "reason", "details", "start_us")


class SqlPageReads:
    """`watchkeeper.ports.page_reads.PageReads` over one database."""

    def __init__(self, ledger: Connections) -> None:
        self.ledger = ledger

    def newest(self) -> int:
        """The sequence of the newest fact: when it grows, something happened."""
        with self.ledger.reading() as connection:
            return int(connection.execute(select(func.max(f.c.sequence))).scalar() or 0)

    def alert_tally(self) -> dict[str, dict[str, tuple[int, float]]]:
        """Open alerts by model and state: how many, and the highest rank among them."""
        # Not grouped by the database: it would walk all alerts by model, where the open ones are few.
        query = select(d.c.model, d.c.state, d.c.rank).where(
            d.c.kind == "alert", d.c.state.in_(["firing", "pending"])
        )
        out: dict[str, dict[str, tuple[int, float]]] = {}
        with self.ledger.reading() as connection:
            for model, state, rank in connection.execute(query):
                count, highest = out.setdefault(model, {}).get(state, (0, rank))
                out[model][state] = (count + 1, max(highest, rank))
        return out

    def models_seen(self) -> list[str]:
        """Models that have measurements, configured or not: from one to the next by the index, in one question."""
        seen = select(func.min(s.c.model).label("model")).cte("seen", recursive=True)
        following = select(func.min(s.c.model)).where(s.c.model > seen.c.model).scalar_subquery()
        seen = seen.union_all(select(following).where(seen.c.model.is_not(None)))
        query = select(seen.c.model).where(seen.c.model.is_not(None)).limit(10_000)
        with self.ledger.reading() as connection:
            return [row[0] for row in connection.execute(query)]

    def last_windows(self, models: Iterable[str]) -> dict[str, datetime]:
        """The end of the newest window with rows of each model that has one: windows that wait for rows do not count."""
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
        with self.ledger.reading() as connection:
            first = connection.execute(select(func.min(w.c.start_us)).where(w.c.model == model)).scalar()
        return None if first is None else _time(first)

    def latest(
        self, models: Sequence[str], measures: Sequence[str], *, whole: bool = True, segment: str = ""
    ) -> list[NewestValue]:
        """Newest values of *measures* of *models*, of all versions; *whole* leaves columns out."""
        query = (
            select(*(s.c[n] for n in _NAMES), *(t.c[n] for n in _VALUES))
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
            return _standing([_newest({**row._mapping}) for row in connection.execute(query)])

    def series_of(self, model: str) -> list[SeriesName]:
        """Which series there are: (measure, subject, segment, version, length in microseconds)."""
        query = select(s.c.measure, s.c.subject, s.c.segment, s.c.version, s.c.length_us).where(
            s.c.model == model
        )
        with self.ledger.reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def spreads(
        self, model: str, column: str, *, start: datetime, end: datetime, segment: str = ""
    ) -> list[Spread]:
        """(start in microseconds, rows, 5%, 25%, 50%, 75%, 95%) of each of the column's longest windows, by time."""
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

    def versions(self, model: str) -> list[VersionSeen]:
        """The versions that answered: name, first and last window, predictions; oldest first."""
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
        with self.ledger.reading() as connection:
            rows = connection.execute(query).all()
        found: dict[str, VersionSeen] = {  # counted in windows of several lengths: the longest stands
            version: {
                "version": version,
                "first": _time(first).isoformat(),
                "last": _time(last + length).isoformat(),
                "rows": int(count or 0),
            }
            for version, length, first, last, count in rows
        }
        return sorted(found.values(), key=lambda v: v["first"])

    def last_known(
        self, models: Sequence[str], measures: Sequence[str], *, segment: str = ""
    ) -> dict[tuple[str, str], NewestValue]:
        """The newest value that is a number, by (model, measure): where outcomes come late it is an older one."""
        series = (
            s.c.model.in_(list(models)),
            s.c.measure.in_(list(measures)),
            s.c.segment == segment,
            s.c.version == "",
            s.c.subject == "",
        )
        return {(row["model"], row["measure"]): row for row in self._last_numbers(*series)}

    def by_segment(self, model: str, measure: str) -> list[NewestValue]:
        """The newest value that is a number of *measure* in each segment."""
        return self._last_numbers(
            s.c.model == model,
            s.c.measure == measure,
            s.c.segment != "",
            s.c.version == "",
            s.c.subject == "",
        )

    def _last_numbers(self, *series: ColumnElement[bool]) -> list[NewestValue]:
        """The newest number of each of *series*: one index lookup each, in one question."""
        wanted = select(s.c.id, *(s.c[n] for n in _NAMES)).where(*series).limit(1_000)
        found = []
        with self.ledger.reading() as connection:
            for series_id, *named in connection.execute(wanted).all():
                newest = (
                    select(*(m.c[n] for n in _VALUES))
                    .where(m.c.series_id == series_id, m.c.value.is_not(None))
                    .order_by(m.c.start_us.desc())
                    .limit(1)
                )
                row = connection.execute(newest).first()
                if row is not None:
                    found.append(_newest({**dict(zip(_NAMES, named)), **row._mapping}))
        return _standing(found)

    def facts(
        self,
        *,
        kinds: Sequence[str] = (),
        model: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Fact]:
        """Facts, newest first, of a sequence below *before*."""
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

    def grid(
        self,
        model: str,
        measure: str,
        *,
        start: datetime,
        end: datetime,
        segment: str = "",
        version: str = "",
        buckets: int = 60,
        most: int = 40,
    ) -> Grid:
        """The largest value of *measure* of each column in each of *buckets* whole-day spans, gravest columns first.

        Read from the ledger's daily roll-ups: a year of hourly windows of 100 columns is 36,500 rows there, and the
        database folds them to at most ``100 * buckets``.
        """
        first = _us(start) // DAY_US * DAY_US
        days = max(1, -(-(_us(end) - first) // DAY_US))
        per = -(-days // buckets)
        count = -(-days // per)
        width = per * DAY_US
        # Windows of different lengths are different series: the longest stands, as in `MeasurementStore.series`.
        longest = (
            select(func.max(s.c.length_us))
            .where(s.c.model == model, s.c.measure == measure)
            .scalar_subquery()
        )
        bucket = ((r.c.day_us - first) // width).label("bucket")
        query = (
            select(s.c.subject, bucket, func.max(r.c.high))
            .join(r, r.c.series_id == s.c.id)
            .where(
                s.c.model == model,
                s.c.measure == measure,
                s.c.segment == segment,
                s.c.version == version,
                s.c.length_us >= ALIKE * longest,
                r.c.day_us >= first,
                r.c.day_us < first + count * width,
            )
            .group_by(s.c.subject, bucket)
        )
        rows: dict[str, list[float | None]] = {}
        with self.ledger.reading() as connection:
            for subject, at, value in connection.execute(query):
                rows.setdefault(subject, [None] * count)[int(at)] = (
                    None if value is None else float(f"{value:.3g}")
                )
        names = sorted(rows, key=lambda n: (-_weight(rows[n]), n))
        shown = names[:most]
        edges = [EPOCH + timedelta(microseconds=first + k * width) for k in range(count + 1)]
        return Grid(shown, edges, [rows[n] for n in shown], len(names) - len(shown))

    def sparks(self, wanted: Mapping[str, str], *, start: datetime) -> dict[str, list[SparkPoint]]:
        """Daily (day, value, low, high) since *start* of one measure of each model: ``{model: measure}``.

        A window of a day or more has its interval as low and high; a day of shorter windows has their mean, least and
        largest, from the roll-ups.
        """
        out: dict[str, list[SparkPoint]] = {}
        if not wanted:
            return out
        length: dict[str, int] = {}
        pairs = or_(*(and_(s.c.model == m, s.c.measure == v) for m, v in wanted.items()))
        since = _us(start) // DAY_US * DAY_US
        whole = (s.c.subject == "", s.c.segment == "", s.c.version == "", pairs)
        long = (
            select(s.c.model, s.c.length_us, m.c.start_us, m.c.value, m.c.low, m.c.high)
            .join(m, m.c.series_id == s.c.id)
            .where(*whole, s.c.length_us >= ALIKE * DAY_US, m.c.start_us >= since, m.c.value.is_not(None))
            .order_by(s.c.model, s.c.length_us.desc(), m.c.start_us)
        )
        short = (
            select(s.c.model, s.c.length_us, r.c.day_us, r.c.mean, r.c.low, r.c.high)
            .join(r, r.c.series_id == s.c.id)
            .where(*whole, s.c.length_us < ALIKE * DAY_US, r.c.day_us >= since, r.c.mean.is_not(None))
            .order_by(s.c.model, s.c.length_us.desc(), r.c.day_us)
        )
        with self.ledger.reading() as connection:
            for query in (long, short):
                for model, length_us, at, value, low, high in connection.execute(query):
                    if length_us >= ALIKE * length.setdefault(model, length_us):
                        day = EPOCH + timedelta(microseconds=at)
                        between = (value, value) if low is None or high is None else (low, high)
                        out.setdefault(model, []).append((day, value, *between))
        return {model: sorted(points) for model, points in out.items()}


def _weight(cells: Sequence[float | None]) -> float:
    """Grave columns first: the newest tenth of the time counts, then all of it."""
    recent = [c for c in cells[-max(1, len(cells) // 10) :] if c is not None]
    return max(recent, default=0.0) + 0.001 * max((c for c in cells if c is not None), default=0.0)


def _newest(row: Mapping[str, Any]) -> NewestValue:
    return cast("NewestValue", dict(row))


def _standing(rows: list[NewestValue]) -> list[NewestValue]:
    """Of each model, measure, column and segment the newest of the longest windows.

    Days of 23 and of 25 hours are series of their own in the ledger: none of them may hide a newer day.
    """
    longest: dict[tuple[str, str, str, str], NewestValue] = {}
    for row in sorted(rows, key=lambda r: -r["length_us"]):
        name = (row["model"], row["measure"], row["subject"], row["segment"])
        held = longest.setdefault(name, row)
        if row["length_us"] >= ALIKE * held["length_us"] and row["start_us"] > held["start_us"]:
            longest[name] = row
    return list(longest.values())


def _time(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _us(at: datetime) -> int:
    return (at.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
