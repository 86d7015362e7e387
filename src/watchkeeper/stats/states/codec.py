"""States to bytes and back: small, checked, and readable by every later version.

One file or column value is::

    4 bytes  b"WKST"
    1 byte   format version (1)
    1 byte   compression (0 none, 1 zstd)
    4 bytes  CRC-32 of the plain body, little-endian
    8 bytes  length of the plain body, little-endian
    ...      body: msgpack [kind, payload]

In the payload an array is a msgpack extension: its numbers are stored in the narrowest type that keeps every
bit (counts mostly fit in one or two bytes), and wide floats are stored plane by plane (all first bytes, then
all second bytes, ...), which halves what zstd makes of sorted cuts. A state within a state is an extension
too; a part with a digest (edges) is written once, and then, or when the reader is known to have it, by its digest. What is written may become smaller in later versions; what was written once is always read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container, Mapping
from typing import Any

import msgspec
import numpy as np

from watchkeeper.errors import BadInput, Incompatible, nearest
from watchkeeper.stats.states.catalogue import BY_KIND
from watchkeeper.stats.states.state import Stored

MAGIC = b"WKST"
FORMAT_VERSION = 1

_HEAD = struct.Struct("<4sBBIQ")
_PLAIN, _ZSTD = 0, 1
_ARRAY, _OBJECTS, _STORED, _KNOWN = 1, 2, 3, 4  # msgpack extension codes
_PLAIN_TYPES = frozenset({type(None), bool, int, float, str, bytes})
_SMALL = 96
"""Below this many bytes compression makes a body longer."""
_SHORT = 64 << 10
"""Up to this many bytes (one column of one window) it pays to compress hard."""
_LARGEST = 4 << 30
"""No state is this large: a header that says so is damaged, and must not make us ask for the memory."""


def encode(state: Stored, *, known: Container[str] = ()) -> bytes:
    """Return *state* as bytes; equal states give equal bytes.

    Parameters
    ----------
    known : digests of parts (edges) that the reader has already: only their digest is written. A window's
        histogram is then a tenth as long, since its edges are kept once for the model.

    >>> from watchkeeper.stats.states.moments import Moments
    >>> decode(encode(Moments.of([1.0, 2.0, 3.0]))).mean
    2.0
    """
    body = _Writer(known).bytes_of(state)
    packed, how = body, _PLAIN
    if len(body) > _SMALL:
        import pyarrow as pa

        level = 12 if len(body) < _SHORT else 3
        squeezed = pa.Codec("zstd", compression_level=level).compress(body, asbytes=True)
        if len(squeezed) < len(body):
            packed, how = squeezed, _ZSTD
    return _HEAD.pack(MAGIC, FORMAT_VERSION, how, zlib.crc32(body), len(body)) + packed


def decode(raw: bytes | memoryview, *, known: Mapping[str, Any] | None = None) -> Any:
    """Return the state that `encode` wrote; *known* holds, by digest, the parts that were left out.

    Raises
    ------
    BadInput
        the bytes are not a state, or were cut short or damaged.
    Incompatible
        a later version wrote them, or a part that was left out is not among *known*.
    """
    raw = memoryview(raw)
    if len(raw) < _HEAD.size or bytes(raw[:4]) != MAGIC:
        raise BadInput(
            "These bytes are not a stored Watchkeeper state.",
            "Give a file that `watchkeeper baseline` or `watchkeeper profile` wrote.",
        )
    _, version, how, crc, length = _HEAD.unpack(raw[: _HEAD.size])
    if version > FORMAT_VERSION:
        raise Incompatible(
            f"The state is stored in format {version}; this version reads up to {FORMAT_VERSION}.",
            "Upgrade:   pip install --upgrade watchkeeper",
        )
    body: Any = raw[_HEAD.size :]
    if how == _ZSTD and length <= _LARGEST:
        import pyarrow as pa

        try:
            body = pa.Codec("zstd").decompress(body, decompressed_size=length, asbytes=True)
        except (OSError, ValueError, pa.ArrowInvalid):
            body = b""
    if len(body) != length or zlib.crc32(body) != crc:
        raise BadInput("The stored state was cut short or damaged.", "Copy the file again, or make it anew.")
    kind, payload = _Reader(known or {}).read(body)
    return _class_of(kind).of_payload(payload)


def same_payload(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two payloads say the same, bit for bit (NaN equals NaN)."""
    one, other = _Writer(()), _Writer(())  # each remembers what it has written
    return one.encode(one.plain(left)) == other.encode(other.plain(right))


def _class_of(kind: str) -> type[Stored]:
    try:
        return BY_KIND[kind]
    except KeyError:
        raise Incompatible(
            f"There is no state {kind!r} in this version.{nearest(kind, BY_KIND)}",
            "Upgrade:   pip install --upgrade watchkeeper",
        ) from None


# -- payload values that msgpack does not know ------------------------------------------------------------


class _Writer:
    """msgpack with arrays, states within states, and digests in place of known parts."""

    def __init__(self, known: Container[str]) -> None:
        self.known = known
        self.written: set[str] = set()
        self.encode = msgspec.msgpack.Encoder(enc_hook=self.pack).encode

    def bytes_of(self, state: Stored) -> bytes:
        return self.encode([state.kind, self.plain(state.to_payload())])

    def plain(self, value: Any) -> Any:
        # States are dataclasses, which msgspec would write as dicts without asking us: so they are found first.
        # Keys keep their order: a profile's columns are in order, and equal states are built alike.
        if type(value) in _PLAIN_TYPES:
            return value
        if isinstance(value, dict):
            return {key: self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        if hasattr(value, "to_payload"):
            digest = getattr(value, "digest", None)
            if digest is not None:
                if digest in self.known or digest in self.written:
                    return msgspec.msgpack.Ext(_KNOWN, self.encode([value.kind, digest]))
                self.written.add(digest)
            return msgspec.msgpack.Ext(_STORED, self.bytes_of(value))
        return value

    def pack(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                plain = [item.item() if isinstance(item, np.generic) else item for item in value.tolist()]
                return msgspec.msgpack.Ext(_OBJECTS, self.encode(plain))
            return msgspec.msgpack.Ext(_ARRAY, _pack_array(value))
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"a state may not hold a {type(value).__name__}: {value!r:.80}")


class _Reader:
    """What `_Writer` wrote."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known = dict(known)
        self.read = msgspec.msgpack.Decoder(ext_hook=self.unpack).decode

    def unpack(self, code: int, data: memoryview) -> Any:
        if code == _ARRAY:
            return _unpack_array(data)
        if code == _OBJECTS:
            items = self.read(data)
            out = np.empty(len(items), dtype=object)
            out[:] = items
            return out
        if code == _STORED:
            kind, payload = self.read(data)
            part: Any = _class_of(kind).of_payload(payload)
            if (digest := getattr(part, "digest", None)) is not None:
                self.known[digest] = part
            return part
        if code == _KNOWN:
            kind, digest = self.read(data)
            if digest not in self.known:
                raise Incompatible(
                    f"The state was stored without its {kind} ({digest}), which are not at hand.",
                    "Read it beside the baseline that it was counted with.",
                )
            return self.known[digest]
        raise Incompatible(
            f"The state holds a part of unknown type {code}.",
            "Upgrade:   pip install --upgrade watchkeeper",
        )


def _pack_array(array: np.ndarray) -> bytes:
    """Store as ``[dtype, stored dtype, shape, planes?]`` and the numbers, little-endian, in C order."""
    dtype = array.dtype
    if dtype.kind not in "biuf":
        raise TypeError(f"a state may not hold an array of {dtype}")
    flat = np.ascontiguousarray(array).reshape(-1)
    stored = _narrowest(flat)
    head = msgspec.msgpack.encode([dtype.newbyteorder("<").str, stored.dtype.str, list(array.shape)])
    body = stored.tobytes()
    if stored.dtype.itemsize >= 4:
        body = np.frombuffer(body, np.uint8).reshape(-1, stored.dtype.itemsize).T.tobytes()
    return struct.pack("<I", len(head)) + head + body


def _unpack_array(data: memoryview) -> np.ndarray:
    (size,) = struct.unpack("<I", data[:4])
    dtype, stored, shape = msgspec.msgpack.decode(data[4 : 4 + size])
    body: Any = data[4 + size :]
    itemsize = np.dtype(stored).itemsize
    if itemsize >= 4:
        body = np.frombuffer(body, np.uint8).reshape(itemsize, -1).T.tobytes()
    native = np.dtype(dtype).newbyteorder("=")
    return np.frombuffer(body, dtype=stored).astype(native).reshape(shape)


def _narrowest(flat: np.ndarray) -> np.ndarray:
    """The same numbers in the narrowest type that gives every bit back.

    >>> _narrowest(np.array([0, 300])).dtype, _narrowest(np.array([0.5, -0.0])).dtype
    (dtype('uint16'), dtype('float32'))
    """
    kind, dtype = flat.dtype.kind, flat.dtype
    if kind == "b":
        return flat.view(np.uint8)
    if kind in "iu":
        if not flat.size:
            return flat.astype(np.uint8)
        low, high = int(flat.min()), int(flat.max())
        for name in ("u1", "i1", "<u2", "<i2", "<u4", "<i4"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return flat.astype(name)
        return flat.astype(dtype.newbyteorder("<"))
    if dtype.itemsize == 8 and flat.size:
        with np.errstate(over="ignore", invalid="ignore"):
            # Sums of whole numbers are common, and a negative zero is not a whole number to us.
            if (np.abs(flat) < 2**31).all() and not np.signbit(flat[flat == 0]).any():
                whole = flat.astype(np.int64)
                if (whole == flat).all():
                    return _narrowest(whole)
            single = flat.astype("<f4")
            if single.astype(np.float64).tobytes() == flat.tobytes():
                return single
    return flat.astype(dtype.newbyteorder("<"))
