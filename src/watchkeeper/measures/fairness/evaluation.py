"""All measures that compare the groups of one window, in one call."""

from __future__ import annotations

from collections.abc import Iterable

from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.schema import Task
from watchkeeper.errors import NotFound, nearest
from watchkeeper.measures.fairness.catalogue import CATALOGUE
from watchkeeper.measures.groups import Groups


def measure_fairness(
    groups: Groups,
    *,
    task: Task | None,
    positive: str | None = None,
    threshold: float = 0.5,
    names: Iterable[str] | None = None,
    level: float = 0.95,
) -> list[Measurement]:
    """Compare the groups of a binary model's window; nothing is said of other tasks, or of a single group.

    Raises
    ------
    NotFound
        a name is not a measure of this room.

    >>> measure_fairness(Groups(axis="sex", profiles={}), task=Task.BINARY)
    []
    """
    known = {e.name: e for e in CATALOGUE}
    for name in names or ():
        if name not in known:
            raise NotFound(f"There is no fairness measure {name!r}.{nearest(name, known)}")
    if task is not Task.BINARY or len(groups.profiles) < 2:
        return []
    wanted = CATALOGUE if names is None else [known[n] for n in names]
    return [e.function(groups, threshold=threshold, positive=positive, level=level) for e in wanted]
