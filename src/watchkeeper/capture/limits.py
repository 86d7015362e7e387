"""How large one event may be at a door that can answer; what comes by other doors is cut or rescued later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MOST_COLUMNS = 4_000
NAME_CHARACTERS = 1_000
MOST_DEPTH = 64


def too_much(features: Mapping[str, Any]) -> str | None:
    """What about *features* is beyond the limits, as a clause; None when nothing is.

    >>> too_much({"age": 41}), too_much({str(n): n for n in range(5000)})
    (None, 'it has 5,000 columns, and at most 4,000 are kept')
    """
    if (said := too_wide(features)) is not None:
        return said
    for name, value in features.items():
        if isinstance(value, (dict, list)) and is_too_deep(value):
            return f"{name!r:.80} is nested deeper than {MOST_DEPTH} levels"
    return None


def too_wide(names: Iterable[str]) -> str | None:
    """What about the columns *names* is beyond the limits, as a clause; None when nothing is."""
    count = 0
    for name in names:
        count += 1
        if len(name) > NAME_CHARACTERS:
            return f"the column {name[:40]!r}... has a name of {len(name):,} characters, and at most {NAME_CHARACTERS:,} are kept"
    return (
        f"it has {count:,} columns, and at most {MOST_COLUMNS:,} are kept" if count > MOST_COLUMNS else None
    )


def is_too_deep(value: Any, levels: int = MOST_DEPTH) -> bool:
    """Whether lists and mappings are nested deeper than *levels*."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(is_too_deep(v, levels - 1) for v in value)
