"""Every measure in a catalogue has its page, its doctest, its reference and a known answer.

A measure joins this test by joining its room's catalogue; nobody edits this file. A test says that it holds a
known answer, and who gave it::

    @pytest.mark.known_answer("psi", source="the closed form, worked by hand")
"""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import write_docs
from watchkeeper.measures.catalogue import ROOMS, entries

ROOT = Path(__file__).parents[2]

ENTRIES = entries()
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def known_answers(source: str) -> dict[str, str]:
    """Measure -> where its answer comes from, as the marks in one test file say."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "known_answer":
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            origin = [keyword.value for keyword in node.keywords if keyword.arg == "source"]
            if origin and not (isinstance(origin[0], ast.Constant) and not origin[0].value):
                found |= dict.fromkeys(names, ast.unparse(origin[0]))
    return found


KNOWN = {}
for path in sorted((ROOT / "tests").rglob("test_*.py")):
    KNOWN |= known_answers(path.read_text())


@every_entry
def test_it_has_a_doctest(entry):
    module = sys.modules[write_docs.plain_function(entry).__module__]
    finder = doctest.DocTestFinder(recurse=False)
    found = [finder.find(place, module=module) for place in [module, *write_docs.functions(entry)]]
    assert any(test.examples for tests in found for test in tests)


@every_entry
def test_it_names_its_reference(entry):
    function = write_docs.plain_function(entry)
    text = f"{sys.modules[function.__module__].__doc__}\n{function.__doc__}"
    assert re.search(r"^\s*References\n\s*-{3,}\n\s*\S", text, re.MULTILINE)


@every_entry
def test_an_independent_source_knows_its_answer(entry):
    hint = f'mark a test with @pytest.mark.known_answer("{entry.name}", source="...")'
    assert entry.name in KNOWN, hint


@every_entry
def test_it_says_in_plain_words_what_it_is(entry):
    assert entry.measure.title
    assert entry.measure.sentence


def test_every_room_with_a_catalogue_is_listed():
    rooms = {path.parent.name for path in (ROOT / "src/watchkeeper/measures").glob("*/catalogue.py")}
    assert set(ROOMS) == rooms


def test_no_two_measures_share_a_name():
    twice = [name for name, count in Counter(entry.name for entry in ENTRIES).items() if count > 1]
    assert not twice


def test_a_known_answer_needs_a_source():
    named = '@pytest.mark.known_answer("psi", "tv", source="scipy")\ndef test(): ...'
    unnamed = '@pytest.mark.known_answer("psi")\ndef test(): ...'
    assert known_answers(named) == {"psi": "'scipy'", "tv": "'scipy'"}
    assert known_answers(unnamed) == {}


def test_no_known_answer_is_for_a_measure_that_is_not_there():
    assert set(KNOWN) <= {entry.name for entry in ENTRIES}


def test_the_generated_pages_are_up_to_date():
    command = [sys.executable, "scripts/write_docs.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
