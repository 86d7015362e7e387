"""The verbs. Thin: each command reads its options, calls the package, and shows the answer.

Exit status: 0 nothing to report, 1 findings, 2 bad usage or bad input; 130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

__all__ = ["LazyGroup", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("watchkeeper.cli.demo.command:demo", "Watch a real year of flights in minutes: start here."),
    "compare": (
        "watchkeeper.cli.compare:compare",
        "Compare a batch with a baseline: what changed, and does it matter?",
    ),
    "baseline": (
        "watchkeeper.cli.baseline:baseline",
        "Take a baseline from a file, folder or query, and save it.",
    ),
    "profile": ("watchkeeper.cli.profile:profile", "Profile a file: every column in figures, in one pass."),
    "show": ("watchkeeper.cli.show:show", "Show what a saved baseline, profile or report holds."),
    "calibrate": (
        "watchkeeper.cli.calibrate:calibrate",
        "How often would the rules cry wolf, and what would they find?",
    ),
    "label-next": (
        "watchkeeper.cli.label:label_next",
        "Which predictions to label next, and what labels say.",
    ),
    "measures": ("watchkeeper.cli.measures:measures", "List the measures, or explain one."),
    "alerts": ("watchkeeper.cli.alerts:alerts", "What fires, and what a rule would have done."),
    "silences": ("watchkeeper.cli.silences:silences", "Mute alerts for a while, with a name and a reason."),
    "incidents": ("watchkeeper.cli.incidents:incidents", "What happened, who does what, what was learnt."),
    "runbooks": (
        "watchkeeper.cli.runbooks:runbooks",
        "What to do about an alert, and doing it step by step.",
    ),
    "quarantine": (
        "watchkeeper.cli.quarantine:quarantine",
        "Events that could not be stored: list, replay, drop.",
    ),
    "outbox": ("watchkeeper.cli.outbox:outbox", "What waits to be told, and what could not be."),
    "init": (
        "watchkeeper.cli.init:init",
        "Make a project: one file that teaches, a baseline, a first check.",
    ),
    "record": ("watchkeeper.cli.record:record", "Record the predictions in a file."),
    "outcomes": ("watchkeeper.cli.record:outcomes", "Record the outcomes in a file."),
    "tick": ("watchkeeper.cli.tick:tick", "Measure every window that is due."),
    "serve": ("watchkeeper.cli.serve:serve", "Run the HTTP API, the dashboard and the tick."),
    "token": ("watchkeeper.cli.token:token", "Who may come in over HTTP, and as what."),
    "status": ("watchkeeper.cli.status:status", "What is watched, how fresh, and what is wrong."),
    "explain": ("watchkeeper.cli.explain:explain", "Why a window's numbers are what they are."),
    "backfill": ("watchkeeper.cli.backfill:backfill", "Measure a stretch of time again."),
    "refold": ("watchkeeper.cli.refold:refold", "Fold the evidence again from what was measured."),
    "forget": ("watchkeeper.cli.forget:forget", "Remove rows for good."),
    "config": ("watchkeeper.cli.config:config", "Check watchkeeper.toml, or print its schema."),
}
"""Name -> (where it lives, its line in the help). The help is listed without importing any command."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that ``--help`` stays quick."""

    def __init__(self, *args: object, table: dict[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of that name; `runbook new` is as good as `runbooks new`."""
        from watchkeeper.errors import nearest

        if args and args[0] not in self.table and f"{args[0]}s" in self.table:
            args = [f"{args[0]}s", *args[1:]]
        if args and args[0] not in self.table and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}.{nearest(args[0], self.table)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start with:
  watchkeeper compare last_month.parquet this_month.parquet --html report.html
Each command explains itself:
  watchkeeper compare --help""",
)
@click.version_option(package_name="watchkeeper", message="%(prog)s %(version)s")
def cli() -> None:
    """Stand watch over machine-learning models in production."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; deliberate failures become a short letter on stderr and exit status 2."""
    from watchkeeper.errors import WatchkeeperError

    try:
        result = cli.main(args=args, standalone_mode=False)
    except click.ClickException as failure:
        failure.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except WatchkeeperError as failure:
        click.echo(f"{type(failure).__name__}: {failure}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    sys.exit(result if isinstance(result, int) else 0)
