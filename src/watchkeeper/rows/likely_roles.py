"""What part a column probably plays, where its name only resembles that of a role.

`infer` takes exact names alone, since nobody looks at what it took. Where a person does (``watchkeeper init``
says everything that it took), more can be guessed:

- an *id* ends with "id" and never repeats itself;
- a *time* is the only column of dates and times, or the only one that is called a time;
- a *score* is called a probability and lies in [0, 1]; a *prediction* is called one;
- an *outcome* is called one, or is what the score or prediction is of: ``churn`` beside ``p(churn)``,
  ``price`` beside ``predicted_price``.

A role for which two columns could be meant is left to the person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.domain.schema import Column, Kind, Role, Schema

_WORDS: dict[Role, frozenset[str]] = {
    Role.SCORE: frozenset({"p", "prob", "proba", "probability", "score", "likelihood", "confidence"}),
    Role.PREDICTION: frozenset(
        {"pred", "predicted", "prediction", "predict", "yhat", "forecast", "estimated"}
    ),
    Role.OUTCOME: frozenset({"outcome", "label", "target", "actual", "truth", "observed", "y"}),
    Role.TIME: frozenset({"at", "time", "timestamp", "ts", "datetime", "when"}),
    Role.ID: frozenset({"id", "uuid", "guid"}),
}
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
    times = [c for c in free if c.kind is Kind.DATETIME]
    take(Role.TIME, times if len(times) == 1 else called(Role.TIME, (Kind.DATETIME,)))
    take(Role.SCORE, [c for c in called(Role.SCORE, (Kind.NUMERIC,)) if _is_share(sample[c.name])])
    take(Role.PREDICTION, called(Role.PREDICTION, _ANSWERS))
    told = {**{c.name: c.role for c in schema.columns}, **found}
    stems = {_stem(n, r) for n, r in told.items() if r in (Role.SCORE, Role.PREDICTION)} - {()}
    of_them = [c for c in free if c.kind in _ANSWERS and words_of(c.name) in stems]
    take(Role.OUTCOME, of_them or called(Role.OUTCOME, _ANSWERS))
    return found


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


def _is_share(values: pa.ChunkedArray) -> bool:
    ends: Mapping[str, float | None] = pc.min_max(values).as_py()
    return ends["min"] is not None and ends["max"] is not None and 0 <= ends["min"] <= ends["max"] <= 1
