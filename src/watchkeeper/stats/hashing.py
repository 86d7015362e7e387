"""Our own 64-bit hash of values: the same on every machine and in every later version.

Samples, distinct counts and duplicate counts keep the values with the smallest hashes, and merge over windows
that were profiled months apart: so the hash may never change, and no library promises that of its own.

What hashes alike: the same number, whatever its type (``1``, ``1.0``, ``True``, ``uint8(1)``); ``0.0`` and
``-0.0``; every NaN; a string and its UTF-8 bytes. What does not: ``1`` and ``"1"``, null and NaN, null
and the empty string. A datetime hashes as its whole microseconds since 1970.

Definition
----------
All arithmetic is modulo 2**64. ``mix`` is a bijection of 64-bit words in which every input bit reaches every
output bit: two rounds of *xor with itself shifted right, times an odd constant*, and a last xor-shift (the
finaliser family of MurmurHash3; constants of Stafford's thirteenth variant).

- a whole number in the range of int64: ``mix(n + NUMBER)``; of uint64 beyond that: ``mix(n + LARGE)``;
- any other float: ``mix(bits + FRACTION)``; null is the constant ``NULL``;
- bytes: ``h = TEXT``; for each 8 bytes (little-endian, the last padded with zeros) ``h = mix(h ^ word)``; at
  the end ``mix(h + length)``. Bytes longer than 1,024 are cut into pieces of 1,024, and the little-endian
  hashes of the pieces are hashed as bytes, with ``h = TEXT + length`` at the start: so one long value costs
  no more than as many short ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.domain.schema import Kind
from watchkeeper.errors import BadInput

if TYPE_CHECKING:
    from watchkeeper.domain.values import Values


Hashes = NDArray[np.uint64]

NULL = np.uint64(0x6E756C6C_00000001)
_NUMBER = np.uint64(0x9E3779B97F4A7C15)
_LARGE = np.uint64(0xD1B54A32D192ED03)
_FRACTION = np.uint64(0x8CB92BA72F3D8DD7)
_TEXT = 0xABC98388FB8FAC03
_ODD = np.uint64(0xDA942042E4DD58B5)

_BLOCK = 32_768
"""Words mixed at a time, so that the passes of `mix` run in the processor's cache."""
_PIECE = 1_024


def mix(words: Hashes) -> Hashes:
    """Return *words* ``(n,)`` uint64 scrambled, one to one.

    >>> hex(mix(np.array([1], np.uint64))[0])
    '0x5692161d100b05e5'
    """
    out = np.array(words, dtype=np.uint64)
    _mix_in_place(out)
    return out


def _mix_in_place(words: Hashes) -> None:
    flat = words.reshape(-1)
    spare = np.empty(min(_BLOCK, flat.size), np.uint64)
    for start in range(0, flat.size, _BLOCK):
        x = flat[start : start + _BLOCK]
        t = spare[: x.size]
        np.right_shift(x, np.uint64(30), out=t)
        x ^= t
        x *= np.uint64(0xBF58476D1CE4E5B9)
        np.right_shift(x, np.uint64(27), out=t)
        x ^= t
        x *= np.uint64(0x94D049BB133111EB)
        np.right_shift(x, np.uint64(31), out=t)
        x ^= t


def hash_ints(values: NDArray) -> Hashes:
    """Hash whole numbers or booleans ``(n,)`` of any width.

    >>> hash_ints(np.array([1, 2])) == hash_floats(np.array([1.0, 2.0]))
    array([ True,  True])
    """
    values = np.asarray(values)
    if values.dtype == np.uint64:
        out = np.where(values >> np.uint64(63), values + _LARGE, values + _NUMBER)
    else:
        out = values.astype(np.int64).view(np.uint64)
        out += _NUMBER
    _mix_in_place(out)
    return out


def hash_floats(values: NDArray) -> Hashes:
    """Hash floats ``(n,)``: whole ones as whole numbers, all NaN alike, ``-0.0`` as ``0.0``."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    out = np.empty(values.shape, np.uint64)
    for start in range(0, values.size, _BLOCK):
        x = values[start : start + _BLOCK]
        with np.errstate(invalid="ignore", over="ignore"):
            whole = x.astype(np.int64)
            # 2**63 itself does not fit, and its conversion is not the same on every processor.
            is_whole = (whole == x) & (np.abs(x) < 9.2e18)
            words = np.where(is_whole, whole.view(np.uint64) + _NUMBER, x.view(np.uint64) + _FRACTION)
            rare = ~is_whole & ((np.abs(x) >= 9.2e18) | np.isnan(x))
        if rare.any():
            words[rare] = [_rare(v) for v in x[rare].tolist()]
        out[start : start + _BLOCK] = words
    _mix_in_place(out)
    return out


def _rare(value: float) -> int:
    """The word of a NaN, an infinity, or a float too large for the fast path."""
    if value != value:
        word = 0x7FF8000000000000 + int(_FRACTION)
    elif abs(value) < 2.0**64 and value >= -(2.0**63):
        word = int(value) + int(_NUMBER if value < 2.0**63 else _LARGE)
    else:
        word = int(np.float64(value).view(np.uint64)) + int(_FRACTION)
    return word % 2**64


def hash_strings(offsets: NDArray, data: bytes | NDArray) -> Hashes:
    """Hash byte strings that lie one after another, as in an Arrow array.

    Parameters
    ----------
    offsets : whole numbers ``(n + 1,)``; string i is ``data[offsets[i]:offsets[i + 1]]``.
    data : the bytes, or uint8 ``(m,)``.

    >>> hash_strings(np.array([0, 1, 2, 3]), b"aba") == hash_texts(["a", "b", "a"])
    array([ True,  True,  True])
    """
    offsets = np.asarray(offsets, dtype=np.int64)
    octets = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.asarray(data, np.uint8)
    # Eight zero bytes behind the end let every word be read whole.
    padded = np.concatenate([octets, np.zeros(8, np.uint8)])
    return _hash_spans(offsets[:-1], np.diff(offsets), padded)


def _hash_spans(starts: NDArray, lengths: NDArray, padded: NDArray) -> Hashes:
    out = np.empty(len(starts), np.uint64)
    long = lengths > _PIECE
    if long.any():
        out[~long] = _hash_short(starts[~long], lengths[~long], padded)
        out[long] = _hash_long(starts[long], lengths[long], padded)
        return out
    return _hash_short(starts, lengths, padded)


def _hash_short(starts: NDArray, lengths: NDArray, padded: NDArray, seeds: Hashes | None = None) -> Hashes:
    state = np.full(len(starts), _TEXT, np.uint64) if seeds is None else seeds.copy()
    if len(starts):
        words = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
        longest = int(lengths.max())
        uniform = longest == int(lengths.min())
        # Longest first, so that the rows which still have bytes are always the first ones.
        order = None if uniform else np.argsort(-lengths, kind="stable")
        at, left = (starts, lengths) if order is None else (starts[order], lengths[order])
        h = state if order is None else state[order]
        for done in range(0, longest, 8):
            active = len(at) if uniform else int(np.searchsorted(-left, -done, side="left"))
            word = words[at[:active] + done].astype(np.uint64, copy=False)
            missing = np.clip(8 - (left[:active] - done), 0, 7).astype(np.uint64) * np.uint64(8)
            word &= np.uint64(0xFFFFFFFFFFFFFFFF) >> missing
            word ^= h[:active]
            _mix_in_place(word)
            h[:active] = word
        if order is None:
            state = h
        else:
            state[order] = h
    state += lengths.astype(np.uint64)
    _mix_in_place(state)
    return state


def _hash_long(starts: NDArray, lengths: NDArray, padded: NDArray) -> Hashes:
    pieces = -(-lengths // _PIECE)
    first = np.concatenate([[0], np.cumsum(pieces)])
    row = np.repeat(np.arange(len(starts)), pieces)
    begin = (np.arange(first[-1]) - first[row]) * _PIECE
    hashes = _hash_short(starts[row] + begin, np.minimum(_PIECE, lengths[row] - begin), padded)
    octets = np.concatenate([hashes.astype("<u8").view(np.uint8), np.zeros(8, np.uint8)])
    starts, sizes = first[:-1] * 8, pieces * 8
    seeds = lengths.astype(np.uint64) + np.uint64(_TEXT)
    out = np.empty(len(starts), np.uint64)
    deep = sizes > _PIECE
    out[~deep] = _hash_short(starts[~deep], sizes[~deep], octets, seeds[~deep])
    if deep.any():
        inner = _hash_long(starts[deep], sizes[deep], octets)
        out[deep] = mix(inner ^ seeds[deep])
    return out


def hash_texts(texts: Iterable[str | bytes | None]) -> Hashes:
    """Hash Python strings, one by one: for dictionaries, not for long columns. None is null.

    >>> int(hash_texts(["watch"])[0])
    9371107204759774296
    """
    listed = list(texts)
    if len(listed) > 10_000 and (fast := _hash_by_arrow(listed)) is not None:
        return fast
    encoded = [
        t.encode("utf-8", "surrogatepass") if isinstance(t, str) else b"" if t is None else bytes(t)
        for t in listed
    ]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    out = hash_strings(offsets, b"".join(encoded))
    nulls = [i for i, t in enumerate(listed) if t is None]
    if nulls:
        out[nulls] = NULL
    return out


def _hash_by_arrow(texts: list[str | bytes | None]) -> Hashes | None:
    """The same by Arrow, which lays strings out three times as fast; None for what it does not take."""
    import pyarrow as pa

    try:
        array = pa.array(texts, type=pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        return None  # bytes, or a lone surrogate
    return hash_text_array(array)


def hash_text_array(array: Any) -> Hashes:
    """Hash an Arrow array of strings ``(n,)``, without making Python strings of them.

    >>> import pyarrow as pa
    >>> bool((hash_text_array(pa.array(["watch", None])) == hash_texts(["watch", None])).all())
    True
    """
    import pyarrow as pa

    array = array.cast(pa.large_string())
    _, offsets, data = array.buffers()
    out = hash_strings(
        np.frombuffer(offsets, np.int64, array.offset + len(array) + 1)[array.offset :],
        np.frombuffer(data, np.uint8) if data is not None and data.size else b"",
    )
    if array.null_count:
        out[np.asarray(array.is_null())] = NULL
    return out


def hash_codes(codes: NDArray, dictionary_hashes: Hashes, valid: NDArray | None = None) -> Hashes:
    """Hash a column of *codes* ``(n,)`` into a dictionary whose entries hash to *dictionary_hashes*."""
    if not len(dictionary_hashes):
        return np.full(len(codes), NULL, np.uint64)
    if valid is not None:
        codes = np.where(valid, codes, 0)
    out = dictionary_hashes[codes]
    if valid is not None:
        out[~np.asarray(valid)] = NULL
    return out


def combine(first: Hashes, second: Hashes) -> Hashes:
    """Hash pairs from the hashes of their members; the order of the two matters.

    >>> a, b = hash_texts(["a", "b"])[:1], hash_texts(["b"])
    >>> bool(combine(a, b)[0] == combine(b, a)[0])
    False
    """
    out = np.asarray(first, np.uint64) * _ODD
    out ^= out >> np.uint64(29)
    out += np.asarray(second, np.uint64)
    _mix_in_place(out)
    return out


def hash_values(values: Values) -> Hashes:
    """Hash every row of a column ``(rows,)``; nulls hash to `NULL`.

    Raises
    ------
    BadInput
        the column is of a kind that cannot be measured.
    """
    data, valid = values.data, values.valid
    match values.kind:
        case Kind.CATEGORICAL | Kind.TEXT:
            return hash_codes(data, hash_texts(values.dictionary), valid)
        case Kind.VECTOR:
            out = _fold([hash_floats(data[:, i]) for i in range(data.shape[1])], len(data))
        case Kind.UNKNOWN:
            raise BadInput("A column of unknown type has no hash.", "Give its type in the schema.")
        case _:
            out = hash_floats(data) if np.asarray(data).dtype.kind == "f" else hash_ints(data)
    if valid is not None:
        out[~np.asarray(valid)] = NULL
    return out


def _fold(columns: Sequence[Hashes], rows: int) -> Hashes:
    out = np.full(rows, _TEXT, np.uint64)
    for column in columns:
        out = combine(out, column)
    return out
