"""Imports go down only (ARCHITECTURE.md), and the guard that says so does catch those that do not.

The contracts stand in pyproject.toml under ``[tool.importlinter]``.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "watchkeeper"


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'src'); {program}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def test_every_contract_is_kept():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("errors.py", "import watchkeeper.loop", "Imports go down only"),
        ("rows/__init__.py", "import watchkeeper.stats", "Imports go down only"),
        ("measures/__init__.py", "import watchkeeper.decisions", "Imports go down only"),
        ("stats/__init__.py", "import time", "Arithmetic and judgement"),
        ("decisions/__init__.py", "import sqlite3", "Arithmetic and judgement"),
        ("loop/__init__.py", "from watchkeeper import open", "front door"),
        ("web/charts_data.py", "from sqlalchemy import select", "Pages read through ports"),
        ("web/charts_data.py", "from watchkeeper.adapters.ledgers import tables", "Pages read through ports"),
        ("garage/__init__.py", "", "Imports go down only"),  # a room without a floor
    ],
)
def test_a_breach_is_caught(tmp_path, module, line, contract):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(SOURCE, tmp_path / "src" / "watchkeeper", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "src" / "watchkeeper" / module
    changed.parent.mkdir(exist_ok=True)
    old = changed.read_text() if changed.exists() else ""
    changed.write_text(f"{old}\n{line}\n")
    result = lint_imports(tmp_path)
    broken = [text for text in result.stdout.splitlines() if re.search(r" BROKEN( \(|$)", text)]
    assert result.returncode == 1, result.stdout + result.stderr
    assert [text for text in broken if contract in text], result.stdout


def test_no_module_imports_itself_by_way_of_others():
    """Also within a room, and also where the import stands in a function or is for types alone."""
    graph = grimp.build_graph("watchkeeper", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 300
    TopologicalSorter(imports).prepare()  # raises CycleError, with the circle, where there is one


@pytest.mark.parametrize("path", sorted((SOURCE / "domain").rglob("*.py")), ids=lambda path: path.name)
def test_the_domain_needs_only_the_standard_library(path):
    allowed = sys.stdlib_module_names | {"watchkeeper"}
    roots = {name.split(".")[0] for name in imported_modules(ast.parse(path.read_text()))}
    assert roots <= allowed


def imported_modules(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "base", "misc", "legacy", "v2"}


def test_every_room_and_file_has_a_name_of_its_own():
    places = [SOURCE, ROOT / "tests", ROOT / "benchmarks", ROOT / "scripts"]
    files = [path for place in places for path in place.rglob("*.py")]
    vague = [path for path in files if FORBIDDEN_NAMES & {path.stem, path.parent.name}]
    assert not vague
