"""Predicted class against actual class, counted.

Classes are told apart by their text, in the spelling of the classes that the plan knows (see `stats.classes`): ``1``,
``1.0``, ``"1"`` and true are one class. Past a cap the rarest classes are counted together as the rest, so a column
of ids that was taken for a class costs no memory; the share of right predictions stays exact even then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from watchkeeper.domain.classes import class_key, in_words, spelled_as
from watchkeeper.domain.schema import Kind
from watchkeeper.domain.values import Values
from watchkeeper.errors import BadInput, Incompatible
from watchkeeper.stats.states.state import Accuracy

CAP = 100
REST = "(rest)"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Confusion:
    """Counts ``(k, k)``: row is the actual class, column the predicted one, both in the order of ``labels``.

    With ``rest`` the last label stands for all classes past ``cap``. ``right`` counts equal pairs and is exact
    also then. Rows with no outcome are ``unlabelled``, rows with no prediction ``unpredicted``.

    >>> c = Confusion.of_labels(["cat", "cat", "dog"], ["cat", "dog", "dog"])
    >>> c.labels, c.counts.tolist(), c.right
    (('cat', 'dog'), [[1, 1], [0, 1]], 2)
    """

    kind: ClassVar[str] = "confusion"

    labels: tuple[str, ...]
    counts: np.ndarray
    right: float = 0
    rest: bool = False
    unlabelled: float = 0
    unpredicted: float = 0
    cap: int = CAP

    @classmethod
    def empty(cls, *, cap: int = CAP) -> Self:
        """No rows."""
        return cls(labels=(), counts=np.zeros((0, 0), np.int64), cap=cap)

    @classmethod
    def of(cls, actual: Values, predicted: Values, *, classes: Sequence[str] = (), cap: int = CAP) -> Self:
        """Count one batch; names of classes are brought to the spelling of *classes*.

        Raises
        ------
        BadInput
            the two differ in length, or one holds no classes (vectors, unknown types).
        """
        if actual.rows != predicted.rows:
            raise BadInput(f"There are {actual.rows} outcomes, but {predicted.rows} predictions.")
        a, a_names = class_codes(actual)
        p, p_names = class_codes(predicted)
        if classes:
            a_names, p_names = spelled_as(a_names, classes), spelled_as(p_names, classes)
        elif actual.kind is not predicted.kind:
            a_names, p_names = (
                [class_key(name) if class_key(name) in ("0", "1") else name for name in names]
                for names in (a_names, p_names)
            )
        labels = sorted(set(a_names) | set(p_names))
        place = {name: i for i, name in enumerate(labels)}
        # Each pair of codes that occurs, once, and its rows: the rest is arithmetic on few numbers.
        a_at, p_at, rows = _pairs(a, p, len(a_names), len(p_names))
        # The last place is for nulls, which have code -1.
        a_at = np.array([place[name] for name in a_names] + [-1], dtype=np.int64)[a_at]
        p_at = np.array([place[name] for name in p_names] + [-1], dtype=np.int64)[p_at]
        unlabelled = int(rows[a_at < 0].sum())
        unpredicted = int(rows[(p_at < 0) & (a_at >= 0)].sum())
        both = (a_at >= 0) & (p_at >= 0)
        a_at, p_at, rows = a_at[both], p_at[both], rows[both]
        right = int(rows[a_at == p_at].sum())
        k = len(labels)
        if k > cap:
            sizes = np.bincount(a_at, rows, k) + np.bincount(p_at, rows, k)
            kept = _largest(sizes, labels, cap)
            to = np.full(k, cap, np.int64)
            to[kept] = np.arange(cap)
            labels = [labels[i] for i in kept] + [REST]
            a_at, p_at, k = to[a_at], to[p_at], cap + 1
        counts = np.zeros((k, k), np.int64)
        np.add.at(counts, (a_at, p_at), rows)
        return cls(
            labels=tuple(labels),
            counts=counts,
            right=right,
            rest=bool(labels) and k == cap + 1,
            unlabelled=unlabelled,
            unpredicted=unpredicted,
            cap=cap,
        )._without_unseen()

    @classmethod
    def of_labels(cls, actual: Sequence[Any], predicted: Sequence[Any], *, cap: int = CAP) -> Self:
        """Count plain sequences of labels; None is no label."""
        return cls.of(_values(actual), _values(predicted), cap=cap)

    def merge(self, other: Self) -> Self:
        """Add the counts of equal labels; past the cap the rarest classes join the rest.

        Raises
        ------
        Incompatible
            the two have different caps.
        """
        if self.cap != other.cap:
            raise Incompatible(f"One confusion table keeps {self.cap} classes, the other {other.cap}.")
        names = sorted(set(self._named) | set(other._named))
        rest = self.rest or other.rest
        k = len(names)
        counts = np.zeros((k + 1, k + 1), dtype=np.result_type(self.counts, other.counts))
        place = {name: i for i, name in enumerate(names)}
        for part in (self, other):
            at = np.array([place[name] for name in part._named] + [k] * part.rest, dtype=np.intp)
            counts[np.ix_(at, at)] += part.counts
        if k > self.cap:
            sizes = counts[:k].sum(axis=1) + counts[:, :k].sum(axis=0)
            kept = _largest(sizes, names, self.cap)
            fold = np.zeros((k + 1, self.cap + 1), dtype=np.int64)
            to = np.full(k + 1, self.cap)
            to[kept] = np.arange(self.cap)
            fold[np.arange(k + 1), to] = 1
            counts = fold.T @ counts @ fold
            names, rest = [names[i] for i in kept], True
        if not rest:
            counts = counts[:-1, :-1]
        return replace(
            self,
            labels=(*names, REST) if rest else tuple(names),
            counts=counts,
            right=self.right + other.right,
            rest=rest,
            unlabelled=self.unlabelled + other.unlabelled,
            unpredicted=self.unpredicted + other.unpredicted,
        )

    def scaled(self, factor: float) -> Self:
        """Each row weighs *factor*."""
        return replace(
            self,
            counts=self.counts * factor,
            right=self.right * factor,
            unlabelled=self.unlabelled * factor,
            unpredicted=self.unpredicted * factor,
        )

    @property
    def n(self) -> float:
        """Rows with both an outcome and a prediction."""
        return self.counts.sum().item()

    @property
    def accuracy(self) -> Accuracy:
        """Exact unless classes were put together; then the classes in the rest cannot be told apart."""
        return Accuracy.within(None, of="class") if self.rest else Accuracy.exactly(of="count")

    @property
    def actual(self) -> np.ndarray:
        """Rows of each actual class ``(k,)``."""
        return self.counts.sum(axis=1)

    @property
    def predicted(self) -> np.ndarray:
        """Rows of each predicted class ``(k,)``."""
        return self.counts.sum(axis=0)

    def unmatched(self, *, two: bool) -> str | None:
        """Why predictions and outcomes cannot be compared, where they have no class in common; None where they have.

        *two*: the model has two classes. Then all outcomes may be of the one and all predictions of the other.
        """
        actual, predicted = (
            {self.labels[i] for i in np.flatnonzero(n)} for n in (self.actual, self.predicted)
        )
        if not actual or not predicted or actual & predicted or self.rest:
            return None
        enough = len(actual | predicted) > 2 if two else min(len(actual), len(predicted)) > 1 and self.n >= 30
        if not enough:
            return None
        return (
            "Predictions and outcomes have no class in common: predictions are "
            f"{in_words(predicted)}, outcomes {in_words(actual)}"
        )

    @property
    def _named(self) -> tuple[str, ...]:
        return self.labels[:-1] if self.rest else self.labels

    def _without_unseen(self) -> Self:
        """Leave out labels that only stood in a dictionary, or only in rows that lack the other side."""
        seen = (self.counts.sum(axis=0) + self.counts.sum(axis=1)) > 0
        if self.rest:
            seen[-1] = True
        if seen.all():
            return self
        keep = np.flatnonzero(seen)
        return replace(
            self, labels=tuple(self.labels[i] for i in keep), counts=self.counts[np.ix_(keep, keep)]
        )

    def to_payload(self) -> dict[str, Any]:
        """Labels and counts."""
        return {
            "labels": list(self.labels),
            "counts": self.counts,
            "right": self.right,
            "rest": self.rest,
            "unlabelled": self.unlabelled,
            "unpredicted": self.unpredicted,
            "cap": self.cap,
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read `to_payload`."""
        names = ("counts", "right", "rest", "unlabelled", "unpredicted", "cap")
        return cls(labels=tuple(payload["labels"]), **{name: payload[name] for name in names})


def _pairs(a: np.ndarray, p: np.ndarray, a_names: int, p_names: int) -> tuple[np.ndarray, ...]:
    """The distinct pairs of two columns of codes (-1 or an index), and how many rows have each."""
    wide = p_names + 1
    joint = (a + 1) * wide + (p + 1)
    if (a_names + 1) * wide <= max(joint.size, 65_536):
        counts = np.bincount(joint)
        held = np.flatnonzero(counts)
        counts = counts[held]
    else:
        held, counts = np.unique(joint, return_counts=True)
    return held // wide - 1, held % wide - 1, counts


def class_codes(values: Values) -> tuple[np.ndarray, list[str]]:
    """Codes ``(rows,)`` into a list of class names; -1 for null and NaN.

    Raises
    ------
    BadInput
        the values are no classes.

    >>> class_codes(Values(kind=Kind.NUMERIC, rows=3, data=np.array([1.0, 0.0, 1.0])))
    (array([1, 0, 1]), ['0', '1'])
    """
    data, valid = values.data, values.valid
    if values.kind is Kind.BOOLEAN:
        codes = np.asarray(data, dtype=np.int64)
        names = ["false", "true"]
    elif values.kind in (Kind.CATEGORICAL, Kind.TEXT):
        codes, names = np.asarray(data, dtype=np.int64), [str(name) for name in values.dictionary]
    elif values.kind in (Kind.NUMERIC, Kind.INTEGER):
        data = np.asarray(data)
        if data.dtype.kind == "f" and np.isnan(data).any():
            valid = ~np.isnan(data) if valid is None else valid & ~np.isnan(data)
        shown = data if valid is None else data[valid]
        low, high = (shown.min(), shown.max()) if shown.size else (0, 0)
        if shown.dtype.kind == "f" and shown.size and low > -65_536 and high < 65_536:
            # Flags and classes are whole numbers, also where they are stored as floats.
            with np.errstate(invalid="ignore"):
                whole = data.astype(np.int64)
            if np.array_equal(whole if valid is None else whole[valid], shown):
                data = whole
                shown, low, high = (whole if valid is None else whole[valid]), int(low), int(high)
        if shown.dtype.kind in "iu" and int(high) - int(low) < 65_536:
            # Small whole numbers need no sort.
            offset = (np.where(valid, data, low) if valid is not None else data) - low
            codes = offset.astype(np.int64, copy=False)
            held = np.flatnonzero(np.bincount(codes))
            if held.size <= int(high) - int(low):
                to = np.zeros(int(high) - int(low) + 1, np.int64)
                to[held] = np.arange(held.size)
                codes = to[codes]
            names = [str(int(low) + i) for i in held.tolist()]
        else:
            distinct, inverse = np.unique(shown, return_inverse=True)
            codes = np.full(values.rows, -1, np.int64)
            codes[slice(None) if valid is None else valid] = inverse
            names = [_number_name(x) for x in distinct.tolist()]
    else:
        raise BadInput(
            f"A {values.kind} column holds no classes.", "Name another column as prediction or outcome."
        )
    if valid is not None:
        codes = np.where(valid, codes, -1)
    return codes, names


def _number_name(x: float) -> str:
    return str(int(x)) if float(x).is_integer() else repr(x)


def _largest(sizes: np.ndarray, names: Sequence[str], cap: int) -> list[int]:
    """Places of the *cap* largest classes, in the order of their names; of equal ones the first by name."""
    order = sorted(range(len(names)), key=lambda i: (-sizes[i], names[i]))
    return sorted(order[:cap], key=lambda i: names[i])


def _values(labels: Sequence[Any]) -> Values:
    names = sorted({str(label) for label in labels if label is not None})
    place = {name: i for i, name in enumerate(names)}
    codes = [-1 if label is None else place[str(label)] for label in labels]
    data = np.array(codes, dtype=np.int64)
    return Values(
        kind=Kind.CATEGORICAL,
        rows=len(codes),
        data=np.maximum(data, 0),
        valid=data >= 0,
        dictionary=np.array(names, dtype=object),
    )
