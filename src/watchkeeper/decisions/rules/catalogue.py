"""Every kind of rule by name, and rules as people write them: one table a kind, made from what its condition takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from watchkeeper.decisions.rules.absence import Absence
from watchkeeper.decisions.rules.anomaly import Anomaly
from watchkeeper.decisions.rules.break_rule import Break
from watchkeeper.decisions.rules.broken_now import BrokenNow
from watchkeeper.decisions.rules.composite import Composite
from watchkeeper.decisions.rules.detector import ChangeDetector
from watchkeeper.decisions.rules.effect_and_evidence import EffectAndEvidence
from watchkeeper.decisions.rules.ever import Ever
from watchkeeper.decisions.rules.predictive import Predictive
from watchkeeper.decisions.rules.threshold import Threshold
from watchkeeper.decisions.tables import Duration, Table, Texts, attribute_docs, fault_of, read
from watchkeeper.domain.rule import OUTSIDE, Rule, Selector, Severity
from watchkeeper.errors import BadInput, nearest

KINDS: dict[str, Any] = {
    condition.kind: condition
    for condition in (
        Threshold,
        EffectAndEvidence,
        BrokenNow,
        Break,
        Anomaly,
        Predictive,
        Ever,
        ChangeDetector,
        Absence,
        Composite,
    )
}


class RuleTable(Table):
    """What every rule may say, whatever its kind."""

    name: str
    """Its name, which alerts carry."""
    measure: str = ""
    """The measure that it reads; see `watchkeeper measures`. One that you send in is called `outside.NAME`."""
    columns: Texts = Field(default=("*",), min_length=1)
    """Columns, by glob."""
    segments: Texts = Field(default=("",), min_length=1)
    """Segments, by glob; by default all rows together."""
    versions: Texts = Field(default=("",), min_length=1)
    """Versions of the model, by glob; by default all together."""
    severity: Severity | None = None
    """Not set: warning where the rule promises something about false alarms, else notice."""
    hold: Duration = Field(default=timedelta(0), alias="for")
    """How long it must fail before the alert fires."""
    keep_firing_for: Duration = timedelta(0)
    """How long after the last failing window the alert goes on."""
    resolve_after: int = Field(default=1, ge=1)
    """How many good windows in a row end the alert; windows whose outcomes still arrive do not count."""
    labels: dict[str, str] = Field(default_factory=dict)
    """For routing: team, ..."""
    about: str = ""
    """One sentence for whoever is woken by it."""
    runbook: str = ""
    """The runbook's name or address."""
    enabled: bool = True
    """False switches the rule off; of a default rule, its name and this are enough."""

    @field_validator("measure")
    @classmethod
    def _measure_exists(cls, name: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("measures")
        if name and known is not None and name not in known and not name.startswith(OUTSIDE):
            raise fault_of(BadInput(f"there is no measure {name!r}.{nearest(name, known)}"))
        return name

    @model_validator(mode="after")
    def _can_be_used(self) -> RuleTable:
        try:
            rule = self.rule()
            if rule.condition.needs_measure and not self.measure:
                raise BadInput("The rule needs a measure.", 'Say measure = "psi"; see watchkeeper measures.')
            if hasattr(rule.condition, "check"):
                rule.condition.check(rule.selector)
        except BadInput as cause:
            raise fault_of(cause) from None
        return self

    def _condition(self) -> Any:
        made = KINDS[self.kind]  # type: ignore[attr-defined]
        return made(**{f.name: getattr(self, f.name) for f in fields(made) if f.init})

    def rule(self) -> Rule:
        """The domain's word for it.

        Raises
        ------
        BadInput
            its levels contradict each other.
        """
        condition = self._condition()
        return Rule(
            name=self.name,
            kind=condition.kind,
            condition=condition,
            selector=Selector(
                measure=self.measure, subjects=self.columns, segments=self.segments, versions=self.versions
            ),
            severity=self.severity or (Severity.WARNING if condition.may_page else Severity.NOTICE),
            hold=self.hold,
            keep_firing_for=self.keep_firing_for,
            resolve_after=self.resolve_after,
            labels=self.labels,
            about=self.about,
            runbook=self.runbook,
        )


class OffTable(BaseModel):
    """A rule that is switched off: its name is enough, what else it says stands for later."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """The rule's name."""
    enabled: Literal[False]
    """Switched off."""


def _table_of(kind: str, condition: Any) -> type[RuleTable]:
    """The table of one kind of rule, made from its condition: what a condition takes is written once."""
    hints, docs = get_type_hints(condition), attribute_docs(condition)
    given: dict[str, Any] = {"kind": (Literal[kind], Field(default=kind))}
    for f in fields(condition):
        if f.init:
            hint = hints[f.name]
            hint = Duration if hint is timedelta else hint
            strict = None if hint is Duration or get_origin(hint) is Literal else True
            default: Any = ... if f.default is MISSING else f.default
            if f.default_factory is not MISSING:
                default = f.default_factory()
            given[f.name] = (
                hint,
                Field(default=default, description=docs.get(f.name), strict=strict),
            )
    about = inspect.cleandoc(condition.__doc__).split("\n\n")[0]
    return create_model(f"{condition.__name__}Rule", __base__=RuleTable, __doc__=about, **given)


TABLES: dict[str, type[RuleTable]] = {kind: _table_of(kind, made) for kind, made in KINDS.items()}


def _known_kind(raw: Any) -> Any:
    kind = raw.get("kind", "threshold") if isinstance(raw, Mapping) else None
    if isinstance(raw, Mapping) and not (isinstance(kind, str) and kind in KINDS):
        hint = nearest(str(kind), KINDS)
        raise fault_of(BadInput(f"There is no kind of rule {kind!r}.{hint}", f"Known: {', '.join(KINDS)}."))
    return raw


def _tag(raw: Any) -> str:
    """Which table a rule is."""
    if isinstance(raw, Mapping):
        if raw.get("enabled") is False:
            return "off-table"
        return f"{raw.get('kind', 'threshold')}-table"
    return f"{getattr(raw, 'kind', 'off')}-table"


if TYPE_CHECKING:
    AnyRuleTable = RuleTable | OffTable
else:
    AnyRuleTable = Annotated[
        Union[
            (
                *(Annotated[t, Tag(f"{k}-table")] for k, t in TABLES.items()),
                Annotated[OffTable, Tag("off-table")],
            )
        ],
        Discriminator(_tag),
        BeforeValidator(_known_kind),
    ]
    """A rule of any kind, told apart by its ``kind``."""


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
    known = None if measures is None else frozenset(measures)
    table: Any = read(AnyRuleTable, raw, f"The rule {raw.get('name', '')!r}", context={"measures": known})
    if isinstance(table, OffTable):
        raise BadInput(f"The rule {table.name!r} is switched off.", "Take enabled = false out.")
    return table.rule()


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse rules that cannot stand together.

    Raises
    ------
    BadInput
        two of one name; a composite rule that joins a rule that does not exist, or itself, however far around.
    """
    for _, fault in rule_faults(rules):
        raise fault


def rule_faults(rules: Sequence[Rule]) -> Iterator[tuple[str, BadInput]]:
    """The names of rules that cannot stand beside the others, and why."""
    by_name: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in by_name:
            yield rule.name, BadInput(f"Two rules are called {rule.name!r}.", "Give each its own name.")
            return
        by_name[rule.name] = rule
    joins = {r.name: r.condition.names for r in rules if isinstance(r.condition, Composite)}
    for name, parts in joins.items():
        for part in parts:
            if part not in by_name:
                what = f"The rule {name!r} joins {part!r}, which is no rule.{nearest(part, by_name)}"
                yield name, BadInput(what)
    for name in joins:
        try:
            _walk(name, joins, ())
        except BadInput as circle:
            yield name, circle
            return


def _walk(name: str, joins: Mapping[str, Sequence[str]], path: tuple[str, ...]) -> None:
    if name in path:
        around = " -> ".join((*path[path.index(name) :], name))
        raise BadInput(f"These rules join each other in a circle: {around}.", "Take one of them out.")
    for part in joins.get(name, ()):
        _walk(part, joins, (*path, name))
