"""``watchkeeper calibrate``: how far the alarms of a model can be trusted, before anybody relies on them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table


@click.command(
    epilog="""\b
Examples:
  watchkeeper calibrate churn
  watchkeeper calibrate --baseline january.wkb --html calibration.html
  watchkeeper calibrate churn --shift location=0.3 --shift missing=0.05 --runs 1000

Interrupted, the same command goes on where it stopped. What each number means: docs/calibrate.md"""
)
@click.argument("model", required=False)
@click.option(
    "--baseline",
    "baseline_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A baseline file, without a project: its own windows, and the preset's rules.",
)
@project_option
@click.option(
    "--windows", type=click.IntRange(1), default=100, show_default=True, help="Windows after the baseline."
)
@click.option(
    "--runs", type=click.IntRange(10), default=200, show_default=True, help="Deployments to replay."
)
@click.option(
    "--within", type=click.IntRange(2), default=30, show_default=True, help="Windows that a shift is given."
)
@click.option(
    "--shift",
    "shifts",
    multiple=True,
    metavar="KIND=SIZE",
    help="Inject this instead of the usual shifts: location, scale, missing, moved or lost. Repeatable.",
)
@click.option(
    "--target", metavar="KIND=SIZE", help="The shift to recommend windows for.  [default: location=0.2]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random numbers.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to keep what was done, so that it can go on; removed at the end.",
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page here.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture here: .svg or .png."
)
@json_option
def calibrate(
    model: str | None,
    baseline_file: Path | None,
    project: Path,
    windows: int,
    runs: int,
    within: int,
    shifts: tuple[str, ...],
    target: str | None,
    seed: int,
    state: Path | None,
    html: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Replay the baseline of MODEL, and shifts put into it, through the model's own rules.

    Prints how often the rules would have alarmed falsely, what they find and how soon, with intervals, beside
    what is usual; and recommends cadence, sample size and baseline length.
    """
    from watchkeeper.loop.backtest.calibration import SHIFTS

    if (model is None) == (baseline_file is None):
        raise click.UsageError("Name a model of the project, or give --baseline FILE.")
    if picture is not None and picture.suffix not in (".svg", ".png"):
        raise click.BadParameter("a picture's name ends in .svg or .png", param_hint="--picture")
    wanted: dict[str, Any] = {
        "windows": windows,
        "runs": runs,
        "within": within,
        "seed": seed,
        "shifts": tuple(_shift(s) for s in shifts) or SHIFTS,
        "target": None if target is None else _shift(target),
    }
    try:
        made = _made(model, baseline_file, project, state, wanted)
    except KeyboardInterrupt:
        click.echo("What was replayed is kept: the same command goes on from here.", err=True)
        raise
    if html is not None:
        made.to_html(html)
    if picture is not None:
        from watchkeeper.documents.calibration_report import calibration_picture
        from watchkeeper.documents.drawing.charts import render_png, render_svg

        spec = calibration_picture(made)
        if picture.suffix == ".svg":
            picture.write_text(render_svg(spec), encoding="utf-8")
        else:
            picture.write_bytes(render_png(spec))
    if as_json:
        print_json(made.to_dict())
        return
    _show(made)


def _made(
    model: str | None, baseline_file: Path | None, project: Path, state: Path | None, wanted: dict[str, Any]
) -> Any:
    from watchkeeper.loop.backtest.calibration import calibrate as run
    from watchkeeper.loop.batch.profiling import load_baseline

    with _progress() as progress:
        if baseline_file is None:
            return _of_project(str(model), project, state, progress, wanted)
        return run(
            load_baseline(baseline_file),
            state=state or baseline_file.with_name(baseline_file.name + ".calibration"),
            progress=progress,
            **wanted,
        )


def _of_project(
    name: str,
    project: Path,
    state: Path | None,
    progress: Callable[[str, int, int], None] | None,
    wanted: dict[str, Any],
) -> Any:
    from watchkeeper.errors import NotFound
    from watchkeeper.loop.backtest.calibration import calibrate as run
    from watchkeeper.loop.backtest.calibration import keep_calibration

    with opened(project) as watch:
        model = watch.model(name)
        baseline = watch.baseline(name)
        if baseline is None:
            raise NotFound(
                f"{name!r} has no baseline yet.",
                "It takes its first mature windows as one, or take one:  watchkeeper baseline DATA --output FILE",
            )
        made = run(
            baseline,
            model=model,
            plan=watch.config.alerting(),
            state=state or watch.data / "calibration" / f"{name}.json",
            progress=progress,
            **wanted,
        )
        keep_calibration(watch.ledger.facts, made, now=watch.clock())
        return made


def _shift(text: str) -> Any:
    from watchkeeper.stats.evidence.injection import Shift

    kind, _, size = text.partition("=")
    try:
        return Shift(kind.strip(), float(size))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not KIND=SIZE; say for example --shift location=0.2") from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Parts of the work on stderr, where somebody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total)


def _show(made: Any) -> None:
    from watchkeeper.documents.calibration_report import WAYS, name_of, percent, time_words

    b = made.baseline
    click.echo(
        f"{made.model}: {b['windows']} baseline windows of {time_words(b['window_s'])}, about "
        f"{b['rows_per_window']:,.0f} rows each, {b['columns']} columns.\n"
    )
    for how, said in WAYS.items():
        lines = [f for f in made.false_alarms if f.how == how]
        if not lines:
            continue
        rows = [
            (
                name_of(f.procedure),
                f"{f.alarmed} of {f.deployments}",
                percent(f.alarmed / f.deployments),
                f"{percent(f.chance.low)} to {percent(f.chance.high)}",
            )
            for f in lines
        ]
        print_table(
            ["procedure", "any false alarm in", "chance", "95% interval"],
            rows,
            title=f"False alarms in {lines[0].windows} windows, {said}",
            right=(1, 2, 3),
        )
    _show_found(made)
    rows_tried = [
        (
            o.words + (" (as now)" if o.what == "as it is" else ""),
            f"{o.found} of {o.runs}",
            "not by half" if o.delay_s is None else time_words(o.delay_s),
        )
        for o in made.tried
    ]
    print_table(
        ["windows", "found within 10", "median delay"], rows_tried, title=f"Other windows: {made.target}"
    )
    left: dict[str, list[str]] = {}
    for rule in made.rules:
        if not rule["replayed"]:
            left.setdefault(rule["why_not"], []).append(rule["name"])
    for why, names in left.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        click.echo(f"not replayed: {', '.join(names[:5])}{more}: {why}")
    for note in made.notes:
        click.echo(f"note: {note}")
    click.echo("")
    for line in made.recommendation:
        click.echo(line)


def _show_found(made: Any) -> None:
    """One line a shift: ours with intervals, and the others."""
    from watchkeeper.documents.calibration_report import percent

    others = {"always": "always", "never": "never", "ks": "KS", "psi": "PSI", "chunks": "mean + 3 sd"}
    by_shift: dict[str, dict[str, Any]] = {}
    for f in made.found:
        by_shift.setdefault(f.shift, {})[f.procedure] = f
    notes = any(f.found for f in made.found if f.procedure == "notices")

    def short(f: Any) -> str:
        return "-" if f is None else percent(f.share) + ("" if f.delay is None else f", {f.delay:g}")

    rows = []
    for shift, of in by_shift.items():
        own = of["paging"]
        rows.append(
            [
                shift,
                f"{percent(own.share)} ({percent(own.power.low)} to {percent(own.power.high)})",
                "not by half"
                if own.delay is None
                else f"{own.delay:g} ({_or_more(own.delay_low)} to {_or_more(own.delay_high)})",
                *([short(of.get("notices"))] if notes else []),
                *(short(of.get(p)) for p in others),
            ]
        )
    head = [
        "injected shift",
        "found by your rules",
        "median delay",
        *(["notices"] if notes else []),
        *others.values(),
    ]
    print_table(
        head,
        rows,
        title=f"Found within {made.options['within']} windows, and the median delay in windows (95% intervals)",
        right=tuple(range(1, len(head))),
    )


def _or_more(delay: float | None) -> str:
    return "more" if delay is None else f"{delay:g}"
