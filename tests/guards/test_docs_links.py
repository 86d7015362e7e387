"""Every page of docs/ can be reached from its index, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def links(page: Path) -> set[Path]:
    """Files that *page* links to."""
    found = re.findall(
        r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    )
    return {(page.parent / link).resolve() for link in found if not re.match(r"\w+:", link)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_somewhere(page):
    assert [link for link in links(page) if not link.exists()] == []


def test_every_page_can_be_reached_from_the_index():
    reached, waiting = set(), {DOCS / "index.md"}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= {link for link in links(page) if link.suffix == ".md" and link.exists()} - reached
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []
