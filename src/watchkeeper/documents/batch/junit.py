"""A batch report as JUnit XML, which every CI shows."""

from __future__ import annotations

from collections.abc import Callable

from watchkeeper.documents.batch.answer import BatchAnswer
from watchkeeper.domain.verdict import Verdict


def batch_junit(report: BatchAnswer) -> str:
    """One test case a finding; what could not be told is skipped."""
    from xml.sax.saxutils import escape, quoteattr  # it loads urllib

    count: Callable[[Verdict], int] = lambda v: sum(f.verdict is v for f in report.findings)  # noqa: E731
    cases = []
    for f in report.findings:
        name = f"{f.measure}: {f.subject or 'whole batch'}" + (f" [{f.segment}]" if f.segment else "")
        said = quoteattr(_xml(f.sentence))
        inner = {
            Verdict.FAIL: f"<failure message={said} type={quoteattr(f.family.value)}/>",
            Verdict.ERROR: f"<error message={said}/>",
            Verdict.INCONCLUSIVE: f"<skipped message={said}/>",
            Verdict.PASS: f"<system-out>{escape(_xml(f.sentence))}</system-out>",
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
