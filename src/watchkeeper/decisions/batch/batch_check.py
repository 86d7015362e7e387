"""Judge one batch against its baseline: from measurements to findings, ranked by what matters.

A finding fails only on an effect that matters *and* evidence that it is real:

1. *Effect.* The measured distance, less what sampling alone gives on average when nothing moved
   (``details["expected"]`` of the measurement), reaches the level of the check.
2. *Evidence.* The p-value of the measurement survives the Benjamini-Hochberg procedure over all subjects of
   the same check, so that among the columns called drifted at most a share ``false_discovery_rate`` is wrong
   on average. Where a measure has no p-value, the value must lie beyond its own margin.

Where sampling alone can reach the level, the effect must reach it beyond that noise; and with fewer than
`FEW_ROWS` rows on a side nothing is called drifted. Otherwise it passes if an effect that matters would have been
seen: the margin (what sampling alone can give) lies below the level. A batch too small for that is *inconclusive*,
never drifted and never healthy.

References
----------
Y. Benjamini, Y. Hochberg, *Controlling the False Discovery Rate*, JRSS B 57(1), 1995.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot

from watchkeeper.domain.finding import Finding
from watchkeeper.domain.measurement import Direction, Family, Measure, Measurement
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, nearest
from watchkeeper.stats.multiplicity import benjamini_hochberg

FEW_ROWS = 30
"""With fewer rows on either side nothing is called drifted: what noise gives is itself known too roughly."""
UNNAMED = 0.5
"""From this share of rows in categories that are not counted by name, no change seen is not no change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One level for one measure.

    Parameters
    ----------
    measure : the measure's name in its catalogue.
    fail_at : the effect that matters, in the measure's unit (for a change: the size of the change).
    compares : ``"value"`` judges the measurement itself (a distance, a count of violations);
        ``"change"`` judges the current value against the baseline's, in the direction that is worse;
        ``"either"`` the same in both directions.
    relative : for a change, ``fail_at`` is a share of the baseline's value.
    """

    measure: str
    family: Family
    fail_at: float
    compares: str = "value"
    relative: bool = False


def _drift(measure: str, fail_at: float) -> Check:
    return Check(measure=measure, family=Family.DRIFT, fail_at=fail_at)


def _quality(measure: str, fail_at: float, compares: str = "value") -> Check:
    return Check(measure=measure, family=Family.QUALITY, fail_at=fail_at, compares=compares)


def _performance(measure: str, fail_at: float, *, relative: bool = False) -> Check:
    return Check(
        measure=measure, family=Family.PERFORMANCE, fail_at=fail_at, compares="change", relative=relative
    )


DEFAULT_CHECKS: tuple[Check, ...] = (
    _drift("psi", 0.1),
    _drift("missing_drift", 0.05),
    _drift("mean_distance", 0.2),
    # An area under the curve of 0.6: what is judged is the effect beyond the 0.5 of guessing.
    _drift("domain_classifier", 0.1),
    _quality("infinite", 0.0),
    _quality("type_changed", 0.0),
    _quality("missing_column", 0.0),
    _quality("extra_column", 0.0),
    _quality("new_categories", 0.01),
    _quality("vanished_categories", 0.05),
    _quality("out_of_range", 0.01),
    _quality("far_dates", 0.0),
    _quality("impossible_scores", 0.0),
    _quality("duplicate_ids", 0.0),
    _quality("became_constant", 0.0),
    _quality("misfits", 0.0),
    _quality("expectation", 0.0),
    _performance("roc_auc", 0.02),
    _performance("brier", 0.01),
    _performance("log_loss", 0.1, relative=True),
    _performance("accuracy", 0.02),
    _performance("f1_macro", 0.03),
    _performance("rmse", 0.1, relative=True),
    _performance("mae", 0.1, relative=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlan:
    """Which checks run, at which levels, with exceptions by column.

    An exception for one column changes that column only: all others keep their levels.

    >>> plan = CheckPlan.of({"psi": 0.2, "psi:age": 0.5})
    >>> plan.level("psi", "income"), plan.level("psi", "age"), plan.level("missing_drift", "age")
    (0.2, 0.5, 0.05)
    """

    checks: Mapping[str, Check] = field(default_factory=lambda: {c.measure: c for c in DEFAULT_CHECKS})
    exceptions: Mapping[tuple[str, str], float] = field(default_factory=dict)
    false_discovery_rate: float = 0.05

    @classmethod
    def of(
        cls,
        levels: Mapping[str, float | None] | None = None,
        *,
        known: Mapping[str, Measure] | None = None,
        false_discovery_rate: float = 0.05,
    ) -> CheckPlan:
        """The default plan with *levels* put in: ``{"psi": 0.2}``, ``{"psi:age": 0.5}``, ``{"psi": None}`` for off.

        *known* are the measures that exist; one that has no default check joins at the given level.

        Raises
        ------
        BadInput
            a measure is not known, or a level is not a number of at least zero.
        """
        if not 0 < false_discovery_rate < 1:
            raise BadInput(f"The false discovery rate must lie between 0 and 1, not {false_discovery_rate}.")
        checks = {c.measure: c for c in DEFAULT_CHECKS}
        exceptions: dict[tuple[str, str], float] = {}
        for key, level in (levels or {}).items():
            measure, _, subject = key.partition(":")
            if measure not in checks and measure not in (known or {}):
                names = sorted({*checks, *(known or {})})
                raise BadInput(
                    f"There is no check {measure!r} of a batch.{nearest(measure, names)}",
                    "All of them:  watchkeeper measures",
                )
            if level is None and not subject:
                checks.pop(measure, None)
                continue
            if level is None:
                exceptions[measure, subject] = float("inf")
                continue
            try:
                number = float(level)
            except (TypeError, ValueError):
                number = -1.0
            if not number >= 0:
                raise BadInput(f"The level of check {key!r} must be a number of at least 0, not {level!r}.")
            if subject:
                exceptions[measure, subject] = number
            if measure in checks:
                checks[measure] = checks[measure] if subject else replace(checks[measure], fail_at=number)
            else:
                described = (known or {})[measure]
                checks[measure] = Check(
                    measure=measure,
                    family=described.family,
                    fail_at=float("inf") if subject else number,
                    compares="change" if described.family is Family.PERFORMANCE else "value",
                )
        return cls(checks=checks, exceptions=exceptions, false_discovery_rate=false_discovery_rate)

    def level(self, measure: str, subject: str) -> float:
        """The level of one check for one column."""
        return self.exceptions.get((measure, subject), self.checks[measure].fail_at)


def judge_batch(
    current: Iterable[Measurement],
    baseline: Iterable[Measurement] = (),
    *,
    plan: CheckPlan,
    described: Mapping[str, Measure],
) -> list[Finding]:
    """Judge the *current* batch's measurements; *baseline* holds the same measures of the baseline's rows.

    Returns one finding for each measurement that a check of *plan* reads, gravest first.
    """
    before = {(m.measure, m.subject, m.segment): m for m in baseline}
    by_measure: dict[str, list[Measurement]] = {}
    for m in current:
        if m.measure in plan.checks:
            by_measure.setdefault(m.measure, []).append(m)
    findings: list[Finding] = []
    for name, group in by_measure.items():
        check, measure = plan.checks[name], described.get(name)
        if check.compares == "value":
            findings.extend(_judge_values(check, measure, group, plan))
        else:
            findings.extend(
                _judge_change(check, measure, m, before.get((m.measure, m.subject, m.segment)), plan)
                for m in group
            )
    order = list(Verdict)
    return sorted(findings, key=lambda f: (-order.index(f.verdict), -f.weight, f.subject, f.measure))


def _judge_values(
    check: Check, measure: Measure | None, group: Sequence[Measurement], plan: CheckPlan
) -> list[Finding]:
    tested = [m for m in group if m.value is not None and m.p_value is not None]
    q_values = dict(
        zip(
            (id(m) for m in tested),
            (float(q) for q in benjamini_hochberg([m.p_value for m in tested])) if tested else (),
        )
    )
    return [_judge_value(check, measure, m, q_values.get(id(m)), plan) for m in group]


def _judge_value(
    check: Check, measure: Measure | None, m: Measurement, q_value: float | None, plan: CheckPlan
) -> Finding:
    level = plan.level(check.measure, m.subject)
    title = measure.title if measure else check.measure
    if m.value is None:
        return Finding.of(
            m,
            family=check.family,
            verdict=Verdict.ERROR if m.details.get("failed") else Verdict.INCONCLUSIVE,
            sentence=f"{title} could not be measured: {_clause(m.reason)}.",
            fail_at=level,
        )
    expected = float(m.details.get("expected", 0.0))
    effect = max(0.0, m.value - expected)
    matters = effect > level if level == 0 else effect >= level
    if q_value is not None:
        real = q_value <= plan.false_discovery_rate
    elif m.margin is not None:
        real = m.value > m.margin
    else:
        real = True
    blind = m.margin is not None and level > 0 and m.margin - expected >= level
    weight = effect / level if level > 0 else (1.0 + effect if effect > 0 else 0.0)
    few = (
        check.family is Family.DRIFT
        and min(m.rows, m.rows if m.baseline_rows is None else m.baseline_rows) < FEW_ROWS
    )
    if blind and m.margin is not None:
        # Where noise alone can reach the level, the effect must matter beyond that noise.
        real = real and m.value - m.margin >= level
    if matters and real and not few:
        verdict = Verdict.FAIL
    elif few or blind or _unnamed(m) >= UNNAMED or _is_close(m, level):
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    return Finding.of(
        m,
        family=check.family,
        verdict=verdict,
        sentence=_value_sentence(title, measure, m, level, verdict),
        weight=weight if verdict is Verdict.FAIL else min(weight, 0.999),
        fail_at=level,
        q_value=q_value,
    )


def _is_close(m: Measurement, level: float) -> bool:
    """Whether a change beyond noise lies so near the level that noise alone decides on which side it falls."""
    if m.value is None or m.margin is None or level <= 0 or m.value <= m.margin:
        return False
    noise = m.margin - float(m.details.get("expected", 0.0))
    return abs(m.value - float(m.details.get("expected", 0.0)) - level) <= noise


def _unnamed(m: Measurement) -> float:
    """Share of the rows whose categories were not counted by name."""
    return float(m.details.get("unnamed", 0.0))


def _value_sentence(
    title: str, measure: Measure | None, m: Measurement, level: float, verdict: Verdict
) -> str:
    said = m.details.get("sentence")
    if said:
        return str(said)
    show = _amount if measure is not None and measure.unit.startswith("share") else _number
    if not m.value and (level == 0 or (measure is not None and measure.family is Family.QUALITY)):
        return f"{title}: none."
    value = show(m.value)
    noise = "" if m.margin is None else f" (sampling alone can give {show(m.margin)})"
    if verdict is Verdict.FAIL:
        against = f", at or above the level of {show(level)}" if level else ", and none is expected"
        return f"{title} is {value}{against}{noise}."
    if verdict is Verdict.INCONCLUSIVE and _unnamed(m) >= UNNAMED:
        return (
            f"It has too many categories to count each by name: {_amount(_unnamed(m))} of the rows fall into one "
            "bin of all others, and a change among those would not be seen. As a text or an id it is measured better."
        )
    if verdict is Verdict.INCONCLUSIVE:
        sides = f"{_rows(m.rows)} here"
        if m.baseline_rows is not None:
            sides += f" and {_rows(m.baseline_rows)} in the baseline"
        if _is_close(m, level):
            return f"{title} is {value}, too close to the level of {show(level)} to call{noise}."
        if m.margin is None or m.margin < level:
            return f"Too few rows to tell: with {sides} nothing is called drifted."
        return f"Too few rows to tell: with {sides}, sampling alone can give {show(m.margin)}, and {show(level)} would matter."
    return f"{title} is {value}, below the level of {show(level)}{noise}."


def _judge_change(
    check: Check, measure: Measure | None, m: Measurement, before: Measurement | None, plan: CheckPlan
) -> Finding:
    title = measure.title if measure else check.measure
    level = plan.level(check.measure, m.subject)
    if m.value is None or before is None or before.value is None:
        reason = m.reason if m.value is None else (before.reason if before else "the baseline has no value")
        return Finding.of(
            m,
            family=check.family,
            verdict=Verdict.INCONCLUSIVE,
            sentence=f"The change of {title} could not be measured: {_clause(reason)}.",
            fail_at=level,
        )
    scale = abs(before.value) if check.relative else 1.0
    needed = level * scale
    change = m.value - before.value
    direction = measure.direction if measure else Direction.HIGHER_IS_WORSE
    if check.compares == "either" or direction is Direction.NEITHER:
        worse = abs(change)
    elif direction is Direction.LOWER_IS_WORSE:
        worse = -change
    else:
        worse = change
    if check.compares == "either" or direction is Direction.NEITHER:
        half = _chance(m, before, rises=change > 0)
    else:
        half = _chance(m, before, rises=direction is Direction.HIGHER_IS_WORSE)
    if worse >= needed and worse > half:
        verdict = Verdict.FAIL
    elif half >= needed > 0:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    way = "stayed at" if change == 0 else "rose" if change > 0 else "fell"
    gone = (
        f"{title} {way} {_number(m.value)}"
        if change == 0
        else f"{title} {way} from {_number(before.value)} to {_number(m.value)}"
    )
    size = f"{_number(level * 100)}%" if check.relative else _number(level)
    if verdict is Verdict.FAIL:
        sentence = f"{gone}. A change of {size} would matter; chance alone explains up to {_rough(half)}."
    elif verdict is Verdict.INCONCLUSIVE:
        sentence = (
            f"{gone}. With {_rows(m.rows)}, chance alone explains up to {_rough(half)}, "
            f"so a change that matters ({size}) could not be told."
        )
    elif worse <= 0:
        sentence = f"{gone}, which is no worse."
    elif worse < needed:
        sentence = f"{gone}, less than the {size} that would matter."
    else:
        sentence = f"{gone}, within what chance alone explains ({_rough(half)})."
    weight = worse / needed if needed > 0 else float(worse > 0)
    return Finding.of(
        m,
        family=check.family,
        verdict=verdict,
        sentence=sentence,
        weight=max(0.0, weight if verdict is Verdict.FAIL else min(weight, 0.999)),
        fail_at=level,
        baseline_value=before.value,
    )


def _chance(now: Measurement, before: Measurement, *, rises: bool) -> float:
    """How far chance alone takes the value up or down: the ends of both intervals that lie towards each other (MOVER).

    An interval near 0 or 1 is lopsided, and half its width would claim what one row cannot show.
    """
    return hypot(_reach(now, up=not rises), _reach(before, up=rises))


def _reach(m: Measurement, *, up: bool) -> float:
    """From the value to the upper or lower end of its interval; 0 where it has none."""
    if m.interval is None or m.value is None:
        return 0.0
    return m.interval.high - m.value if up else m.value - m.interval.low


def _clause(reason: str | None) -> str:
    text = (reason or "no reason is known").rstrip(".")
    return text[:1].lower() + text[1:]


def _number(x: float | None) -> str:
    """Three significant digits, without an exponent where a person would not write one.

    >>> _number(0.12345), _number(1234.5), _number(0.00001), _number(0)
    ('0.123', '1,234', '1e-05', '0')
    """
    if x is None:
        return "unknown"
    if abs(x) >= 1000:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def _rough(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.2g}"


def _amount(x: float | None) -> str:
    """A share as a percentage.

    >>> _amount(0.0213), _amount(1.0), _amount(0.000004)
    ('2.1%', '100%', '0.0004%')
    """
    if x is None:
        return "unknown"
    percent = 100 * x
    return f"{percent:.0f}%" if percent >= 99.95 else f"{percent:.2g}%" if percent < 10 else f"{percent:.3g}%"


def _rows(x: float) -> str:
    return f"{x:,.0f} row" if x == 1 else f"{x:,.0f} rows"
