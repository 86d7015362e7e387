"""``watchkeeper backfill``: measure a stretch of time again."""

from __future__ import annotations

from pathlib import Path

import click

from watchkeeper.cli.project import opened, project_option, window_progress
from watchkeeper.cli.terminal import json_option
from watchkeeper.cli.tick import told


@click.command(
    epilog="""\b
Examples:
  watchkeeper backfill churn --from 2026-01-01 --to 2026-02-01
  watchkeeper backfill churn --from 2026-03-01T06:00Z --to 2026-03-01T12:00Z

Days are days of the model's time zone. Stopped half-way (Ctrl-C, a crash), the same command goes on where it was."""
)
@click.argument("model")
@click.option("--from", "start", required=True, help="First day or moment.")
@click.option("--to", "end", required=True, help="Day or moment that is no longer part of it.")
@project_option
@json_option
def backfill(model: str, start: str, end: str, project: Path, as_json: bool) -> int:
    """Measure all windows of MODEL in a stretch of time again: after a new baseline, segment or check."""
    from watchkeeper.errors import BadInput
    from watchkeeper.loop.reports.explain import instant

    with opened(project) as watch, window_progress() as progress:
        zone = watch.model(model).timezone
        first, last = instant(start, zone), instant(end, zone)
        if last <= first:
            raise BadInput(f"The stretch ends ({end}) before it starts ({start}).")
        done = watch.backfill(model, first, last, progress=progress)
    return told(done, as_json)
