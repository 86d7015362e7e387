"""``watchkeeper alerts``: what fires, and rules tried out before they wake anybody."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from watchkeeper.cli.project import opened, project_option
from watchkeeper.cli.terminal import json_option, print_json, print_table, print_wrapped


def moment(text: str, *, ahead: bool = False) -> datetime:
    """Read a time: ISO 8601 (UTC unless it says otherwise), or how long ago (*ahead*: from now), such as ``30d``."""
    from watchkeeper.domain.duration import moment_of

    return moment_of(text, datetime.now(UTC), ahead=ahead)


@click.group()
def alerts() -> None:
    """What fires, and what a rule would have done."""


@alerts.command("list")
@click.option("--model", help="Only of this model.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["pending", "firing", "resolved", "inactive", "all"]),
    help="Which states (default: pending and firing).",
)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most this many."
)
@project_option
@json_option
def list_alerts(model: str | None, states: tuple[str, ...], limit: int, project: Path, as_json: bool) -> int:
    """List alerts, the gravest first. Exit status 1: at least one fires."""
    from watchkeeper.decisions.alerting.story import alert_story
    from watchkeeper.loop.records.kinds import ALERT
    from watchkeeper.loop.records.records import Records

    wanted = [] if "all" in states else list(states or ("pending", "firing"))
    with opened(project) as watch:
        if model is not None:
            watch.model(model)
        held = Records(watch.ledger.facts, ALERT)
        found = [k.value for k in held.some(states=wanted, model=model, limit=limit, order="-rank")]
        total = held.count(states=wanted, model=model)
    firing = any(a.is_firing for a in found)
    if as_json:
        print_json({"alerts": [ALERT.body(a) for a in found], "total": total})
        return int(firing)
    if not found:
        click.echo("Nothing fires." if not states else "There are none.")
        return 0
    rows = []
    for alert in found:
        state = alert.state.value + (f", seen by {alert.acknowledged_by}" if alert.acknowledged_by else "")
        since = f"{alert.since:%Y-%m-%d %H:%M}" if alert.since else ""
        rows.append((alert.fingerprint, state, alert.severity.value, since, alert_story(alert).headline))
    print_table(("alert", "state", "severity", "since (UTC)", "what"), rows, below=4)
    if total > len(found):
        click.echo(f"{total - len(found):,} more; see --limit.")
    return int(firing)


@alerts.command("show")
@click.argument("alert")
@project_option
@json_option
def show_alert(alert: str, project: Path, as_json: bool) -> None:
    """Tell the whole story of ALERT (its fingerprint, or how it begins)."""
    from watchkeeper.decisions.alerting.story import alert_story
    from watchkeeper.loop.alerting.alert_actions import alert_record
    from watchkeeper.loop.records.kinds import ALERT

    with opened(project) as watch:
        found = alert_record(watch.ledger.facts, alert).value
        facts = watch.ledger.facts.facts(subject=found.fingerprint, limit=1000)
    if as_json:
        print_json(
            {
                **ALERT.body(found),
                "history": [{"at": f.at, "kind": f.kind, "actor": f.actor, **f.body} for f in facts],
            }
        )
        return
    story = alert_story(found)
    print_wrapped(story.headline)
    click.echo()
    for line in story.lines():
        print_wrapped(line)
    if found.about:
        click.echo()
        print_wrapped(found.about)
    if found.runbook:
        run_it = (
            ""
            if "://" in found.runbook
            else f"  (watchkeeper runbooks run {found.runbook} --alert {found.fingerprint})"
        )
        click.echo(f"\nRunbook: {found.runbook}{run_it}")
    click.echo()
    print_wrapped("Labels: " + ", ".join(f"{k}={v}" for k, v in found.labels.items()))
    click.echo("\nHistory:")
    for fact in facts:
        said = fact.body.get("text") or fact.body.get("note") or ""
        what = f"{fact.kind.removeprefix('alert.')} by {fact.actor}" + (f": {said}" if said else "")
        print_wrapped(what, indent="  ", hang=f"{fact.at:%Y-%m-%d %H:%M}  ")


@alerts.command("ack")
@click.argument("alert")
@click.option("--note", default="", help="What you are doing about it.")
@click.option("--as", "actor", default="", help="Your name (default: the login name).")
@click.option("--undo", is_flag=True, help="Take the acknowledgement back.")
@project_option
@json_option
def ack(alert: str, note: str, actor: str, undo: bool, project: Path, as_json: bool) -> None:
    """Say that you have seen ALERT: repeats stop until it resolves."""
    from watchkeeper.loop.alerting.alert_actions import acknowledge_alert
    from watchkeeper.loop.records.kinds import ALERT

    with opened(project) as watch:
        after = acknowledge_alert(
            watch.ledger.facts,
            alert,
            actor=actor or getpass.getuser(),
            now=watch.clock(),
            note=note,
            back=undo,
        )
    if as_json:
        print_json(ALERT.body(after))
        return
    click.echo(
        f"{after.fingerprint} {'is not acknowledged any more' if undo else f'acknowledged by {after.acknowledged_by}'}."
    )


@alerts.command("test")
@click.argument("rule")
@click.option("--model", help="The model (needed where there are several).")
@click.option("--from", "start", default="30d", show_default=True, help='A time, or how long ago ("30d").')
@click.option("--to", "end", default="0s", help="A time, or how long ago (default: now).")
@project_option
@json_option
def test_rule(rule: str, model: str | None, start: str, end: str, project: Path, as_json: bool) -> int:
    """Replay RULE over history: when would it have fired?

    RULE is the name of a configured rule, or a file (TOML) with one rule that is not yet switched on. Exit
    status 1: it would have fired.
    """
    from watchkeeper.wiring.trial import try_rule

    first, last = moment(start), moment(end)
    with opened(project) as watch:
        name = model or _only_model(watch)
        found = _rule_of(watch, rule, name)
        done = try_rule(watch, watch.model(name), found, start=first, end=last)
    if as_json:
        print_json(
            {
                "rule": done.rule,
                "model": name,
                "series": done.series,
                "windows": done.windows,
                "verdicts": done.verdicts,
                "firing_share": done.firing_share,
                "episodes": [
                    {
                        k: getattr(e, k)
                        for k in (
                            "subject",
                            "segment",
                            "version",
                            "since",
                            "fired_at",
                            "resolved_at",
                            "sentence",
                            "flapping",
                        )
                    }
                    for e in done.episodes
                ],
            }
        )
        return int(bool(done.episodes))
    if not done.series:
        click.echo(
            f"{done.rule} finds nothing to read: no series of {found.selector.measure!r} in that time."
        )
        return 0
    times = "once" if len(done.episodes) == 1 else f"{len(done.episodes):,} times"
    click.echo(
        f"{done.rule} over {done.windows:,} windows of {done.series:,} series: fired {times}, "
        f"in {done.firing_share:.0%} of windows."
    )
    click.echo("Verdicts: " + ", ".join(f"{n:,} {v}" for v, n in done.verdicts.items()))
    if done.episodes:
        rows = [
            (
                f"{e.fired_at:%Y-%m-%d %H:%M}",
                "goes on" if e.resolved_at is None else f"{e.resolved_at:%Y-%m-%d %H:%M}",
                " ".join(x for x in (e.subject, e.segment, e.version) if x) or "all rows",
                e.sentence + (" (flapping)" if e.flapping else ""),
            )
            for e in done.episodes[:50]
        ]
        print_table(("fired (UTC)", "resolved", "where", "what"), rows, below=3)
        if len(done.episodes) > 50:
            click.echo(f"{len(done.episodes) - 50:,} more; see --json.")
    return int(bool(done.episodes))


@alerts.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@project_option
@json_option
def check(files: tuple[Path, ...], project: Path, as_json: bool) -> int:
    """Run the rule tests in FILES (TOML or YAML). Exit status 1: one failed.

    Each test gives made-up series and the state that the alert must have after a window.
    """
    from watchkeeper.decisions.alerting.unit_tests import check_file
    from watchkeeper.errors import BadConfig, BadInput
    from watchkeeper.loop.alerting.judging import AlertJudge
    from watchkeeper.loop.alerting.plan import alerting_plan
    from watchkeeper.measures.catalogue import described_measures
    from watchkeeper.wiring.config import find_project, load_config

    rules: dict[str, Any] = {}
    try:
        models = load_config(find_project(project)).watched()
    except BadConfig as cause:
        if "no watchkeeper.toml" not in cause.what:
            raise
        models = {}
    judge = AlertJudge(alerting_plan(models))
    for model in models.values():
        rules |= {r.name: r for r in judge.rules_of(model)}
    failed = passed = 0
    told: list[dict[str, Any]] = []
    for file in files:
        raw = _read(file)
        try:
            results = check_file(raw, rules=list(rules.values()), measures=described_measures())
        except BadInput as cause:
            raise BadInput(f"{file}: {cause.what}", *cause.next_steps) from None
        for result in results:
            passed, failed = passed + result.ok, failed + (not result.ok)
            told.append({"file": str(file), "test": result.test, "ok": result.ok, "found": result.sentence})
            if not result.ok and not as_json:
                click.echo(f"FAILED  {file}, {result.test}: {result.sentence}")
    if as_json:
        print_json({"held": passed, "failed": failed, "expectations": told})
    else:
        click.echo(f"{passed} held, {failed} failed.")
    return int(failed > 0)


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    from watchkeeper.errors import BadInput, MissingExtra

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise BadInput(f"{file} cannot be read: {getattr(cause, 'strerror', None) or cause}.") from cause
    if file.suffix in (".yaml", ".yml"):
        try:
            import yaml
        except ImportError as cause:
            raise MissingExtra(
                adapter="YAML of rule tests",
                library="pyyaml",
                extra="server",
                instead="Or write the file as TOML",
            ) from cause
        try:
            raw = yaml.safe_load(text)
        except yaml.YAMLError as cause:
            raise BadInput(f"{file} is not valid YAML: {cause}.") from cause
        if not isinstance(raw, dict):
            raise BadInput(f"{file} holds no table at its top.")
        return raw
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise BadInput(f"{file} is not valid TOML: {cause}.") from cause


def _only_model(watch: Any) -> str:
    from watchkeeper.errors import BadInput

    if len(watch.models) != 1:
        raise BadInput(
            "This project has several models.", f"Say which:  --model {next(iter(watch.models), 'NAME')}"
        )
    return str(next(iter(watch.models)))


def _rule_of(watch: Any, rule: str, model: str) -> Any:
    from watchkeeper.decisions.rules.catalogue import parse_rule
    from watchkeeper.errors import BadInput, NotFound, nearest
    from watchkeeper.loop.alerting.judging import AlertJudge
    from watchkeeper.loop.alerting.plan import alerting_plan
    from watchkeeper.measures.catalogue import described_measures

    file = Path(rule)
    if file.suffix in (".toml", ".yaml", ".yml"):
        raw = _read(file)
        tables = raw.get("rule", raw)
        tables = [tables] if isinstance(tables, dict) else tables
        if len(tables) != 1:
            raise BadInput(f"{file} holds {len(tables)} rules.", "Write one, to be replayed.")
        return parse_rule(tables[0], measures=described_measures())
    judge = AlertJudge(alerting_plan(watch.models))
    known = {r.name: r for r in judge.rules_of(watch.model(model), watch.baseline(model))}
    if rule not in known:
        some = ", ".join(list(known)[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
        raise NotFound(f"{model} has no rule {rule!r}.{nearest(rule, known)}", f"Known: {some}.")
    return known[rule]
