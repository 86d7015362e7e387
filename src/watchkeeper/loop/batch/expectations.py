"""Expectations as people write them: one sentence each, or a JSON or TOML file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from watchkeeper.domain.expectation import Expectation
from watchkeeper.errors import BadInput, UnreadableSource, nearest
from watchkeeper.measures.quality.expectations import suggest_expectations
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile


def read_expectations(given: Any) -> tuple[Expectation, ...]:
    """Read a file's path, or a list of expectations, sentences (``"age between 0 and 120"``) and mappings.

    Raises
    ------
    BadInput
        one of them is none, with what is wrong and what would be right.

    >>> [e.sentence for e in read_expectations(["age between 0 and 120", {"column": "id", "rule": "unique"}])]
    ['age lies between 0 and 120', 'id never occurs twice']
    """
    if isinstance(given, Path) or (isinstance(given, str) and Path(given).suffix in (".json", ".toml")):
        return load_expectations(given)
    items: Iterable[Any] = (given,) if isinstance(given, (str, Expectation, Mapping)) else given
    return tuple(_one(item) for item in items)


def _one(item: Any) -> Expectation:
    if isinstance(item, Expectation):
        return item
    if isinstance(item, str):
        return Expectation.of_text(item)
    if isinstance(item, Mapping):
        return Expectation.of_dict(item)
    raise BadInput(f"A {type(item).__name__} is no expectation.", 'Say it in words: "age between 0 and 120".')


def load_expectations(path: str | Path) -> tuple[Expectation, ...]:
    """Read a file: ``{"expectations": [...]}`` in JSON, ``[[expectations]]`` in TOML, or a plain JSON list.

    Raises
    ------
    UnreadableSource
        there is no such file, or it is neither JSON nor TOML.
    BadInput
        an entry is no expectation; the message names its place.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise UnreadableSource(f"There is no file of expectations {str(path)!r}.{near}") from None
    except (OSError, ValueError) as cause:
        raise UnreadableSource(
            f"{path} cannot be read: {cause}.", "Give JSON or TOML in UTF-8, with the ending .json or .toml."
        ) from cause
    entries = raw.get("expectations") if isinstance(raw, dict) else raw
    if not isinstance(entries, list):
        raise BadInput(
            f"{path} holds no list of expectations.",
            'Write {"expectations": [{"column": "age", "rule": "between", "low": 0, "high": 120}]}.',
        )
    out = []
    for at, entry in enumerate(entries):
        try:
            out.append(_one(entry))
        except BadInput as cause:
            raise BadInput(f"{path}: expectations[{at}]: {cause.what}", *cause.next_steps) from cause
    return tuple(out)


def save_expectations(expectations: Iterable[Expectation], path: str | Path) -> Path:
    """Write them as JSON, one a line, to be read and changed by people.

    Raises
    ------
    BadInput
        the file cannot be written.
    """
    lines = ",\n".join(f"    {json.dumps(e.to_dict(), ensure_ascii=False)}" for e in expectations)
    target = Path(path)
    try:
        target.write_text(f'{{\n  "expectations": [\n{lines}\n  ]\n}}\n', encoding="utf-8")
    except OSError as cause:
        raise BadInput(
            f"The expectations cannot be written to {target}: {cause.strerror or cause}."
        ) from cause
    return target


def suggested(source: Any) -> list[Expectation]:
    """What all rows of *source* (a `Baseline`, a `Profile`, or rows) have in common, with room to breathe.

    >>> [e.sentence for e in suggested({"sex": ["f", "m"] * 300})]
    ['sex is never missing', 'sex is one of f, m']
    """
    from watchkeeper.loop.batch.profiling import is_baseline_file, load_baseline, profile

    if is_baseline_file(source):
        source = load_baseline(source)
    if isinstance(source, Baseline):
        source = source.profile
    return suggest_expectations(source if isinstance(source, Profile) else profile(source))
