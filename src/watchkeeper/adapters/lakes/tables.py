"""The lake's tables: their columns, by what they are cut into files, and how long old versions of files stay."""

from __future__ import annotations

import pyarrow as pa

from watchkeeper.adapters.lakes.fitting import RESCUED

INSTANT = pa.timestamp("us", tz="UTC")
HASH = "wk_hash"
"""The id's 64-bit hash, written beside it. Rows are joined by it, which takes half the time that texts take; that
two of n ids share one has a chance under n**2 / 2**65: 3 in a million for ten million rows."""
TABLES: dict[str, pa.Schema] = {
    "predictions": pa.schema(
        [
            ("wk_id", pa.string()),
            (HASH, pa.int64()),
            ("wk_at", INSTANT),
            ("wk_version", pa.string()),
            ("wk_latency_s", pa.float64()),
            ("wk_error", pa.string()),
            ("wk_tags", pa.string()),
            ("wk_rate", pa.float64()),
            ("wk_to_label", pa.bool_()),
            (RESCUED, pa.string()),
            ("wk_day", pa.string()),
        ]
    ),
    "outcomes": pa.schema(
        [
            ("wk_id", pa.string()),
            (HASH, pa.int64()),
            ("wk_at", INSTANT),
            ("wk_received", INSTANT),
            ("wk_order", pa.int64()),
            ("wk_revision", pa.bool_()),
            (RESCUED, pa.string()),
            ("wk_day", pa.string()),
        ]
    ),
    "counters": pa.schema([("wk_at", INSTANT), ("wk_day", pa.string())]),
    "places": pa.schema(
        [(HASH, pa.int64()), ("wk_at", INSTANT), ("wk_bucket", pa.string())],
    ),
    "dead_letters": pa.schema(
        [
            ("source", pa.string()),
            ("sequence", pa.int64()),
            ("place", pa.int64()),
            ("wk_at", INSTANT),
            ("version", pa.string()),
            ("rows", pa.int64()),
            ("reason", pa.string()),
            ("event", pa.binary()),
            ("wk_day", pa.string()),
        ]
    ),
    "profiles": pa.schema(
        [
            ("start", INSTANT),
            ("end", INSTANT),
            ("version", pa.string()),
            ("segment", pa.string()),
            ("part", pa.string()),
            ("generation", pa.int64()),
            ("payload", pa.binary()),
            ("wk_day", pa.string()),
        ]
    ),
    "profile_rollups": pa.schema(
        [
            ("segment", pa.string()),
            ("part", pa.string()),
            ("payload", pa.binary()),
            ("span", pa.string()),
            ("stamp", pa.string()),
        ]
    ),
}
PARTITIONS = {"places": ("wk_bucket",), "profile_rollups": ("span", "stamp")}
"""By what a table is cut into files, where that is not the day."""
OURS = frozenset({"places", "dead_letters", "profiles", "profile_rollups"})
"""Tables without columns of a user's own: each of their files has the same ones."""
UNPLACED = "unplaced"
"""The partition of outcomes whose prediction has not been seen yet."""
BUCKETS = 32
SETTINGS = {
    # What forget() removes must also leave old versions of files and of the log.
    "delta.logRetentionDuration": "interval 0 days",
    "delta.deletedFileRetentionDuration": "interval 0 days",
    "delta.enableExpiredLogCleanup": "true",
}
CHECKPOINT_EVERY = 20
COMPACT_AT = 16
"""Files in one partition that make compaction worth its while, and one more for each so many bytes of them."""
COMPACT_BYTES = 32 << 20


def partitions_of(table: str) -> tuple[str, ...]:
    """The columns by which a table is cut into files.

    >>> partitions_of("predictions"), partitions_of("places")
    (('wk_day',), ('wk_bucket',))
    """
    return PARTITIONS.get(table, ("wk_day",))


def fields_of(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Names and types, without the kinds of text and bytes that only readers choose.

    >>> fields_of(pa.schema([("a", pa.large_string())]))
    [('a', DataType(string))]
    """
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string(), pa.binary_view(): pa.binary()}
    return [(f.name, plain.get(f.type, f.type)) for f in schema]
