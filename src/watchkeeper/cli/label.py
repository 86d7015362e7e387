"""``watchkeeper label-next``: which rows to label, out and back, and what the labels say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table


@click.command(
    "label-next",
    epilog="""\b
Examples:
  watchkeeper label-next churn --budget 200 --output to_label.csv
  (fill in the column "outcome", in any tool, then)
  watchkeeper label-next churn --read to_label.csv
  watchkeeper label-next churn --estimate""",
)
@click.argument("model")
@click.option("--budget", type=click.IntRange(1), help="How many rows can be labelled.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write them, as .csv or .jsonl.  [default: MODEL-to-label.csv]",
)
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    default=7.0,
    show_default=True,
    help="How far back to look.",
)
@click.option("--importance", metavar="COLUMN", help="A number in each row that says how much it counts.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option(
    "--read",
    "labelled",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record the outcomes that were filled in.",
)
@click.option("--id-column", default="id", show_default=True, help="With --read: the column with the ids.")
@click.option(
    "--outcome-column",
    default="outcome",
    show_default=True,
    help="With --read: the column with the outcomes.",
)
@click.option(
    "--estimate", is_flag=True, help="How the model does on all those rows, from the labels so far."
)
@project_option
@json_option
def label_next(
    model: str,
    budget: int | None,
    output: Path | None,
    days: float,
    importance: str | None,
    seed: int,
    labelled: Path | None,
    id_column: str,
    outcome_column: str,
    estimate: bool,
    project: Path,
    as_json: bool,
) -> None:
    """Choose which recent predictions of MODEL to label next, read labels back, and estimate from a few of them.

    Rows are drawn by what is not known of them, spread over all kinds of rows, each with a known chance: so the
    labels say how the model does on all rows, with an interval.
    """
    from watchkeeper.loop.labels import labelling

    if sum((budget is not None, labelled is not None, estimate)) != 1:
        raise click.UsageError("Give one of --budget N, --read FILE and --estimate.")
    with opened(project) as watch:
        if budget is not None:
            made = labelling.label_next(
                watch, model, budget=budget, since=timedelta(days=days), importance=importance, seed=seed
            )
            path = labelling.export_request(made, output or Path(f"{model}-to-label.csv"))
            if as_json:
                print_json(
                    {
                        "request": made.key,
                        "path": str(path),
                        "rows": len(made.ids),
                        "population": made.population,
                        "ids": list(made.ids),
                        "probabilities": list(made.probabilities),
                    }
                )
                return
            click.echo(
                f"{len(made.ids):,} of {made.population:,} predictions without an outcome: {path}\n"
                f"Fill in the column 'outcome', then:  watchkeeper label-next {model} --read {path}"
            )
        elif labelled is not None:
            many = labelling.read_labels(
                watch, model, labelled, id_column=id_column, outcome_column=outcome_column
            )
            if as_json:
                print_json({"outcomes": many, "path": str(labelled)})
                return
            click.echo(
                f"{many:,} outcomes recorded.\nNext:  watchkeeper tick, then watchkeeper label-next {model} --estimate"
            )
        else:
            request, found = labelling.estimate_from_labels(watch, model)
            if as_json:
                print_json(
                    {
                        "request": request.key,
                        "asked": len(request.ids),
                        "population": request.population,
                        "estimates": [e.to_dict() for e in found],
                    }
                )
                return
            if not found:
                click.echo(
                    f"Fewer than two of the {len(request.ids):,} rows have a label yet. Labels that were read count after "
                    "the next:  watchkeeper tick"
                )
                return
            rows = [
                (
                    e.metric,
                    f"{e.mean.value:.4g}",
                    f"{e.mean.interval.low:.4g} to {e.mean.interval.high:.4g}",
                    f"{e.mean.labels:,} of {e.asked:,}",
                    f"{e.mean.worth:,.0f}",
                )
                for e in found
            ]
            print_table(
                ["metric", "estimate", "95% interval", "labels", "worth, in labels alone"],
                rows,
                title=f"{model}: {request.population:,} predictions, told from a few labels",
                right=(1, 2, 3, 4),
            )
