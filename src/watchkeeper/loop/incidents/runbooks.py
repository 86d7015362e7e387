"""Running runbooks: step by step, each command recorded with who, when, and what came of it.

A run stops at the first command that fails and says where; it can be resumed from there. A run that was killed
shows as running at the step it was in; resuming it does that command again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from watchkeeper.decisions.incidents.incidents import phase_of
from watchkeeper.documents.incident.runbook import (
    Runbook,
    RunbookCommand,
    default_runbooks,
    find_runbook,
    parse_runbook,
    runbook_for,
)
from watchkeeper.domain.alert import Alert, fingerprint
from watchkeeper.domain.duration import duration_of, moment_of
from watchkeeper.errors import BadInput, BadTransition, Conflict, NotFound, WatchkeeperError, nearest
from watchkeeper.loop.alerting.alert_actions import acknowledge_alert, add_silence, alert_record
from watchkeeper.loop.effects.engine import EFFECT
from watchkeeper.loop.effects.notifications import notification
from watchkeeper.loop.incidents.incidents import Incidents
from watchkeeper.loop.records.facts import kinds_of
from watchkeeper.loop.records.records import Kept, Kind, Records, plain, write
from watchkeeper.ports.ledger import FactStore


class RunbookSaid(TypedDict, total=False):
    """Which runbook, and of a command its step, state and result."""

    runbook: str
    text: str
    step: int
    command: str
    state: str
    result: str


FACTS = kinds_of(
    "runbook",
    ("started", "resumed", "skipped", "failed", "command_done", "stopped", "finished"),
    RunbookSaid,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookRun:
    """One run of a runbook: what it was run for, and how far it came."""

    key: str
    runbook: str
    actor: str
    started_at: datetime
    source: str
    """The text of the runbook as it was when the run began."""
    model: str = ""
    state: str = "running"
    """``running``, ``done`` or ``failed``."""
    alert: str = ""
    incident: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[Mapping[str, Any], ...] = ()
    """Each with its step, title, line, command and state."""

    def view(self) -> dict[str, Any]:
        """What pages, the API and the command line show of it."""
        shown = plain(self)
        del shown["source"], shown["key"], shown["model"]
        return {"run": self.key, **shown}


RUNBOOK_RUN = Kind(
    "runbook_run",
    RunbookRun,
    key="key",
    state="state",
    model="model",
    find_them="watchkeeper runbooks runs",
)


class Runbooks:
    """The runbooks of a project: its own in a folder, and those that ship with the package.

    Parameters
    ----------
    facts : the ledger's store of facts and documents.
    incidents : the incidents of that ledger.
    folder : where the project's own Markdown files are; it need not exist.
    watch : has ``rebaseline`` and ``backfill``; without it those commands fail.
    channels : names that ``notify`` may use.
    """

    def __init__(
        self,
        facts: FactStore,
        incidents: Incidents,
        *,
        folder: Path | None = None,
        watch: Any = None,
        channels: Sequence[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._facts, self._incidents, self._folder = facts, incidents, folder
        self._runs = Records(facts, RUNBOOK_RUN)
        self._watch, self._channels, self._clock = watch, tuple(channels), clock

    # ---- which there are

    def own(self) -> dict[str, Runbook]:
        """The project's runbooks; every fault of every file is raised as one error.

        Raises
        ------
        BadInput
        """
        found, faults = self._read_all()
        if faults:
            said = "One" if len(faults) == 1 else str(len(faults))
            raise BadInput(
                f"{said} of the runbooks in {self._folder} cannot be used.", *map(str, faults.values())
            )
        return found

    def _read_all(self) -> tuple[dict[str, Runbook], dict[str, Exception]]:
        """The project's runbooks by name, and what is wrong with those that cannot be used."""
        found: dict[str, Runbook] = {}
        faults: dict[str, Exception] = {}
        files = sorted(self._folder.glob("*.md")) if self._folder and self._folder.is_dir() else []
        for file in files:
            try:
                book = parse_runbook(file.stem, file.read_text(encoding="utf-8"))
                self._check_channels(book)
            except (WatchkeeperError, OSError, UnicodeDecodeError) as fault:
                faults[file.stem] = fault
            else:
                found[file.stem] = book
        return found, faults

    def _check_channels(self, book: Runbook) -> None:
        """Who is to be told must be known before the first step is run."""
        for command in (c for s in book.steps for c in s.commands):
            name = command.words[0] if command.verb == "notify" and command.words else ""
            if name and "{" not in name and name not in self._channels:
                known = ", ".join(self._channels) or "none"
                raise BadInput(
                    f"{book.name}, line {command.line}: there is no channel {name!r}.{nearest(name, self._channels)}",
                    f"Known: {known}.",
                )

    def all(self) -> dict[str, Runbook]:
        """By name; a runbook of the project stands in the place of ours of the same name."""
        return {**default_runbooks(), **self.own()}

    def get(self, name: str) -> Runbook:
        """One runbook; what is wrong with others is no hindrance.

        Raises
        ------
        NotFound, BadInput
        """
        found, faults = self._read_all()
        if name in faults:
            raise faults[name]
        return find_runbook(name, found)

    def new(self, name: str, *, like: str = "drift") -> Path:
        """Write a runbook of the project's own, begun from another; return its file.

        Raises
        ------
        Conflict
            it exists already.
        """
        if self._folder is None:
            raise BadInput("This project has no folder for runbooks.")
        source = self.get(like).source
        parse_runbook(name, source)
        file = self._folder / f"{name}.md"
        if file.exists():
            raise Conflict(f"{file} exists already.")
        self._folder.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        return file

    def for_alert(self, alert: Alert, *, kind: str = "", family: str = "") -> str:
        """The name of the runbook for an alert."""
        own = alert.runbook if alert.runbook and "://" not in alert.runbook else ""
        return runbook_for(category=alert.category.value, kind=kind, family=family, own=own)

    # ---- running

    def run(
        self,
        name: str,
        *,
        actor: str,
        alert: str = "",
        incident: int | str | None = None,
        values: Mapping[str, str] | None = None,
        steps: Sequence[int] = (),
        confirm: Callable[[RunbookCommand, Sequence[str]], bool] = lambda command, words: True,
    ) -> RunbookRun:
        """Run the commands of a runbook, step by step; return the record of the run.

        Parameters
        ----------
        alert, incident : what it is run for; they fill in the placeholders, *values* go before them.
        steps : numbers of the steps to run; all without it.
        confirm : asked before each command; one that is declined is recorded as skipped.
        """
        book = self.get(name)
        if unknown := [n for n in steps if n not in {s.number for s in book.steps}]:
            raise BadInput(f"The runbook {name} has no step {unknown[0]}.", f"It has {len(book.steps)}.")
        filled = self._values(alert, incident, values or {})
        now = self._clock()
        every = [
            {"step": s.number, "title": s.title, "line": c.line, "command": c.text, "state": "waiting"}
            for s in book.steps
            for c in s.commands
            if not steps or s.number in steps
        ]
        key = fingerprint(
            {"name": name, "at": now.isoformat(), "actor": actor, "incident": filled.get("incident", "")}
        )
        new = RunbookRun(
            key=key,
            runbook=name,
            actor=actor,
            started_at=now,
            source=book.source,
            model=filled.get("model", ""),
            alert=filled.get("alert", ""),
            incident=filled.get("incident", ""),
            values=filled,
            commands=tuple(every),
        )
        record = self._write(RUNBOOK_RUN.new(new), "started", actor, {"runbook": name})
        return self._go_on(record, book, actor, confirm)

    def resume(
        self,
        key: str,
        *,
        actor: str,
        confirm: Callable[[RunbookCommand, Sequence[str]], bool] = lambda command, words: True,
    ) -> RunbookRun:
        """Go on with a run that failed or was killed, from the command where it stopped.

        The runbook is the one that was read when the run began, whatever its file says now.

        Raises
        ------
        NotFound
        BadTransition
            it has finished.
        """
        record = self._runs.of(key)
        if record.value.state == "done":
            raise BadTransition(f"The run {key} has finished.")
        record = record.to(replace(record.value, state="running"))
        record = self._write(record, "resumed", actor, {"runbook": record.value.runbook})
        return self._go_on(record, parse_runbook(record.value.runbook, record.value.source), actor, confirm)

    def record(self, key: str) -> RunbookRun:
        """One run.

        Raises
        ------
        NotFound
        """
        return self._runs.of(key).value

    def records(self, *, limit: int = 100) -> list[RunbookRun]:
        """Runs, the newest first."""
        return [kept.value for kept in self._runs.some(limit=limit)]

    def _go_on(
        self,
        record: Kept[RunbookRun],
        book: Runbook,
        actor: str,
        confirm: Callable[[RunbookCommand, Sequence[str]], bool],
    ) -> RunbookRun:
        commands = {c.line: c for s in book.steps for c in s.commands}
        for place, entry in enumerate(record.value.commands):
            if entry["state"] in ("done", "skipped"):
                continue
            try:
                words = commands[entry["line"]].filled(record.value.values)
                ran = shlex.join((commands[entry["line"]].verb, *words))
                record = self._mark(record, place, {"state": "running", "command": ran}, "", actor)
                if not confirm(commands[entry["line"]], words):
                    record = self._mark(record, place, {"state": "skipped"}, "skipped", actor)
                    continue
                result = self._perform(commands[entry["line"]].verb, words, record, actor, place)
            except Exception as fault:
                said = (
                    str(fault) if isinstance(fault, WatchkeeperError) else f"{type(fault).__name__}: {fault}"
                )
                record = self._mark(
                    record, place, {"state": "failed", "result": said[:1000]}, "failed", actor
                )
                return self._finish(record, "failed", actor, entry, said)
            record = self._mark(
                record, place, {"state": "done", "result": result[:1000]}, "command_done", actor
            )
        return self._finish(record, "done", actor, None, "")

    def _finish(
        self,
        record: Kept[RunbookRun],
        state: str,
        actor: str,
        failed: Mapping[str, Any] | None,
        said: str,
    ) -> RunbookRun:
        run = replace(record.value, state=state)
        done = sum(c["state"] == "done" for c in run.commands)
        what = f"Runbook {run.runbook}: {done} of {len(run.commands)} commands done"
        if failed is not None:
            what += f"; stopped at step {failed['step']} ({failed['title']}), {failed['command']}: {said.splitlines()[0]}"
        self._write(record.to(run), "stopped" if failed else "finished", actor, {"text": what})
        if run.incident:
            self._incidents.note(run.incident, what, actor=actor, pin=failed is not None, run=run.key)
        return run

    def _mark(
        self, record: Kept[RunbookRun], place: int, change: Mapping[str, Any], verb: str, actor: str
    ) -> Kept[RunbookRun]:
        commands = [dict(c) for c in record.value.commands]
        commands[place].update(change, at=self._clock().isoformat(), by=actor)
        record = record.to(replace(record.value, commands=tuple(commands)))
        said = {k: commands[place].get(k, "") for k in ("step", "command", "state", "result")}
        return self._write(record, verb, actor, said)  # type: ignore[arg-type]

    def _write(self, record: Kept[RunbookRun], verb: str, actor: str, said: RunbookSaid) -> Kept[RunbookRun]:
        """Write the run as it stands, with a fact of this *verb*; without a fact where it is empty."""
        now, facts = self._clock(), []
        if verb:
            facts = [FACTS[verb](said, at=now, actor=actor, model=record.value.model, subject=record.key)]
        write(self._facts, facts, [record], now=now)
        return record.written()

    def _values(self, alert: str, incident: int | str | None, given: Mapping[str, str]) -> dict[str, str]:
        out: dict[str, str] = {}
        if incident is not None:
            found = self._incidents.get(incident)
            out.update({"incident": found.key, "model": found.model})
            for place, feature in (
                ("column", "columns"),
                ("segment", "segments"),
                ("rule", "rules"),
                ("measure", "measures"),
            ):
                if several := found.features.get(feature):
                    out[place] = several[0]
            if not alert:
                firing = [name for name, state in found.alerts.items() if state == "firing"]
                alert = firing[0] if firing and self._facts.document("alert", firing[0]) else ""
        if alert:
            held = alert_record(self._facts, alert).value
            own = ("model", "column", "segment", "version", "rule", "measure")
            out.update({k: held.labels[k] for k in own if held.labels.get(k)})
            out["alert"] = held.fingerprint
            if incident is None and (of := self._incidents.of_alert(held.fingerprint)) is not None:
                out["incident"] = of.key
        return {**out, **{k: v for k, v in given.items() if v}}

    # ---- the commands

    def _perform(
        self, verb: str, words: Sequence[str], record: Kept[RunbookRun], actor: str, place: int
    ) -> str:
        options, rest = _read(verb, words)
        values = record.value.values
        now = self._clock()
        if verb == "silence":
            if "for" not in options or "reason" not in options:
                raise BadInput("silence needs --for and --reason.")
            silence = add_silence(
                self._facts,
                rest,
                author=actor,
                reason=options["reason"],
                now=now,
                lasts=duration_of(options["for"]),
            )
            return f"silence {silence.id} until {silence.ends_at:%Y-%m-%d %H:%M} UTC"
        if verb == "acknowledge":
            name = rest[0] if rest else values.get("alert", "")
            if not name:
                return "there is no alert of ours to acknowledge"
            held = alert_record(self._facts, name).value
            if held.acknowledged_by:
                return f"{held.acknowledged_by} has acknowledged it already"
            acknowledge_alert(self._facts, name, actor=actor, now=now, note=options.get("note", ""))
            return f"alert {name} acknowledged"
        if verb in ("rebaseline", "backfill"):
            return self._measure_again(verb, options, rest, actor)
        if verb == "notify":
            return self._notify(rest, record, place)
        number = values.get("incident", "")
        if not number:
            raise BadInput(f"{verb} needs an incident.", "Run the runbook for one:  --incident NUMBER")
        if verb == "note":
            self._incidents.note(number, " ".join(rest), actor=actor)
            return "noted"
        if verb == "task":
            text, known = " ".join(rest), self._incidents.get(number).tasks
            if not any(t.text == text.strip() and not t.is_done for t in known):
                later = "follow-up" in options
                self._incidents.add_task(
                    number, text, actor=actor, owner=options.get("owner", ""), follow_up=later
                )
            return "task added"
        if verb == "label":
            return self._label(number, rest, actor)
        phase = phase_of(rest[0])
        if self._incidents.get(number).phase is phase:
            return f"the incident is in {phase.value} already"
        self._incidents.enter(number, phase, actor=actor)
        return f"the incident went to {phase.value}"

    def _label(self, number: str, rest: Sequence[str], actor: str) -> str:
        pairs = dict(word.partition("=")[::2] for word in rest)
        if not all(k and v for k, v in pairs.items()):
            raise BadInput("label needs words of the form NAME=VALUE.")
        self._incidents.label(number, pairs, actor=actor)
        return f"labelled {', '.join(f'{k}={v}' for k, v in pairs.items())}"

    def _measure_again(self, verb: str, options: Mapping[str, str], rest: Sequence[str], actor: str) -> str:
        if self._watch is None:
            raise BadInput(
                f"{verb} needs the project, which is not open here.", "Run it with:  watchkeeper runbooks run"
            )
        if len(rest) != 1 or "from" not in options or "to" not in options:
            raise BadInput(f"{verb} needs a model, --from and --to.")
        start, end = moment_of(options["from"], self._clock()), moment_of(options["to"], self._clock())
        if verb == "rebaseline":
            made = self._watch.rebaseline(rest[0], start, end, actor=actor)
            return f"a new baseline of {rest[0]} from {made.profile.rows:,} rows"
        self._watch.backfill(rest[0], start, end)
        return f"{rest[0]} was measured again from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"

    def _notify(self, rest: Sequence[str], record: Kept[RunbookRun], place: int) -> str:
        if len(rest) < 2:
            raise BadInput("notify needs a channel and a text.")
        if rest[0] not in self._channels:
            raise NotFound(
                f"There is no channel {rest[0]!r}.", f"Known: {', '.join(self._channels) or 'none'}."
            )
        key = f"runbook:{record.key}:{place}"
        text = " ".join(rest[1:])
        body = {"title": text[:150], "text": text, "status": "notice", "severity": "notice", "group": key}
        now = self._clock()
        asked = notification(rest[0], key, body, now=now, model=record.value.model)
        new = Records(self._facts, EFFECT).put_new(asked.value, now=now)
        return f"{rest[0]} will be told" if new else f"{rest[0]} has been told already"


def _read(verb: str, words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options (``--name value``) and the other words."""
    known = {
        "silence": {"for", "reason"},
        "acknowledge": {"note"},
        "rebaseline": {"from", "to"},
        "backfill": {"from", "to"},
        "task": {"owner"},
    }.get(verb, set())
    options: dict[str, str] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name = word[2:] if word.startswith("--") else ""
        if name == "follow-up" and verb == "task":
            options[name] = "yes"
        elif name and name in known:
            if not left:
                raise BadInput(f"{verb}: {word} needs a value.")
            options[name] = left.pop(0)
        elif name:
            raise BadInput(f"{verb} has no option {word}.")
        else:
            rest.append(word)
    return options, rest
