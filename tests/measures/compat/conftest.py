"""The cases and the peers' kept numbers, for every test of this folder."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"compat_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_CASES = _load("cases")


@pytest.fixture(scope="session")
def column_cases() -> dict[str, Any]:
    return {case.name: case for case in _CASES.cases()}


@pytest.fixture(scope="session")
def vector_cases() -> dict[str, Any]:
    return _CASES.vectors()


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Any]]:
    """Read one peer's kept numbers by its name."""

    def read(peer: str) -> dict[str, Any]:
        return json.loads((HERE / "golden" / f"{peer}.json").read_text())["results"]

    return read
