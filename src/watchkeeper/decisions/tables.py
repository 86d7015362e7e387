"""Tables of a configuration file as typed values, and what is wrong with one, by its place.

A kind of table is a pydantic model, so that one definition checks the file, words its faults and gives editors their
JSON schema. Tables that come in several kinds are tagged unions.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from watchkeeper.domain.duration import duration_of
from watchkeeper.domain.silence import Matcher, parse_matchers
from watchkeeper.errors import BadInput, nearest

T = TypeVar("T")


class Table(BaseModel):
    """A table of the file: unknown keys are faults, attribute docstrings are what editors show."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def fault_of(cause: BadInput) -> PydanticCustomError:
    """One of our own errors as a fault of the table that is being read."""
    text = " ".join((cause.what, *cause.next_steps)).replace("{", "{{").replace("}", "}}")
    return PydanticCustomError("watchkeeper", text)  # type: ignore[arg-type]


def _duration(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise PydanticCustomError("duration", 'needs a unit: write "30s", "15m", "1h" or "7d"')
    if not isinstance(value, str):
        return value
    try:
        return duration_of(value)
    except BadInput:
        raise PydanticCustomError(
            "duration", 'is not a duration; write a number and a unit, such as "15m", "1h", "7d" or "2w"'
        ) from None


Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str)]
"""A length of time, written as people write it."""


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError(
            "zone", "is not a time zone.{hint}", {"hint": nearest(name, available_timezones())}
        ) from None
    return name


Zone = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone."""


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str])]
"""One text, or a list of them."""


def _matchers(value: object) -> object:
    try:
        return parse_matchers(value) if isinstance(value, (Mapping, str, list)) else value
    except BadInput as cause:
        raise fault_of(cause) from None


Matchers = Annotated[
    tuple[Matcher, ...], BeforeValidator(_matchers, json_schema_input_type=dict[str, str] | list[str])
]
"""Conditions on labels: label -> value, where ``"~regex"``, ``"!value"`` and ``"!~regex"`` say more."""


def read(kind: type[T] | Any, raw: object, where: str, *, context: Mapping[str, Any] | None = None) -> T:
    """Read one table that stands by itself, such as a rule in a file of its own.

    Raises
    ------
    BadInput
        with the key at fault and the nearest one that is known.
    """
    try:
        return TypeAdapter(kind).validate_python(raw, context=context)
    except ValidationError as cause:
        faults = [fault_text(error, kind) for error in cause.errors()]
        raise BadInput(f"{where}: {faults[0]}", *faults[1:]) from None


def place_of(error: Mapping[str, Any]) -> list[str]:
    """The keys that lead to a fault, without the names that pydantic adds for members of a union."""
    steps = [str(p) for p in error["loc"]]
    return [p for p in steps if not ("[" in p or p in ("float", "str", "bool") or p.endswith("-table"))]


def fault_text(error: Mapping[str, Any], root: Any, *, line: int | None = None, whole: str = "") -> str:
    """One fault in one sentence: its line if that is known, its key, what is wrong, and the nearest known key."""
    place = place_of(error)
    dotted = ".".join(place) or whole
    at = f"line {line}, {dotted}: " if line else f"{dotted}: " if dotted else ""
    if error["type"] == "extra_forbidden":
        known = _known_keys(root, [str(p) for p in error["loc"]][:-1])
        return f"{at}there is no such key.{nearest(place[-1], known)}"
    if error["type"] == "missing":
        return f"{at}this key is needed."
    text = error["msg"].replace("Input should be", "must be")
    if error["type"] in ("enum", "literal_error"):
        known = re.findall(r"'([^']+)'", error["msg"])
        return f"{at}{text}.{nearest(str(error['input']), known)}"
    return at + (text if text[-1] in ".?" else f"{text}.")


def _known_keys(annotation: Any, place: list[str]) -> list[str]:
    """The keys of the table at *place* below *annotation*."""
    for part in place:
        annotation = _inside(annotation)
        if _is_table(annotation):
            annotation = next(
                (f.annotation for n, f in annotation.model_fields.items() if part in (n, f.alias)), None
            )
        elif part.endswith("-table"):
            annotation = next((a for a in get_args(annotation) if part in _tags(a)), None)
        else:
            annotation = (get_args(annotation) or (None,))[-1]
    annotation = _inside(annotation)
    if not _is_table(annotation):
        return []
    return [f.alias or name for name, f in annotation.model_fields.items()]


def _inside(annotation: Any) -> Any:
    """Without what is only said about a type, and of an optional table the table."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        tables = [a for a in get_args(annotation) if _is_table(_bare(a))]
        if len(tables) == 1:
            return _bare(tables[0])
    return annotation


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _tags(annotation: Any) -> list[str]:
    return [m.tag for m in getattr(annotation, "__metadata__", ()) if hasattr(m, "tag")]


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def attribute_docs(cls: type) -> dict[str, str]:
    """The docstrings that stand below a class's attributes.

    >>> from watchkeeper.decisions.rules.threshold import Threshold
    >>> attribute_docs(Threshold)["resolve_above"]
    'While firing, stay so above this (lower) level.'
    """
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    return {
        before.target.id: " ".join(after.value.value.split())
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
