"""Unit tests of rules: made-up series in, the state that the alert must have out; as promtool does for Prometheus.

::

    [[rule]]
    name = "psi high"
    measure = "psi"
    above = 0.2
    for = "2d"

    [[test]]
    name = "fires on the third bad day"
    rule = "psi high"
    every = "1d"
    series = [{ column = "age", values = "0.05x3 0.3x3" }]
    expect = [{ window = 6, state = "pending" }, { window = 7, state = "firing" }]

Values are written as promtool writes them: ``a+bxn`` is a, a+b, ... (n+1 values), ``axn`` is a, n+1 times, ``_`` is a
window that could not be measured, ``_xn`` n of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watchkeeper.decisions.alerting.replay import Step, walk
from watchkeeper.decisions.rules.catalogue import check_rules, parse_rule
from watchkeeper.decisions.rules.series import Point
from watchkeeper.domain.alert import AlertState
from watchkeeper.domain.duration import duration_of
from watchkeeper.domain.measurement import Measure
from watchkeeper.domain.rule import Rule
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, nearest

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"({_NUMBER})(?:([-+](?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))?(?:x(\d+))?")
_GAP = re.compile(r"_(?:x(\d+))?")
_TEST = ("name", "rule", "every", "start", "rows", "half_width", "series", "expect")
_SERIES = ("column", "segment", "version", "values", "rows", "half_width")
_EXPECT = ("window", "state", "column", "segment", "version", "says")


@dataclass(frozen=True, slots=True)
class Checked:
    """One expectation, and whether it held."""

    test: str
    ok: bool
    sentence: str


def expand(text: str) -> list[float | None]:
    """Read a series.

    Raises
    ------
    BadInput
        a term cannot be read.

    >>> expand("0.1x2 1+2x2 _ 5")
    [0.1, 0.1, 0.1, 1.0, 3.0, 5.0, None, 5.0]
    """
    out: list[float | None] = []
    for term in text.split():
        if gap := _GAP.fullmatch(term):
            out += [None] * int(gap[1] or 1)
            continue
        found = _TERM.fullmatch(term)
        if not found or (found[2] and not found[3]):
            raise BadInput(f"{term!r} is not a value.", 'Write numbers, "0.1x5", "1+0.5x3" or "_" for none.')
        start, by, times = float(found[1]), float(found[2] or 0), int(found[3] or 0)
        out += [start + k * by for k in range(times + 1)]
    return out


def check_file(
    raw: Mapping[str, Any],
    *,
    rules: Sequence[Rule] = (),
    measures: Mapping[str, Measure] | None = None,
) -> list[Checked]:
    """Run all tests of a file that was read; *rules* are those that it may name without writing them itself.

    Raises
    ------
    BadInput
        the file cannot be used; the test and the key are named.
    """
    for key in raw:
        if key not in ("rule", "test"):
            raise BadInput(
                f"A file of rule tests has no {key!r}.{nearest(key, ('rule', 'test'))}", "Known: rule, test."
            )
    own = [parse_rule(r) for r in raw.get("rule", ())]
    check_rules(own)
    by_name = {**{r.name: r for r in rules}, **{r.name: r for r in own}}
    if not raw.get("test"):
        raise BadInput("There is no test in this file.", "Write one as [[test]].")
    return [
        checked for n, test in enumerate(raw["test"], 1) for checked in _run(test, n, by_name, measures or {})
    ]


def _run(
    test: Mapping[str, Any], n: int, rules: Mapping[str, Rule], measures: Mapping[str, Measure]
) -> list[Checked]:
    name = str(test.get("name") or f"test {n}")
    _keys(test, _TEST, f"The test {name!r}")
    rule = rules.get(str(test.get("rule", "")))
    if rule is None:
        wanted = str(test.get("rule", ""))
        raise BadInput(
            f"The test {name!r} names the rule {wanted!r}, which is not here.{nearest(wanted, rules)}"
        )
    every = duration_of(test.get("every", "1d"))
    start = test.get("start", "2026-01-01")
    begin = start if isinstance(start, datetime) else datetime.fromisoformat(str(start))
    begin = begin.replace(tzinfo=UTC) if begin.tzinfo is None else begin
    walks: dict[tuple[str, str, str], list[Step]] = {}
    for series in test.get("series", ()):
        _keys(series, _SERIES, f"A series of the test {name!r}")
        given = series.get("values", "")
        values = expand(given) if isinstance(given, str) else [None if v is None else float(v) for v in given]
        half = series.get("half_width", test.get("half_width"))
        rows = float(series.get("rows", test.get("rows", 1000)))
        points = [
            Point(
                Window(begin + k * every, begin + (k + 1) * every),
                v,
                rows,
                None if half is None or v is None else v - half,
                None if half is None or v is None else v + half,
                reason="" if v is not None else "made up to be missing",
            )
            for k, v in enumerate(values)
        ]
        place = (
            str(series.get("column", "")),
            str(series.get("segment", "")),
            str(series.get("version", "")),
        )
        measure = rule.selector.measure
        if not rule.selector.takes(measure, *place):
            raise BadInput(
                f"A series of the test {name!r} is not one that the rule {rule.name!r} watches: {place}."
            )
        walks[place] = list(
            walk(rule, (measure, *place), points, model="test", described=measures.get(measure))
        )
    if not walks or not test.get("expect"):
        raise BadInput(f"The test {name!r} needs series, and what to expect.")
    return [_expected(e, name, walks) for e in test["expect"]]


def _expected(
    expect: Mapping[str, Any], name: str, walks: Mapping[tuple[str, str, str], Sequence[Step]]
) -> Checked:
    _keys(expect, _EXPECT, f"An expectation of the test {name!r}")
    if len(walks) == 1 and not any(k in expect for k in ("column", "segment", "version")):
        place = next(iter(walks))
    else:
        place = tuple(str(expect.get(k, "")) for k in ("column", "segment", "version"))  # type: ignore[assignment]
    if place not in walks:
        raise BadInput(f"An expectation of the test {name!r} is about a series that is not there: {place}.")
    states = [s.value for s in AlertState]
    wanted, window = str(expect.get("state", "")), int(expect.get("window", 0))
    if wanted not in states:
        raise BadInput(
            f"An expectation of the test {name!r} has the state {wanted!r}.{nearest(wanted, states)}",
            f"Known: {', '.join(states)}.",
        )
    steps = walks[place]
    if not 1 <= window <= len(steps):
        raise BadInput(
            f"An expectation of the test {name!r} is about window {window}, and there are {len(steps)}."
        )
    step = steps[window - 1]
    says = str(expect.get("says", ""))
    ok = step.state == wanted and says in step.evaluation.sentence
    found = f"window {window}: {step.state}" + (f", expected {wanted}" if step.state != wanted else "")
    return Checked(name, ok, f"{found} ({step.evaluation.verdict.value}: {step.evaluation.sentence})")


def _keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise BadInput(f"{where} has no key {key!r}.{nearest(key, known)}", f"Known: {', '.join(known)}.")
