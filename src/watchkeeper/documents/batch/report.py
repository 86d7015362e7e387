"""The result of a comparison, and its forms: page, JSON, Markdown, JUnit. All say the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.documents.batch.answer import BatchAnswer
from watchkeeper.documents.batch.junit import batch_junit
from watchkeeper.documents.batch.markdown import batch_markdown
from watchkeeper.documents.batch.page import batch_page
from watchkeeper.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(BatchAnswer):
    """The result of `watchkeeper.compare`.

    ``verdict`` is the gravest over all findings; ``findings`` are ranked by what matters. Every form of the
    report (page, Markdown, JUnit, JSON) says the same.
    """

    def to_json(self, path: str | Path | None = None, *, indent: int | None = 2) -> str:
        """The report as strict JSON text; also written to *path* when given."""
        return _written(json.dumps(self.to_dict(), indent=indent, allow_nan=False, ensure_ascii=False), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page: no network, no external file; also written to *path* when given."""
        return _written(batch_page(self), path)

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
        return _written(batch_markdown(self, most=most), path)

    def to_junit(self, path: str | Path | None = None) -> str:
        """JUnit XML: one test case a finding, so that any CI shows them; inconclusive ones are skipped."""
        return _written(batch_junit(self), path)


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
