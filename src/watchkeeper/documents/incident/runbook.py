"""A runbook: Markdown for people, whose steps may be commands that Watchkeeper runs.

Each heading of the second level is a step. A step may hold one fenced block marked ``watchkeeper`` with a command a
line::

    # Drift of a column

    ## Quiet the noise while you look

    ```watchkeeper
    silence model={model} column={column} --for 4h --reason "looking at it"
    ```

``{model}``, ``{column}``, ``{segment}``, ``{version}``, ``{rule}``, ``{measure}``, ``{alert}`` and ``{incident}`` are
filled in from the alert and the incident that it is run for. Each becomes one word, whatever it holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from watchkeeper.errors import BadInput, NotFound, nearest

PLACEHOLDERS = ("model", "column", "segment", "version", "rule", "measure", "alert", "incident")
VERBS: Mapping[str, str] = {
    "acknowledge": "acknowledge [ALERT] [--note TEXT]",
    "silence": "silence LABEL=VALUE ... --for 4h --reason TEXT",
    "rebaseline": "rebaseline MODEL --from TIME --to TIME",
    "backfill": "backfill MODEL --from TIME --to TIME",
    "label": "label NAME=VALUE ... (on the incident)",
    "note": "note TEXT (on the incident)",
    "task": "task TEXT [--follow-up] [--owner NAME] (on the incident)",
    "enter": "enter assessment | mitigation | resolution (the incident)",
    "notify": "notify CHANNEL TEXT",
}
"""Command -> how it is written."""
_FIELD = re.compile(r"\{([a-z_]*)\}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class RunbookCommand:
    """One command of a step, with its words as written (placeholders and all)."""

    verb: str
    words: tuple[str, ...]
    line: int

    @property
    def text(self) -> str:
        """As one would type it."""
        return shlex.join((self.verb, *self.words))

    def filled(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Its words with the placeholders filled in; each stays one word.

        Raises
        ------
        BadInput
            there is no value for one of them.
        """

        def value(found: re.Match[str]) -> str:
            if not values.get(found[1]):
                raise BadInput(
                    f"Line {self.line}: there is no {found[1]} to fill in.",
                    f"Run it for an alert or incident that has one, or give it:  --set {found[1]}=...",
                )
            return str(values[found[1]])

        return tuple(_FIELD.sub(value, word) for word in self.words)


@dataclass(frozen=True, slots=True)
class RunbookStep:
    """One step: what to do, and the commands that do some of it."""

    number: int
    title: str
    text: str
    commands: tuple[RunbookCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook that was read and checked."""

    name: str
    title: str
    text: str
    """Before the first step."""
    steps: tuple[RunbookStep, ...]
    source: str = ""
    """The Markdown that it was read from."""


def parse_runbook(name: str, source: str) -> Runbook:
    """Read a runbook and check every command of it.

    Raises
    ------
    BadInput
        the line and what is wrong with it: an unknown command or placeholder, an open fence, no step.

    >>> book = parse_runbook("x", "# X\\n\\n## Look\\nAt it.\\n```watchkeeper\\nnote 'looked at {column}'\\n```\\n")
    >>> book.steps[0].commands[0].filled({"column": "a b; rm"})
    ('looked at a b; rm',)
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot name a runbook.", "Use small letters, digits, '-' and '_'.")
    if len(source) > LONGEST:
        raise BadInput(f"The runbook {name} is longer than {LONGEST} characters.")
    title, heading = "", ""
    head: list[str] = []
    text = head
    commands: list[RunbookCommand] = []
    steps: list[RunbookStep] = []
    fence, runs = 0, False  # the line where a fence was opened (0: none is open); whether it holds commands

    def close() -> None:
        if heading:
            steps.append(RunbookStep(len(steps) + 1, heading, "\n".join(text).strip(), tuple(commands)))

    for number, line in enumerate(source.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith(("```", "~~~")):
            opens = not fence
            runs = runs if not opens else stripped.lstrip("`~ ") == "watchkeeper"
            if runs and not heading:
                raise BadInput(
                    f"{name}, line {number}: commands stand in a step.", "Put '## What to do' before."
                )
            if not runs:
                text.append(line)
            fence = number if opens else 0
        elif fence and runs:
            if stripped and not stripped.startswith("#"):
                commands.append(_command(name, stripped, number))
        elif fence:
            text.append(line)
        elif stripped.startswith("# ") and not title:
            title = stripped[2:].strip()
        elif stripped.startswith("## "):
            close()
            heading, text, commands = stripped[3:].strip(), [], []
        else:
            text.append(line)
    if fence:
        raise BadInput(f"{name}, line {fence}: this fence is never closed.")
    close()
    if not steps:
        raise BadInput(f"The runbook {name} has no step.", "Each step is a heading: '## What to do'.")
    return Runbook(name, title or name, "\n".join(head).strip(), tuple(steps), source)


def _command(name: str, text: str, line: int) -> RunbookCommand:
    try:
        words = shlex.split(text)
    except ValueError as cause:
        raise BadInput(f"{name}, line {line}: {text!r} cannot be read: {cause}.") from None
    verb, rest = words[0], tuple(words[1:])
    if verb == "watchkeeper":
        raise BadInput(f"{name}, line {line}: write the command without 'watchkeeper' before it.")
    if verb not in VERBS:
        raise BadInput(
            f"{name}, line {line}: there is no command {verb!r}.{nearest(verb, VERBS)}",
            f"Known: {', '.join(VERBS)}.",
        )
    for field in (f for word in rest for f in _FIELD.findall(word)):
        if field not in PLACEHOLDERS:
            raise BadInput(
                f"{name}, line {line}: there is no placeholder {{{field}}}.{nearest(field, PLACEHOLDERS)}",
                f"Known: {', '.join(PLACEHOLDERS)}.",
            )
    if not rest and verb != "acknowledge":
        raise BadInput(f"{name}, line {line}: {verb} needs more words.", f"It is written:  {VERBS[verb]}")
    return RunbookCommand(verb, rest, line)


@cache
def default_runbooks() -> Mapping[str, Runbook]:
    """The runbooks that ship with the package, one for each kind of alert, by name."""
    folder = Path(__file__).with_name("runbooks")
    return {f.stem: parse_runbook(f.stem, f.read_text(encoding="utf-8")) for f in sorted(folder.glob("*.md"))}


_BY_FAMILY = {
    "drift": "drift",
    "quality": "data-quality",
    "performance": "performance",
    "estimate": "performance",
    "service": "service",
    "fairness": "fairness",
    "cost": "cost",
}
_BY_KIND = {"absence": "no-data", "predictive": "forecast", "composite": "several-signs"}


def runbook_for(*, category: str = "rule", kind: str = "", family: str = "", own: str = "") -> str:
    """The name of the runbook for an alert: its rule's *own*, else the default for what it is about.

    >>> runbook_for(category="no_data"), runbook_for(kind="threshold", family="performance"), runbook_for(own="mine")
    ('no-data', 'performance', 'mine')
    """
    if own:
        return own
    if category == "no_data":
        return "no-data"
    if category == "error":
        return "evaluation-failed"
    return _BY_KIND.get(kind) or _BY_FAMILY.get(family) or "drift"


def find_runbook(name: str, own: Mapping[str, Runbook]) -> Runbook:
    """A runbook of the project, or the one that ships with the package.

    Raises
    ------
    NotFound
        with the nearest name.
    """
    known = {**default_runbooks(), **own}
    if name not in known:
        raise NotFound(
            f"There is no runbook {name!r}.{nearest(name, known)}", f"Known: {', '.join(sorted(known))}."
        )
    return known[name]
