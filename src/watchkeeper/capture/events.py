"""What is written to a journal, and how it is encoded: one msgpack array an event.

Encoding happens inside ``record()``, so that a dict changed later does no harm, and so that a flush has only
bytes to join. The rules, in the order of what a feature may be:

- numbers, text, booleans, None, bytes, lists and mappings are themselves; NaN and infinities stay so;
- numpy, pandas, pyarrow and torch scalars become the number they hold, arrays become lists, ``NaT`` and ``NA``
  become None; ``Decimal`` and ``Fraction`` become floats, since statistics see floats;
- an aware datetime stays an instant; a naive one, a date and a time become ISO 8601 text, since nobody knows
  their zone; a timedelta becomes an ISO duration, a UUID its text, an Enum its value;
- anything else becomes its ``repr`` (at most 200 characters), and is counted as unencodable. Nothing raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from watchkeeper.domain.instant import EPOCH_LIMITS, HOW_TO_WRITE, LEAST_NUMBER

REPR_CHARACTERS = 200
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Prediction(msgspec.Struct, array_like=True, tag="p", frozen=True, omit_defaults=True):
    """One prediction. ``at_us``: microseconds since 1970 UTC; ``rate``: the share of ids that were kept."""

    id: str
    at_us: int
    features: dict[str, Any]
    prediction: Any = None
    score: Any = None
    latency_s: float | None = None
    error: str | None = None
    tags: dict[str, Any] | None = None
    rate: float = 1.0
    label: bool = False
    """The model was unsure: worth a label."""


class Outcome(msgspec.Struct, array_like=True, tag="o", frozen=True, omit_defaults=True):
    """What really happened to the prediction *id*, known at ``at_us``."""

    id: str
    at_us: int
    actual: Any
    rate: float = 1.0


class Batch(msgspec.Struct, array_like=True, tag="b", frozen=True, omit_defaults=True):
    """Many rows at once, as an Arrow IPC stream in ``payload``.

    ``what`` is ``"predictions"`` or ``"outcomes"``. ``roles`` names the payload's column for ``id``, ``at``
    (timestamp), ``prediction``, ``score``, ``actual``; all other columns are features. ``id`` is always there.
    A missing ``at`` means ``at_us`` for every row.
    """

    what: str
    at_us: int
    rows: int
    roles: dict[str, str]
    payload: bytes
    latency_s: float | None = None
    """Of the whole batch, not of a row."""
    error: str | None = None
    tags: dict[str, Any] | None = None
    rate: float = 1.0
    label: str | None = None
    """The payload's boolean column that marks rows worth a label, if there is one."""


class Counters(msgspec.Struct, array_like=True, tag="c", frozen=True, omit_defaults=True):
    """What happened in one process since its last counters: written with every flush, so losses are measurable.

    All are numbers of rows, except ``failed_flushes``.
    """

    at_us: int
    since_us: int
    recorded: int = 0
    dropped: int = 0
    sampled_out: int = 0
    unencodable: int = 0
    oversized: int = 0
    errors: int = 0
    failed_flushes: int = 0


class Unreadable(msgspec.Struct, frozen=True):
    """Bytes in a journal that no rule here can read; kept, so that nothing is lost in silence."""

    raw: bytes
    reason: str


Event = Prediction | Outcome | Batch | Counters | Unreadable


class Encoder:
    """Encodes events; counts the values that it had to replace by their repr.

    >>> encoder = Encoder()
    >>> event, = decode_events(join_events([encoder.encode(("p", "a", 5, {"x": 1 + 2j}, 1))]))
    >>> event.features, encoder.take_unencodable()
    ({'x': '(1+2j)'}, 1)
    """

    def __init__(self) -> None:
        self.unencodable = 0
        """Values that became their repr since `take_unencodable`."""
        self._fast = msgspec.msgpack.Encoder(enc_hook=self._hook, decimal_format="number").encode

    def encode(self, event: tuple[Any, ...]) -> bytes:
        """Return *event* (the fields of one of the classes above, after its tag) as msgpack; never raises."""
        before = self.unencodable
        try:
            return self._fast(event)
        except Exception:
            self.unencodable = before  # what a failed attempt counted is counted again below
            return self._fast(tuple(self._plain(part) for part in event))

    def replace(self, value: Any) -> str:
        """Return the repr of a value that has no plain form, and count it."""
        self.unencodable += 1
        return _short(value)

    def take_unencodable(self) -> int:
        """Return how many values became their repr since the last call."""
        if not self.unencodable:
            return 0
        count, self.unencodable = self.unencodable, 0
        return count

    def _hook(self, value: Any) -> Any:
        """Called by msgspec for a type that it does not know."""
        try:
            for condition, convert in _CONVERSIONS:
                if condition(value):
                    return convert(value)
        except Exception:
            return self.replace(value)
        return self.replace(value)

    def _plain(self, value: Any, depth: int = 0) -> Any:
        """The slow way, for an event that has something in it which cannot be encoded."""
        before = self.unencodable
        try:
            self._fast(value)
            self.unencodable = before  # it will be counted when the whole event is encoded
            return value
        except Exception:
            self.unencodable = before
            if depth < 8 and isinstance(value, Mapping):
                try:
                    return {_key(k): self._plain(v, depth + 1) for k, v in value.items()}
                except Exception:
                    return self.replace(value)
            if depth < 8 and isinstance(value, (list, tuple)):
                return [self._plain(v, depth + 1) for v in value]
            if type(value) is int:
                return float(value) if abs(value) < 1 << 1023 else self.replace(value)
            return self.replace(value)


def _short(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:
        text = f"<{type(value).__name__} whose repr fails>"
    return str(text)[:REPR_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def _key(key: Any) -> str:
    return _short(key)


def _module(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in ("NaTType", "NAType") and _module(value) == "pandas"


def _is_numpy_time(value: Any) -> bool:
    return type(value).__name__ in ("datetime64", "timedelta64") and _module(value) == "numpy"


def _of_numpy_time(value: Any) -> Any:
    unit = "datetime64[us]" if type(value).__name__ == "datetime64" else "timedelta64[us]"
    return value.astype(unit).item()


def _of_number_like(value: Any) -> Any:
    plain = value.item() if callable(getattr(value, "item", None)) else value
    return plain if type(plain) in (int, float, bool, str, bytes, dt.datetime, type(None)) else float(plain)


def _of_array(value: Any) -> Any:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("M", "m") and _module(value) == "numpy":
        return value.astype("datetime64[us]" if kind == "M" else "timedelta64[us]").tolist()
    return value.tolist()


def _of_instant(value: Any) -> Any:
    """A subclass of datetime (pandas.Timestamp): the plain datetime."""
    return dt.datetime(
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond,
        tzinfo=value.tzinfo, fold=value.fold,
    )  # fmt: skip


def _is_array(value: Any) -> bool:
    return callable(getattr(value, "tolist", None)) and bool(getattr(value, "shape", True))


_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is_missing, lambda value: None),
    (_is_numpy_time, _of_numpy_time),
    (lambda value: isinstance(value, float), float.__float__),
    (lambda value: isinstance(value, int), int.__int__),
    (lambda value: isinstance(value, str), str.__str__),
    (lambda value: isinstance(value, dt.datetime), _of_instant),
    (_is_array, _of_array),
    (lambda value: callable(getattr(value, "as_py", None)), lambda value: value.as_py()),
    (lambda value: isinstance(value, complex), lambda value: _refuse()),
    (lambda value: callable(getattr(value, "item", None)), _of_number_like),
    (lambda value: isinstance(value, Mapping), dict),
    (lambda value: callable(getattr(value, "model_dump", None)), lambda value: value.model_dump()),
    (lambda value: callable(getattr(value, "to_dict", None)), lambda value: value.to_dict()),
    (lambda value: hasattr(type(value), "__float__"), float),
    (lambda value: isinstance(value, (Sequence, range)), list),
)
"""Tried in order for what msgspec does not know itself: a condition, and how to make it plain."""


def _refuse() -> Any:
    raise TypeError("no plain form")


def plain_features(features: Any) -> dict[Any, Any]:
    """Return any description of one row as a dict of column to value.

    A mapping keeps its names; objects with named parts (pandas Series, pydantic models, dataclasses, named
    tuples, msgspec structs) give theirs; a bare sequence or array gets ``x0``, ``x1``, ...; one bare value
    (a text to classify) gets the name ``input``.

    >>> plain_features([3, 4])
    {'x0': 3, 'x1': 4}
    >>> plain_features("a review")
    {'input': 'a review'}
    """
    if isinstance(features, dict):
        return features
    if features is None:
        return {}
    if isinstance(features, Mapping):
        return dict(features)
    for name in ("model_dump", "_asdict", "to_dict"):
        if callable(method := getattr(features, name, None)):
            found = method()
            if isinstance(found, Mapping):
                return dict(found)
    if hasattr(features, "__dataclass_fields__") or hasattr(features, "__struct_fields__"):
        names = getattr(features, "__struct_fields__", None) or features.__dataclass_fields__
        return {name: getattr(features, name) for name in names}
    if callable(getattr(features, "tolist", None)) and not isinstance(features, (str, bytes)):
        features = features.tolist()
        if isinstance(features, list) and len(features) == 1 and isinstance(features[0], list):
            features = features[0]
    if isinstance(features, (list, tuple)):
        return {f"x{i}": value for i, value in enumerate(features)}
    return {"input": features}


def micros(at: Any) -> int:
    """Return microseconds since 1970 UTC of a datetime (naive means UTC), ISO 8601 text, or a number since 1970.

    A number (also as text) counts seconds, milliseconds, microseconds or nanoseconds, as its size shows.

    >>> micros("2024-03-01T00:00:00Z") == micros(1709251200) == micros(1709251200000) == micros("1709251200.0")
    True

    Raises
    ------
    ValueError, TypeError, OverflowError
        *at* is no point in time.
    """
    if isinstance(at, str):
        at = _of_text(at.strip())
    elif _is_numpy_time(at):
        at = at.astype("datetime64[us]").item()
    elif not isinstance(at, dt.datetime) and isinstance(at, dt.date):
        at = dt.datetime(at.year, at.month, at.day)
    if isinstance(at, dt.datetime):
        if at != at:
            raise ValueError("the time is missing (NaT)")
        aware = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
        return (aware - _EPOCH) // dt.timedelta(microseconds=1)
    if at is None or isinstance(at, bool):
        raise ValueError(f"{at!r} is no time: {HOW_TO_WRITE}")
    number = at if isinstance(at, int) else float(at)
    if not LEAST_NUMBER <= abs(number) < 2.0**63:
        raise ValueError(f"{at!r} counts neither seconds nor less since 1970: {HOW_TO_WRITE}")
    for limit, times in EPOCH_LIMITS:
        if abs(number) < limit:
            return number * int(times) if isinstance(number, int) else round(number * times)
    return int(number) // 1000


def _of_text(text: str) -> dt.datetime | float:
    digits = text.lstrip("+-")
    if digits.isdecimal() and len(digits) != 8:  # 8 digits are a date
        return int(text)
    try:
        if digits[:4].isdecimal() and (len(digits) == 8 or digits[4:5] == "-"):
            return dt.datetime.fromisoformat(text)
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: {HOW_TO_WRITE}") from None


def join_events(events: Sequence[bytes]) -> bytes:
    """Return encoded events as one msgpack array: only bytes are joined, nothing is encoded again."""
    return b"".join((b"\xdd", len(events).to_bytes(4, "big"), *events))


_decode_all = msgspec.msgpack.Decoder(list[Prediction | Outcome | Batch | Counters]).decode
_decode_one = msgspec.msgpack.Decoder(Prediction | Outcome | Batch | Counters).decode
_decode_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.msgpack.Decoder().decode


def decode_events(joined: bytes) -> list[Event]:
    """Read what `join_events` joined. An event that cannot be read becomes `Unreadable`; the rest is unharmed."""
    try:
        return _decode_all(joined)  # type: ignore[return-value]
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        pass
    try:
        return [_decode_leniently(bytes(raw)) for raw in _decode_raw(joined)]
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as trouble:
        return [Unreadable(joined, str(trouble))]


def _decode_leniently(raw: bytes) -> Event:
    try:
        return _decode_one(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        pass
    try:
        tag, *parts = _decode_any(raw)
        kind = {"p": Prediction, "o": Outcome, "b": Batch, "c": Counters}[tag]
        return msgspec.convert(_with_text_keys([tag, *parts]), kind, strict=False)
    except Exception as trouble:
        return Unreadable(raw, f"{type(trouble).__name__}: {trouble}")


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {k if isinstance(k, str) else str(k): _with_text_keys(v) for k, v in value.items()}
    return [_with_text_keys(v) for v in value] if isinstance(value, list) else value
