"""Every kind of rule by name, and rules as people write them: a table of plain values, checked key by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any, get_type_hints

from watchkeeper.decisions.rules.absence import Absence
from watchkeeper.decisions.rules.anomaly import Anomaly
from watchkeeper.decisions.rules.break_rule import Break
from watchkeeper.decisions.rules.composite import Composite
from watchkeeper.decisions.rules.effect_and_evidence import EffectAndEvidence
from watchkeeper.decisions.rules.predictive import Predictive
from watchkeeper.decisions.rules.threshold import Threshold
from watchkeeper.domain.duration import duration_of
from watchkeeper.domain.rule import Rule, Selector, Severity
from watchkeeper.errors import BadInput, nearest

KINDS: dict[str, Any] = {
    condition.kind: condition
    for condition in (Threshold, EffectAndEvidence, Break, Anomaly, Predictive, Absence, Composite)
}

_RULE_KEYS = (
    "name",
    "kind",
    "measure",
    "columns",
    "segments",
    "versions",
    "severity",
    "for",
    "keep_firing_for",
    "labels",
    "about",
    "runbook",
    "enabled",
)


def parse_rule(raw: Mapping[str, Any], *, measures: Iterable[str] | None = None) -> Rule:
    """Read one rule.

    *measures* are the names that exist; None does not check them.

    Raises
    ------
    BadInput
        with the key at fault and the nearest one that is known.

    >>> rule = parse_rule({"name": "late", "kind": "threshold", "measure": "psi", "above": 0.2, "for": "2d"})
    >>> rule.severity, rule.hold.days, rule.condition.above
    (<Severity.NOTICE: 'notice'>, 2, 0.2)
    """
    name = raw.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadInput("A rule needs a name.", 'Say name = "psi of age".')
    where = f"The rule {name!r}"
    kind = raw.get("kind", "threshold")
    if kind not in KINDS:
        raise BadInput(
            f"{where}: there is no kind {kind!r}.{nearest(str(kind), KINDS)}", f"Known: {', '.join(KINDS)}."
        )
    made = KINDS[kind]
    options = {f.name: f for f in fields(made) if f.init}
    for key in raw:
        if key not in options and key not in _RULE_KEYS:
            known = (*_RULE_KEYS, *options)
            raise BadInput(f"{where} has no key {key!r}.{nearest(key, known)}", f"Known: {', '.join(known)}.")
    for key, option in options.items():
        if option.default is MISSING and key not in raw:
            raise BadInput(f"{where} needs the key {key!r}.")
    hints = get_type_hints(made)
    try:
        condition = made(**{k: _value(k, hints[k], raw[k]) for k in options if k in raw})
    except BadInput as cause:
        raise BadInput(f"{where}: {cause.what}", *cause.next_steps) from None
    measure = raw.get("measure", "")
    if made.needs_measure and not measure:
        raise BadInput(f"{where} needs a measure.", 'Say measure = "psi"; see watchkeeper measures.')
    if measure and measures is not None and measure not in (known_measures := list(measures)):
        raise BadInput(f"{where}: there is no measure {measure!r}.{nearest(measure, known_measures)}")
    try:
        severity = Severity(raw.get("severity", Severity.WARNING if condition.may_page else Severity.NOTICE))
    except ValueError:
        levels = [s.value for s in Severity]
        raise BadInput(
            f"{where}: there is no severity {raw['severity']!r}.{nearest(str(raw['severity']), levels)}",
            f"Known: {', '.join(levels)}.",
        ) from None
    labels = raw.get("labels", {})
    if not isinstance(labels, Mapping) or not all(isinstance(v, str) for v in labels.values()):
        raise BadInput(f"{where}: labels are a table of texts.", 'Say labels = { team = "risk" }.')
    try:
        return Rule(
            name=name,
            kind=kind,
            condition=condition,
            selector=Selector(
                measure=measure,
                subjects=_texts(raw.get("columns", "*"), "columns"),
                segments=_texts(raw.get("segments", ""), "segments"),
                versions=_texts(raw.get("versions", ""), "versions"),
            ),
            severity=severity,
            hold=duration_of(raw.get("for", timedelta(0))),
            keep_firing_for=duration_of(raw.get("keep_firing_for", timedelta(0))),
            labels=dict(labels),
            about=str(raw.get("about", "")),
            runbook=str(raw.get("runbook", "")),
        )
    except BadInput as cause:
        raise BadInput(f"{where}: {cause.what}", *cause.next_steps) from None


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse rules that cannot stand together.

    Raises
    ------
    BadInput
        two of one name; a composite rule that joins a rule that does not exist, or itself, however far around.
    """
    by_name: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in by_name:
            raise BadInput(f"Two rules are called {rule.name!r}.", "Give each its own name.")
        by_name[rule.name] = rule
    joins = {r.name: r.condition.names for r in rules if isinstance(r.condition, Composite)}
    for name, parts in joins.items():
        for part in parts:
            if part not in by_name:
                raise BadInput(f"The rule {name!r} joins {part!r}, which is no rule.{nearest(part, by_name)}")
    for name in joins:
        _walk(name, joins, ())


def _walk(name: str, joins: Mapping[str, Sequence[str]], path: tuple[str, ...]) -> None:
    if name in path:
        around = " -> ".join((*path[path.index(name) :], name))
        raise BadInput(f"These rules join each other in a circle: {around}.", "Take one of them out.")
    for part in joins.get(name, ()):
        _walk(part, joins, (*path, name))


def _value(key: str, hint: Any, value: Any) -> Any:
    wanted = set(getattr(hint, "__args__", (hint,)))
    if timedelta in wanted:
        return duration_of(value)
    if value is None and type(None) in wanted:
        return None
    if bool in wanted:
        if not isinstance(value, bool):
            raise BadInput(f"{key} is {value!r}, and must be true or false.")
        return value
    if float in wanted or int in wanted:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise BadInput(f"{key} is {value!r}, and must be a number.")
        if float not in wanted and value != int(value):
            raise BadInput(f"{key} is {value!r}, and must be a whole number.")
        return float(value) if float in wanted else int(value)
    if not isinstance(value, str):
        raise BadInput(f"{key} is {value!r}, and must be text.")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and value and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise BadInput(f"{key} is {value!r}, and must be a text or a list of texts.")
