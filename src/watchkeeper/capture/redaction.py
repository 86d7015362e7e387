"""What must not leave the process, and which share of the predictions does.

Columns are dropped or replaced by a keyed hash before anything is encoded. The hash is keyed, because the
plain hash of a small set (a postcode, a birthday) is undone by trying all of them; equal values still get
equal hashes, so drift and segments of the column keep working.

Sampling looks at the hash of the id: the outcome of a prediction has the same id, so it is kept or left out
together with it, in whatever process it arrives. A smaller rate keeps a subset of what a larger one keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from watchkeeper.errors import BadInput


class Redaction:
    """Drops and hashes columns of a row.

    >>> redact = Redaction(drop=["name"], hash_columns=["postcode"], key=b"secret")
    >>> row = redact({"name": "Ada", "postcode": "10115", "age": 36})
    >>> sorted(row), row["age"], len(row["postcode"]), row == redact({"postcode": "10115", "age": 36})
    (['age', 'postcode'], 36, 32, True)
    """

    def __init__(
        self,
        *,
        drop: Collection[str] = (),
        hash_columns: Collection[str] = (),
        key: str | bytes | None = None,
    ) -> None:
        """
        Raises
        ------
        BadInput
            columns are to be hashed and there is no key, or it is longer than 64 bytes.
        """
        self.drop, self.hash_columns = _names(drop, "drop"), _names(hash_columns, "hash_columns")
        if self.hash_columns and not key:
            raise BadInput(
                f"The columns {sorted(self.hash_columns)} are to be hashed, but there is no key.",
                "Give hash_key= a secret of your own, the same in every process: without it a short list of"
                " possible values undoes the hash.",
            )
        self._key = key.encode() if isinstance(key, str) else bytes(key or b"")
        if len(self._key) > 64:
            raise BadInput(
                f"hash_key has {len(self._key)} bytes; at most 64 are used.", "Give a shorter one."
            )

    def __bool__(self) -> bool:
        return bool(self.drop or self.hash_columns)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return *row* without what must not be in it."""
        drop, hashed = self.drop, self.hash_columns
        return {k: self.hash(v) if k in hashed else v for k, v in row.items() if k not in drop}

    def hash(self, value: Any) -> str | None:
        """Return 32 hexadecimal digits for *value*; None for None and NaN, since a gap is not a secret.

        Numbers that are equal get equal hashes (1 and 1.0), whatever type held them.
        """
        plain = _plain(value)
        if plain is None or (isinstance(plain, float) and math.isnan(plain)):
            return None
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        return blake2b(
            msgspec.msgpack.encode(plain, enc_hook=repr), key=self._key, digest_size=16
        ).hexdigest()


def _plain(value: Any) -> Any:
    if type(value) in (str, int, float, bool, bytes, type(None)):
        return value
    for convert in ("as_py", "item"):
        if callable(method := getattr(value, convert, None)):
            try:
                return method()
            except Exception:
                return repr(value)
    return value


def _names(columns: Collection[str], option: str) -> frozenset[str]:
    if isinstance(columns, str):
        raise BadInput(
            f"{option} is the text {columns!r}.", f"Give a list of columns: {option}=[{columns!r}]."
        )
    return frozenset(columns)


def sampler(rate: float) -> Callable[[str], bool] | None:
    """Return a function that says whether an id belongs to the sample of *rate*; None when all do.

    >>> keep = sampler(0.5)
    >>> round(sum(keep(f"order-{i}") for i in range(10_000)) / 10_000, 1)
    0.5

    Raises
    ------
    BadInput
        *rate* is not in (0, 1].
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 1:
        raise BadInput(f"sample_rate is {rate!r}.", "Give a share above 0 and at most 1, such as 0.1.")
    if rate == 1:
        return None
    limit = int(rate * 2.0**64)

    def keep(id: str) -> bool:
        digest = blake2b(id.encode("utf-8", "backslashreplace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < limit

    return keep
