"""Every benchmark says what it promises and how it is run, where a reader looks for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("bench_*.py"))
LISTED = re.findall(r"^\| `(bench_\w+\.py)` \|", (ROOT / "benchmarks" / "README.md").read_text("utf-8"), re.M)


def test_the_table_lists_every_benchmark_once_and_no_other():
    assert sorted(LISTED) == [path.name for path in BENCHMARKS]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_it_says_how_it_is_run(path):
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert re.search(rf"Run:\s+python (-m benchmarks\.{path.stem}|benchmarks/{path.name})", said)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_the_page_of_measurements_names_it(path):
    assert f"benchmarks.{path.stem}" in (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
