"""How times, bodies and lists are stored, in every table alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY_US = 86_400_000_000
CHUNK = 400
"""Names in one IN list: below every database's limit of parameters."""


def us_of(at: datetime) -> int:
    """Microseconds since 1970, UTC.

    >>> us_of(datetime(1970, 1, 2, tzinfo=UTC)) == DAY_US
    True
    """
    return (at.astimezone(UTC) - EPOCH) // MICROSECOND


def moment(us: int) -> datetime:
    """The time that `us_of` was of.

    >>> moment(DAY_US).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return EPOCH + timedelta(microseconds=us)


def packed(body: Mapping[str, Any]) -> str:
    """A body as JSON, without spaces.

    >>> packed({"a": 1, "b": "ä"})
    '{"a":1,"b":"ä"}'
    """
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=str)


def chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    """*items* in pieces of at most *size*.

    >>> list(chunks([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    for at in range(0, len(items), size):
        yield items[at : at + size]
