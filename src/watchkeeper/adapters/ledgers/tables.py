"""The ledger's tables. Times are microseconds since 1970 UTC, the same number in every database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# SQLite numbers rows by itself only in a column of exactly this type.
_Sequence = BigInteger().with_variant(Integer, "sqlite")

facts = Table(
    "facts",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("kind", String(80), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("body", Text, nullable=False),
    Column("key", String(400), unique=True),
    Index("facts_by_kind", "kind", "sequence"),
    Index("facts_by_model", "model", "sequence"),
    Index("facts_by_subject", "subject", "sequence"),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    Column("kind", String(80), primary_key=True),
    Column("key", String(400), primary_key=True),
    Column("body", Text, nullable=False),
    Column("state", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("rank", Float(53), nullable=False),
    Column("due_us", BigInteger),
    Column("updated_us", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("documents_by_state", "kind", "state", "updated_us"),
    Index("documents_by_model", "kind", "model", "updated_us"),
    Index("documents_by_time", "kind", "updated_us"),
    Index("documents_by_rank", "kind", "rank"),
    Index("documents_due", "kind", "due_us"),
)

series = Table(
    "series",
    metadata,
    Column("id", _Sequence, primary_key=True, autoincrement=True),
    Column("model", String(200), nullable=False),
    Column("version", String(200), nullable=False),
    Column("segment", String(400), nullable=False),
    Column("measure", String(80), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("length_us", BigInteger, nullable=False),
    Index("series_by_name", "model", "measure", "subject", "segment", "version", "length_us", unique=True),
)


def _numbers() -> list[Column]:  # type: ignore[type-arg]
    return [
        Column("value", Float(53)),
        Column("low", Float(53)),
        Column("high", Float(53)),
        Column("margin", Float(53)),
        Column("p_value", Float(53)),
        Column("rows", Float(53), nullable=False),
        Column("reason", Text),
        Column("details", Text),
        Column("written_us", BigInteger, nullable=False),
    ]


measurements = Table(
    "measurements",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    *_numbers(),
    sqlite_with_rowid=False,
)

latest = Table(
    "latest",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("start_us", BigInteger, nullable=False),
    *_numbers(),
    sqlite_with_rowid=False,
)

rollups = Table(
    "rollups",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("day_us", BigInteger, primary_key=True, autoincrement=False),
    Column("windows", Integer, nullable=False),
    Column("mean", Float(53)),
    Column("low", Float(53)),
    Column("high", Float(53)),
    Column("rows", Float(53), nullable=False),
    sqlite_with_rowid=False,
)

windows = Table(
    "windows",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("end_us", BigInteger, primary_key=True, autoincrement=False),
    Column("version", String(200), primary_key=True),
    Column("segment", String(400), primary_key=True),
    Column("marks", BigInteger, nullable=False),
    Column("cleared", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("outcomes", BigInteger, nullable=False),
    Column("mature", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("measured_us", BigInteger),
    Column("rebuildable", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Index("windows_by_end", "model", "end_us"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
