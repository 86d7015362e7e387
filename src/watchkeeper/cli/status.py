"""``watchkeeper status``: what is watched, how fresh, and what is wrong, in one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table, strict

__all__ = ["status"]


@click.command(
    epilog="""\b
Examples:
  watchkeeper status
  watchkeeper status --json | jq '.models[].freshest'

Exit status: 0 all is well, 1 something is wrong."""
)
@project_option
@json_option
def status(project: Path, as_json: bool) -> int:
    """Show what is watched, the freshest window of each model, and what is wrong."""
    from watchkeeper.loop.status import status as look

    with opened(project) as watch:
        found = look(watch)
    if as_json:
        print_json(strict(found))
        return 0 if found["healthy"] else 1
    last = (found["last_tick"] or "never")[:16].replace("T", " ")
    click.echo(f"{found['project']}: {len(found['models'])} models, last tick {last}")
    rows = [_row(m) for m in found["models"]]
    heads = ("model", "freshest window", "rows", "outcomes", "state", "in it", "alarms")
    if rows:
        print_table(heads, rows, right=(2, 3, 6))
    problems = [*found["problems"], *(f"{m['model']}: {p}" for m in found["models"] for p in m["problems"])]
    for said in problems:
        click.echo(f"  ! {said}")
    click.echo("Nothing is wrong." if not problems else f"Why a number is what it is:  {_next(found)}")
    return 0 if found["healthy"] else 1


def _row(m: dict[str, Any]) -> tuple[str, ...]:
    freshest = m["freshest"]
    if freshest is None:
        return (
            m["model"],
            "none yet",
            "",
            "",
            f"{m['waiting_windows']} windows wait",
            "",
            str(m["firing"] or ""),
        )
    coverage = freshest["coverage"]
    state = "mature" if freshest["mature"] else "waits for outcomes"
    if m["waiting_windows"]:
        state += f", {m['waiting_windows']} windows wait"
    shown = [f"{n.replace('_', ' ')} {v:.3g}" for n, v in m["measurements"].items() if n in _SHOWN]
    return (
        m["model"],
        f"{freshest['window']} ({freshest['age']} ago)",
        f"{freshest['rows']:,}",
        "" if coverage is None else f"{100 * coverage:.0f}%",
        state,
        ", ".join(shown[:3]),
        str(m["firing"] or ""),
    )


_SHOWN = ("accuracy", "roc_auc", "log_loss", "mae", "rmse", "error_rate")


def _next(found: dict[str, Any]) -> str:
    name = found["models"][0]["model"] if found["models"] else "MODEL"
    return f"watchkeeper explain {name} latest"
