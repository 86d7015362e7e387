"""The answer to one comparison: a verdict in words, the findings behind it, and the numbers behind those."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape as xml_escape
from xml.sax.saxutils import quoteattr

from watchkeeper.documents.picture import Picture, figure_html, spark_svg
from watchkeeper.domain.finding import Finding
from watchkeeper.domain.measurement import Family, Measure, Measurement
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, nearest

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "ColumnView",
    "PeerAnswer",
    "PeerColumn",
    "Report",
    "Side",
    "WeakSegment",
    "template_environment",
    "verdict_word",
]

DETAILED_COLUMNS = 120
"""Columns whose details the page itself holds; the JSON report holds all of them."""
MOST_SEGMENTS = 50
MOST_PEER_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Where one side's rows came from, and how many there were."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSegment:
    """A group of rows in which the model does worse: mean loss inside and outside, and what it costs."""

    where: str
    rows: int
    loss: float
    elsewhere: float
    share_of_excess: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "where": self.where,
            "rows": self.rows,
            "loss": self.loss,
            "loss_elsewhere": self.elsewhere,
            "share_of_excess": self.share_of_excess,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerColumn:
    """What a peer's own definition says of one column; ``score=None`` has its ``reason``."""

    name: str
    method: str
    score: float | None
    raw_score: str | None = None
    """The score in words, where it is not finite."""
    p_value: float | None = None
    threshold: float | None = None
    drifted: bool = False
    reason: str | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is unknown is left out, but for the score."""
        out: dict[str, Any] = {
            "name": self.name,
            "method": self.method,
            "score": self.score,
            "drifted": self.drifted,
        }
        for key in ("raw_score", "p_value", "threshold", "reason", "note"):
            if (item := getattr(self, key)) not in (None, ""):
                out[key] = item
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAnswer:
    """The answer of another tool to the same question, by its own definitions on the rows.

    ``drifted`` is its verdict on the whole table, None where it has no such thing.
    """

    peer: str
    title: str
    columns: tuple[PeerColumn, ...]
    drifted_columns: int
    drifted: bool | None = None
    drift_share: float | None = None

    @property
    def sentence(self) -> str:
        """Its answer in one line."""
        told = sum(c.score is not None for c in self.columns)
        said = f"By its own definitions {self.title} calls {self.drifted_columns} of {_plural(told, 'column')} drifted"
        if self.drifted is None:
            return f"{said}; it has no verdict on a whole table."
        return (
            f"{said}, and the table {'drifted' if self.drifted else 'not drifted'} "
            f"(from a share of {self.drift_share:g} on)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "peer": self.peer,
            "sentence": self.sentence,
            "drifted_columns": self.drifted_columns,
            "drifted": self.drifted,
            "drift_share": self.drift_share,
            "columns": [c.to_dict() for c in self.columns],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnView:
    """One column as the report shows it. ``summary`` rows are (name, baseline, current) as numbers or text."""

    name: str
    kind: str
    role: str
    verdict: Verdict
    sentence: str
    weight: float
    picture: Picture | None = None
    summary: tuple[tuple[str, Any, Any], ...] = ()
    measurements: tuple[Measurement, ...] = ()
    missing: tuple[float, float] = (0.0, 0.0)
    """Share of values that are missing: baseline, current."""

    def moved(self) -> Measurement | None:
        """The measurement that carries the drift verdict."""
        return next((m for m in self.measurements if m.measure == "psi"), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        out: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "role": self.role,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "missing": {"baseline": self.missing[0], "current": self.missing[1]},
            "summary": [{"name": n, "baseline": b, "current": c} for n, b, c in self.summary],
            "measurements": [m.to_dict() for m in self.measurements],
        }
        if self.picture is not None:
            out["distribution"] = self.picture.to_dict()
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of `watchkeeper.compare`.

    ``verdict`` is the gravest over all findings; ``findings`` are ranked by what matters. Every form of the
    report (page, Markdown, JUnit, JSON) says the same.
    """

    title: str
    reference: Side
    current: Side
    columns: tuple[ColumnView, ...]
    findings: tuple[Finding, ...]
    performance: tuple[Measurement, ...] = ()
    baseline_performance: tuple[Measurement, ...] = ()
    weak_segments: tuple[WeakSegment, ...] = ()
    joint: tuple[Measurement, ...] = ()
    """What was measured of all columns together, on samples."""
    compat: PeerAnswer | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    created_at: str = ""
    elapsed_s: float | None = None
    version: str = ""
    edges_note: str = "taken from the baseline"
    false_discovery_rate: float = 0.05

    # ---- the answer in words -------------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict:
        """Fail if anything failed; else error, inconclusive, pass, in that order."""
        return Verdict.worst(f.verdict for f in self.findings)

    def failed(self, family: Family | str | None = None) -> tuple[Finding, ...]:
        """The findings that failed, of one family or of all.

        Raises
        ------
        BadInput
            the family is not known.
        """
        if family is not None:
            known = [f.value for f in Family]
            if str(family) not in known:
                raise BadInput(
                    f"There is no family {str(family)!r}.{nearest(str(family), known)}",
                    f"Known: {', '.join(known)}.",
                )
        return tuple(
            f
            for f in self.findings
            if f.verdict is Verdict.FAIL and (family is None or f.family.value == str(family))
        )

    @property
    def headline(self) -> str:
        """The answer in one line."""
        drifted = self.failed(Family.DRIFT)
        moved = {f.subject for f in drifted if f.subject}
        quality = self.failed(Family.QUALITY)
        worse = self.failed(Family.PERFORMANCE)
        parts = []
        if worse:
            parts.append("the model got worse")
        if moved:
            parts.append(f"{len(moved)} of {_plural(len(self.columns), 'column')} moved")
        elif drifted:
            parts.append("the columns moved together")
        if quality:
            parts.append(_plural(len(quality), "data problem"))
        if parts:
            text = _listed(parts)
            return text[0].upper() + text[1:]
        if self.verdict is Verdict.PASS:
            return "Nothing that matters changed"
        if self.current.rows == 0:
            return "This batch is empty"
        unsure = sum(c.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR) for c in self.columns)
        if unsure > len(self.columns) / 2:
            return "Too little data to tell"
        if unsure:
            return (
                f"No change found, but {unsure:,} of {_plural(len(self.columns), 'column')} could not be told"
            )
        return "No change found, but some checks could not tell"

    @property
    def summary(self) -> str:
        """Two or three sentences: the gravest findings first, then what was looked at."""
        worse = sorted(self.failed(Family.PERFORMANCE), key=lambda f: bool(f.segment))
        said = [(f"Where {f.segment}: " if f.segment else "") + f.sentence for f in worse[:1]]
        drift = self.failed(Family.DRIFT)
        if drift:
            moved = list(dict.fromkeys(f.subject for f in drift if f.subject))
            names, rest = moved[:3], len(moved) - 3
            if rest > 0:
                names.append(f"{rest} more")
            if names:
                said.append(f"Furthest from the baseline: {_listed(names)}.")
            else:
                said.append(drift[0].sentence)
        quality = self.failed(Family.QUALITY)
        if quality:
            first = quality[0]
            about = f"{first.subject}: " if first.subject and first.subject not in first.sentence else ""
            said.append(about + first.sentence)
        if not said:
            told = sum(f.verdict is Verdict.PASS for f in self.findings)
            said.append(
                f"{_plural(told, 'check')} of {len(self.findings):,} found no change that matters."
                if self.findings
                else "There was nothing to check."
            )
        unsure = sum(f.verdict is Verdict.INCONCLUSIVE for f in self.findings)
        if unsure:
            said.append(f"{_plural(unsure, 'check')} could not tell.")
        return " ".join(said)

    @property
    def tally_line(self) -> str:
        """How many columns moved, held, and could not be told."""
        tally: dict[Verdict, int] = {}
        for c in self.columns:
            tally[c.verdict] = tally.get(c.verdict, 0) + 1
        words = {
            Verdict.FAIL: "changed",
            Verdict.PASS: "steady",
            Verdict.INCONCLUSIVE: "cannot tell",
            Verdict.ERROR: "not measurable",
        }
        return ", ".join(f"{tally[v]:,} {w}" for v, w in words.items() if v in tally)

    # ---- its forms -----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON values: no NaN, no infinity, no tuple; ``json.dumps(..., allow_nan=False)`` accepts it."""
        return {
            "format": "watchkeeper.batch_report/1",
            "title": self.title,
            "verdict": self.verdict.value,
            "headline": self.headline,
            "summary": self.summary,
            "reference": {"name": self.reference.name, "rows": self.reference.rows},
            "current": {"name": self.current.name, "rows": self.current.rows},
            "created_at": self.created_at,
            "elapsed_s": self.elapsed_s,
            "watchkeeper": self.version,
            "false_discovery_rate": self.false_discovery_rate,
            "findings": [_strict(f.to_dict()) for f in self.findings],
            "performance": {
                "baseline": [_strict(m.to_dict()) for m in self.baseline_performance],
                "current": [_strict(m.to_dict()) for m in self.performance],
            },
            "weak_segments": [_strict(s.to_dict()) for s in self.weak_segments],
            **({"joint": [_strict(m.to_dict()) for m in self.joint]} if self.joint else {}),
            **({} if self.compat is None else {"compat": _strict(self.compat.to_dict())}),
            "columns": [_strict(c.to_dict()) for c in self.columns],
            "notes": list(self.notes),
        }

    def to_json(self, path: str | Path | None = None, *, indent: int | None = 2) -> str:
        """The report as strict JSON text; also written to *path* when given."""
        return _written(json.dumps(self.to_dict(), indent=indent, allow_nan=False, ensure_ascii=False), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page: no network, no external file; also written to *path* when given."""
        return _written(_render_page(self), path)

    def _repr_html_(self) -> str:
        """Notebooks show the page in a frame of its own, so that its style stays inside."""
        from html import escape

        page = escape(self.to_html(), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="Watchkeeper report" '
            'style="width:100%;height:720px;border:0"></iframe>'
        )

    def to_markdown(self, path: str | Path | None = None, *, most: int = 50) -> str:
        """A summary for a pull request or a chat: verdict, findings, the *most* changed columns."""
        return _written(_markdown(self, most), path)

    def to_junit(self, path: str | Path | None = None) -> str:
        """JUnit XML: one test case a finding, so that any CI shows them; inconclusive ones are skipped."""
        return _written(_junit(self), path)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as cause:
            raise BadInput(
                f"The report cannot be written to {path}: {cause.strerror or cause}.",
                "Name a file in a folder that exists and may be written to.",
            ) from cause
    return text


def _strict(value: Any) -> Any:
    """Numpy scalars become Python's, and what JSON cannot say becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


# ---- the page ---------------------------------------------------------------------------------------


@cache
def template_environment() -> Environment:
    """Jinja2 with everything escaped by default."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("watchkeeper.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda n: f"{n:,.0f}"
    environment.filters["said"] = verdict_word
    environment.filters["judged"] = performance_word
    return environment


def verdict_word(verdict: str) -> str:
    """How a verdict on a column is said to a person."""
    return {"fail": "changed", "pass": "steady", "inconclusive": "cannot tell", "error": "not measured"}[
        verdict
    ]


def performance_word(verdict: str) -> str:
    """How a verdict on the model's performance is said to a person."""
    return {"fail": "worse", "pass": "steady", "inconclusive": "cannot tell", "error": "not measured"}[
        verdict
    ]


def _render_page(report: Report, *, most_findings: int = 12) -> str:
    groups = _by_subject([f for f in report.failed() if not f.segment])
    segments = _segment_rows(report)
    undecided = [
        f for f in report.findings if f.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR) and not f.segment
    ]
    return (
        template_environment()
        .get_template("batch_report.html.j2")
        .render(
            r=report,
            failing=groups[:most_findings],
            more_failing=max(0, len(groups) - most_findings),
            undecided=undecided[:most_findings],
            more_undecided=max(0, len(undecided) - most_findings),
            performance=_performance_rows(report),
            segments=segments[:MOST_SEGMENTS],
            segment_measures=[_title(report, name) for name in _segment_measures(report)],
            more_segments=max(0, len(segments) - MOST_SEGMENTS),
            weak_segments=[
                {
                    "where": s.where,
                    "rows": s.rows,
                    "loss": f"{s.loss:.3g}",
                    "elsewhere": f"{s.elsewhere:.3g}",
                    "share": f"{100 * s.share_of_excess:.0f}%",
                }
                for s in report.weak_segments
            ],
            joint=[_measure_cells(report, m) for m in report.joint],
            peer=_peer_rows(report),
            many=len(report.columns) > 200,
            views=[_page_view(report, c, i < DETAILED_COLUMNS) for i, c in enumerate(report.columns)],
            detailed=min(DETAILED_COLUMNS, len(report.columns)),
            undetailed=max(0, len(report.columns) - DETAILED_COLUMNS),
        )
    )


def _by_subject(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings of one column together, in the order of the gravest; what concerns all rows comes first."""
    groups: dict[str, dict[str, Any]] = {}
    for f in findings:
        group = groups.setdefault(f.subject, {"subject": f.subject, "families": {}, "sentences": []})
        group["families"][f.family.value] = None
        group["sentences"].append(f.sentence)
    return sorted(groups.values(), key=lambda g: "performance" not in g["families"] or bool(g["subject"]))


def _title(report: Report, name: str) -> str:
    measure = report.measures.get(name)
    return measure.title if measure else name


def _segment_measures(report: Report) -> list[str]:
    """The measures that judge segments, in the order in which they were measured."""
    judged = {f.measure for f in report.findings if f.segment and f.family is Family.PERFORMANCE}
    return [m for m in dict.fromkeys(m.measure for m in report.performance if m.segment) if m in judged][:4]


def _segment_rows(report: Report) -> list[dict[str, Any]]:
    """One row a segment: each judged measure as (before, after, verdict); those that changed come first."""
    names = _segment_measures(report)
    if not names:
        return []
    before = {(m.measure, m.segment): m.value for m in report.baseline_performance if m.segment}
    after = {(m.measure, m.segment): m for m in report.performance if m.segment and not m.subject}
    verdicts = {(f.measure, f.segment): f.verdict for f in report.findings if f.segment}
    rows = []
    for segment in dict.fromkeys(m.segment for m in report.performance if m.segment):
        cells, rows_in, found = [], 0.0, []
        for name in names:
            m = after.get((name, segment))
            verdict = verdicts.get((name, segment), Verdict.PASS)
            found.append(verdict)
            rows_in = max(rows_in, m.rows if m is not None else 0)
            cells.append(
                {
                    "before": _short(before.get((name, segment))),
                    "after": _short(m.value if m is not None else None),
                    "verdict": verdict.value,
                }
            )
        gravest = Verdict.worst(found)
        rows.append({"segment": segment, "rows": rows_in, "cells": cells, "verdict": gravest.value})
    order = [v.value for v in Verdict]
    return sorted(rows, key=lambda r: (-order.index(r["verdict"]), -r["rows"]))


def _short(value: float | None) -> str:
    """Three digits, also where the last is a zero, so that figures line up.

    >>> _short(0.81), _short(1234.5), _short(None)
    ('0.810', '1,234', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _peer_rows(report: Report) -> dict[str, Any] | None:
    if report.compat is None:
        return None
    rows = [
        {
            "name": c.name,
            "method": c.method,
            "score": c.raw_score or ("–" if c.score is None else f"{c.score:.4g}"),
            "threshold": "–" if c.threshold is None else f"{c.threshold:.4g}",
            "drifted": c.drifted,
            "told": c.score is not None,
            "reason": c.reason or "",
        }
        for c in report.compat.columns
    ]
    rows.sort(key=lambda r: not r["drifted"])
    return {
        "title": report.compat.title,
        "sentence": report.compat.sentence,
        "rows": rows[:MOST_PEER_ROWS],
        "more": max(0, len(rows) - MOST_PEER_ROWS),
        "notes": list(dict.fromkeys(c.note for c in report.compat.columns if c.note))[:5],
    }


def _performance_rows(report: Report) -> list[dict[str, str]]:
    before = {(m.measure, m.subject): m for m in report.baseline_performance if not m.segment}
    verdicts = {
        (f.measure, f.subject): f.verdict.value
        for f in report.findings
        if f.family is Family.PERFORMANCE and not f.segment
    }
    rows = []
    for m in report.performance:
        if m.segment:
            continue
        measure = report.measures.get(m.measure)
        old = before.get((m.measure, m.subject))
        rows.append(
            {
                "title": (measure.title if measure else m.measure)
                + (f" of {m.subject}" if m.subject else ""),
                "before": _short(None if old is None else old.value),
                "after": _short(m.value),
                "interval": ""
                if m.interval is None
                else f"{_short(m.interval.low)} to {_short(m.interval.high)}",
                "verdict": verdicts.get((m.measure, m.subject), ""),
            }
        )
    order = ["fail", "error", "inconclusive", "pass", ""]
    return sorted(rows, key=lambda r: order.index(r["verdict"]))


def _page_view(report: Report, c: ColumnView, detail: bool) -> dict[str, Any]:
    from markupsafe import Markup

    psi = c.moved()
    view: dict[str, Any] = {
        "name": c.name,
        "kind": c.kind,
        "role": c.role,
        "verdict": c.verdict.value,
        "detail": detail,
        "spark": Markup(spark_svg(c.picture)) if c.picture else "",  # noqa: S704 - numbers and escaped labels
        "moved": "–" if psi is None or psi.value is None else f"{psi.value:.3f}",
        "margin": None if psi is None or psi.margin is None else f"{psi.margin:.3f}",
        "missing": _missing_words(*c.missing),
    }
    if detail:
        view |= {
            "sentence": c.sentence,
            "chart": Markup(figure_html(c.picture, title=f"{c.name}: baseline and this batch"))  # noqa: S704
            if c.picture
            else "",
            "summary": [(n, _cell(b), _cell(a)) for n, b, a in c.summary],
            "measures": [
                _measure_cells(report, m)
                for m in c.measurements
                if m.value is not None and (m.value or m.margin is not None)
            ],
            "none_of": [
                _title(report, m.measure).lower() for m in c.measurements if m.value == 0 and m.margin is None
            ],
        }
    return view


def _measure_cells(report: Report, m: Measurement) -> tuple[str, str, str, str]:
    measure = report.measures.get(m.measure)
    return (
        measure.title if measure else m.measure,
        _cell(m.value) if m.value is not None else str(m.reason),
        "" if m.margin is None else f"up to {_cell(m.margin)}",
        "" if m.p_value is None else ("< 0.0001" if m.p_value < 1e-4 else f"{m.p_value:.4f}"),
    )


def _missing_words(before: float, after: float) -> str:
    if before == 0 and after == 0:
        return "none"
    return f"{_percent(before)} → {_percent(after)}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.3g}%"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (abs(value) >= 1e5 and value == int(value)):
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"


# ---- Markdown and JUnit -----------------------------------------------------------------------------


def _markdown(report: Report, most: int) -> str:
    mark = {Verdict.FAIL: "✗", Verdict.PASS: "✓", Verdict.INCONCLUSIVE: "?", Verdict.ERROR: "!"}
    lines = [
        f"## {mark[report.verdict]} {_md(report.headline)}",
        "",
        _md(report.summary),
        "",
        f"Baseline: {_md(report.reference.name)}, {report.reference.rows:,} rows. "
        f"This batch: {_md(report.current.name)}, {report.current.rows:,} rows.",
        "",
    ]
    failing = report.failed()
    if failing:
        lines += ["### What changed", ""]
        lines += [f"- **{_md(_where(f))}**: {_md(f.sentence)}" for f in failing[:most]]
        if len(failing) > most:
            lines.append(f"- and {len(failing) - most:,} more")
        lines.append("")
    rows = _performance_rows(report)
    if rows:
        lines += [
            "### Performance",
            "",
            "| measure | baseline | this batch | 95% interval |",
            "|---|---:|---:|---:|",
        ]
        lines += [f"| {_md(r['title'])} | {r['before']} | {r['after']} | {r['interval']} |" for r in rows]
        lines.append("")
    if report.compat is not None:
        lines += [f"### As {report.compat.title} sees it", "", _md(report.compat.sentence), ""]
        lines += ["| column | method | score | threshold | drifted |", "|---|---|---:|---:|---|"]
        lines += [
            f"| {_md(c.name)} | {_md(c.method)} | {c.raw_score or _short(c.score)} | {_short(c.threshold)} | "
            f"{'yes' if c.drifted else 'no' if c.score is not None else 'not told'} |"
            for c in report.compat.columns[:most]
        ]
        lines.append("")
    lines += ["### Columns", "", "| column | kind | PSI | missing | verdict |", "|---|---|---:|---|---|"]
    for c in report.columns[:most]:
        psi = c.moved()
        value = "–" if psi is None or psi.value is None else f"{psi.value:.3f}"
        lines.append(
            f"| {_md(c.name)} | {c.kind} | {value} | {_missing_words(*c.missing)} | {verdict_word(c.verdict.value)} |"
        )
    if len(report.columns) > most:
        lines.append(f"\n{len(report.columns) - most:,} more columns are in the JSON report.")
    if report.notes:
        lines += ["", "### Notes", ""]
        lines += [f"- {_md(n)}" for n in report.notes[:most]]
    return "\n".join(lines) + "\n"


def _where(f: Finding) -> str:
    return f"where {f.segment}" if f.segment else f.subject or "all rows"


def _md(text: str) -> str:
    """Markdown's own signs, a table's bars and HTML are shown, not obeyed."""
    flat = " ".join(str(text).split())
    for sign in "\\`*_[]|":
        flat = flat.replace(sign, "\\" + sign)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _junit(report: Report) -> str:
    count: Callable[[Verdict], int] = lambda v: sum(f.verdict is v for f in report.findings)  # noqa: E731
    cases = []
    for f in report.findings:
        name = f"{f.measure}: {f.subject or 'whole batch'}" + (f" [{f.segment}]" if f.segment else "")
        said = quoteattr(_xml(f.sentence))
        inner = {
            Verdict.FAIL: f"<failure message={said} type={quoteattr(f.family.value)}/>",
            Verdict.ERROR: f"<error message={said}/>",
            Verdict.INCONCLUSIVE: f"<skipped message={said}/>",
            Verdict.PASS: f"<system-out>{xml_escape(_xml(f.sentence))}</system-out>",
        }[f.verdict]
        cases.append(
            f"    <testcase classname={quoteattr('watchkeeper.' + f.family.value)} name={quoteattr(_xml(name))}>{inner}</testcase>"
        )
    counts = (
        f'tests="{len(report.findings)}" failures="{count(Verdict.FAIL)}" errors="{count(Verdict.ERROR)}" '
        f'skipped="{count(Verdict.INCONCLUSIVE)}"'
    )
    stamp = f" timestamp={quoteattr(report.created_at[:19])}" if report.created_at else ""
    body = "\n".join(cases)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites {counts}>\n'
        f"  <testsuite name={quoteattr(_xml(report.title))} {counts}{stamp}>\n{body}\n  </testsuite>\n</testsuites>\n"
    )


def _xml(text: str) -> str:
    """Leave out the control characters that XML 1.0 forbids."""
    return "".join(ch for ch in text if ch in "\t\n\r" or (ord(ch) >= 32 and ord(ch) not in (0xFFFE, 0xFFFF)))


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
