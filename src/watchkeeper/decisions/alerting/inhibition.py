"""Inhibition: while one alert fires, others that follow from it are not told.

Rules that could inhibit themselves, alone or in a circle, are refused when they are read: two alerts that mute
each other are both lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from watchkeeper.decisions.tables import Matchers, Table, Texts
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.silence import Matcher, all_match
from watchkeeper.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """While an alert that matches ``source`` fires, those that match ``target`` and have the same ``equal`` labels
    are muted."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{{{', '.join(map(str, self.source))}}} mutes {{{', '.join(map(str, self.target))}}}"


BUILT_IN = (
    Inhibition(
        source=(Matcher("category", "=~", "no_data|error"),),
        target=(Matcher("category", "=", "rule"),),
        equal=("model",),
    ),
)
"""A source that is broken is told once, not once for each rule that reads it."""


class InhibitionTable(Table):
    """While alerts that match the source fire, those that match the target are muted.

    A target that does not name a category is one of rules: that data or the watching is broken still goes out.
    """

    source: Matchers = Field(min_length=1)
    """Label -> value of the alerts that mute."""
    target: Matchers = Field(min_length=1)
    """Label -> value of the alerts that are muted."""
    equal: Texts = ()
    """Labels that both must share."""

    def inhibition(self) -> Inhibition:
        """The decisions' word for it."""
        target = self.target
        if not any(m.label == "category" for m in target):
            target = (*target, Matcher("category", "=", "rule"))
        return Inhibition(source=self.source, target=target, equal=self.equal)


def check_inhibitions(inhibitions: Sequence[Inhibition]) -> None:
    """Refuse inhibitions that could mute their own source.

    Raises
    ------
    BadInput
        with the circle.

    >>> table = InhibitionTable(source={"rule": "a"}, target={"rule": "~a|b"})
    >>> check_inhibitions([table.inhibition()])
    Traceback (most recent call last):
        ...
    watchkeeper.errors.BadInput: An inhibition could mute its own source: {rule="a"} mutes {rule=~"a|b", category="rule"}.
      Narrow the target so that the source is not in it, such as severity = "warning".
    """
    follows = [
        [j for j, other in enumerate(inhibitions) if _may_overlap(one.target, other.source)]
        for one in inhibitions
    ]
    for start in range(len(inhibitions)):
        _walk(start, follows, (), inhibitions)


def _walk(at: int, follows: list[list[int]], path: tuple[int, ...], rules: Sequence[Inhibition]) -> None:
    if at in path:
        circle = path[path.index(at) :]
        steps = 'Narrow the target so that the source is not in it, such as severity = "warning".'
        if len(circle) == 1:
            raise BadInput(f"An inhibition could mute its own source: {rules[at]}.", steps)
        around = "; ".join(str(rules[i]) for i in circle)
        raise BadInput(f"These inhibitions could mute each other in a circle: {around}.", steps)
    for after in follows[at]:
        _walk(after, follows, (*path, at), rules)


def _may_overlap(left: Sequence[Matcher], right: Sequence[Matcher]) -> bool:
    """Whether some alert could match both: told apart by labels whose possible values are listed."""
    both = (*left, *right)
    for label in {m.label for m in both}:
        mine = [m for m in both if m.label == label]
        listed = [values for m in mine if (values := _values(m)) is not None]
        if listed and not any(all(m.matches({label: v}) for m in mine) for v in set().union(*listed)):
            return False
    return True


def _values(matcher: Matcher) -> set[str] | None:
    """The values that satisfy a matcher, if they can be listed."""
    if matcher.operator == "=":
        return {matcher.value}
    if matcher.operator == "=~" and re.fullmatch(r"[\w\s:/@-]*(\|[\w\s:/@-]*)*", matcher.value):
        return set(matcher.value.split("|"))
    return None


class Inhibitors:
    """The alerts that fire, indexed by what they mute."""

    def __init__(self, inhibitions: Sequence[Inhibition], firing: Iterable[Alert]) -> None:
        self._by_rule: list[tuple[Inhibition, dict[tuple[str, ...], Alert]]] = []
        alerts = [a for a in firing if a.is_firing and not a.retrospective] if inhibitions else []
        for rule in inhibitions:
            found: dict[tuple[str, ...], Alert] = {}
            for alert in alerts:
                if all_match(rule.source, alert.labels):
                    found.setdefault(tuple(alert.labels.get(k, "") for k in rule.equal), alert)
            if found:
                self._by_rule.append((rule, found))

    def source_of(self, alert: Alert) -> Alert | None:
        """The alert that mutes *alert*, if one does."""
        for rule, found in self._by_rule:
            source = found.get(tuple(alert.labels.get(k, "") for k in rule.equal))
            if (
                source is not None
                and source.fingerprint != alert.fingerprint
                and all_match(rule.target, alert.labels)
            ):
                return source
        return None
