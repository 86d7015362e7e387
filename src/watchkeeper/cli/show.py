"""``watchkeeper show``: what a saved file holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from watchkeeper.cli.profile import described, print_profile
from watchkeeper.cli.terminal import json_option, print_json


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what FILE (a saved baseline, profile or JSON report) holds."""
    from watchkeeper.errors import BadInput
    from watchkeeper.loop.batch.profiling import is_baseline_file, load_baseline

    if not is_baseline_file(file):
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            known = isinstance(raw, dict) and str(raw.get("format", "")).startswith(
                "watchkeeper.batch_report/"
            )
        except (OSError, ValueError) as cause:
            raise BadInput(f"{file} is not a file of Watchkeeper: {cause}.") from cause
        if not known:
            raise BadInput(f"{file} is JSON, but not a report of Watchkeeper.")
        if as_json:
            print_json(raw)
            return
        click.echo(f"{raw['title']}: {raw['headline']}.\n{raw['summary']}")
        for finding in raw["findings"]:
            if finding["verdict"] != "pass":
                click.echo(
                    f"  {finding['verdict']:>12}  {finding['subject'] or 'whole batch'}: {finding['sentence']}"
                )
        return
    made = load_baseline(file)
    if as_json:
        print_json(
            {
                "name": made.name,
                "created_at": made.created_at,
                "source": made.source,
                "windows": [w.label for w in made.windows],
                "sample_rows": 0 if made.sample is None else len(made.sample.hashes),
                **described(made.profile),
            }
        )
        return
    kept = 0 if made.sample is None else len(made.sample.hashes)
    click.echo(f"Baseline {made.name or file.name}, taken {made.created_at or 'at an unknown time'}")
    click.echo(
        f"from {made.source.get('path') or made.source.get('kind') or 'an unknown source'}; {len(made.windows)} windows of its own, {kept:,} rows kept"
    )
    print_profile(made.profile)
