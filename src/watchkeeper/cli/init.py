"""``watchkeeper init``: a project with one file that teaches."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchkeeper.cli.terminal import json_option, pairs, print_json, progress_bar, segments_of

if TYPE_CHECKING:
    import pyarrow as pa

    from watchkeeper.documents.batch.report import Report
    from watchkeeper.domain.schema import Column
    from watchkeeper.stats.states.baseline import Baseline


ASKED = {
    "outcome": "What really happened",
    "score": "The model's probability",
    "prediction": "What the model decided",
    "time": "When it was predicted",
    "id": "What names a prediction",
}
"""Roles that are asked for, in this order, with what they mean."""


@click.command(
    epilog="""\b
Examples:
  watchkeeper init                                         asks what it needs
  watchkeeper init --model churn --baseline january.parquet
  watchkeeper init shop --model churn --baseline jan.csv --role left=outcome --segments region

It reads the baseline's rows, says what it takes each column for, writes watchkeeper.toml with comments that teach,
and runs a first check."""
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
@click.option("--positive", metavar="CLASS", help="The outcome that a binary model looks for.")
@click.option("--role", "roles", multiple=True, metavar="COLUMN=ROLE", help="What part a column plays.")
@click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND", help="What a column holds.")
@click.option("--encoding", help="Of text files that are not UTF-8, such as cp1252 or latin-1.")
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
    positive: str | None,
    roles: tuple[str, ...],
    kinds: tuple[str, ...],
    encoding: str | None,
    segments: str | None,
    timezone: str,
    cadence: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Make a project in FOLDER (here): watchkeeper.toml, its schema for editors, a baseline, a first check."""
    from watchkeeper.errors import Conflict
    from watchkeeper.wiring.config import FILE_NAME, parse_config
    from watchkeeper.wiring.new_project import SCHEMA_NAME, config_text, make_project

    if (folder / FILE_NAME).exists() and not replace:
        raise Conflict(
            f"There is a project already: {folder / FILE_NAME}.",
            "Look at it:  watchkeeper config check",
            "Or begin anew:  watchkeeper init --replace",
        )
    asking = sys.stdin.isatty() and not as_json
    rows = _Rows(source or "", pairs(roles, "role"), pairs(kinds, "kind"), encoding, task, positive=positive)
    if asking and not source:
        rows = _asked_for(rows)
    elif source:
        rows.look()
    if asking and not model:
        model = click.prompt(
            "Name of the model", default=_model_name(rows.source) if rows.source else "churn"
        )
    model = model or (_model_name(rows.source) if rows.source else None)
    if asking and rows.source:
        rows.ask()
        rows.settle()
        segments = segments or click.prompt(
            "Columns to measure apart by, such as a region (empty: none)", default="", show_default=False
        )
        if rows.toss_up:
            click.echo(rows.toss_up)
            rows.positive = (
                click.prompt("The positive class (empty: later)", default="", show_default=False) or None
            )
    by = segments_of(segments)
    first = _Baseline.of(folder, model, rows, by) if model and rows.source else None
    text = config_text(
        project=name or folder.resolve().name,
        model=model or "",
        task=rows.task or (first.task if first else None),
        positive=first.positive if first else None,
        baseline=first.path.name if first else None,
        cadence=cadence,
        timezone=timezone,
        segments=by,
    )
    parse_config(text, where=str(folder / FILE_NAME))  # nothing is written before everything is checked
    if first:
        first.save()
    target = make_project(folder, text, replace=replace)
    checked = _first_check(folder)
    following = _following(folder, model, target)
    if as_json:
        print_json(
            {
                "config": str(target),
                "schema": str(folder / SCHEMA_NAME),
                "model": model,
                "baseline": first.to_dict() if first else None,
                "problems": checked,
                "next": following[0],
            }
        )
        return
    _tell("Project", [f"{target}  (its comments say what can be set)"])
    if first:
        _tell("Baseline", first.told())
        _tell("Missing", first.lacking())
        _tell("First check", first.checked())
    _tell("Problems", checked)
    _tell("Next", following)


def _tell(title: str, lines: Iterable[str]) -> None:
    """Lines under a title at their left, broken where the terminal ends."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1_000
    for i, line in enumerate(lines):
        start = f"{'' if i else title:<13}"
        rest = " " * (13 + len(line) - len(line.lstrip()))
        click.echo(
            textwrap.fill(
                line,
                max(40, width),
                initial_indent=start,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _following(folder: Path, model: str | None, target: Path) -> list[str]:
    """What to do next; the first line is a command."""
    where = "" if folder.resolve() == Path.cwd() else f" --project {folder}"
    if not model:
        return [f"watchkeeper config check{where}", f"after adding a model to {target}"]
    data = folder / ".watchkeeper"
    return [
        f"watchkeeper serve{where}",
        "and in your service:",
        f'  model = wk.wrap(model, "{model}", "1", path="{data}")',
        "or, where predictions are in files:",
        f"  watchkeeper record FILE --model {model} --version 1{where}",
    ]


@dataclass(slots=True)
class _Rows:
    """The rows of a good time, and what each of their columns is taken for."""

    source: str
    roles: dict[str, str]
    kinds: dict[str, str]
    encoding: str | None
    task: str | None
    columns: list[str] = field(default_factory=list)
    two_valued: list[str] = field(default_factory=list)
    unique: list[str] = field(default_factory=list)
    toss_up: str = ""
    positive: str | None = None
    _sample: pa.Table | None = None

    def look(self) -> None:
        """Guess the roles that were not given, from names and a sample.

        Raises
        ------
        UnreadableSource, NotFound, BadInput
            as `open_source` and `infer` do.
        """
        from watchkeeper.domain.schema import Role
        from watchkeeper.loop.batch.profiling import is_baseline_file
        from watchkeeper.rows.infer import infer
        from watchkeeper.rows.likely_roles import (
            likely_class_scores,
            likely_roles,
            two_valued,
            unique_numbers,
        )
        from watchkeeper.rows.sources import open_source

        if is_baseline_file(self.source):
            return
        opened = open_source(self.source, encoding=self.encoding)
        sample = opened.sample()
        schema = infer(
            opened, sample=sample, roles=self.roles or None, kinds=self.kinds or None, task=self.task
        ).schema
        guessed = likely_roles(schema, sample)
        self.columns = [c.name for c in schema.columns]
        self.two_valued = two_valued(schema.with_roles(guessed), sample)
        schema = schema.with_roles(guessed)
        scores = {n: f"score:{c}" for n, c in likely_class_scores(schema, sample).items()}
        schema = schema.with_roles(scores)
        found = {c.name: _role_of(c) for c in schema.columns if c.role is not Role.FEATURE}
        self.roles = {**found, **{n: r for n, r in self.roles.items() if r != "score" or n not in scores}}
        self.unique = unique_numbers(schema, sample)
        self._sample = sample
        self.settle()

    def settle(self) -> None:
        """Find out by the roles as they are now whether a person has to say which class is positive."""
        self.toss_up = "" if self._sample is None else self._unknown_positive(self._sample)

    def _unknown_positive(self, sample: pa.Table) -> str:
        """What a person has to say about the positive class; empty where nothing has to be asked."""
        from watchkeeper.domain.schema import Role, Task
        from watchkeeper.rows.infer import infer
        from watchkeeper.rows.values import values_of
        from watchkeeper.stats.states.edge_search import EdgeSearch

        schema = infer(sample.schema, sample=sample, roles=self.roles, task=self.task).schema
        outcome = schema.first(Role.OUTCOME) or schema.first(Role.PREDICTION)
        if schema.task is not Task.BINARY or self.positive is not None or outcome is None:
            return ""
        read = schema.of_role(Role.OUTCOME, Role.PREDICTION, Role.SCORE)
        with EdgeSearch(schema) as search:
            search.add({c.name: values_of(sample[c.name], c) for c in read})
            found = search.positive()
        return "" if found.sure else found.note

    def of_role(self, role: str) -> str:
        """The column with *role*, or nothing."""
        return next((n for n, r in self.roles.items() if r.partition(":")[0] == role), "")

    def ask(self) -> None:
        """Let a person correct what was guessed."""
        if not self.columns:
            return
        taken = {role: self.of_role(role) for role in ASKED}
        click.echo(f"Columns: {', '.join(self.columns[:40])}{' ...' if len(self.columns) > 40 else ''}")
        click.echo(_parts(self.roles))
        if taken["outcome"] and click.confirm("Is that right?", default=True):
            return
        click.echo("Name the column of each; - for none.")
        for role, meaning in ASKED.items():
            guess = taken[role] or (
                self.two_valued[0] if role == "outcome" and len(self.two_valued) == 1 else "-"
            )
            self._change(role, taken[role], _chosen(f"{meaning} ({role})", self.columns, guess))

    def _change(self, role: str, before: str, now: str) -> None:
        if before and before != now:
            self.roles[before] = "feature"
        if now:
            self.roles[now] = role


def _asked_for(rows: _Rows) -> _Rows:
    """Ask for the baseline until it can be read."""
    from watchkeeper.errors import WatchkeeperError

    while True:
        rows.source = click.prompt(
            "Rows of a good time: a file, folder or glob (empty: later)", default="", show_default=False
        ).strip()
        if not rows.source:
            return rows
        try:
            rows.look()
        except WatchkeeperError as failure:
            click.echo(str(failure))
            if "not UTF-8" not in failure.what:
                continue
            rows.encoding = click.prompt("Its encoding", default="cp1252")
            try:
                rows.look()
            except WatchkeeperError as again:
                click.echo(str(again))
                continue
        return rows


def _chosen(question: str, columns: list[str], guess: str) -> str:
    from watchkeeper.errors import nearest

    while True:
        said: str = click.prompt(f"  {question}", default=guess).strip()
        if said in columns:
            return said
        if said == "-":
            return ""
        click.echo(f"  There is no column {said!r}.{nearest(said, columns)}")


def _role_of(column: Column) -> str:
    """A role as ``--role`` takes it."""
    return column.role.value if column.score_of is None else f"{column.role.value}:{column.score_of}"


def _parts(roles: Mapping[str, str]) -> str:
    """Roles in words: ``outcome left, score p``."""
    told = [f"{role} {name!r}" for role in ASKED for name, r in roles.items() if r == role]
    told += [
        f"{role.replace(':', ' of ', 1)} {name!r}"
        for name, role in roles.items()
        if role not in (*ASKED, "feature")
    ]
    return f"Taken as {', '.join(told)}." if told else "No column was taken for more than a feature."


@dataclass(slots=True)
class _Baseline:
    """The baseline of the first model, and what a first check of its rows says."""

    path: Path
    made: Baseline
    rows: _Rows
    report: Report | None

    @classmethod
    def of(cls, folder: Path, model: str, rows: _Rows, segments: list[tuple[str, ...]]) -> _Baseline:
        from watchkeeper.loop.batch.compare import compare
        from watchkeeper.loop.batch.profiling import (
            BASELINE_SUFFIX,
            baseline,
            is_baseline_file,
            load_baseline,
        )

        path = folder / f"{model}{BASELINE_SUFFIX}"
        if is_baseline_file(rows.source):
            return cls(path, load_baseline(rows.source), rows, None)
        with progress_bar() as progress:
            made = baseline(
                rows.source,
                task=rows.task,
                positive=rows.positive,
                roles=rows.roles or None,
                kinds=rows.kinds or None,
                segments=segments,
                encoding=rows.encoding,
                name=model,
                progress=progress,
            )
            report = compare(made, rows.source, encoding=rows.encoding, progress=progress)
        return cls(path, made, rows, report)

    def save(self) -> None:
        """Write the baseline beside the project file."""
        from watchkeeper.loop.batch.profiling import save_baseline

        save_baseline(self.made, self.path)

    @property
    def task(self) -> str | None:
        task = self.made.schema.task
        return None if task is None else task.value

    @property
    def positive(self) -> str | None:
        unknown = self.task != "binary" or (self.rows.toss_up and self.rows.positive is None)
        return None if unknown else self.made.plan.positive_class

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "rows": self.made.profile.rows,
            "windows": len(self.made.windows),
            "task": self.task,
            "columns": {c.name: [c.kind.value, c.role.value] for c in self.made.schema.columns},
            "findings": None if self.report is None else len(self.report.failed()),
            "notes": list(self.made.profile.notes),
            "missing": self.lacking(),
        }

    def told(self) -> list[str]:
        """What it holds, and what the columns were taken for."""
        features = [c.name for c in self.made.schema.columns if c.role.value == "feature"]
        rows = self.made.profile.rows
        listed = ", ".join(features[:_LISTED])
        if len(features) > _LISTED:
            listed += f" and {len(features) - _LISTED:,} more"
        return [
            f"{self.path}: {rows:,.0f} {'row' if rows == 1 else 'rows'}"
            + (f" in {len(self.made.windows)} windows of their own" if self.made.windows else ""),
            f"{_parts({c.name: _role_of(c) for c in self.made.schema.columns})} Features: {listed or 'none'}."
            + (f" The task is {self.task}." if self.task else "")
            + (f" The positive class is {self.positive!r}." if self.positive is not None else ""),
            "Something wrong? Say it again with --replace --role COLUMN=ROLE (or --kind COLUMN=KIND).",
            *(
                n
                for n in self.made.profile.notes
                if not n.endswith((", by its name.", "task=... says otherwise."))
            ),
        ]

    def lacking(self) -> list[str]:
        """What the baseline lacks for a part of the watch to work, and how to give it."""
        from watchkeeper.stats.evidence.column_evidence import FEWEST_WINDOWS

        roles = {c.role.value for c in self.made.schema.columns}
        out = []
        if self.rows.toss_up and self.rows.positive is None:
            out.append(f"{self.rows.toss_up}  --positive CLASS")
        for name in self.rows.unique:
            if name in self.made.schema and self.made.schema[name].role.value == "feature":
                out.append(
                    f"{name!r} never repeats itself, as an id does, and is taken as a feature. If it names a row:  "
                    f"--role {name}=id"
                )
        if "outcome" not in roles:
            found = self.rows.two_valued
            guess = found[0] if len(found) == 1 else "COLUMN"
            several = f" ({', '.join(found[:5])} have two values)" if len(found) > 1 else ""
            out.append(
                "Without outcomes in it there is no performance to compare with. Which column says what "
                f"happened{several}?  --role {guess}=outcome"
            )
        if not roles & {"score", "prediction"}:
            out.append(
                "Without the model's predictions in it, performance cannot be estimated before outcomes: "
                "--role COLUMN=score or --role COLUMN=prediction"
            )
        if not self.made.windows:
            why = (
                "Its rows lie too close together for days of their own"
                if "time" in roles
                else "Without a time column it has no days of its own"
            )
            way = "take rows of several weeks" if "time" in roles else "--role COLUMN=time"
            out.append(f"{why}, and how much days differ is what a lasting change is judged by: {way}")
        elif len(self.made.windows) < FEWEST_WINDOWS:
            out.append(
                f"It has {len(self.made.windows)} windows of its own, and a lasting change needs {FEWEST_WINDOWS} "
                "to be judged: take a longer time."
            )
        return out

    def checked(self) -> list[str]:
        """What the first check found."""
        if self.report is None:
            return ["it was checked when it was made"]
        found = self.report.failed()
        lines = ["these rows against themselves: nothing found" if not found else "these rows have findings:"]
        lines += [f"  {f.sentence}" for f in found[:5]]
        figures = [
            f"{m.measure} {m.value:.4g}"
            for m in self.report.performance
            if m.value is not None and not m.subject and not m.segment and m.measure in SHOWN
        ]
        if figures:
            lines.append(f"the model in these rows: {', '.join(figures)}")
        return lines


_LISTED = 60
SHOWN = ("roc_auc", "brier", "accuracy", "f1_macro", "mae", "rmse", "r2")
"""Performance that the first check shows, where the task has it."""


def _first_check(folder: Path) -> list[str]:
    """Open the project as the server will, and tick once: what is wrong shows now, not at night."""
    from watchkeeper.wiring import open_project

    with open_project(folder) as watch:
        return list(watch.tick().problems)


def _model_name(source: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source.rstrip("/*")).stem).strip("-._")
    return stem[:100]
