"""A model card: what the model does, on what it was measured, how it does now, and where its limits are.

Markdown with a YAML head in the form that the Hugging Face hub reads (``model-index``), so that one file serves
people and registries. Nothing is written here that was not measured or configured: what is not known says so.

References
----------
M. Mitchell et al., *Model Cards for Model Reporting*, FAT* 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from watchkeeper.domain.measurement import Measure, Measurement
from watchkeeper.domain.schema import Role, Schema, Task
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window

_HUB_TASK = {
    Task.BINARY: "tabular-classification",
    Task.MULTICLASS: "tabular-classification",
    Task.REGRESSION: "tabular-regression",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card is written from. Measurements are of the whole baseline, and of the latest mature window."""

    model: WatchedModel
    schema: Schema
    baseline_name: str
    baseline_rows: float
    baseline: Sequence[Measurement] = ()
    window: Window | None = None
    latest: Sequence[Measurement] = ()
    segments: Sequence[Measurement] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    versions: Sequence[str] = ()
    alarms: Sequence[str] = ()
    """One sentence for each alarm since the baseline, newest first."""
    made_at: datetime | None = None
    watchkeeper: str = ""


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown with its YAML head.

    >>> from watchkeeper.domain.schema import Column, Kind
    >>> schema = Schema(columns=(Column(name="age", kind=Kind.INTEGER),), task=Task.BINARY)
    >>> card = model_card(CardFacts(model=WatchedModel(name="churn"), schema=schema,
    ...                             baseline_name="january", baseline_rows=1000))
    >>> card.splitlines()[0], "# churn" in card
    ('---', True)
    """
    return "\n".join([*_head(facts), *_body(facts)]) + "\n"


def _head(facts: CardFacts) -> list[str]:
    task = facts.model.task or facts.schema.task
    lines = ["---", "tags:", "- watchkeeper"]
    if task is None or not facts.latest or facts.window is None:
        return [*lines, "---", ""]
    lines += [
        "model-index:",
        f"- name: {_quoted(facts.model.name)}",
        "  results:",
        f"  - task: {{type: {_HUB_TASK[task]}}}",
        f"    dataset: {{type: production, name: {_quoted(facts.window.label)}}}",
        "    metrics:",
    ]
    for m in facts.latest:
        if m.value is not None and not m.subject and not m.segment:
            title = facts.measures[m.measure].title if m.measure in facts.measures else m.measure
            lines.append(f"    - {{type: {m.measure}, value: {m.value:.6g}, name: {_quoted(title)}}}")
    return [*lines, "---", ""]


def _body(facts: CardFacts) -> list[str]:
    model, schema = facts.model, facts.schema
    task = model.task or schema.task
    outcome = schema.first(Role.OUTCOME)
    lines = [
        f"# {_plain(model.name)}",
        "",
        f"Written by Watchkeeper {facts.watchkeeper} from what it measured"
        + (f" until {facts.made_at:%Y-%m-%d %H:%M} UTC." if facts.made_at else "."),
        "",
        "## What it does",
        "",
        f"- Task: {task.value if task else 'not known'}"
        + (f", predicting `{_plain(outcome.name)}`" if outcome is not None else ""),
        f"- Owner: {_plain(model.owner) if model.owner else 'not named in watchkeeper.toml'}",
        f"- Versions seen in production: {', '.join(map(_plain, facts.versions)) or 'none yet'}",
        f"- Decision threshold: {model.threshold:g}" if task is Task.BINARY else "",
        "",
        "## What it reads",
        "",
        "| column | kind |",
        "|---|---|",
        *(f"| {_plain(c.name)} | {c.kind.value} |" for c in schema.of_role(Role.FEATURE, Role.SEGMENT)),
        "",
        "## How it does",
        "",
        f"Baseline: {_plain(facts.baseline_name)}, {facts.baseline_rows:,.0f} rows."
        + (f" Latest mature window: {facts.window.label}." if facts.window else " No mature window yet."),
        "",
        *_table(facts),
    ]
    if facts.segments:
        lines += [
            "## By segment",
            "",
            "| segment | measure | value | 95% interval | rows |",
            "|---|---|---:|---|---:|",
            *(
                f"| {_plain(m.segment)} | {_title(facts, m)} | {_value(m)} | {_interval(m)} | {m.rows:,.0f} |"
                for m in facts.segments
            ),
            "",
        ]
    lines += ["## Alarms since the baseline", ""]
    lines += [f"- {_plain(a)}" for a in facts.alarms] or ["None."]
    lines += [
        "",
        "## Limits",
        "",
        "- Numbers hold for rows like those that were measured; segments with few rows have wide intervals.",
        "- Outcomes arrive late and not as a fair sample; a window is judged when it is mature.",
        f"- A window counts as mature with {model.maturity.share:.0%} of its outcomes, or after "
        f"{model.maturity.after.total_seconds() / 86400:g} days.",
    ]
    return [line for line in lines if line is not None]


def _table(facts: CardFacts) -> list[str]:
    before = {m.measure: m for m in facts.baseline if not m.subject and not m.segment}
    after = {m.measure: m for m in facts.latest if not m.subject and not m.segment}
    names = list(dict.fromkeys([*before, *after]))
    if not names:
        return ["Performance has not been measured: no outcomes have arrived.", ""]
    lines = ["| measure | baseline | latest window | 95% interval |", "|---|---:|---:|---|"]
    for name in names:
        new = after.get(name)
        lines.append(
            f"| {_title(facts, before.get(name) or after[name])} | {_value(before.get(name))} | {_value(new)} | {_interval(new)} |"
        )
    return [*lines, ""]


def _title(facts: CardFacts, m: Measurement) -> str:
    return facts.measures[m.measure].title if m.measure in facts.measures else m.measure


def _value(m: Measurement | None) -> str:
    return "–" if m is None or m.value is None else f"{m.value:.4g}"


def _interval(m: Measurement | None) -> str:
    return "–" if m is None or m.interval is None else f"{m.interval.low:.4g} to {m.interval.high:.4g}"


def _plain(text: str) -> str:
    """One line, in which Markdown's own signs and HTML are shown and not obeyed."""
    flat = " ".join(str(text).split())
    for sign in "\\`*_[]|":
        flat = flat.replace(sign, "\\" + sign)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    return json.dumps(str(text), ensure_ascii=False)
