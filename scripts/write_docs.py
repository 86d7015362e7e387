"""Write the generated pages of docs/: one for each measure, from its docstring, the kinds of rules, and the command line.

python scripts/write_docs.py            write them
python scripts/write_docs.py --check    change nothing; name the pages that are out of date, and exit 1
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from watchkeeper.domain.duration import duration_text
from watchkeeper.domain.rule import Severity
from watchkeeper.measures.catalogue import entries
from watchkeeper.measures.entry import Entry

DOCS = Path(__file__).parents[1] / "docs"
NOTICE = "<!-- Written by scripts/write_docs.py from the source; edit the docstring, not this page. -->"


# Measures


def plain_function(entry: Entry) -> Callable[..., Any]:
    """The function that holds the arithmetic, without what the catalogue bound or wrapped around it."""
    function: Any = entry.function
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def functions(entry: Entry) -> list[Callable[..., Any]]:
    """The plain number, where the measure's file has a function of its name, and what the catalogue calls."""
    function = plain_function(entry)
    number = getattr(sys.modules[function.__module__], entry.name, function)
    return [number] if number is function or not inspect.isfunction(number) else [number, function]


def signature(function: Callable[..., Any]) -> str:
    """*function*'s first line as it stands in the source, on one line."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"


def measure_page(entry: Entry) -> str:
    module = sys.modules[plain_function(entry).__module__]
    measure = entry.measure
    facts = {
        "Name": f"`{entry.name}`",
        "Family": str(measure.family),
        "Unit": measure.unit or "none",
        "Worse when": str(measure.direction).replace("_is_worse", "").replace("neither", "neither way"),
        "Reads": f"`{entry.reads}`",
        "Columns": ", ".join(sorted(map(str, entry.kinds))) or "the whole table",
        "Taken when none is named": "yes" if entry.default else "no",
        "Definition": entry.reference or "see below",
    }
    parts = [f"# {measure.title}", NOTICE, measure.sentence]
    parts.append(
        "| | |\n|---|---|\n" + "\n".join(f"| {name} | {cell(text)} |" for name, text in facts.items())
    )
    parts.append(markdown(module.__doc__ or ""))
    parts.append("## In Python")
    for function in functions(entry):
        imported = f"from {function.__module__} import {function.__name__}"
        parts.append(f"```python\n{imported}\n\n{signature(function)}\n```")
        parts.append(markdown(function.__doc__ or "", level=3))
    return "\n\n".join(part for part in parts if part) + "\n"


def measures_index(found: tuple[Entry, ...]) -> str:
    lines = ["# The measures", "", NOTICE, ""]
    lines += ["A measure is one function and one line in its room's catalogue. Each has its page here.", ""]
    for family in dict.fromkeys(entry.measure.family for entry in found):
        lines += [
            f"## {str(family).capitalize()}",
            "",
            "| measure | what it says | default |",
            "|---|---|---|",
        ]
        lines += [
            f"| [{cell(entry.measure.title)}]({entry.name}.md) | {cell(entry.measure.sentence)} | "
            f"{'yes' if entry.default else ''} |"
            for entry in found
            if entry.measure.family == family
        ]
        lines.append("")
    return "\n".join(lines)


def cell(text: str) -> str:
    """*text* as one cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def markdown(docstring: str, level: int = 2) -> str:
    """Our docstrings' few marks (headings, maths, doctests, literals) in Markdown; headings at *level*."""
    lines = inspect.cleandoc(docstring).splitlines()
    out: list[str] = []
    at = 0

    def block(end_at: Callable[[str], bool]) -> list[str]:
        nonlocal at
        taken = []
        while at < len(lines) and not end_at(lines[at]):
            taken.append(lines[at])
            at += 1
        return taken

    while at < len(lines):
        line = lines[at]
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if line.strip() and re.fullmatch(r"[-=]{3,}", following.strip()):
            out += ["", "#" * level + " " + inline(line.strip()), ""]
            at += 2
        elif line.lstrip().startswith(".. math::"):
            at += 1
            formula = [line.split("::", 1)[1]]
            formula += block(lambda text: bool(text.strip()) and not text.startswith(" "))
            out += ["", "$$", *(text.strip() for text in formula if text.strip()), "$$", ""]
        elif line.lstrip().startswith(">>>"):
            example = textwrap.dedent("\n".join(block(lambda text: not text.strip())))
            out += ["```pycon", example, "```"]
        elif line.rstrip().endswith("::"):
            out += [inline(line.rstrip()[:-1]), "", "```text"]
            at += 1
            literal = block(lambda text: bool(text.strip()) and not text.startswith(" "))
            out += [textwrap.dedent("\n".join(literal)).strip("\n"), "```", ""]
        else:
            out.append(inline(line))
            at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def inline(line: str) -> str:
    line = re.sub(r":math:`([^`]+)`", r"$\1$", line)
    line = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line)
    return re.sub(r"``([^`]+)``", r"`\1`", line)


# The command line


def commands(group: click.Command, context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    """*group* and every command below it that is not hidden, parents first."""
    yield context, group
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield from commands(command, context_of(command, name, context))


def context_of(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def command_line() -> tuple[click.Context, click.Command]:
    from watchkeeper.cli import cli

    return context_of(cli, "watchkeeper"), cli


def command_page() -> str:
    context, group = command_line()
    parts = ["# The command line", NOTICE]
    for inner, command in commands(group, context):
        if command is not group:
            parts.append(f"## {inner.command_path}")
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        parts.append(f"```text\n{usage}\n```")
        help_text = inspect.cleandoc((command.help or "").partition("\f")[0]).replace("\b\n", "")
        parts.append(markdown(help_text, level=3))
        records = filter(None, (parameter.get_help_record(inner) for parameter in command.get_params(inner)))
        rows = [f"| `{cell(names)}` | {cell(text)} |" for names, text in records if text]
        if rows:
            parts.append("| option | what it does |\n|---|---|\n" + "\n".join(rows))
        if command.epilog:
            epilog = inspect.cleandoc(command.epilog).replace("\b\n", "")
            parts.append(f"```text\n{epilog}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


# Writing


# Tables of watchkeeper.toml that come in kinds


def key_rows(table: type[BaseModel], leave_out: Iterable[str] = ()) -> list[str]:
    """One row a key: what it takes, what it is otherwise, what it means."""
    rows = ["| key | value | otherwise | |", "|---|---|---|---|"]
    properties = table.model_json_schema()["properties"]
    for name, field in table.model_fields.items():
        key = field.alias or name
        if key in leave_out:
            continue
        otherwise = "**needed**" if field.is_required() else f"`{json.dumps(properties[key].get('default'))}`"
        if otherwise in ("`null`", "`{}`"):
            otherwise = "not set"
        takes = kind_of(properties[key])
        if field.annotation is timedelta:
            takes, otherwise = "duration", f'`"{duration_text(field.default)}"`'
        rows.append(f"| `{key}` | {takes} | {otherwise} | {cell(field.description or '')} |")
    return rows


def kind_of(shape: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "const" in shape:
        return f'`"{shape["const"]}"`'
    if "enum" in shape:
        return " or ".join(f'`"{e}"`' for e in shape["enum"])
    if several := shape.get("anyOf"):
        return " or ".join(dict.fromkeys(kind_of(s) for s in several if s.get("type") != "null"))
    if "$ref" in shape:
        return "one of " + ", ".join(f'`"{s.value}"`' for s in Severity)
    words = {"string": "text", "boolean": "true or false", "array": "list of text", "object": "table of text"}
    return words.get(shape.get("type", ""), shape.get("type", "anything"))


def rules_page() -> str:
    from watchkeeper.decisions.rules.catalogue import TABLES, RuleTable

    lines = [
        "# Kinds of rules",
        "",
        NOTICE,
        "",
        "What a `[[models.NAME.rules]]` table of `watchkeeper.toml` may say; [Rules and alerts](alerts.md) shows them at work.",
        "",
        "## Every rule",
        "",
        *key_rows(RuleTable),
    ]
    for kind, table in sorted(TABLES.items()):
        about = " ".join(inspect.cleandoc(table.__doc__ or "").replace("``", "`").split())
        lines += [
            "",
            f'## `kind = "{kind}"`',
            "",
            about,
            "",
            *key_rows(table, leave_out=(*keys_of(RuleTable), "kind")),
        ]
    return "\n".join(lines) + "\n"


def keys_of(table: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def pages() -> dict[Path, str]:
    """Every generated page: where it belongs, and what it must say."""
    found = entries()
    out = {DOCS / "measures" / f"{entry.name}.md": measure_page(entry) for entry in found}
    out[DOCS / "measures" / "index.md"] = measures_index(found)
    out[DOCS / "cli.md"] = command_page()
    out[DOCS / "rules.md"] = rules_page()
    return out


def main(arguments: list[str]) -> int:
    wanted = pages()
    there = {path: path.read_text() for path in {*wanted, *(DOCS / "measures").glob("*.md")} if path.exists()}
    changed = sorted(path for path in {*wanted, *there} if wanted.get(path) != there.get(path))
    if "--check" in arguments:
        for path in changed:
            print(f"{path.relative_to(DOCS.parent)} is out of date; run: python scripts/write_docs.py")
        return 1 if changed else 0
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    print(f"{len(wanted)} pages, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
