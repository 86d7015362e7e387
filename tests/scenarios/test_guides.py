"""The guides are run: their Python in one go, their commands with the exit status that they promise."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from watchkeeper.cli import main

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["batch_check"])
def test_every_block_does_what_it_says(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed = ""
    for kind, text in blocks(GUIDES / f"{name}.md"):
        if kind == "python":
            exec(compile(text, f"{name}.md", "exec"), names)
            printed = capsys.readouterr().out
        elif kind == "text":
            assert printed.strip() == text.strip()
        elif kind == "console":
            for line in text.splitlines():
                command, _, promise = line.removeprefix("$ ").partition("    # exit status ")
                words = shlex.split(command)
                assert words.pop(0) == "watchkeeper"
                with pytest.raises(SystemExit) as end:
                    main(words)
                assert int(end.value.code or 0) == int(promise or 0), (line, capsys.readouterr())
                capsys.readouterr()


def test_its_links_lead_somewhere():
    for page in GUIDES.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), (page.name, link)
