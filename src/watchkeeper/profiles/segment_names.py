"""Which segments of a model are measured by name: the same ones in every window, so that a day is the merge of its hours.

A model keeps at most ``max_segments`` names of each column (or crossing of columns). While there is room, a new
segment gets a name; when a window brings more than there is room for, its largest do. What has no name is the
segment "(other)". Names never change places: a window that is measured again has the same segments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from watchkeeper.domain.fact import Document, Lease
from watchkeeper.ports.ledger import FactStore

OTHER = "(other)"
_KIND = "segments"

Entry = tuple[str, ...]
"""The columns that a segmentation crosses."""


class Crowded(Exception):
    """More new segments came than there is room for, so their rows must be counted before names are given."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry)
        self.entry = entry


def other_of(entry: Entry) -> str:
    """The segment of an entry's rows whose own segment has no name.

    >>> other_of(("region", "plan"))
    'region=(other) & plan=(other)'
    """
    return " & ".join(f"{column}={OTHER}" for column in entry)


class SegmentNames:
    """The names of each entry, in the order in which they were given.

    >>> names = SegmentNames([("plan",)], most=2)
    >>> names.of(("plan",), "plan=a"), names.of(("plan",), "plan=b")
    ('plan=a', 'plan=b')
    >>> names.settle(("plan",), {"plan=a": 5, "plan=b": 7, "plan=c": 9})
    >>> names.of(("plan",), "plan=a"), names.of(("plan",), "plan=c")
    ('plan=(other)', 'plan=c')
    """

    def __init__(
        self, entries: Iterable[Entry], *, most: int, known: Mapping[Entry, Sequence[str]] | None = None
    ) -> None:
        self._most = most
        self._names: dict[Entry, dict[str, None]] = {
            e: dict.fromkeys((known or {}).get(e, ())[:most]) for e in entries
        }
        self._kept = {e: len(names) for e, names in self._names.items()}
        """How many names of each entry are certain; those after them were given as rows came by."""

    def of(self, entry: Entry, label: str) -> str:
        """The name under which *label* is measured.

        Raises
        ------
        Crowded
            there is no room for it, and names were given in the order in which rows came by: see `settle`.
        """
        names = self._names[entry]
        if label in names:
            return label
        if len(names) < self._most:
            names[label] = None
            return label
        if len(names) > self._kept[entry]:
            raise Crowded(entry)
        return other_of(entry)

    def settle(self, entry: Entry, rows: Mapping[str, int]) -> None:
        """Give the names that are left to the largest of *rows* (label -> how many)."""
        certain = list(self._names[entry])[: self._kept[entry]]
        fresh = sorted((label for label in rows if label not in certain), key=lambda n: (-rows[n], n))
        self._names[entry] = dict.fromkeys([*certain, *fresh][: self._most])
        self._kept[entry] = len(self._names[entry])

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
