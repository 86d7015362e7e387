"""Labels on a budget: which recent predictions to label next, out to a labelling tool and back, and what they say.

A request is drawn from the recorded predictions that have no outcome yet, by `stats.estimation.label_choice`, and kept
in the ledger with each row's chance of having been drawn and what the model expected of it. So a handful of labels
says, with an interval, how the model does on *all* of those rows (`stats.estimation.ppi`): the one estimate that a
change of concept cannot fool.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from watchkeeper.domain.classes import class_key
from watchkeeper.domain.fact import Document, Lease
from watchkeeper.domain.row_id import id_text
from watchkeeper.domain.schema import Task
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, NotFound, UnreadableSource, nearest
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kind, Records, write
from watchkeeper.stats.estimation.label_choice import choose_rows
from watchkeeper.stats.estimation.ppi import PoweredMean, ppi_mean_of_chosen
from watchkeeper.stats.hashing import hash_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from watchkeeper.loop.watch.watch import Watch


POOL = 200_000
"""Rows that are held while choosing; of more, a uniform sample by the hash of their ids, which the chances account for."""
FLAGGED = 2.0
"""How much more a row counts that its recorder marked as worth a label."""
MOST_FEATURES = 30
OUTCOME, PROBABILITY = "outcome", "wk_probability"


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """Rows to label; ``rows`` holds what a person sees of each, and is not kept in the ledger."""

    model: str
    key: str
    at: datetime
    window: Window
    population: int
    """Rows without an outcome that it was drawn from."""
    ids: tuple[str, ...]
    probabilities: tuple[float, ...]
    predictions: tuple[Any, ...]
    guesses: Mapping[str, tuple[float, tuple[float, ...]]] = field(default_factory=dict)
    """Metric -> (mean guess of all the population, guess of each chosen row)."""
    scores: tuple[float | None, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()

    def without(self, ids: Collection[str]) -> LabelRequest:
        """The same with these rows made nameless: nobody will label them, but they still count as drawn."""
        keep = [i not in ids for i in self.ids]
        return replace(
            self,
            ids=tuple(i if k else "" for i, k in zip(self.ids, keep)),
            predictions=tuple(p if k else None for p, k in zip(self.predictions, keep)),
            scores=tuple(s if k else None for s, k in zip(self.scores, keep)),
        )


def _of_request(document: Document) -> Mapping[str, Any]:
    """Version 0.1.0 stored the window as ``start`` and ``end``."""
    body = document.body
    window = {"start": body["start"], "end": body["end"]} if "start" in body else body["window"]
    return {**body, "window": window}


LABEL_REQUEST = Kind(
    "label_request", LabelRequest, key="key", model="model", state=lambda _: "open", upgrade=_of_request
)


class LabelsRequested(TypedDict):
    """How many of how many rows were asked for, and the request's name."""

    rows: int
    population: int
    request: str


class LabelsRead(TypedDict):
    """How many labels a file held."""

    rows: int
    file: str


LABELS_REQUESTED = FactKind("labels.requested", LabelsRequested)
LABELS_READ = FactKind("labels.read", LabelsRead)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledEstimate:
    """A metric over all rows that a request was drawn from, told from its labels."""

    metric: str
    mean: PoweredMean
    asked: int
    """Rows of the request; labels may still be missing."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        m = self.mean
        return {
            "metric": self.metric,
            "value": m.value,
            "low": m.interval.low,
            "high": m.interval.high,
            "level": m.interval.level,
            "labels": m.labels,
            "asked": self.asked,
            "rows": m.rows,
            "worth_labels": m.worth,
            "strength": m.strength,
        }


def label_next(
    watch: Watch,
    name: str,
    *,
    budget: int,
    since: timedelta = timedelta(days=7),
    importance: str | None = None,
    seed: int = 0,
) -> LabelRequest:
    """Choose *budget* recent predictions to label, and remember that they were asked for.

    Parameters
    ----------
    since : how far back predictions are looked at.
    importance : a numeric feature, never negative, that says how much a row counts (a sum of money).

    Raises
    ------
    NotFound
        the model, or the column, does not exist.
    BadInput
        there is no prediction without an outcome, or the importance is no such number.
    """
    if budget < 1:
        raise BadInput(f"A budget of {budget} labels asks for nothing.", "Give --budget 100.")
    model, now = watch.model(name), watch.clock()
    window = Window(now - since, now)
    earlier = requests(watch, name)
    waiting = {i for r in earlier for i in r.ids}
    pool, population = _pool(watch, model, window, waiting)
    if pool is None:
        raise BadInput(
            f"{name!r} has no prediction without an outcome since {window.start:%Y-%m-%d %H:%M} UTC.",
            "Look further back with --days.",
        )
    columns = {n: pool[n].to_pylist() for n in pool.column_names}
    scores = _scores(columns, pool.num_rows)
    weight = _importance(pool, importance)
    ids = [str(i) for i in columns["wk_id"]]
    chosen = choose_rows(
        scores["certainty"],
        budget,
        features=_features(pool),
        importance=weight,
        hashes=np.asarray(hash_texts(ids)),
        seed=seed,
    )
    guesses = _guesses(model, watch, columns, scores)
    share = pool.num_rows / population
    rows = [{n: columns[n][i] for n in columns if n not in _INSIDE} for i in chosen.rows.tolist()]
    request = LabelRequest(
        model=name,
        key=f"{name}:{now.astimezone(UTC):%Y%m%dT%H%M%S}:{len(earlier) + 1:06d}",
        at=now,
        window=window,
        population=population,
        ids=tuple(ids[i] for i in chosen.rows),
        probabilities=tuple(float(p) * share for p in chosen.probabilities),
        predictions=tuple(_plain(columns.get("wk_prediction", [None] * len(ids))[i]) for i in chosen.rows),
        scores=tuple(_number(scores["positive"][i]) for i in chosen.rows),
        guesses={
            metric: (float(np.mean(all_rows)), tuple(float(all_rows[i]) for i in chosen.rows))
            for metric, all_rows in guesses.items()
        },
        rows=tuple(rows),
    )
    said: LabelsRequested = {"rows": len(request.ids), "population": population, "request": request.key}
    fact = LABELS_REQUESTED(said, at=now, actor="user", model=name)
    write(watch.ledger.facts, [fact], [LABEL_REQUEST.new(replace(request, rows=()))], now=now)
    return request


def requests(watch: Watch, name: str) -> list[LabelRequest]:
    """The requests of a model, newest first."""
    watch.model(name)
    found = Records(watch.ledger.facts, LABEL_REQUEST).some(model=name, limit=1_000, order="-key")
    return [kept.value for kept in found]


def forget_in_requests(watch: Watch, name: str, ids: Collection[str], *, lease: Lease | None = None) -> int:
    """Take what requests keep of these predictions out of the ledger; return of how many rows."""
    wanted, gone = frozenset(ids), 0
    for kept in Records(watch.ledger.facts, LABEL_REQUEST).all(model=name):
        if here := len(wanted.intersection(kept.value.ids)):
            write(watch.ledger.facts, [], [kept.to(kept.value.without(wanted))], lease=lease)
            gone += here
    return gone


def export_request(request: LabelRequest, path: str | Path) -> Path:
    """Write the rows for a labelling tool: ``.csv``, or ``.jsonl`` with one object a line.

    Each row has its ``id``, what was predicted, the features, its chance of having been drawn (`wk_probability`),
    and an empty ``outcome`` to fill in.

    Raises
    ------
    BadInput
        the file's name ends in something else, or it cannot be written.
    """
    target = Path(path)
    if target.suffix not in (".csv", ".jsonl", ".ndjson"):
        raise BadInput(f"{target} is neither a .csv nor a .jsonl file.", "Say --output to_label.csv.")
    rows = [
        {"id": i, OUTCOME: None, **{_outside(n): v for n, v in row.items() if n != "wk_id"}, PROBABILITY: p}
        for i, row, p in zip(request.ids, request.rows, request.probabilities)
    ]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8", newline="") as file:
            if target.suffix == ".csv":
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows([{k: _cell(v) for k, v in row.items()} for row in rows])
            else:
                for row in rows:
                    file.write(json.dumps(row, default=str, ensure_ascii=False) + "\n")
    except OSError as cause:
        raise BadInput(f"The rows cannot be written to {target}: {cause.strerror or cause}.") from cause
    return target


def read_labels(
    watch: Watch, name: str, path: str | Path, *, id_column: str = "id", outcome_column: str = OUTCOME
) -> int:
    """Record the outcomes that a labelling tool filled in; return how many. Rows left empty are passed over.

    Reading a file twice changes nothing: of two outcomes of one prediction the last one counts.

    Raises
    ------
    UnreadableSource
        the file cannot be read.
    NotFound
        it has no such column.
    """
    from watchkeeper.capture.recorder import Recorder

    watch.model(name)
    pairs = [
        (id_text(row[id_column]) or "", value)
        for row in _rows_of(Path(path), id_column, outcome_column)
        if (value := _value(row[outcome_column])) is not None and row[id_column] not in (None, "")
    ]
    with Recorder(name, "labels", path=watch.data) as recorder:
        for prediction, value in pairs:
            recorder.outcome(prediction, value)
        if not recorder.flush():
            raise BadInput(f"The outcomes could not be written: {recorder.stats().last_error}.")
    said: LabelsRead = {"rows": len(pairs), "file": Path(path).name}
    write(watch.ledger.facts, [LABELS_READ(said, at=watch.clock(), actor="user", model=name)])
    return len(pairs)


def estimate_from_labels(
    watch: Watch, name: str, *, key: str | None = None, level: float = 0.95
) -> tuple[LabelRequest, list[LabelledEstimate]]:
    """What the labels of a request (the newest, or *key*) say about all rows that it was drawn from.

    The list is empty while fewer than two labels are there. Rows of the request that nobody labelled are taken to
    be missing at random.

    Raises
    ------
    NotFound
        there is no such request.
    """
    known = requests(watch, name)
    if not known:
        raise NotFound(
            f"No labels were asked for of {name!r} yet.", f"Ask:  watchkeeper label-next {name} --budget 100"
        )
    request = next((r for r in known if key in (None, r.key)), None)
    if request is None:
        raise NotFound(f"There is no request {key!r}.{nearest(str(key), [r.key for r in known])}")
    outcomes = _outcomes(watch, request)
    at = [i for i, id in enumerate(request.ids) if id in outcomes]
    if len(at) < 2:
        return request, []
    answered = len(at) / len(request.ids)
    chances = np.clip([request.probabilities[i] * answered for i in at], 0.0, 1.0)
    truths = _truths(watch, watch.model(name), request, [outcomes[request.ids[i]] for i in at], at)
    out = []
    for metric, labels in truths.items():
        mean, own = request.guesses.get(metric, (0.0, (0.0,) * len(request.ids)))
        if not np.isfinite(labels).all():
            continue
        found = ppi_mean_of_chosen(
            labels,
            chances,
            _as_all(mean, [own[i] for i in at], request.population),
            range(len(at)),
            level=level,
        )
        out.append(LabelledEstimate(metric=metric, mean=found, asked=len(request.ids)))
    return request, out


# ---- rows ---------------------------------------------------------------------------------------------------

_INSIDE = frozenset(
    {"wk_error", "wk_tags", "wk_rate", "wk_latency_s", "wk_rescued", "wk_to_label", "wk_actual"}
)


def _pool(
    watch: Watch, model: WatchedModel, window: Window, waiting: set[str]
) -> tuple[pa.Table | None, int]:
    """Rows without an outcome, `POOL` at most, and how many there are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held: list[pa.Table] = []
    rows = total = 0
    for batch in watch.rows(model, window):
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        if "wk_actual" in table.column_names:
            table = table.filter(pc.is_null(table["wk_actual"]))
        table = table.filter(
            pc.invert(pc.is_in(table["wk_id"].cast(pa.string()), pa.array(sorted(waiting), pa.string())))
        )
        if "wk_error" in table.column_names:
            table = table.filter(pc.is_null(table["wk_error"]))
        if not table.num_rows:
            continue
        total += table.num_rows
        rows += table.num_rows
        held.append(table)
        if rows > 2 * POOL:
            held = [_smallest(held)]
            rows = held[0].num_rows
    if not held:
        return None, 0
    return _smallest(held), total


def _smallest(tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    if table.num_rows <= POOL:
        return table
    hashes = np.asarray(hash_texts(table["wk_id"].cast(pa.string()).to_pylist()))
    return table.take(pa.array(np.sort(np.argpartition(hashes, POOL)[:POOL])))


def _scores(columns: Mapping[str, list[Any]], rows: int) -> dict[str, Any]:
    """``positive``: the score, or NaN; ``certainty``: of the predicted class, for several classes the largest one."""
    classes = {n.removeprefix("wk_score:"): n for n in columns if n.startswith("wk_score:")}
    if "wk_score" in columns:
        positive = np.array([np.nan if v is None else float(v) for v in columns["wk_score"]])
        return {"positive": positive, "certainty": positive, "classes": {}}
    nothing = np.full(rows, np.nan)
    if not classes:
        return {"positive": nothing, "certainty": nothing, "classes": {}}
    table = {c: np.array([np.nan if v is None else float(v) for v in columns[n]]) for c, n in classes.items()}
    largest = np.fmax.reduce(list(table.values()))
    return {"positive": nothing, "certainty": largest, "classes": table}


def _importance(pool: pa.Table, column: str | None) -> Any:
    weight = np.ones(pool.num_rows)
    if column is not None:
        if column not in pool.column_names:
            raise NotFound(f"There is no column {column!r}.{nearest(column, pool.column_names)}")
        try:
            weight = np.array([0.0 if v is None else float(v) for v in pool[column].to_pylist()])
        except (TypeError, ValueError):
            raise BadInput(f"The column {column!r} is no number, and importance must be one.") from None
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise BadInput(f"The importance in {column!r} must be finite, never negative, and not all zero.")
    if "wk_to_label" in pool.column_names:
        flagged = np.array([bool(v) for v in pool["wk_to_label"].to_pylist()])
        weight = weight * np.where(flagged, FLAGGED, 1.0)
    return weight


def _features(pool: pa.Table) -> Any:
    """Columns as finite numbers: numbers as they are, categories by how common they are; None if there are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    out: list[Any] = []
    for name in pool.column_names:
        if name.startswith("wk_") or len(out) >= MOST_FEATURES:
            continue
        column = pool[name]
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            x = np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy())
            x = np.where(np.isfinite(x), x, np.nan)
            usual = np.nanmedian(x) if np.isfinite(x).any() else 0.0
            out.append(np.where(np.isnan(x), usual, x))
        elif pa.types.is_boolean(column.type) or pa.types.is_string(column.type):
            codes = np.unique(np.array([str(v) for v in column.to_pylist()]), return_inverse=True)[1]
            out.append(np.bincount(codes)[codes] / len(codes))
    return np.column_stack(out) if out else None


# ---- what is expected, and what was true ---------------------------------------------------------------------


def _task(watch: Watch, model: WatchedModel, scored: bool) -> Task | None:
    if model.task is not None:
        return model.task
    baseline = watch.baseline(model.name)
    if baseline is not None and baseline.schema.task is not None:
        return baseline.schema.task
    return Task.BINARY if scored else None


def _guesses(
    model: WatchedModel, watch: Watch, columns: Mapping[str, list[Any]], scores: Mapping[str, Any]
) -> dict[str, Any]:
    """What the model itself expects of each metric, row by row."""
    q = scores["positive"]
    scored = bool(np.isfinite(q).any())
    task = _task(watch, model, scored)
    predictions = columns.get("wk_prediction", [])
    if task is Task.REGRESSION:
        try:
            return {"mean_outcome": np.array([float(p) for p in predictions])}
        except (TypeError, ValueError):
            return {}
    if task is Task.MULTICLASS or scores["classes"]:
        if not scores["classes"] or not predictions:
            return {}
        blank = np.zeros(len(predictions))
        own = [
            scores["classes"].get(class_key(str(p)), scores["classes"].get(str(p), blank))[i]
            for i, p in enumerate(predictions)
        ]
        return {"accuracy": np.nan_to_num(np.array(own))}
    if not scored:
        return {}
    q = np.clip(np.where(np.isfinite(q), q, 0.5), 0.0, 1.0)
    yes = q >= model.threshold
    if predictions and all(p is not None for p in predictions):
        said = [_is_positive(p, _positive(watch, model)) for p in predictions]
        if all(s is not None for s in said):
            yes = np.array(said, bool)
    return {"accuracy": np.where(yes, q, 1 - q), "positive_rate": q, "brier": q * (1 - q)}


def _truths(
    watch: Watch, model: WatchedModel, request: LabelRequest, outcomes: Sequence[Any], at: Sequence[int]
) -> dict[str, Any]:
    """Each metric's own value of each labelled row."""
    predictions = [request.predictions[i] for i in at]
    scores = np.array([np.nan if request.scores[i] is None else request.scores[i] for i in at], float)
    task = _task(watch, model, bool(np.isfinite(scores).any()))
    out: dict[str, Any] = {}
    if task is Task.REGRESSION:
        y = np.array([_as_float(o) for o in outcomes])
        p = np.array([_as_float(o) for o in predictions])
        return {"mean_outcome": y, "mae": np.abs(y - p), "bias": p - y}
    if any(p is not None for p in predictions):
        out["accuracy"] = np.array(
            [float(class_key(str(p)) == class_key(str(y))) for p, y in zip(predictions, outcomes)]
        )
    if task is Task.BINARY:
        said = [_is_positive(y, _positive(watch, model)) for y in outcomes]
        if all(s is not None for s in said):
            y = np.array(said, float)
            if "accuracy" not in out:
                out["accuracy"] = (y == (scores >= model.threshold)).astype(float)
            out["positive_rate"] = y
            out["brier"] = (scores - y) ** 2
    return out


def _positive(watch: Watch, model: WatchedModel) -> str | None:
    baseline = watch.baseline(model.name)
    return (model.scoring if baseline is None else baseline.scoring_of(model.scoring)).positive


def _is_positive(value: Any, positive: str | None) -> bool | None:
    """Whether an outcome is the positive one; None where nobody said which that is.

    >>> _is_positive("yes", "yes"), _is_positive(1.0, None), _is_positive("left", None)
    (True, True, None)
    """
    if positive is not None:
        return class_key(str(value)) == class_key(positive)
    return {"1": True, "0": False}.get(class_key(str(value)))


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _as_all(mean: float, own: Sequence[float], population: int) -> Any:
    """Guesses of the whole population with this mean, those of the labelled rows first."""
    rest = population - len(own)
    left = (mean * population - sum(own)) / rest if rest > 0 else 0.0
    return np.concatenate([np.asarray(own, float), np.full(max(rest, 0), left)])


def _outcomes(watch: Watch, request: LabelRequest) -> dict[str, Any]:
    import pyarrow as pa

    wanted = set(request.ids)
    out: dict[str, Any] = {}
    for batch in watch.rows(watch.model(request.model), request.window):
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        if "wk_actual" not in table.column_names:
            continue
        for id, actual in zip(table["wk_id"].to_pylist(), table["wk_actual"].to_pylist()):
            if str(id) in wanted and actual is not None:
                out[str(id)] = actual
    return out


# ---- files ---------------------------------------------------------------------------------------------------


def _rows_of(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        raise UnreadableSource(f"{path} cannot be read: {cause}.") from cause
    if path.suffix == ".csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    else:
        try:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as cause:
            raise UnreadableSource(
                f"{path} is not JSON Lines: {cause}.", "A file that ends in .csv is read as CSV."
            ) from cause
    known = list(rows[0]) if rows else list(needed)
    for name in needed:
        if name not in known:
            raise NotFound(
                f"{path} has no column {name!r}.{nearest(name, known)}",
                "Name them with --id-column and --outcome-column.",
            )
    yield from rows


def _value(raw: Any) -> Any:
    """An outcome as a person wrote it; None where it was left empty.

    >>> _value(" 1 "), _value("0.5"), _value("true"), _value("left"), _value("")
    (1, 0.5, True, 'left', None)
    """
    if not isinstance(raw, str):
        return raw
    text = raw.strip()
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _outside(name: str) -> str:
    """A column's name as people know it."""
    return name.removeprefix("wk_")


def _cell(value: Any) -> Any:
    return "" if value is None else json.dumps(value) if isinstance(value, (list, dict)) else value


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
