"""README.md is run as it stands: its Python, its commands in their order; its links and targets exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from real_servers import answers

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S) for line in block.splitlines()
]
FINDINGS_EXPECTED = ("watchkeeper compare", "watchkeeper status")
"""What ends with exit status 1, and should: something was found."""


def test_the_python_example_says_what_its_comment_says(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    assert len(example.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    (promised,) = re.findall(r"print\(report.headline\)  # (.*)", example)
    assert capsys.readouterr().out.strip() == promised
    assert (tmp_path / "report.html").stat().st_size > 1_000


@pytest.mark.slow
def test_the_commands_of_the_guide_work_in_their_order(tmp_path):
    pytest.importorskip("deltalake")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    run(tmp_path, "python examples/make_churn_files.py")
    shutil.copy(tmp_path / "scored.parquet", tmp_path / "february.parquet")
    said = {}
    for line in COMMANDS:
        if line == "watchkeeper serve":
            said[line] = serve(tmp_path, line)
        else:
            said[line] = run(tmp_path, line)
    assert "12,000 predictions and 12,000 outcomes came in" in said["watchkeeper tick"]
    (promised,) = re.findall(r"\*(spend is [^*]*)\*", README)
    assert " ".join(promised.split()) in said["watchkeeper status"]
    assert "spend" in said["watchkeeper explain churn latest"]
    assert list(said)[-1] == "watchkeeper serve"


def words(line: str) -> list[str]:
    """*line* with this environment's own programs."""
    program, *rest = shlex.split(line)
    return [sys.executable, *(["-m", "watchkeeper"] if program == "watchkeeper" else []), *rest]


def run(folder: Path, line: str) -> str:
    done = subprocess.run(words(line), cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == int(line.startswith(FINDINGS_EXPECTED)), f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def serve(folder: Path, line: str) -> str:
    """Start it, ask it for a page, and end it as Ctrl-C does."""
    log = folder / "serve.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(words(line), cwd=folder, stdout=sink, stderr=sink)
        try:
            end = time.monotonic() + 60
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            while not answers(found[0]):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
        finally:
            server.terminate()
            server.wait(30)
    return log.read_text()


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_its_make_targets_are_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"^    make ([a-z-]+)", README, re.M)
    assert named
    assert set(named) <= set(targets)


def test_its_pictures_are_small():
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert pictures
    assert [p.name for p in pictures if p.stat().st_size > 300_000] == []


def test_its_figures_stand_in_the_benchmarks_page():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| (.*) \| `python -m (benchmarks\.\w+)` \|$", README, re.M)
    assert len(rows) >= 4
    for figures, module in rows:
        section = next(part for part in page.split("\n## ") if f"python -m {module}`" in part)
        for number in re.findall(r"[\d.]+", figures):
            assert number in section, (module, number)
