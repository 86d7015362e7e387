"""What happened to a column of categories: renamed, new, vanished, swapped, or other shares."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from watchkeeper.decisions.explaining.explanation import Cause, Explanation
from watchkeeper.decisions.explaining.significance import Gate
from watchkeeper.decisions.explaining.wording import listed, percent, quoted

NEAR = 0.75
"""How alike two names are, 0 to 1, from which one may be the other written differently."""
_COMPARED = 60
"""Names on each side that are compared with each other."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each category occurs; ``other`` rows have a name that was not kept."""

    named: Mapping[str, float]
    other: float = 0.0

    @property
    def rows(self) -> float:
        """Rows that have a value."""
        return sum(self.named.values()) + self.other

    def share(self, name: str) -> float:
        """Share of the rows that have a value."""
        return self.named.get(name, 0.0) / max(self.rows, 1)


def plain(name: str) -> str:
    """Return *name* without case, accents, spaces and punctuation; numbers as numbers.

    >>> plain("40K–60K €") == plain("40k - 60K €"), plain("Łódź "), plain("1.0")
    (True, 'łodz', '1')
    """
    text = unicodedata.normalize("NFKD", name).casefold()
    try:
        return f"{float(text):g}"
    except ValueError:
        pass
    letters = "".join(c for c in text if c.isalnum())
    return letters or text


def likeness(one: str, other: str) -> float:
    """How alike two names are: 1 where they differ by case, accents, spaces or punctuation alone.

    >>> likeness("North", "north "), round(likeness("electronics", "electronic"), 2), likeness("a", "b")
    (1.0, 0.95, 0.0)
    """
    left, right = plain(one), plain(other)
    return 1.0 if left == right else SequenceMatcher(None, left, right).ratio()


def explain_categories(column: str, before: Counts, after: Counts, gate: Gate) -> list[Explanation]:
    """Return what happened, the most telling first; nothing where the two differ by chance."""
    if before.rows < 1 or after.rows < 1:
        return []

    def moved(name: str) -> bool:
        return gate.share(after.named.get(name, 0), after.rows, before.named.get(name, 0), before.rows, name)

    news = sorted((n for n in after.named if n not in before.named), key=lambda n: (-after.named[n], n))
    lost = sorted(
        (n for n in before.named if after.share(n) < 0.5 * before.share(n) and moved(n)),
        key=lambda n: (after.share(n) - before.share(n), n),
    )
    found: list[Explanation] = []
    pairs = _pairs(news, lost, before, after, gate)
    if pairs:
        found.append(_renamed(column, pairs, before, after))
    taken = {new for new, _ in pairs}
    renamed_away = {old for _, old in pairs}
    fresh = [n for n in news if n not in taken]
    hits = sum(after.named[n] for n in fresh) + (after.other if not before.other else 0.0)
    if (fresh or hits) and gate.share(hits, after.rows, 0.0, before.rows, "\0new"):
        found.append(_new(column, fresh, hits / after.rows))
    gone = [n for n in lost if n not in renamed_away and not after.named.get(n)]
    usual = sum(before.share(n) for n in gone)
    if gone and gate.share(0.0, after.rows, usual * before.rows, before.rows, "\0gone"):
        named = listed([quoted(n) for n in gone])
        found.append(
            Explanation(
                cause=Cause.VANISHED,
                column=column,
                sentence=(
                    f"{column}: the categor{'y' if len(gone) == 1 else 'ies'} {named} {'is' if len(gone) == 1 else 'are'} "
                    f"gone; usually {percent(usual)} of rows."
                ),
                advice=f"Check whether the rows that should have {named} still arrive.",
                share=usual,
                details={"gone": gone[:20]},
            )
        )
    told = {*taken, *renamed_away, *fresh, *gone}
    found += _of_shares(
        column, [n for n in before.named if n not in told and moved(n)], before, after, bool(found)
    )
    order = list(Cause)
    return sorted(found, key=lambda e: (-round(e.share, 1), order.index(e.cause)))


def _pairs(
    news: list[str], lost: list[str], before: Counts, after: Counts, gate: Gate
) -> list[tuple[str, str]]:
    """New names that took the rows of old ones: near in name, or alone with the same share."""
    pairs: list[tuple[str, str]] = []
    left = lost[:_COMPARED]
    # A category that shrank by less than half may still have been written differently in some rows.
    left += sorted(
        (
            n
            for n in before.named
            if n not in left
            and after.named.get(n, 0) < before.share(n) * after.rows
            and gate.share(after.named.get(n, 0), after.rows, before.named[n], before.rows, n)
        ),
        key=lambda n: after.share(n) - before.share(n),
    )[:_COMPARED]
    # Names that differ by case, spaces or punctuation alone are one category: together they must be beyond chance.
    by_plain = {
        plain(old): old for old in reversed(list(before.named)) if after.share(old) < before.share(old)
    }
    same = [(new, by_plain[plain(new)]) for new in news if plain(new) in by_plain]
    hits = sum(after.named[new] for new, _ in same)
    if len({old for _, old in same}) == len(same) and gate.share(hits, after.rows, 0.0, before.rows):
        pairs += same
    done = {name for pair in pairs for name in pair}
    left = [n for n in left if n not in done]
    for new in [n for n in news if n not in done][:_COMPARED]:
        if not gate.share(after.named[new], after.rows, 0.0, before.rows, new):
            continue
        best, score = "", 0.0
        for old in left:
            alike = likeness(new, old)
            drop = before.share(old) - after.share(old)
            fits = abs(after.share(new) - drop) <= max(0.35 * drop, gate.error(drop, after.rows, before.rows))
            if alike >= NEAR and fits and alike > score:
                best, score = old, alike
        if not best and len(left) == 1 and len(news) == 1:
            drop = before.share(left[0]) - after.share(left[0])
            if abs(after.share(new) - drop) <= gate.error(drop, after.rows, before.rows):
                best = left[0]
        if best:
            pairs.append((new, best))
            left.remove(best)
    return pairs


def _renamed(column: str, pairs: list[tuple[str, str]], before: Counts, after: Counts) -> Explanation:
    new, old = pairs[0]
    share = sum(after.share(n) for n, _ in pairs)
    if after.named.get(old):
        rest = f"{quoted(old)} fell from {percent(before.share(old))} to {percent(after.share(old))}"
    else:
        rest = f"{quoted(old)} is gone"
    if len(pairs) == 1:
        sentence = (
            f"{column}: the category {quoted(new)} is new and has {percent(share)} of rows; {rest}. Renamed?"
        )
    else:
        sentence = (
            f"{column}: {len(pairs)} categories with {percent(share)} of rows are new, and as many like them are gone: "
            f"{listed([f'{quoted(n)} for {quoted(o)}' for n, o in pairs], most=2)}. Renamed?"
        )
    return Explanation(
        cause=Cause.RENAMED,
        column=column,
        sentence=sentence,
        advice=f"Map {quoted(new)} back to {quoted(old)} before the model, or retrain on the new name.",
        share=share,
        details={"renamed": [[o, n] for n, o in pairs[:20]]},
    )


def _new(column: str, names: list[str], share: float) -> Explanation:
    if len(names) == 1:
        sentence = f"{column}: the category {quoted(names[0])} is new and has {percent(share)} of rows."
    elif names:
        sentence = (
            f"{column}: {len(names):,} new categories have {percent(share)} of rows: "
            f"{listed([quoted(n) for n in names])}."
        )
    else:
        sentence = f"{column}: {percent(share)} of rows have categories that the baseline never had."
    return Explanation(
        cause=Cause.NEW,
        column=column,
        sentence=sentence,
        advice="The model never learned these values: find out where they come from.",
        share=share,
        details={"new": names[:20]},
    )


def _of_shares(
    column: str, names: list[str], before: Counts, after: Counts, explained: bool
) -> list[Explanation]:
    if not names:
        return []
    names.sort(key=lambda n: -abs(after.share(n) - before.share(n)))
    moves = [(n, before.share(n), after.share(n)) for n in names]
    largest = abs(moves[0][2] - moves[0][1])
    told = "; ".join(
        f"{quoted(n)} {percent(now)} of rows, usually {percent(then)}" for n, then, now in moves[:2]
    )
    details = {"names": names[:20]}
    was, now = sorted(m[1] for m in moves), sorted(m[2] for m in moves)
    if len(moves) > 1 and max(abs(x - y) for x, y in zip(was, now, strict=True)) <= 0.2 * largest:
        who = listed([quoted(n) for n in names], most=4)
        return [
            Explanation(
                cause=Cause.SWAPPED,
                column=column,
                sentence=f"{column}: {who} have changed places: {told}.",
                advice="Check the order of codes where this column is encoded.",
                share=sum(now),
                details=details,
            )
        ]
    if explained:  # what a new or a lost category takes or leaves, the others must give or take
        return []
    return [
        Explanation(
            cause=Cause.SHARES,
            column=column,
            sentence=f"{column}: {told}.",
            advice="Check whether the mix of rows that reach the model has changed.",
            share=largest,
            details=details,
        )
    ]
