"""A batch report as Markdown, for a pull request or a chat."""

from __future__ import annotations

from watchkeeper.documents.batch.answer import BatchAnswer, causes_first, verdict_word
from watchkeeper.documents.batch.page import missing_words, performance_rows, short
from watchkeeper.domain.finding import Finding
from watchkeeper.domain.verdict import Verdict


def batch_markdown(report: BatchAnswer, *, most: int) -> str:
    """Verdict, findings, performance, and the *most* changed columns."""
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
    failing = causes_first(report.failed())
    if failing:
        lines += ["### What changed", ""]
        lines += [f"- **{_md(_where(f))}**: {_md(f.sentence)}" for f in failing[:most]]
        if len(failing) > most:
            lines.append(f"- and {len(failing) - most:,} more")
        lines.append("")
    rows = performance_rows(report)
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
            f"| {_md(c.name)} | {_md(c.method)} | {c.raw_score or short(c.score)} | {short(c.threshold)} | "
            f"{'yes' if c.drifted else 'no' if c.score is not None else 'not told'} |"
            for c in report.compat.columns[:most]
        ]
        lines.append("")
    lines += ["### Columns", "", "| column | kind | PSI | missing | verdict |", "|---|---|---:|---|---|"]
    for c in report.columns[:most]:
        psi = c.moved()
        value = "–" if psi is None or psi.value is None else f"{psi.value:.3f}"
        lines.append(
            f"| {_md(c.name)} | {c.kind} | {value} | {missing_words(*c.missing)} | {verdict_word(c.verdict.value)} |"
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
