"""A schema as a JSON file that people may edit: every fault is named with its place and the nearest known word.

::

    {
      "watchkeeper_schema": 1,
      "task": "binary",
      "columns": [
        {"name": "distance", "kind": "numeric"},
        {"name": "delayed", "kind": "boolean", "role": "outcome"}
      ]
    }
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from watchkeeper.domain.schema import Kind, Role, Schema, Task
from watchkeeper.errors import BadInput, Incompatible, UnreadableSource, WatchkeeperError, nearest

_VERSION = 1
_MARK = "watchkeeper_schema"
_KEYS = (_MARK, "columns", "task", "positive")
_COLUMN_KEYS = ("name", "kind", "role", "dtype", "score_of")


def save_schema(schema: Schema, path: str | Path) -> None:
    """Write *schema* to *path*, one column a line."""
    raw = schema.to_dict()
    columns = ",\n".join(f"    {json.dumps(column, ensure_ascii=False)}" for column in raw.pop("columns"))
    head = "".join(
        f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in {_MARK: _VERSION, **raw}.items()
    )
    inner = f"[\n{columns}\n  ]" if columns else "[]"
    Path(path).write_text(f'{{\n{head}  "columns": {inner}\n}}\n', encoding="utf-8")


def load_schema(path: str | Path) -> Schema:
    """Read what `save_schema` or a person wrote.

    Raises
    ------
    UnreadableSource
        there is no such file, or it is not JSON.
    BadInput
        a key, kind, role or task is not known; the message names the place.
    Incompatible
        a later version of Watchkeeper wrote it.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise UnreadableSource(f"There is no schema file {str(path)!r}.{near}", "Check the path.") from None
    except json.JSONDecodeError as cause:
        raise UnreadableSource(
            f"{path}: line {cause.lineno}, column {cause.colno}: {cause.msg}.", "Mend the JSON there."
        ) from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise UnreadableSource(f"{path} cannot be read: {cause}", "Give a JSON file in UTF-8.") from cause
    _check(raw, str(path))
    try:
        return Schema.of_dict(raw)
    except WatchkeeperError as cause:
        raise BadInput(f"{path}: {cause.what}", *cause.next_steps) from cause


def _check(raw: Any, place: str) -> None:
    _expect(raw, dict, place)
    version = raw.get(_MARK, _VERSION)
    if not isinstance(version, int) or version > _VERSION:
        raise Incompatible(
            f"{place}: {_MARK} is {version!r}, and this version of Watchkeeper reads up to {_VERSION}.",
            "Upgrade Watchkeeper.",
        )
    _known_keys(raw, _KEYS, place)
    if "columns" not in raw:
        raise BadInput(
            f"{place}: there is no 'columns'.", 'Add "columns": [{"name": ..., "kind": ...}, ...].'
        )
    _expect(raw["columns"], list, f"{place}: columns")
    if raw.get("task") is not None:
        _known_word(raw["task"], [t.value for t in Task], f"{place}: task")
    if raw.get("positive") is not None:
        _expect(raw["positive"], str, f"{place}: positive")
    for at, column in enumerate(raw["columns"]):
        here = f"{place}: columns[{at}]"
        _expect(column, dict, here)
        if isinstance(column.get("name"), str):
            here += f" ({column['name']})"
        _known_keys(column, _COLUMN_KEYS, here)
        for key in ("name", "kind"):
            if key not in column:
                raise BadInput(
                    f"{here}: there is no {key!r}.", f"Add it; a column has {', '.join(_COLUMN_KEYS)}."
                )
        _expect(column["name"], str, f"{here}: name")
        _known_word(column["kind"], [k.value for k in Kind], f"{here}: kind")
        _known_word(column.get("role", Role.FEATURE.value), [r.value for r in Role], f"{here}: role")


def _expect(value: Any, kind: type[dict[Any, Any]] | type[list[Any]] | type[str], place: str) -> None:
    if not isinstance(value, kind):
        wanted = "text" if kind is str else "a list" if kind is list else "an object"
        raise BadInput(f"{place}: expected {wanted}, found {json.dumps(value)[:60]}.")


def _known_keys(raw: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in raw:
        if key not in known:
            raise BadInput(
                f"{place}: unknown key {key!r}.{nearest(key, known)}", f"Known: {', '.join(known)}."
            )


def _known_word(value: Any, known: list[str], place: str) -> None:
    if value not in known:
        raise BadInput(
            f"{place}: {value!r} is not known.{nearest(str(value), known)}", f"Known: {', '.join(known)}."
        )
