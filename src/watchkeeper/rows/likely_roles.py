"""What part a column probably plays, where its name only resembles that of a role.

`infer` takes exact names alone, since nobody looks at what it took. Where a person does (``watchkeeper init``
says everything that it took), more can be guessed:

- an *id* ends with "id" and never repeats itself; or it is the only column of whole numbers that counts up, or is
  called a key or a number, and never repeats itself;
- a *time* is the only column of dates and times, or the only one that is called a time;
- a *score* is called a probability and lies in [0, 1]; a *prediction* is called one; *scores of classes* add up to
  one in every row, and are called by the classes, or are largest where the class is predicted or happens;
- an *outcome* is called one, or is what the score or prediction is of: ``churn`` beside ``p(churn)``,
  ``price`` beside ``predicted_price``.

A role for which two columns could be meant is left to the person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.schema import Column, Kind, Role, Schema
from watchkeeper.rows.infer import scored_class

_WORDS: dict[Role, frozenset[str]] = {
    Role.SCORE: frozenset({"p", "prob", "proba", "probability", "score", "likelihood", "confidence"}),
    Role.PREDICTION: frozenset(
        {"pred", "predicted", "prediction", "predict", "yhat", "forecast", "estimated"}
    ),
    Role.OUTCOME: frozenset({"outcome", "label", "target", "actual", "truth", "observed", "y"}),
    Role.TIME: frozenset({"at", "time", "timestamp", "ts", "datetime", "when"}),
    Role.ID: frozenset({"id", "uuid", "guid"}),
}
_KEYS = frozenset(
    {"key", "no", "nr", "num", "number", "code", "ref", "reference", "index", "order", "ticket", "row"}
)
_ENOUGH = 30
"""Rows from which it is no accident that none is like another."""
_MOST_CLASSES = 50
_ROUNDED = 0.02
_NEARLY_ALL = 0.99
_NUMBERS = (Kind.NUMERIC, Kind.INTEGER)
_ANSWERS = (*_NUMBERS, Kind.BOOLEAN, Kind.CATEGORICAL)


def likely_roles(schema: Schema, sample: pa.Table) -> dict[str, Role]:
    """Return roles for columns of *schema* that have none yet, guessed from their names and *sample*.

    >>> from watchkeeper.rows.infer import infer
    >>> rows = pa.table({"Customer ID": [1, 2, 3], "p(churn)": [0.2, 0.9, 0.4], "Churn?": ["no", "yes", "no"]})
    >>> {n: r.value for n, r in likely_roles(infer(rows.schema, sample=rows).schema, rows).items()}
    {'Customer ID': 'id', 'p(churn)': 'score', 'Churn?': 'outcome'}
    """
    free = [c for c in schema.columns if c.role is Role.FEATURE and c.name in sample.column_names]
    found: dict[str, Role] = {}

    def take(role: Role, candidates: list[Column]) -> None:
        left = [c for c in candidates if c.name not in found]
        if not schema.of_role(role) and len(left) == 1:
            found[left[0].name] = role

    def called(role: Role, kinds: tuple[Kind, ...]) -> list[Column]:
        return [c for c in free if c.kind in kinds and _WORDS[role] & {*words_of(c.name)}]

    ids = [c for c in free if words_of(c.name)[-1:] and words_of(c.name)[-1] in _WORDS[Role.ID]]
    take(Role.ID, [c for c in ids if _never_repeats(sample[c.name])])
    if not schema.of_role(Role.ID) and Role.ID not in found.values() and sample.num_rows >= _ENOUGH:
        whole = [c for c in free if c.kind is Kind.INTEGER and _never_repeats(sample[c.name])]
        counting = [c for c in whole if _counts(sample[c.name]) or _KEYS & {*words_of(c.name)}]
        take(Role.ID, counting)
    times = [c for c in free if c.kind is Kind.DATETIME]
    take(Role.TIME, times if len(times) == 1 else called(Role.TIME, (Kind.DATETIME,)))
    take(Role.SCORE, [c for c in called(Role.SCORE, (Kind.NUMERIC,)) if _is_share(sample[c.name])])
    take(Role.PREDICTION, called(Role.PREDICTION, _ANSWERS))
    told = {**{c.name: c.role for c in schema.columns}, **found}
    stems = {_stem(n, r) for n, r in told.items() if r in (Role.SCORE, Role.PREDICTION)} - {()}
    of_them = [c for c in free if c.kind in _ANSWERS and words_of(c.name) in stems]
    take(Role.OUTCOME, of_them or called(Role.OUTCOME, _ANSWERS))
    return found


def likely_class_scores(schema: Schema, sample: pa.Table) -> dict[str, str]:
    """Columns that add up to one in every row, and the class that each is the score of.

    >>> from watchkeeper.rows.infer import infer
    >>> rows = pa.table({"cat": [0.7, 0.1, 0.2], "dog": [0.3, 0.9, 0.8], "kind": ["cat", "dog", "dog"]})
    >>> likely_class_scores(infer(rows.schema, sample=rows, roles={"kind": "outcome"}).schema, rows)
    {'cat': 'cat', 'dog': 'dog'}
    """
    told = schema.first(Role.PREDICTION) or schema.first(Role.OUTCOME)
    if told is None or told.kind not in (Kind.CATEGORICAL, Kind.INTEGER, Kind.BOOLEAN) or not sample.num_rows:
        return {}
    classes = [_class_name(v) for v in pc.unique(sample[told.name]).to_pylist() if v is not None]
    if not 2 <= len(classes) <= _MOST_CLASSES:
        return {}
    shares = [
        c.name
        for c in schema.columns
        if c.kind is Kind.NUMERIC
        and c.score_of is None
        and c.role in (Role.FEATURE, Role.SCORE)
        and _is_share(sample[c.name])
    ]
    if len(shares) > len(classes):  # others lie between 0 and 1 too: names must say which
        shares = [n for n in shares if _named_class(n, classes) is not None]
    if len(shares) != len(classes):
        return {}
    scores = np.column_stack([np.asarray(pc.fill_null(sample[n], 0.0), np.float64) for n in shares])
    if np.mean(np.abs(scores.sum(axis=1) - 1.0) <= _ROUNDED) < _NEARLY_ALL:
        return {}
    found = {n: of for n in shares if (of := _named_class(n, classes)) is not None}
    if len(set(found.values())) != len(classes):
        largest = scores.argmax(axis=1)
        said = np.array(
            [None if v is None else _class_name(v) for v in sample[told.name].to_pylist()], object
        )
        found = {}
        for i, name in enumerate(shares):
            there, counts = np.unique(
                [v for v in said[largest == i].tolist() if v is not None], return_counts=True
            )
            if len(counts) and counts.max() > counts.sum() / 2:
                found[name] = str(there[counts.argmax()])
    return found if len(set(found.values())) == len(classes) else {}


def _named_class(name: str, classes: list[str]) -> str | None:
    known = scored_class(name, classes)
    if known is not None:
        return known
    words = tuple(w for w in words_of(name) if w not in _WORDS[Role.SCORE] | _WORDS[Role.PREDICTION])
    same = [c for c in classes if words and words_of(c) == words]
    return same[0] if len(same) == 1 else None


def _class_name(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def two_valued(schema: Schema, sample: pa.Table) -> list[str]:
    """Names of features that hold two values: what an outcome of a binary model looks like.

    >>> from watchkeeper.rows.infer import infer
    >>> rows = pa.table({"age": [31, 42, 53], "left": [True, False, True]})
    >>> two_valued(infer(rows.schema, sample=rows).schema, rows)
    ['left']
    """
    return [
        c.name
        for c in schema.columns
        if c.role is Role.FEATURE
        and c.kind in _ANSWERS
        and c.name in sample.column_names
        and pc.count_distinct(sample[c.name]).as_py() == 2
    ]


def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name, small.

    >>> words_of("predictedPrice"), words_of("p(churn)"), words_of("Customer ID")
    (('predicted', 'price'), ('p', 'churn'), ('customer', 'id'))
    """
    return tuple(w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+", name))


def _stem(name: str, role: Role) -> tuple[str, ...]:
    return tuple(w for w in words_of(name) if w not in _WORDS[role])


def _never_repeats(values: pa.ChunkedArray) -> bool:
    return len(values) > 1 and values.null_count == 0 and pc.count_distinct(values).as_py() == len(values)


def _counts(values: pa.ChunkedArray) -> bool:
    """Whether whole numbers that never repeat themselves count rows: hardly any is left out, or each is larger."""
    data = np.asarray(values)
    low, high = int(data.min()), int(data.max())
    return high - low < 2 * len(data) or bool((data[1:] > data[:-1]).all())


def unique_numbers(schema: Schema, sample: pa.Table) -> list[str]:
    """Features of whole numbers that never repeat themselves, as ids do: a person should look at them."""
    if sample.num_rows < _ENOUGH:
        return []
    return [
        c.name
        for c in schema.of_role(Role.FEATURE)
        if c.kind is Kind.INTEGER and c.name in sample.column_names and _never_repeats(sample[c.name])
    ]


def _is_share(values: pa.ChunkedArray) -> bool:
    ends: Mapping[str, float | None] = pc.min_max(values).as_py()
    return ends["min"] is not None and ends["max"] is not None and 0 <= ends["min"] <= ends["max"] <= 1
