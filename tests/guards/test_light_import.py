"""A fresh ``import watchkeeper`` stays light, and so does capture: it rides in someone else's server."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

HEAVY = {
    "pandas", "polars", "sklearn", "scipy.stats", "statsmodels", "mlflow", "river",
    "duckdb", "deltalake", "sqlalchemy", "pyarrow.dataset", "pyarrow.parquet",
    "fastapi", "starlette", "uvicorn", "httpx", "requests",
    "vl_convert", "jinja2", "rich", "pydantic", "click", "asyncio",
}  # fmt: skip


def modules_loaded_by(statement: str) -> set[str]:
    """Every module that a fresh interpreter holds after *statement*."""
    program = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def is_built(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def test_the_front_door_is_light():
    assert not modules_loaded_by("import watchkeeper") & HEAVY


def test_every_name_of_the_front_door_can_be_had_from_a_fresh_interpreter():
    program = "import watchkeeper\nfor name in watchkeeper.__all__: getattr(watchkeeper, name)"
    assert "watchkeeper" in modules_loaded_by(program)


@pytest.mark.skipif(not is_built("watchkeeper.capture"), reason="capture is not built yet")
def test_capture_needs_no_arrays_until_a_batch_is_recorded():
    loaded = modules_loaded_by("import watchkeeper.capture")
    assert not loaded & (HEAVY | {"numpy", "pyarrow", "scipy"})


def test_the_help_is_light():
    program = """
import contextlib, io
from watchkeeper.cli import main
with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
    main(["--help"])
assert "Usage" in text.getvalue()
"""
    loaded = modules_loaded_by(program)
    assert not loaded & (HEAVY - {"click"} | {"numpy", "pyarrow", "scipy"})


def test_comparing_files_needs_no_pandas(tmp_path):
    """Where it is installed, pyarrow imports it at the first ``to_numpy`` of a text: a quarter of a second."""
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    table = pa.table(
        {
            "x": [1.5, None, 2.0] * 50,
            "n": [1, 2, None] * 50,
            "c": ["a", None, "b"] * 50,
            "b": [True, None, False] * 50,
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    program = f"import watchkeeper as wk; wk.compare({str(tmp_path / 'rows.parquet')!r}, {str(tmp_path / 'rows.parquet')!r})"
    assert not modules_loaded_by(program) & {
        "pandas",
        "polars",
        "scipy.stats",
        "vl_convert",
        "jinja2",
        "duckdb",
    }


def test_this_guard_can_fail():
    assert "asyncio" in modules_loaded_by("import asyncio")
