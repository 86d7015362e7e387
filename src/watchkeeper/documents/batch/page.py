"""A batch report as one page of HTML: no network, no external file, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from watchkeeper.documents.batch.answer import BatchAnswer, ColumnView, causes_first, verdict_word
from watchkeeper.documents.drawing.picture import Picture, figure_html, spark_svg
from watchkeeper.domain.finding import Finding
from watchkeeper.domain.measurement import Family, Measurement
from watchkeeper.domain.verdict import Verdict

if TYPE_CHECKING:
    from jinja2 import Environment


DETAILED_COLUMNS = 120
"""Columns whose details the page itself holds; the JSON report holds all of them."""
MOST_SEGMENTS = 50
MOST_PEER_ROWS = 200


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


def performance_word(verdict: str) -> str:
    """How a verdict on the model's performance is said to a person."""
    return {"fail": "worse", "pass": "steady", "inconclusive": "cannot tell", "error": "not measured"}[
        verdict
    ]


def batch_page(report: BatchAnswer, *, most_findings: int = 12) -> str:
    """The page; at most *most_findings* columns are told at its head."""
    groups = _by_subject([f for f in report.failed() if not f.segment])
    pictures = {c.name: c.picture for c in report.columns if c.picture is not None}
    for group in groups[:most_findings]:
        group["spark"] = _spark(pictures.get(group["subject"]))
    performance = performance_rows(report)
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
            performance=[row for row in performance if row["verdict"]] or performance,
            unjudged=[row for row in performance if not row["verdict"]]
            if any(p["verdict"] for p in performance)
            else [],
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


def _spark(picture: Picture | None) -> str:
    from markupsafe import Markup

    return Markup(spark_svg(picture)) if picture else ""  # noqa: S704 - numbers and escaped labels


def _by_subject(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings of one column together, in the order of the gravest; what concerns all rows comes first."""
    groups: dict[str, dict[str, Any]] = {}
    for f in causes_first(findings):
        group = groups.setdefault(f.subject, {"subject": f.subject, "families": {}, "sentences": []})
        group["families"][f.family.value] = None
        group["sentences"].append(f.sentence)
    return sorted(groups.values(), key=lambda g: "performance" not in g["families"] or bool(g["subject"]))


def _title(report: BatchAnswer, name: str) -> str:
    measure = report.measures.get(name)
    return measure.title if measure else name


def _segment_measures(report: BatchAnswer) -> list[str]:
    """The measures that judge segments, in the order in which they were measured."""
    judged = {f.measure for f in report.findings if f.segment and f.family is Family.PERFORMANCE}
    return [m for m in dict.fromkeys(m.measure for m in report.performance if m.segment) if m in judged][:4]


def _segment_rows(report: BatchAnswer) -> list[dict[str, Any]]:
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
                    "before": short(before.get((name, segment))),
                    "after": short(m.value if m is not None else None),
                    "verdict": verdict.value,
                }
            )
        gravest = Verdict.worst(found)
        rows.append({"segment": segment, "rows": rows_in, "cells": cells, "verdict": gravest.value})
    order = [v.value for v in Verdict]
    return sorted(rows, key=lambda r: (-order.index(r["verdict"]), -r["rows"]))


def short(value: float | None) -> str:
    """Three digits, also where the last is a zero, so that figures line up.

    >>> short(0.81), short(1234.5), short(None)
    ('0.810', '1,234', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _peer_rows(report: BatchAnswer) -> dict[str, Any] | None:
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


def performance_rows(report: BatchAnswer) -> list[dict[str, str]]:
    """A row for each measure of all rows: title, before, after, interval, verdict; the worse ones first."""
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
                "before": short(None if old is None else old.value),
                "after": short(m.value),
                "interval": ""
                if m.interval is None
                else f"{short(m.interval.low)} to {short(m.interval.high)}",
                "verdict": verdicts.get((m.measure, m.subject), ""),
            }
        )
    order = ["fail", "error", "inconclusive", "pass", ""]
    return sorted(rows, key=lambda r: order.index(r["verdict"]))


def _page_view(report: BatchAnswer, c: ColumnView, detail: bool) -> dict[str, Any]:
    from markupsafe import Markup

    psi = c.moved()
    view: dict[str, Any] = {
        "name": c.name,
        "kind": c.kind,
        "role": c.role,
        "verdict": c.verdict.value,
        "detail": detail,
        "spark": _spark(c.picture),
        "moved": "–" if psi is None or psi.value is None else f"{psi.value:.3f}",
        "margin": None if psi is None or psi.margin is None else f"{psi.margin:.2g}",
        "missing": missing_words(*c.missing),
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


def _measure_cells(report: BatchAnswer, m: Measurement) -> tuple[str, str, str, str]:
    measure = report.measures.get(m.measure)
    return (
        measure.title if measure else m.measure,
        _cell(m.value) if m.value is not None else str(m.reason),
        "" if m.margin is None else f"up to {_cell(m.margin)}",
        "" if m.p_value is None else ("< 0.0001" if m.p_value < 1e-4 else f"{m.p_value:.4f}"),
    )


def missing_words(before: float, after: float) -> str:
    """Both sides' shares of missing values.

    >>> missing_words(0, 0.25)
    '0% → 25%'
    """
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
