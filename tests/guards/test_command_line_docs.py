"""Every command and every option says what it does, so that the generated docs/cli.md does."""

from __future__ import annotations

import click
import pytest

import write_docs


def everything() -> list[tuple[click.Context, click.Command]]:
    context, group = write_docs.command_line()
    return list(write_docs.commands(group, context))


def test_every_command_has_a_help_text():
    assert [context.command_path for context, command in everything() if not command.help] == []


def test_every_option_has_a_help_text():
    silent = [
        f"{context.command_path} {option.opts[0]}"
        for context, command in everything()
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden and not option.help
    ]
    assert silent == []


def test_every_command_and_option_stands_on_the_page():
    page = write_docs.command_page()
    for context, command in everything():
        assert context.command_path in page
        for option in command.get_params(context):
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in page


@pytest.mark.parametrize(
    ("docstring", "page"),
    [
        ("Title\n-----\nText", "## Title\n\nText"),
        ("With :math:`q_b` and ``p``.", "With $q_b$ and `p`."),
        (".. math:: a = b\n\nText", "$$\na = b\n$$\n\nText"),
        ("Text\n\n>>> 1 + 1\n2\n\nMore", "Text\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore"),
        ("So::\n\n    a  b\n\nMore", "So:\n\n```text\na  b\n```\n\nMore"),
    ],
)
def test_a_docstring_becomes_markdown(docstring, page):
    assert write_docs.markdown(docstring) == page
