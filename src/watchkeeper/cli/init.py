"""``watchkeeper init``: a project with one file that teaches."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.terminal import json_option, pairs, print_json, progress_bar

if TYPE_CHECKING:
    from watchkeeper.stats.states.baseline import Baseline

__all__ = ["init"]


@click.command(
    epilog="""\b
Examples:
  watchkeeper init                                         asks what it needs
  watchkeeper init --model churn --baseline january.parquet
  watchkeeper init shop --model churn --baseline jan.csv --role left=outcome --segments region

It reads the baseline's rows, tells what each column is, writes watchkeeper.toml with comments that teach, and runs
a first check."""
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", help="Name of the project; that of its folder otherwise.")
@click.option("--model", help="Name of the first model.")
@click.option(
    "--baseline", "source", help="Rows of a good time: a file, folder or glob. Or a saved .wkb file."
)
@click.option(
    "--task", type=click.Choice(["binary", "multiclass", "regression"]), help="What the model does."
)
@click.option("--role", "roles", multiple=True, metavar="COLUMN=ROLE", help="What part a column plays.")
@click.option("--segments", help="Columns to measure by, separated by commas; a+b crosses two.")
@click.option("--timezone", default="UTC", show_default=True, help="Days are days of this zone.")
@click.option("--cadence", help="Length of a stored window (1h, or shorter where the zone needs it).")
@click.option("--replace", is_flag=True, help="Overwrite the project file that is there.")
@json_option
def init(
    folder: Path,
    name: str | None,
    model: str | None,
    source: str | None,
    task: str | None,
    roles: tuple[str, ...],
    segments: str | None,
    timezone: str,
    cadence: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Make a project in FOLDER (here): watchkeeper.toml, its schema for editors, a baseline, a first check."""
    from watchkeeper.errors import Conflict
    from watchkeeper.wiring.config import FILE_NAME
    from watchkeeper.wiring.new_project import SCHEMA_NAME, config_text, make_project

    if (folder / FILE_NAME).exists() and not replace:
        raise Conflict(
            f"There is a project already: {folder / FILE_NAME}.",
            "Look at it:  watchkeeper config check",
            "Or begin anew:  watchkeeper init --replace",
        )
    if sys.stdin.isatty() and not as_json:
        source = source or click.prompt(
            "Rows of a good time (file, folder; empty: later)", default="", show_default=False
        )
        model = model or click.prompt("Name of the model", default=_model_name(source or "") or "churn")
    elif source and not model:
        model = _model_name(source)
    first = (
        _Baseline.of(folder, model, source, task, pairs(roles, "role"), segments)
        if model and source
        else None
    )
    text = config_text(
        project=name or folder.resolve().name,
        model=model or "",
        task=task or (first.task if first else None),
        positive=first.positive if first else None,
        baseline=first.path.name if first else None,
        cadence=cadence,
        timezone=timezone,
        segments=[s.split("+") for s in (segments or "").split(",") if s],
    )
    target = make_project(folder, text, replace=replace)
    checked = _first_check(folder)
    data = (folder / ".watchkeeper").resolve()
    following = f"watchkeeper serve --project {folder}" if model else f"Add a model to {target}"
    if as_json:
        print_json(
            {
                "config": str(target),
                "schema": str(folder / SCHEMA_NAME),
                "model": model,
                "baseline": first.to_dict() if first else None,
                "problems": checked,
                "next": following,
            }
        )
        return
    click.echo(f"The project: {target} (with {SCHEMA_NAME} for editors that complete and check it)")
    if first:
        click.echo(first.told())
    for said in checked:
        click.echo(f"first check: {said}")
    if model:
        click.echo(
            f'Record:  wk.Recorder("{model}", "1", path="{data}").record(features, prediction, score=p)'
        )
    click.echo(f"Next:  {following}")


@dataclass(slots=True)
class _Baseline:
    """The baseline of the first model, and what was guessed about its columns."""

    path: Path
    made: Baseline
    findings: int | None

    @classmethod
    def of(
        cls,
        folder: Path,
        model: str,
        source: str,
        task: str | None,
        roles: dict[str, str],
        segments: str | None,
    ) -> _Baseline:
        from watchkeeper.loop.compare import compare
        from watchkeeper.loop.profiling import (
            BASELINE_SUFFIX,
            baseline,
            is_baseline_file,
            load_baseline,
            save_baseline,
        )
        from watchkeeper.rows.sources import open_source

        path = folder / f"{model}{BASELINE_SUFFIX}"
        if is_baseline_file(source):
            made = load_baseline(source)
            return cls(save_baseline(made, path), made, None)
        if "time" not in roles.values() and "at" not in roles and "at" in open_source(source).available:
            roles = {**roles, "at": "time"}  # what a recorder calls it
        with progress_bar() as progress:
            made = baseline(source, task=task, roles=roles or None, name=model, progress=progress)
            checked = compare(made, source, progress=progress)
        save_baseline(made, path)
        return cls(path, made, len(checked.failed()))

    @property
    def task(self) -> str | None:
        task = self.made.schema.task
        return None if task is None else task.value

    @property
    def positive(self) -> str | None:
        return self.made.schema.positive

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "rows": self.made.profile.rows,
            "task": self.task,
            "columns": {c.name: [c.kind.value, c.role.value] for c in self.made.schema.columns},
            "findings": self.findings,
            "notes": list(self.made.profile.notes),
        }

    def told(self) -> str:
        roles = [
            f"{c.name} is the {c.role.value}" for c in self.made.schema.columns if c.role.value != "feature"
        ]
        features = sum(1 for c in self.made.schema.columns if c.role.value == "feature")
        lines = [
            f"The baseline: {self.path}, {self.made.profile.rows:,.0f} rows, {features} features; "
            f"{', '.join(roles) or 'no other roles were found'} (wrong? --role COLUMN=ROLE)"
        ]
        if self.findings is not None:
            lines.append(
                "The first check, of these rows against themselves, found nothing."
                if not self.findings
                else f"The first check, of these rows against themselves, has {self.findings} findings: "
                "watchkeeper compare shows them."
            )
        return "\n".join(lines)


def _first_check(folder: Path) -> list[str]:
    """Open the project as the server will, and tick once: what is wrong shows now, not at night."""
    from watchkeeper.wiring import open_project

    with open_project(folder) as watch:
        return list(watch.tick().problems)


def _model_name(source: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source.rstrip("/*")).stem).strip("-._")
    return stem[:100]
