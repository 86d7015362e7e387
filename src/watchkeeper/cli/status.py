"""``watchkeeper status``: what is watched, how fresh, and what is wrong, in one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table, say, screen_width, strict

WIDE = 110
"""Characters from which the freshest window's numbers have room."""


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
    from watchkeeper.loop.reports.status import status as look

    with opened(project) as watch:
        found = look(watch)
    if as_json:
        print_json(strict(found))
        return 0 if found["healthy"] else 1
    last = (found["last_tick"] or "never")[:16].replace("T", " ")
    count = len(found["models"])
    ticked = "never ticked" if last == "never" else f"last tick {last} UTC"
    say(f"{found['project']}: {count} model{'s' if count != 1 else ''}, {ticked}")
    heads = ["model", "freshest window", "ended", "rows", "outcomes", "state", "alarms"]
    rows = [_row(m) for m in found["models"]]
    if screen_width() >= WIDE:  # what is least needed at a glance is left out first
        heads.append("in it")
        rows = [[*row, _numbers(m)] for row, m in zip(rows, found["models"])]
    if rows:
        print_table(heads, rows, right=(3, 4, 6))
    problems = [*found["problems"], *(f"{m['model']}: {p}" for m in found["models"] for p in m["problems"])]
    for said in problems:
        say(f"  ! {said}", indent=4)
    for m in found["models"]:
        for said in m["notes"]:
            say(f"  - {m['model']}: {said}", indent=4)
    if not problems:
        click.echo("No alarm fires, and nothing is in the way.")
    if found["models"]:
        click.echo(f"Why a number is what it is:  {_next(found)}")
    return 0 if found["healthy"] else 1


def _row(m: dict[str, Any]) -> list[str]:
    freshest, waiting, alarms = m["freshest"], m["waiting_windows"], str(m["firing"] or "")
    waits = f"{waiting} waiting" if waiting else ""
    if freshest is None:
        return [m["model"], "none yet", "", "", "", waits, alarms]
    state = "mature" if freshest["mature"] else "immature"
    return [
        m["model"],
        freshest["day"] or freshest["window"],
        f"{freshest['age']} ago",
        f"{freshest['rows']:,}",
        "" if freshest["coverage"] is None else f"{100 * freshest['coverage']:.0f}%",
        f"{state}, {waits}" if waits else state,
        alarms,
    ]


def _numbers(m: dict[str, Any]) -> str:
    return ", ".join(f"{n.replace('_', ' ')} {v:.3g}" for n, v in m["measurements"].items() if n in _SHOWN)


_SHOWN = ("accuracy", "roc_auc", "log_loss", "mae", "rmse", "error_rate")


def _next(found: dict[str, Any]) -> str:
    name = found["models"][0]["model"] if found["models"] else "MODEL"
    return f"watchkeeper explain {name} latest"
