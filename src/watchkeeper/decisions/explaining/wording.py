"""Figures as people write them in a sentence."""

from __future__ import annotations


def figure(x: float) -> str:
    """Four significant digits, thousands apart.

    >>> figure(1946.3), figure(0.025), figure(25.0), figure(123456.0)
    ('1,946', '0.025', '25', '123,456')
    """
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def percent(share: float) -> str:
    """A share of rows; what is there is never called 0%.

    >>> percent(0.384), percent(0.0304), percent(0.0004), percent(1.0), percent(0.0)
    ('38%', '3%', '0.04%', '100%', '0%')
    """
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{100 * share:.2g}%" if share < 0.01 else f"{100 * share:.4g}%"
    return f"{100 * share:.0f}%"


def times(factor: float) -> str:
    """A factor of at least 1.

    >>> times(100.0), times(1.609344), times(3.14159)
    ('100', '1.609', '3.1')
    """
    if factor >= 1000:
        return f"{factor:,.0f}"
    if abs(factor - round(factor)) < 1e-9:
        return f"{factor:.0f}"
    return f"{factor:.4g}" if factor < 3 else f"{factor:.2g}"


def quoted(name: str) -> str:
    """A category's name, short enough for a sentence.

    >>> quoted("north"), quoted("x" * 50)
    ("'north'", "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'")
    """
    return f"'{name}'" if len(name) <= 40 else f"'{name[:39]}…'"


def listed(items: list[str], *, most: int = 3) -> str:
    """Join some items.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a', 'a and b', 'a, b, c and 2 more')
    """
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most:,} more"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
