"""Which segments of a model are measured by name: the same ones in every window, so that a day is the merge of its hours.

A model keeps at most ``max_segments`` names of each column (or crossing of columns). While there is room, a new
segment gets a name; when a window brings more than there is room for, its largest do. What has no name is the
segment "(other)". Names never change places: a window that is measured again has the same segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from watchkeeper.domain.fact import Document, Lease
from watchkeeper.ports.ledger import FactStore

OTHER = "(other)"
CANDIDATES = 4
"""So many times as many new segments as there is room for are folded apart in one pass."""
_KIND = "segments"

Entry = tuple[str, ...]
"""The columns that a segmentation crosses."""


def give_names(
    names: SegmentNames, entry: Entry, nameless: Iterable[tuple[Mapping[str, int], Mapping[str, int]]]
) -> bool:
    """Give the names that are left to the largest segments of all folds; whether each was folded apart by all of them.

    *nameless* is what each fold says: rows of the segments that it folded apart, and of the others.
    """
    sizes: Counter[str] = Counter()
    split = set[str]()
    for apart, rest in nameless:
        sizes.update(apart)
        sizes.update(rest)
        split.update(rest)
    return split.isdisjoint(names.give(entry, sizes))


def other_of(entry: Entry) -> str:
    """The segment of an entry's rows whose own segment has no name.

    >>> other_of(("region", "plan"))
    'region=(other) & plan=(other)'
    """
    return " & ".join(f"{column}={OTHER}" for column in entry)


class SegmentNames:
    """The names of each entry, in the order in which they were given.

    >>> names = SegmentNames([("plan",)], most=2, known={("plan",): ["plan=a"]})
    >>> names.has(("plan",), "plan=a"), names.room(("plan",))
    (True, 1)
    >>> names.give(("plan",), {"plan=b": 7, "plan=c": 9})
    ['plan=c']
    >>> names.has(("plan",), "plan=b"), names.has(("plan",), "plan=c"), names.room(("plan",))
    (False, True, 0)
    """

    def __init__(
        self, entries: Iterable[Entry], *, most: int, known: Mapping[Entry, Sequence[str]] | None = None
    ) -> None:
        self._most = most
        self._names: dict[Entry, dict[str, None]] = {
            e: dict.fromkeys((known or {}).get(e, ())[:most]) for e in entries
        }

    def has(self, entry: Entry, label: str) -> bool:
        """Whether *label* is measured by name."""
        return label in self._names[entry]

    def room(self, entry: Entry) -> int:
        """How many names of *entry* are left to give."""
        return self._most - len(self._names[entry])

    def give(self, entry: Entry, rows: Mapping[str, int]) -> list[str]:
        """Give the names that are left to the largest of *rows* (label -> how many rows); return them."""
        fresh = sorted((n for n in rows if not self.has(entry, n)), key=lambda n: (-rows[n], n))
        given = fresh[: self.room(entry)]
        self._names[entry] |= dict.fromkeys(given)
        return given

    @classmethod
    def load(
        cls,
        facts: FactStore,
        model: str,
        entries: Sequence[Entry],
        *,
        most: int,
        first: Callable[[Entry], Sequence[str]] = lambda _: (),
    ) -> SegmentNames:
        """The names that a model has so far; *first* gives those of an entry that has none yet."""
        document = facts.document(_KIND, model)
        stored = {tuple(e): names for e, names in (document.body["names"] if document else ())}
        return cls(entries, most=most, known={e: stored.get(e) or first(e) for e in entries})

    def save(self, facts: FactStore, model: str, *, lease: Lease | None = None) -> None:
        """Remember them, if there is anything new; names of other entries stay as they are."""
        document = facts.document(_KIND, model)
        stored = {tuple(e): list(names) for e, names in (document.body["names"] if document else ())}
        wanted = stored | {e: list(names) for e, names in self._names.items()}
        if wanted != stored:
            self._put(facts, model, wanted, document, lease)

    @staticmethod
    def keep(facts: FactStore, model: str, segments: Collection[str], *, lease: Lease | None = None) -> None:
        """Forget the names that are not among *segments*; there is room for others then."""
        document = facts.document(_KIND, model)
        if document is not None:
            body = {tuple(e): [n for n in names if n in segments] for e, names in document.body["names"]}
            SegmentNames._put(facts, model, body, document, lease)

    @staticmethod
    def _put(
        facts: FactStore,
        model: str,
        names: Mapping[Entry, Sequence[str]],
        document: Document | None,
        lease: Lease | None,
    ) -> None:
        body = {"names": [[list(entry), list(listed)] for entry, listed in names.items()]}
        revision = 0 if document is None else document.revision
        facts.append(
            [], [Document(kind=_KIND, key=model, model=model, body=body, revision=revision)], lease=lease
        )
