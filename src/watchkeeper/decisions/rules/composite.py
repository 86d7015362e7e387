"""Composite: rules joined by and, or, not. What cannot be told stays untold (Kleene's three values).

*a and b* is at most as often wrong as the better of the two; *a or b* shares the one budget that both have
already, so neither needs a share of its own. *not a* promises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from watchkeeper.decisions.rules.condition import Context
from watchkeeper.domain.rule import NO_GUARANTEE, Evaluation, Reads, Rule
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput

_TOKEN = re.compile(r"\s*(\(|\)|[A-Za-z0-9_.-]+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """An expression over the names of other rules of the model.

    >>> Composite(when="drift and (slow or not labelled)").names
    ('drift', 'slow', 'labelled')
    """

    kind: ClassVar[str] = "composite"
    needs_measure: ClassVar[bool] = False
    reads: ClassVar[Reads] = "rules"

    when: str
    _tree: Any = field(init=False, repr=False, compare=False)

    may_page: ClassVar[bool] = False
    guarantee: ClassVar[str] = "that of the rules that it joins"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", _parse(self.when))

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that it joins, in order."""
        found: dict[str, None] = {}
        _walk(self._tree, found)
        return tuple(found)

    def evaluate(self, context: Context) -> Evaluation:
        """Judge by the gravest evaluation of each rule; a rule that said nothing is untold."""
        rule, by_rule = context.rule, context.said
        verdict = {True: Verdict.FAIL, False: Verdict.PASS, None: Verdict.INCONCLUSIVE}[
            _value(self._tree, by_rule)
        ]
        parts = [by_rule[name] for name in self.names if name in by_rule]
        failing = [e for e in parts if e.verdict is Verdict.FAIL]
        windows = [e.window for e in parts if e.window is not None]
        since = [e.since for e in failing if e.since is not None]
        if verdict is Verdict.FAIL:
            sentence = f"{self.when}: " + (" ".join(e.sentence for e in failing) or "none of them fails.")
        elif verdict is Verdict.PASS:
            sentence = f"Not ({self.when})."
        else:
            missing = [n for n in self.names if n not in by_rule or by_rule[n].verdict is not Verdict.FAIL]
            sentence = f"{self.when} cannot be told: {', '.join(missing)} cannot."
        backed = [e.guarantee for e in failing if not e.guarantee.startswith(NO_GUARANTEE)]
        promises = (
            (backed[:1] if _is_and(self._tree) else backed)
            if len(backed) == len(failing) or _is_and(self._tree)
            else []
        )
        return Evaluation(
            rule=rule.name,
            model=context.model,
            verdict=verdict,
            sentence=sentence,
            window=max(windows, default=None),
            since=max(since, default=None),
            rows=min((e.rows for e in failing), default=0),
            guarantee="; ".join(dict.fromkeys(promises)) or NO_GUARANTEE,
            assumption=next((e.assumption for e in failing if e.assumption), ""),
            details={"joined": {name: by_rule[name].verdict.value for name in self.names if name in by_rule}},
        )


def in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Those of *rules* that join others, each after those that it joins.

    Raises
    ------
    BadInput
        they join each other in a circle.
    """
    left = {r.name: r.condition.names for r in rules if isinstance(r.condition, Composite)}
    out: list[str] = []
    while left:
        ready = [name for name, names in left.items() if not any(n in left for n in names)]
        if not ready:
            raise BadInput("Composite rules join each other in a circle.")
        out += ready
        for name in ready:
            del left[name]
    by_name = {r.name: r for r in rules}
    return [by_name[name] for name in out]


def joined(rule: Rule, rules: Iterable[Rule]) -> frozenset[str]:
    """The names of the rules that must be evaluated for *rule*: itself, and all that it joins."""
    by_name = {r.name: r for r in rules}
    found: set[str] = set()
    left = [rule.name]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            condition = by_name[name].condition if name in by_name else None
            left += condition.names if isinstance(condition, Composite) else ()
    return frozenset(found)


def _parse(text: str) -> Any:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise BadInput(
                f"The expression {text!r} cannot be read at position {at + 1}.",
                'Join names of rules: "drift and (slow or not labelled)".',
            )
        tokens.append(found[1])
        at = found.end()
    tree, rest = _either(tokens, text)
    if rest:
        raise BadInput(f"The expression {text!r} has {rest[0]!r} where and, or, or its end should be.")
    return tree


def _either(tokens: list[str], text: str) -> tuple[Any, list[str]]:
    left, tokens = _both(tokens, text)
    while tokens and tokens[0] == "or":
        right, tokens = _both(tokens[1:], text)
        left = ("or", left, right)
    return left, tokens


def _both(tokens: list[str], text: str) -> tuple[Any, list[str]]:
    left, tokens = _one(tokens, text)
    while tokens and tokens[0] == "and":
        right, tokens = _one(tokens[1:], text)
        left = ("and", left, right)
    return left, tokens


def _one(tokens: list[str], text: str) -> tuple[Any, list[str]]:
    if not tokens or tokens[0] in (")", "and", "or"):
        what = repr(tokens[0]) if tokens else "its end"
        raise BadInput(f"The expression {text!r} has {what} where a rule's name should be.")
    head, rest = tokens[0], tokens[1:]
    if head == "not":
        inner, rest = _one(rest, text)
        return ("not", inner), rest
    if head == "(":
        inner, rest = _either(rest, text)
        if not rest or rest[0] != ")":
            raise BadInput(f"The expression {text!r} has a bracket that is not closed.")
        return inner, rest[1:]
    return head, rest


def _walk(tree: Any, found: dict[str, None]) -> None:
    if isinstance(tree, str):
        found[tree] = None
        return
    for part in tree[1:]:
        _walk(part, found)


def _value(tree: Any, by_rule: Mapping[str, Evaluation]) -> bool | None:
    if isinstance(tree, str):
        verdict = by_rule[tree].verdict if tree in by_rule else None
        return True if verdict is Verdict.FAIL else False if verdict is Verdict.PASS else None
    if tree[0] == "not":
        inner = _value(tree[1], by_rule)
        return None if inner is None else not inner
    left, right = _value(tree[1], by_rule), _value(tree[2], by_rule)
    decisive = tree[0] == "or"
    if left is decisive or right is decisive:
        return decisive
    return None if left is None or right is None else not decisive


def _is_and(tree: Any) -> bool:
    return isinstance(tree, tuple) and tree[0] == "and"
