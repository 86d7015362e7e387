"""Lets the tests run where only the bare or the server install is there (tests/guards/test_installs.py).

A file that imports a library which is not installed is left out, and so is a single test or test class that
does so inside. What ends in `MissingExtra` is skipped: it needs an extra. In the rooms that the bare install
promises to serve in full, it fails as it should. With ``--one-in N`` only each file's first test and every Nth after
it run.
"""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from watchkeeper.errors import MissingExtra

SERVED_IN_FULL = {"capture", "decisions", "documents", "domain", "laws", "measures", "rows", "stats"}


@cache
def is_there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def missing(node: ast.AST) -> set[str]:
    """Libraries that the code under *node* imports and that are not installed."""
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in inner.names}
        elif isinstance(inner, ast.ImportFrom) and inner.module and not inner.level:
            found.add(inner.module.partition(".")[0])
    return {library for library in found if not is_there(library)}


@cache
def cannot_be_imported(path: Path) -> bool:
    """Whether the file at *path*, or a module of ours that is loaded with it, lacks a library."""
    loaded, waiting = set(), {path}
    while waiting:
        file = waiting.pop()
        loaded.add(file)
        for node in ast.parse(file.read_text()).body:
            if is_import(node):
                if missing(node):
                    return True
                waiting |= ours(node) - loaded
    return False


def is_import(node: ast.AST) -> bool:
    """An import, or one that says what to install where the library is missing."""
    says_so = isinstance(node, ast.Try) and any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    return says_so or isinstance(node, ast.Import | ast.ImportFrom)


def ours(node: ast.AST) -> set[Path]:
    """Files of our own modules that the code under *node* imports."""
    names = {alias.name for inner in ast.walk(node) if isinstance(inner, ast.Import) for alias in inner.names}
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom) and inner.module and not inner.level:
            names |= {inner.module, *(f"{inner.module}.{alias.name}" for alias in inner.names)}
    return {path for name in names if name.startswith("watchkeeper.") and (path := file_of(name))}


@cache
def file_of(module: str) -> Path | None:
    package = Path(next(iter(importlib.util.find_spec("watchkeeper").submodule_search_locations)))
    place = package.joinpath(*module.split(".")[1:])
    found = (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists())
    return next(found, None)


@cache
def tests_left_out(path: Path) -> list[str] | None:
    """Names of the tests and test classes in *path* that lack a library; None when the whole file does."""
    if cannot_be_imported(path):
        return None
    names = []
    for node in ast.parse(path.read_text()).body:
        is_test = isinstance(node, ast.FunctionDef | ast.ClassDef) and re.match("test_|Test", node.name)
        if is_test and missing(node):
            names.append(node.name)
        elif missing(node) and path.name.startswith("test_"):
            return None
    return names


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if collection_path.suffix == ".py" and tests_left_out(collection_path) is None:
        return True
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--one-in", type=int, default=1, help="run each file's first test and every Nth after it"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After marks have been looked at: a sample is one of the tests that would run."""

    def lacks_a_library(item: pytest.Item) -> bool:
        top = item.nodeid.split("::")[1].partition("[")[0] if "::" in item.nodeid else ""
        return top in (tests_left_out(item.path) or [])

    kept = []
    before: Counter[Path] = Counter()
    for item in items:
        if not lacks_a_library(item):
            if before[item.path] % config.option.one_in == 0:
                kept.append(item)
            before[item.path] += 1
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept


def cause_of(error: BaseException) -> BaseException:
    """What stopped a test; of a doctest, what its first failing example raised."""
    first = getattr(error, "failures", [error])[0]
    return first.exc_info[1] if isinstance(first, doctest.UnexpectedException) else first


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    error = cause_of(call.excinfo.value) if call.excinfo else None
    if isinstance(error, MissingExtra) and not SERVED_IN_FULL & set(item.path.parts):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"needs the extra {error.extra!r}")
    return report
