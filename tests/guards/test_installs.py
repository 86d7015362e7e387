"""The wheel works where a user puts it: without the checkout, with nothing beyond what it asks for.

Each environment is made once and kept in .venvs/, named by its requirements' content; the wheel is built
and installed anew each time. The quick tests run in a folder that holds only tests/ (without the guards, which
read the checkout), the docs that they run and pytest's settings; tests/plugins/small_install.py leaves out what
needs more libraries. In every run they are a sample, of each file its first test and every fiftieth after it; all of
them are long.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import small_install
from sizes import sizes

ROOT = Path(__file__).parents[2]
THIS_PYTHON = "{}.{}".format(*sys.version_info)
SUPPORTED = ["3.11", "3.12", "3.13", "3.14"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def must_run(command: list[str | Path], *, cwd: Path, **variables: str) -> str:
    """Run *command* with nothing of this test run in its environment but *variables*; return its output."""
    ours = ("PYTHON", "PYTEST")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    result = subprocess.run(
        command, cwd=cwd, env=env | variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
    return result.stdout


# Pythons, environments, the wheel


def find_python(version: str) -> str | None:
    """Return a Python of *version* that runs and can make environments: on the PATH, or of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable] if version == THIS_PYTHON else []
    candidates += [f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    check = f"import ensurepip, sys, venv; sys.exit('{version}' != '%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        try:
            if subprocess.run([candidate, "-c", check], capture_output=True, check=False).returncode == 0:
                return candidate
        except FileNotFoundError:
            continue
    return None


def python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def environment(size: str, version: str) -> Path:
    """An environment of *version* with requirements/<size>.txt and what runs tests; made when it is not there."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    files = [ROOT / "requirements" / f"{size}.txt", ROOT / "requirements" / "tests.txt"]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]
    folder = ROOT / ".venvs" / f"{size}-{version}-{content}"
    ready = folder / "ready"
    if not ready.exists():
        for older in folder.parent.glob(f"{size}-{version}-*"):
            shutil.rmtree(older)
        make = ["bash", str(ROOT / "scripts" / "make_venv.sh"), str(folder), *map(str, files)]
        made = subprocess.run(
            make, env={**os.environ, "PYTHON": python}, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr[-6000:]
        ready.touch()
    return folder


@pytest.fixture
def install(wheel: Path) -> Iterator[Callable[[str, str], Path]]:
    """``install("bare", "3.12")`` -> an environment with the wheel in it, for this test alone until it ends."""
    with ExitStack() as until_the_test_ends:

        def into(size: str, version: str) -> Path:
            (ROOT / ".venvs").mkdir(exist_ok=True)
            lock = until_the_test_ends.enter_context((ROOT / ".venvs" / f"{size}-{version}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = environment(size, version)
            pip = [python_of(folder), "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
            must_run([*pip, "install", "--no-deps", "--no-index", "--force-reinstall", wheel], cwd=folder)
            return folder

        yield into


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout with the pinned build backend."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    must_run(command, cwd=out)
    (built,) = out.glob("*.whl")
    return built


# Running tests in them


sampled = sizes("one_in", small=50, full=1)


def run_pytest(environment: Path, folder: Path, *arguments: str | Path, one_in: int) -> dict[str, int]:
    """Run one in so many tests in *folder*, away from the checkout; return how many passed, failed, ..."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "guards"))
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for file in ("pyproject.toml", "README.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / file, folder)
    command = [python_of(environment), "-m", "pytest", "-p", "small_install", "-p", "no:cacheprovider"]
    command += [
        "-q",
        "-n",
        "2" if one_in == 1 else "0",
        f"--one-in={one_in}",
        "-m",
        "not slow and not long and not server and not browser",
        *arguments,
    ]
    # The dashboard's tests are filled with what the benchmarks fill theirs with.
    shutil.copytree(
        ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__", "results")
    )
    paths = (folder / "tests" / "plugins", folder)
    output = must_run(command, cwd=folder, PYTHONPATH=os.pathsep.join(map(str, paths)))
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", output.splitlines()[-1])}


def test_a_file_or_a_single_test_is_left_out_for_what_it_imports(tmp_path, monkeypatch):
    needs_one, needs_all = tmp_path / "test_one.py", tmp_path / "test_all.py"
    needs_one.write_text("import json\ndef test_a(): import nosuch\ndef test_b(): import json.decoder\n")
    needs_all.write_text("import nosuch\ndef test_a(): pass\n")
    assert small_install.tests_left_out(needs_one) == ["test_a"]
    assert small_install.tests_left_out(needs_all) is None
    needs_our_server = tmp_path / "test_server.py"
    needs_our_server.write_text("from watchkeeper.web.server import create_server\n")
    loads_it_later = tmp_path / "test_later.py"
    loads_it_later.write_text("from watchkeeper.wiring import open_project\n")
    monkeypatch.setattr(small_install, "is_there", lambda library: library != "fastapi")
    assert small_install.tests_left_out(needs_our_server) is None
    assert small_install.tests_left_out(loads_it_later) == []


# The wheel


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    outside = [name for name in names if not re.match(r"watchkeeper(-[\w.]+\.dist-info)?/", name)]
    assert outside == []
    source = ROOT / "src"
    data = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    tracked = {str(path.relative_to(source)) for path in data}
    assert tracked <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_builds_the_same_wheel(wheel, tmp_path):
    must_run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT],
        cwd=tmp_path,
    )
    (again,) = tmp_path.glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


# The environments


class TestTheSizes:
    @sampled
    def test_the_bare_install_passes_the_tests_that_it_can_run(self, install, tmp_path, one_in):
        result = run_pytest(install("bare", THIS_PYTHON), tmp_path, "tests", one_in=one_in)
        assert result["passed"] >= 1000 / one_in, result

    @sampled
    def test_the_server_install_passes_the_tests_of_what_it_adds(self, install, tmp_path, one_in):
        rooms = {path.name for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py"))}
        added = rooms - small_install.SERVED_IN_FULL - {"guards"}
        rooms = (f"tests/{room}" for room in added)
        result = run_pytest(install("server", THIS_PYTHON), tmp_path, *rooms, one_in=one_in)
        assert result["passed"] >= 900 / one_in, result

    @sampled
    @pytest.mark.parametrize("size", ["bare", "server"])
    def test_its_doctests_run_away_from_the_checkout(self, install, tmp_path, size, one_in):
        folder = install(size, THIS_PYTHON)
        where = [python_of(folder), "-c", "import watchkeeper; print(watchkeeper.__path__[0])"]
        package = Path(must_run(where, cwd=tmp_path).strip())
        assert folder in package.parents
        result = run_pytest(
            folder, tmp_path, package, f"--ignore-glob={package}/*/migrations/*", one_in=one_in
        )
        assert result["passed"] >= 100, result

    def test_the_command_runs(self, install, tmp_path):
        command = install("bare", THIS_PYTHON) / "bin" / "watchkeeper"
        assert "Usage: watchkeeper" in must_run([command, "--help"], cwd=tmp_path)
        assert importlib.metadata.version("watchkeeper") in must_run([command, "--version"], cwd=tmp_path)

    @sampled
    def test_it_does_without_the_library_that_python_314_lacks(self, install, tmp_path, one_in):
        """Also where no Python 3.14 is at hand: quantiles are then sketched by our own `Ladder`."""
        rooms = ["tests/stats/states", "tests/laws", "tests/rows", "tests/loop"]
        without = ("-p", "without_datasketches")
        result = run_pytest(install("bare", THIS_PYTHON), tmp_path, *without, *rooms, one_in=one_in)
        assert result["passed"] >= 400 / one_in, result

    @sampled
    @pytest.mark.parametrize("version", [version for version in SUPPORTED if version != THIS_PYTHON])
    def test_every_other_python_that_is_here_passes(self, install, tmp_path, version, one_in):
        """Every doctest, and the tests of what touches the outside: the rows and the saved bytes."""
        folder = install("bare", version)
        package = next(folder.glob("lib/python*/site-packages/watchkeeper"))
        rooms = ["tests/rows", "tests/laws", f"--ignore-glob={package}/*/migrations/*"]
        result = run_pytest(folder, tmp_path, package, *rooms, one_in=one_in)
        assert result["passed"] >= 400 / one_in, result
