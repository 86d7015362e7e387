"""``watchkeeper explain``: why a window's numbers are what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table, say, screen_width, strict


@click.command(
    epilog="""\b
WINDOW is `latest`, a day (2026-03-01), a moment within an hour (2026-03-01T07:00Z),
or a label as pages and alarms show it (2026-03-01T00:00Z/P1D).

\b
Examples:
  watchkeeper explain churn latest
  watchkeeper explain churn 2026-03-01 --column age"""
)
@click.argument("model")
@click.argument("window")
@click.option("--column", help="Also compare this column's shares with the baseline's, bin by bin.")
@click.option("--all", "everything", is_flag=True, help="All measurements, not only those that tell most.")
@project_option
@json_option
def explain(
    model: str, window: str, column: str | None, everything: bool, project: Path, as_json: bool
) -> None:
    """Explain the numbers of one WINDOW of MODEL: its rows, outcomes, baseline, parts, and what moved."""
    from watchkeeper.loop.reports.explain import explain as look

    with opened(project) as watch:
        found = look(watch, model, window, subject=column)
    if as_json:
        print_json(strict(found))
        return
    coverage = "" if found["coverage"] is None else f" ({100 * found['coverage']:.1f}%)"
    say(f"{found['model']}, {found['window']}: a {found['kind']} window, {found['local']}")
    say(f"{found['rows']:,} rows, {found['outcomes']:,} outcomes{coverage}. {found['maturity']}")
    parts = found["stored_windows"]
    if parts["expected"] > 1:
        say(
            f"It is the merge of {parts['expected']} windows of {parts['cadence']}; {parts['with_rows']} have rows."
        )
    if found["waits"]:
        say(f"It waits to be measured again: {found['why_it_waits']}.")
    if not found["rebuildable"]:
        say("Its raw rows have expired: it cannot be measured again.")
    base = found["baseline"]
    if base:
        where = base["source"].get("path") or base["source"].get("kind") or "an unknown source"
        say(f"Compared with the baseline {base['name']!r}: {base['rows']:,.0f} rows from {where}.")
    else:
        say("There is no baseline yet, so nothing is compared.")
    for name in ("versions", "segments"):
        if found[name]:
            more = f" and {len(found[name]) - 8} more" if len(found[name]) > 8 else ""
            say(f"{name.capitalize()}: {', '.join(found[name][:8])}{more}")
    for note in found["notes"]:
        say(f"note: {note}")
    _print_measurements(found["measurements"], everything)
    if "column" in found:
        _print_column(found["column"])
    for entry in found["history"][:3]:
        say(f"{entry['at'][:16].replace('T', ' ')} UTC  {_event(entry)}")
    if "column" not in found and found["measurements"] and found["baseline"]:
        say(f"What moved in a column:  watchkeeper explain {model} {window} --column NAME")


def _event(entry: dict[str, Any]) -> str:
    if entry["kind"] != "window.measured":
        return str(entry["kind"])
    times = "measured" if entry["generation"] == 1 else f"measured again (the {entry['generation']}. time)"
    return f"{times}: {entry['rows']:,} rows, {entry['outcomes']:,} outcomes"


def _print_measurements(measured: list[dict[str, Any]], everything: bool) -> None:
    def weight(m: dict[str, Any]) -> float:
        return m["beyond_noise"] or 0.0

    known = sorted((m for m in measured if m["value"] is not None), key=weight, reverse=True)
    rows = [
        (
            m["measure"],
            m["subject"],
            f"{m['value']:.4g}",
            "" if m["low"] is None else f"{m['low']:.3g} to {m['high']:.3g}",
            "" if m["margin"] is None else f"{m['margin']:.3g}",
            f"{m['rows']:,.0f}",
        )
        for m in (known if everything else known[:15])
    ]
    print_table(("measure", "of", "value", "interval", "noise", "rows"), rows, right=(2, 4, 5))
    width = max((len(row[0]) for row in rows), default=0)
    for name, sentence in {m["measure"]: m["sentence"] for m in known[: len(rows)]}.items():
        told = f"{name:<{width}}  {sentence}"
        click.echo(click.wrap_text(told, screen_width(), subsequent_indent=" " * (width + 2)))
    if len(known) > len(rows):
        click.echo(f"and {len(known) - len(rows)} more; --all shows them.")
    silent: dict[str, list[str]] = {}
    for m in measured:
        if m["value"] is None:
            silent.setdefault(m["reason"], []).append(f"{m['measure']} {m['subject']}".strip())
    for reason, names in list(silent.items())[:5]:
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        say(f"not measured: {', '.join(names[:4])}{more}: {reason}")


def _print_column(column: dict[str, Any]) -> None:
    missing = column["missing"]
    say(
        f"\n{column['name']}: missing {100 * missing['baseline']:.3g}% in the baseline, {100 * missing['window']:.3g}% here"
    )
    rows = [
        (b["bin"], f"{100 * b['baseline']:.2f}%", f"{100 * b['window']:.2f}%", f"{b['adds_to_psi']:.4f}")
        for b in column["bins"]
    ]
    print_table(("bin", "baseline", "window", "adds to PSI"), rows, right=(1, 2, 3))
