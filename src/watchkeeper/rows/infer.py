"""What a table's columns are: kinds from their types and a sample, roles from well-known names.

Everything guessed is told in a sentence, and everything can be overridden (``kinds``, ``roles``, ``task``).

- A column of integers stays ``integer``, however few values it has: states count single values exactly anyway,
  and a code that grows a new value must not change its kind.
- Strings are ``datetime`` when nearly all of them are ISO dates, ``categorical`` when they repeat, else ``text``.
  Numbers written as text stay text (a postcode is not a quantity), with a line that says so.
- Roles are guessed from exact names only (``y_true``, ``proba``, ``timestamp``, ...), and only where the values
  can be meant: a *score* lies in [0, 1], a *time* is a datetime.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from watchkeeper.domain.classes import spelled_as
from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task, role_and_class
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput, nearest
from watchkeeper.rows.values import TIME_OF_DAY, is_number_like, plain_type, values_of

if TYPE_CHECKING:
    from watchkeeper.rows.sources import Source


_NAMES: dict[Role, frozenset[str]] = {
    Role.OUTCOME: frozenset({
        "outcome", "label", "target", "y", "y_true", "actual", "actuals", "ground_truth", "true_label",
    }),
    Role.SCORE: frozenset({
        "score", "proba", "probability", "y_score", "y_prob", "y_proba", "pred_proba", "predict_proba",
        "prediction_proba", "prediction_score", "prediction_probability", "predicted_probability",
    }),
    Role.PREDICTION: frozenset({
        "prediction", "predicted", "y_pred", "y_hat", "yhat", "pred", "predicted_label", "predicted_class",
        "prediction_label", "predicted_value",
    }),
    Role.TIME: frozenset({
        "timestamp", "ts", "time", "datetime", "event_time", "event_timestamp", "predicted_at",
        "prediction_time", "prediction_timestamp",
    }),
    Role.ID: frozenset({
        "id", "uuid", "guid", "row_id", "record_id", "request_id", "prediction_id", "event_id",
        "transaction_id",
    }),
    Role.VERSION: frozenset({"version", "model_version"}),
}  # fmt: skip
_ONE_OF_A_KIND = (Role.OUTCOME, Role.PREDICTION, Role.TIME, Role.VERSION, Role.SCORE)
_SCORE_PREFIXES = (
    "y_pred_proba_",
    "predicted_probability_",
    "prediction_probability_",
    "predict_proba_",
    "prediction_proba_",
    "pred_proba_",
    "y_proba_",
    "y_prob_",
    "y_score_",
    "probability_",
    "proba_",
    "prob_",
    "score_",
    "p_",
)
"""Before the name of a class; also with another sign for the underscores, as in ``score:cat`` and ``P(cat)``."""
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]|$)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_NEARLY_ALL = 0.95
_FEW_WORDS = 100
"""So many distinct strings are categories, whatever their share."""
_REPEATING_SHARE = 0.5
"""Strings of which fewer than this share are distinct are categories."""
_LONG_TEXT = 60
_FEW_CLASSES = 20


@dataclass(frozen=True, slots=True)
class Inference:
    """A schema, and one sentence for everything in it that was guessed or could not be told."""

    schema: Schema
    reasons: tuple[str, ...]


def infer_schema(
    source: Source | pa.Schema,
    *,
    sample: pa.Table | None = None,
    roles: Mapping[str, Role | str] | None = None,
    kinds: Mapping[str, Kind | str] | None = None,
    task: Task | str | None = None,
) -> Schema:
    """Return the schema alone; see `infer`.

    >>> infer_schema(pa.schema([("age", pa.int64()), ("y_true", pa.bool_())])).task
    <Task.BINARY: 'binary'>
    """
    return infer(source, sample=sample, roles=roles, kinds=kinds, task=task).schema


def infer(
    source: Source | pa.Schema,
    *,
    sample: pa.Table | None = None,
    roles: Mapping[str, Role | str] | None = None,
    kinds: Mapping[str, Kind | str] | None = None,
    task: Task | str | None = None,
) -> Inference:
    """Tell kinds, roles and the task of a table.

    Parameters
    ----------
    source : an opened source, or an Arrow schema.
    sample : some of its rows; taken from the source if it is one, and only of the columns that need a look.
    roles, kinds : by column name; they win over every guess.
    task : what the model does, if known.

    Raises
    ------
    BadInput
        a kind, role or task is not known.
    NotFound
        a named column does not exist.
    """
    arrow = source if isinstance(source, pa.Schema) else source.arrow_schema
    if sample is None and not isinstance(source, pa.Schema):
        sample = source.sample(columns=[f.name for f in arrow if f.name in (roles or {}) or _must_be_seen(f)])
    reasons: list[str] = []
    told = {name: _member(Kind, kind, "kind") for name, kind in (kinds or {}).items()}
    looked_at = {} if sample is None else dict(zip(sample.column_names, sample.columns, strict=True))
    columns, seen = [], {}
    for field in arrow:
        values = looked_at.get(field.name)
        kind = told.get(field.name) or _kind(field, values, reasons)
        column = Column(name=field.name, kind=kind, dtype=_type_name(field.type))
        columns.append(column)
        if values is not None:
            seen[field.name] = values_of(values, column)
    schema = Schema(columns=tuple(columns))
    for name in told:
        schema[name]
    wanted = _wanted_roles(roles or {}, schema)
    schema = _with_guessed_roles(schema, seen, wanted, reasons).with_roles(roles or {})
    schema = _with_class_scores(schema, seen, wanted, reasons)
    known = _guess_task(schema, seen, reasons) if task is None else _member(Task, task, "task")
    schema = _with_probabilities_as_scores(replace(schema, task=known), seen, wanted, reasons)
    return Inference(schema, tuple(reasons))


def kind_of_type(kind: pa.DataType) -> Kind:
    """The kind that an Arrow type alone suggests; strings are categorical until a sample says otherwise.

    >>> kind_of_type(pa.list_(pa.float32())), kind_of_type(pa.struct([]))
    (<Kind.VECTOR: 'vector'>, <Kind.UNKNOWN: 'unknown'>)
    """
    t = pa.types
    if t.is_dictionary(kind):
        inner = kind_of_type(kind.value_type)
        return Kind.CATEGORICAL if inner not in (Kind.UNKNOWN, Kind.VECTOR) else inner
    kind = plain_type(kind)
    if t.is_boolean(kind):
        return Kind.BOOLEAN
    if t.is_integer(kind):
        return Kind.INTEGER
    if is_number_like(kind) or t.is_time(kind) or t.is_duration(kind):
        return Kind.NUMERIC
    if t.is_timestamp(kind) or t.is_date(kind):
        return Kind.DATETIME
    if (
        t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind)
    ) or t.is_fixed_size_binary(kind):
        return Kind.CATEGORICAL
    if hasattr(kind, "value_type") and not t.is_map(kind):
        inner_type = plain_type(kind.value_type)
        return Kind.VECTOR if is_number_like(inner_type) or t.is_boolean(inner_type) else Kind.UNKNOWN
    return Kind.UNKNOWN


def _type_name(kind: pa.DataType) -> str:
    """The name of the type without wrappers, and with one word for all string types.

    Frames of different libraries then agree on what they hold.
    """
    return str(plain_type(kind)).replace("large_", "", 1)


def _kind(field: pa.Field, values: pa.ChunkedArray | None, reasons: list[str]) -> Kind:
    kind = kind_of_type(field.type)
    plain = plain_type(field.type)
    if pa.types.is_null(plain):
        reasons.append(f"{field.name!r} holds nothing but nulls, so its kind cannot be told.")
    elif kind is Kind.UNKNOWN:
        reasons.append(
            f"{field.name!r} is of type {field.type}, which no measure reads; only its nulls are counted."
        )
    elif pa.types.is_time(plain) or pa.types.is_duration(plain):
        reasons.append(f"{field.name!r} ({plain}) is read as a number of seconds.")
    elif kind is Kind.CATEGORICAL and not pa.types.is_dictionary(field.type):
        return _kind_of_words(field.name, plain, values, reasons)
    elif kind is Kind.INTEGER and values is not None and _plain_name(field.name) in _NAMES[Role.TIME]:
        return _kind_of_epochs(field.name, values, reasons)
    return kind


def _kind_of_words(name: str, plain: pa.DataType, values: pa.ChunkedArray | None, reasons: list[str]) -> Kind:
    if values is None:
        reasons.append(f"{name!r} is text and could not be looked at, so it is taken as categorical.")
        return Kind.CATEGORICAL
    read = values_of(values, Column(name=name, kind=Kind.TEXT))
    words = read.dictionary
    if not len(words):
        reasons.append(f"{name!r} has no value in the sample, so it is taken as categorical.")
        return Kind.CATEGORICAL
    known = read.rows if read.valid is None else int(np.count_nonzero(read.valid))
    few = [word.strip() for word in words[:1_000]]
    if not pa.types.is_fixed_size_binary(plain):
        if _share(few, _ISO_DATE.match) >= _NEARLY_ALL and _all_parse(few):
            reasons.append(f"{name!r} holds ISO dates as text (such as {few[0]!r}); it is read as datetime.")
            return Kind.DATETIME
        if _share(few, TIME_OF_DAY.fullmatch) == 1:
            reasons.append(
                f"{name!r} holds times of day as text (such as {few[0]!r}); it is read as a number of seconds."
            )
            return Kind.NUMERIC
        if _share(few, _NUMBER.fullmatch) >= _NEARLY_ALL:
            reasons.append(
                f"{name!r} holds numbers as text (such as {few[0]!r}); kinds={{{name!r}: 'numeric'}} would read "
                "them as numbers."
            )
    mean_length = sum(map(len, few)) / len(few)
    spaced = sum(word.count(" ") for word in few) / len(few)
    repeats = len(words) <= max(_REPEATING_SHARE * known, 1)
    if mean_length > _LONG_TEXT and spaced >= 3 and len(words) > 20:
        reasons.append(
            f"{name!r} holds long texts ({mean_length:.0f} characters on average); its kind is text."
        )
        return Kind.TEXT
    if repeats or (len(words) <= _FEW_WORDS and known < 2 * _FEW_WORDS):
        return Kind.CATEGORICAL
    reasons.append(
        f"{name!r} hardly repeats itself ({len(words):,} different values in {known:,}); its kind is text."
    )
    return Kind.TEXT


def _share(words: list[str], test: Any) -> float:
    return sum(test(word) is not None for word in words) / len(words)


def _all_parse(words: list[str]) -> bool:
    read = values_of(pa.array(words), Column(name="", kind=Kind.DATETIME))
    return read.misfits <= (1 - _NEARLY_ALL) * len(words)


def _kind_of_epochs(name: str, values: pa.ChunkedArray, reasons: list[str]) -> Kind:
    """A column that is called a time and whose integers all are times between 2000 and 2100."""
    if values.null_count == len(values):
        return Kind.INTEGER
    read = values_of(values, Column(name=name, kind=Kind.DATETIME))
    years = read.data if read.valid is None else read.data[read.valid]
    low, high = 946_684_800_000_000, 4_102_444_800_000_000
    if not len(years) or years.min() < low or years.max() > high:
        return Kind.INTEGER
    reasons.append(f"{name!r} holds times counted since 1970; it is read as datetime.")
    return Kind.DATETIME


def _must_be_seen(field: pa.Field) -> bool:
    """Whether a column's type and name leave a question that only its values answer."""
    name = _plain_name(field.name)
    if re.sub(r"[:(\[]", "_", name).startswith(_SCORE_PREFIXES) or any(
        name in names for names in _NAMES.values()
    ):
        return True
    return kind_of_type(field.type) is Kind.CATEGORICAL and not pa.types.is_dictionary(field.type)


# --- roles ------------------------------------------------------------------------------------------------


def _plain_name(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip()).lower()


def _wanted_roles(roles: Mapping[str, Role | str], schema: Schema) -> dict[str, Role]:
    for key, value in roles.items():
        if key not in schema and str(value) in schema and key in [role.value for role in Role]:
            raise BadInput(
                f"There is no column {key!r}.",
                f"roles maps a column to its role: {{{str(value)!r}: {key!r}}}.",
            )
        schema[key]
    return {name: role_and_class(role)[0] for name, role in roles.items()}


def _with_guessed_roles(
    schema: Schema, seen: Mapping[str, Values], wanted: Mapping[str, Role], reasons: list[str]
) -> Schema:
    taken = {role for role in wanted.values() if role in _ONE_OF_A_KIND}
    changes = []
    for role, names in _NAMES.items():
        if role in taken:
            continue
        found = [
            column
            for column in schema.columns
            if column.name not in wanted
            and _plain_name(column.name) in names
            and column.kind is not Kind.UNKNOWN
            and _may_be(role, column, seen.get(column.name), reasons)
        ]
        for column in found[: 1 if role in _ONE_OF_A_KIND else None]:
            changes.append(replace(column, role=role))
            reasons.append(f"{column.name!r} is taken as the {role.value}, by its name.")
        for column in found[1:] if role in _ONE_OF_A_KIND else ():
            reasons.append(
                f"{column.name!r} could be the {role.value} too, but {found[0].name!r} comes first; it is a feature."
            )
    for column in schema.columns:
        if _PANDAS_INDEX.fullmatch(column.name) and column.name not in wanted:
            changes.append(replace(column, role=Role.IGNORED))
            reasons.append(f"{column.name!r} is the index of a pandas frame; it is left out.")
    return schema.with_columns(changes)


def _may_be(role: Role, column: Column, values: Values | None, reasons: list[str]) -> bool:
    """Whether the values of a column that has the name of a role can be meant by it."""
    if role is Role.TIME:
        return column.kind is Kind.DATETIME
    if role is Role.SCORE:
        if column.kind not in (Kind.NUMERIC, Kind.INTEGER):
            return False
        if values is not None and not _within_unit(values):
            reasons.append(f"{column.name!r} goes outside [0, 1], so it is not taken as a score.")
            return False
        return True
    if role in (Role.OUTCOME, Role.PREDICTION):
        return column.kind in (Kind.NUMERIC, Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORICAL)
    if role is Role.VERSION:
        return column.kind in (Kind.CATEGORICAL, Kind.TEXT, Kind.INTEGER)
    return column.kind in (Kind.INTEGER, Kind.CATEGORICAL, Kind.TEXT)


def _present(values: Values) -> np.ndarray:
    data: np.ndarray = values.data if values.valid is None else values.data[values.valid]
    return data[~np.isnan(data)] if data.dtype.kind == "f" else data


def _within_unit(values: Values) -> bool:
    data = _present(values)
    return not len(data) or bool(data.min() >= 0 and data.max() <= 1)


def _classes(values: Values | None) -> list[str] | None:
    """The distinct values of a column as text, None where nothing was seen."""
    if values is None or values.data is None:
        return None
    if values.dictionary is not None:
        return [str(word) for word in values.dictionary]
    found = np.unique(_present(values))
    return [f"{value:g}" if found.dtype.kind == "f" else str(value).lower() for value in found[:1_000]]


def _with_class_scores(
    schema: Schema, seen: Mapping[str, Values], wanted: Mapping[str, Role], reasons: list[str]
) -> Schema:
    """``proba_cat`` is the score of class ``cat``, where ``cat`` is an outcome or prediction that was seen."""
    classes: set[str] = set()
    for column in schema.of_role(Role.OUTCOME, Role.PREDICTION):
        classes.update(_classes(seen.get(column.name)) or ())
    changes = []
    for column in schema.columns:
        if (
            column.kind not in (Kind.NUMERIC, Kind.INTEGER)
            or wanted.get(column.name, Role.SCORE) is not Role.SCORE
        ):
            continue
        values = seen.get(column.name)
        if column.score_of is not None or not (values is None or _within_unit(values)):
            continue
        label = scored_class(column.name, classes)
        if label is not None:
            changes.append(replace(column, role=Role.SCORE, score_of=label))
            reasons.append(f"{column.name!r} is taken as the score of class {label!r}, by its name.")
    return schema.with_columns(changes)


def scored_class(name: str, classes: Iterable[str]) -> str | None:
    """The class of *classes* that a column called *name* is the score of; None where its name does not say it.

    >>> [scored_class(n, ["cat", "1"]) for n in ("proba_cat", "score:cat", "P(cat)", "y_pred_proba_1.0", "cat")]
    ['cat', 'cat', 'cat', '1', None]
    """
    plain = (
        re.sub(r"[:\s(.\-\[]", "_", name.strip(), count=1).rstrip(")]") if "_" not in name else name.strip()
    )
    for text in (plain, re.sub(r"[:(\[]", "_", name.strip()).rstrip(")]")):
        for prefix in _SCORE_PREFIXES:
            if text.lower().startswith(prefix) and len(text) > len(prefix):
                known = list(classes)
                (label,) = spelled_as([text[len(prefix) :]], known)
                if label in known:
                    return label
    return None


def _with_probabilities_as_scores(
    schema: Schema, seen: Mapping[str, Values], wanted: Mapping[str, Role], reasons: list[str]
) -> Schema:
    """A binary model's ``prediction`` that lies between 0 and 1 is its score."""
    column = schema.first(Role.PREDICTION)
    if (
        schema.task is not Task.BINARY
        or schema.of_role(Role.SCORE)
        or column is None
        or column.name in wanted
    ):
        return schema
    values = seen.get(column.name)
    if column.kind is not Kind.NUMERIC or values is None or not _within_unit(values):
        return schema
    if not np.any((_present(values) > 0) & (_present(values) < 1)):
        return schema
    reasons.append(f"{column.name!r} holds probabilities, so it is taken as the score.")
    return schema.with_columns([replace(column, role=Role.SCORE)])


# --- task -------------------------------------------------------------------------------------------------


def _guess_task(schema: Schema, seen: Mapping[str, Values], reasons: list[str]) -> Task | None:
    outcome, prediction = schema.first(Role.OUTCOME), schema.first(Role.PREDICTION)
    scores = schema.of_role(Role.SCORE)
    told = outcome or prediction
    if sum(column.score_of is not None for column in scores) > 2:
        return _because(Task.MULTICLASS, "there is a score for each class", reasons)
    if told is None:
        return _because(Task.BINARY, f"{scores[0].name!r} is a score", reasons) if scores else None
    if told.kind is Kind.BOOLEAN:
        return _because(Task.BINARY, f"{told.name!r} is true or false", reasons)
    classes = _classes(seen.get(told.name))
    if not classes:
        return None
    if told.kind is Kind.NUMERIC:
        two = outcome is not None and {*classes} <= {"0", "1"}
    else:
        two = len(classes) <= 2
    if two:
        return _because(Task.BINARY, f"{told.name!r} has {len(classes)} values", reasons)
    if told.kind is Kind.CATEGORICAL:
        return _because(Task.MULTICLASS, f"{told.name!r} has {len(classes)} classes", reasons)
    if told.kind is Kind.NUMERIC or (prediction is not None and prediction.kind is Kind.NUMERIC):
        return _because(Task.REGRESSION, f"{told.name!r} is numeric", reasons)
    if len(classes) <= _FEW_CLASSES and _counts_up(seen[told.name]):
        return _because(Task.MULTICLASS, f"{told.name!r} counts {len(classes)} classes", reasons)
    return _because(Task.REGRESSION, f"{told.name!r} is a number", reasons)


def _counts_up(values: Values) -> bool:
    """Whether integers are 0, 1, 2, ... or 1, 2, 3, ... without a gap, as class numbers are."""
    found = np.unique(_present(values))
    return bool(found[0] in (0, 1) and found[-1] - found[0] + 1 == len(found))


def _because(task: Task, why: str, reasons: list[str]) -> Task:
    reasons.append(f"The task is taken to be {task.value}, since {why}; task=... says otherwise.")
    return task


def _member(enum: type[Any], value: Any, what: str) -> Any:
    try:
        return enum(value)
    except ValueError:
        known = [member.value for member in enum]
        raise BadInput(
            f"{value!r} is not a {what}.{nearest(str(value), known)}", f"Known: {', '.join(known)}."
        ) from None
