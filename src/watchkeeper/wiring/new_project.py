"""A new project: a ``watchkeeper.toml`` that teaches, its schema for editors, and a data folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from watchkeeper.domain.duration import duration_text
from watchkeeper.domain.window import day_step
from watchkeeper.errors import Conflict
from watchkeeper.wiring.config import FILE_NAME, json_schema, parse_config

SCHEMA_NAME = "watchkeeper.schema.json"


def make_project(folder: Path, text: str, *, replace: bool = False) -> Path:
    """Write *text* as the project file of *folder*, with the schema beside it and a data folder; return its path.

    Raises
    ------
    BadConfig
        the text has faults; nothing is written.
    Conflict
        there is a project already.
    """
    target = folder / FILE_NAME
    config = parse_config(text, where=str(target))
    if target.exists() and not replace:
        raise Conflict(
            f"There is a project already: {target}.",
            "Look at it:  watchkeeper config check",
            "Or begin anew:  watchkeeper init --replace",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCHEMA_NAME).write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    data = folder / config.project.data
    data.mkdir(parents=True, exist_ok=True)
    (data / ".gitignore").write_text("*\n", encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    return target


def config_text(
    *,
    project: str,
    model: str = "",
    task: str | None = None,
    positive: str | None = None,
    baseline: str | None = None,
    cadence: str | None = None,
    timezone: str = "UTC",
    segments: Sequence[Sequence[str]] = (),
) -> str:
    """The text of a project file; what was not said stays in it as a comment that shows how.

    >>> print(config_text(project="shop", model="churn", task="binary").split("[models.churn]")[1].splitlines()[1])
    task = "binary"
    """
    name = model or "churn"
    cadence = cadence or duration_text(min(timedelta(hours=1), day_step(timezone)))
    off = "" if model else "# "
    listed = ", ".join(_word(s[0]) if len(s) == 1 else f"[{', '.join(map(_word, s))}]" for s in segments)
    lines = [
        f"#:schema ./{SCHEMA_NAME}",
        "# What is watched, and how. Every key is explained in docs/configuration.md; check this file with",
        "#   watchkeeper config check",
        "",
        "[project]",
        f"name = {_word(project)}",
        '# data = ".watchkeeper"               # journals, tables and the ledger live here',
        '# url = "https://watch.example.org"   # where people reach the dashboard; links in alarms start with it',
        "",
        "# ---- a model -----------------------------------------------------------------------------------",
        f"{off}[models.{name}]",
        f'{off}task = "{task}"'
        if task
        else '# task = "binary"                   # or "multiclass", "regression"',
        f"{off}positive = {_word(positive)}"
        if positive
        else '# positive = "yes"                   # the outcome that counts as positive',
        f"{off}baseline = {_word(baseline)}"
        if baseline
        else f'# baseline = "{name}.wkb"             # watchkeeper baseline DATA --output {name}.wkb\n'
        "#                                    # not set: the first mature windows become the baseline",
        f'{off}cadence = "{cadence}"                      # length of a stored window',
        f'{off}judge_every = "1d"                  # length of the window that is judged: a merge of stored ones',
        f'{off}timezone = "{timezone}"                   # days are days of this zone',
        f"{off}segments = [{listed}]"
        if listed
        else '# segments = ["region", ["region", "plan"]]   # measured apart; a list of columns crosses them',
        '# owner = "team-risk@example.org"    # who is asked',
        "# rows_per_window = 5000             # judge by number of rows instead of by time",
        "",
        "# When may realised performance be judged? Outcomes come late, and early ones are no fair sample.",
        f"{off}[models.{name}.maturity]",
        f"{off}share = 0.95                        # when this share of predictions has outcomes ...",
        f'{off}after = "7d"                        # ... or when this much time has passed since the window\'s end',
        "",
        f"# [models.{name}.retention]",
        '# rows = "400d"                      # raw predictions and outcomes',
        '# full_profiles = "45d"              # profiles with all bins; older ones are kept coarser',
        "",
        "# What is loud enough to matter; every measure is explained by:  watchkeeper measures NAME",
        f"# [models.{name}.checks]",
        "# psi = 0.2",
        '# "psi:age" = 0.4                    # of one column',
        "# brier = false                      # off",
        "",
        "# A table of your own is watched in place; nothing of it is copied but profiles.",
        f"# [models.{name}.table]",
        '# location = "predictions/*.parquet" # or a Delta folder, "postgresql://user@host/db", "duckdb:///file.db"',
        '# query = "scored"                   # a table\'s name or a SELECT, for databases',
        '# time = "scored_at"',
        '# prediction = "label"',
        '# score = "p"',
        '# outcome = "churned"',
        "",
        "# ---- who is told -------------------------------------------------------------------------------",
        "# [channels.team]",
        '# url = "env:WATCHKEEPER_SLACK"      # an Apprise URL: Slack, mail, SMS, PagerDuty, Teams, ...',
        "#",
        "# [[routes]]",
        f'# match = {{ model = "{name}" }}',
        '# channels = ["team"]',
        "",
        "# ---- where things are ---------------------------------------------------------------------------",
        "# [server]",
        '# host = "127.0.0.1"                 # loopback unless you say otherwise',
        "# port = 8471",
        '# tick_every = "30s"',
        "#",
        "# [ledger]",
        '# url = "env:WATCHKEEPER_LEDGER_URL" # PostgreSQL; not set: SQLite in the data folder',
        "#",
        "# [lake]",
        '# path = "s3://bucket/watch"         # not set: the data folder',
        "",
    ]
    return "\n".join(lines)


def _word(text: str | None) -> str:
    return json.dumps(text or "", ensure_ascii=False)
