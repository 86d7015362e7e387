"""``watchkeeper measures``: what can be measured, and what each measure means."""

from __future__ import annotations

import inspect
import sys

import click

from watchkeeper.cli.terminal import json_option, print_json, print_table


@click.command()
@click.argument("name", required=False)
@json_option
def measures(name: str | None, as_json: bool) -> None:
    """List all measures, or explain the measure NAME: formula, limits, reference."""
    from watchkeeper.measures.catalogue import entries, entry

    if name is not None:
        found = entry(name)
        module = sys.modules[found.function.__module__]
        text = inspect.getdoc(module) or ""
        if as_json:
            print_json(
                {
                    "name": found.name,
                    "title": found.measure.title,
                    "explained": text,
                    "reference": found.reference,
                }
            )
        else:
            click.echo(f"{found.measure.title} ({found.name})\n\n{text}")
        return
    if as_json:
        print_json(
            [
                {
                    "name": e.name,
                    "family": e.measure.family.value,
                    "title": e.measure.title,
                    "unit": e.measure.unit,
                    "default": e.default,
                    "sentence": e.measure.sentence,
                    "reference": e.reference,
                }
                for e in entries()
            ]
        )
        return
    rows = [
        (e.name, e.measure.family.value, "yes" if e.default else "", e.measure.sentence) for e in entries()
    ]
    print_table(("measure", "family", "by default", "what it says"), rows)
