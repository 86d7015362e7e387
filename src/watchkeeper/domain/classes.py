"""Names of classes: one class in two spellings.

A model's table may hold its outcomes as true and false, its predictions as 1 and 0, and what arrives later as
``"1.0"`` or ``"Yes"``. Names that are not the same are matched by what they mean: numbers by their value, and the usual
words for true and false; case and blanks around a word are no difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from struct import pack, unpack

__all__ = ["TRUE_AND_FALSE", "class_key", "class_order", "in_words", "spelled_as"]

TRUE_AND_FALSE = (("0", "1"), ("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"))
_KEYS = {word: str(i) for pair in TRUE_AND_FALSE for i, word in enumerate(pair)}


def class_key(name: str) -> str:
    """What *name* means: equal for two spellings of one class.

    >>> [class_key(name) for name in ("1", "1.0", "True", " yes", "0", "no", "0.5", "cat")]
    ['1', '1', '1', '1', '0', '0', '0.5', 'cat']
    """
    word = name.strip().casefold()
    if word in _KEYS:
        return _KEYS[word]
    try:
        number = float(word)
    except ValueError:
        return word
    if not isfinite(number) or "_" in word:
        return word
    if number.is_integer():
        return str(int(number))
    try:
        (single,) = unpack("f", pack("f", number))  # 0.1 in single precision is 0.1
    except OverflowError:
        return word
    return f"{single:.7g}"


def spelled_as(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Each of *names* in the spelling of *known*, or as it is where it is none of them.

    >>> spelled_as(["0", "1.0", "maybe"], ["no", "yes"])
    ['no', 'yes', 'maybe']
    """
    exact = set(known)
    by_key: dict[str, list[str]] = {}
    for name in exact:
        by_key.setdefault(class_key(name), []).append(name)
    out = []
    for name in names:
        same = () if name in exact else by_key.get(class_key(name), ())
        out.append(same[0] if len(same) == 1 else name)
    return out


def class_order(name: str) -> tuple[int, float, str]:
    """Numbers by size, then words by the alphabet."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def in_words(names: Iterable[str], *, most: int = 5) -> str:
    """Names of classes for a sentence.

    >>> in_words(["b", "a"])
    "'a' and 'b'"
    """
    listed = sorted(names, key=class_order)
    words = [repr(name) for name in listed[:most]]
    if len(listed) > most:
        words.append(f"{len(listed) - most:,} more")
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "none"
