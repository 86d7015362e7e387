"""``watchkeeper.toml``: typed values, never class paths; an unknown key is an error with its place.

Durations are written as people say them: ``"15m"``, ``"1h"``, ``"7d"``, ``"2w"``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.decisions.alerting.inhibition import InhibitionTable
from watchkeeper.decisions.alerting.maintenance import AnyMaintenanceTable
from watchkeeper.decisions.alerting.routing import RouteTable
from watchkeeper.decisions.rules.catalogue import AnyRuleTable, OffTable
from watchkeeper.decisions.tables import Duration, Table, Zone, fault_text, place_of
from watchkeeper.domain.duration import duration_text
from watchkeeper.domain.schema import Kind, Task, role_and_class
from watchkeeper.domain.watched import Maturity, Retention, TableColumns, TableSource, WatchedModel
from watchkeeper.domain.window import day_step
from watchkeeper.errors import BadConfig, BadInput

if TYPE_CHECKING:
    from watchkeeper.decisions.incidents.incidents import IncidentPolicy
    from watchkeeper.loop.alerting.plan import AlertingPlan


FILE_NAME = "watchkeeper.toml"


class Project(Table):
    """What holds for the whole project."""

    name: str = "watch"
    """Shown at the top of every page and in every message."""
    data: str = ".watchkeeper"
    """Folder for journals, tables and the ledger, relative to this file."""
    url: str = ""
    """Where people reach the dashboard; links in alerts start with it."""


class LedgerTable(Table):
    """Where facts and measurements are kept."""

    url: str = ""
    """Empty: SQLite in the data folder. Or "postgresql://user@host/database"; a password comes from the environment:
    "env:WATCHKEEPER_LEDGER_URL"."""


class LakeTable(Table):
    """Where predictions, outcomes and profiles are kept."""

    kind: Literal["delta"] = "delta"
    """Delta Lake tables."""
    path: str = ""
    """Empty: the data folder. Or "s3://bucket/prefix"."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the object store (endpoint, region); a value may be "env:NAME"."""


class ServerTable(Table):
    """The API and the dashboard."""

    host: str = "127.0.0.1"
    """Loopback unless you say otherwise."""
    port: int = Field(default=8471, ge=0, le=65535)
    """0 takes a free one."""
    tick_every: Duration = timedelta(seconds=30)
    """How often the server looks for windows to measure."""
    max_request_mb: int = Field(default=64, ge=1, le=4096)
    """Larger bodies are refused."""


class MaturityTable(Table):
    """When a window's realised performance may be judged."""

    share: float = Field(default=0.95, ge=0, le=1)
    """Judge when this share of predictions has outcomes ..."""
    after: Duration = timedelta(days=7)
    """... or when this much time has passed since the window's end."""


class RetentionTable(Table):
    """How long things are kept."""

    rows: Duration | None = timedelta(days=400)
    """Raw predictions and outcomes."""
    full_profiles: Duration | None = timedelta(days=45)
    """Profiles with all bins; older ones are kept coarser."""
    measurements: Duration | None = None
    """Measurement series; not set: for ever. Daily roll-ups stay."""


class TableTable(Table):
    """A table of your own, watched in place."""

    location: str
    """A path, a glob, or a database URL; "env:NAME" reads it from the environment."""
    query: str | None = None
    """A table's name or a SELECT, for databases."""
    time: str
    """The column with the time of the prediction."""
    prediction: str | None = None
    """The column with the prediction."""
    score: str | None = None
    """The column with the score (probability)."""
    outcome: str | None = None
    """The column with the outcome."""
    id: str | None = None
    """The column that names a prediction."""
    version: str | None = None
    """The column with the model's version."""


class ModelTable(Table):
    """One model under watch."""

    task: Task | None = None
    """"binary", "multiclass" or "regression"; not set: guessed from the data."""
    positive: str | None = None
    """The outcome that counts as positive."""
    baseline: str | None = None
    """A baseline file, relative to this file (see `watchkeeper baseline`)."""
    cadence: Duration = timedelta(hours=1)
    """Length of a stored window."""
    judge_every: Duration = timedelta(days=1)
    """Length of a judged window: the merge of its stored windows."""
    rows_per_window: int | None = Field(default=None, ge=1)
    """Windows by rows instead of by time."""
    timezone: Zone = "UTC"
    """Days are days of this zone."""
    segments: list[str | list[str]] = Field(default_factory=list)
    """Columns to measure by; a list of columns crosses them."""
    max_segments: int = Field(default=50, ge=1, le=10_000)
    """The largest this many segments are measured, the rest together as "other"."""
    maturity: MaturityTable = Field(default_factory=MaturityTable)
    retention: RetentionTable = Field(default_factory=RetentionTable)
    roles: dict[str, str] = Field(default_factory=dict)
    """Column -> role, where the guess is wrong; ``score:cat`` is the score of class ``cat``."""
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Column -> kind, where the guess is wrong."""
    checks: dict[str, float | Literal[False]] = Field(default_factory=dict)
    """Measure -> level that matters; "measure:column" for one column; false turns one off."""
    rules: list[AnyRuleTable] = Field(default_factory=list)
    """Rules of your own, beside the default ones."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Scores at or above it are predicted positive."""
    table: TableTable | None = None
    owner: str = ""
    """Who is asked."""
    labels: dict[str, str] = Field(default_factory=dict)
    """For routing: team, severity, ..."""
    cost_of_errors: dict[Literal["false_positive", "false_negative", "per_unit"], float] = Field(
        default_factory=dict
    )
    """What one error costs."""
    currency: str = ""
    """The currency of those costs."""

    @field_validator("roles")
    @classmethod
    def _known_roles(cls, roles: dict[str, str]) -> dict[str, str]:
        for role in roles.values():
            try:
                role_and_class(role)
            except BadInput as problem:
                raise PydanticCustomError("role", "{what}", {"what": problem.what}) from None
        return roles

    @model_validator(mode="after")
    def _windows_fit(self) -> ModelTable:
        if self.cadence < timedelta(minutes=1):
            raise PydanticCustomError("cadence", "cadence must be at least one minute")
        if timedelta(days=1) % self.cadence and self.cadence % timedelta(days=1):
            raise PydanticCustomError(
                "cadence", 'a whole number of windows must make a day, such as "15m", "1h", "6h" or "1d"'
            )
        if self.judge_every % self.cadence:
            raise PydanticCustomError("cadence", "judge_every must be a whole number of cadence windows")
        step = day_step(self.timezone)
        if self.judge_every == timedelta(days=1) and step % self._stored():
            raise PydanticCustomError(
                "cadence",
                'days of {zone} are merges of windows of UTC, so its windows must be shorter: cadence = "{step}"',
                {"zone": self.timezone, "step": duration_text(step)},
            )
        return self

    def _stored(self) -> timedelta:
        """How long stored windows are: of a model by the day, what the days of its zone are merges of."""
        by_day = self.cadence == self.judge_every == timedelta(days=1)
        return day_step(self.timezone) if by_day else self.cadence

    def watched(self, name: str) -> WatchedModel:
        """The domain's word for it."""
        table = None
        if self.table is not None:
            t = self.table
            table = TableSource(
                location=t.location,
                query=t.query,
                columns=TableColumns(
                    time=t.time,
                    prediction=t.prediction,
                    score=t.score,
                    outcome=t.outcome,
                    id=t.id,
                    version=t.version,
                ),
            )
        return WatchedModel(
            name=name,
            task=self.task,
            positive=self.positive,
            baseline=self.baseline,
            cadence=self._stored(),
            judge_every=self.judge_every,
            rows_per_window=self.rows_per_window,
            timezone=self.timezone,
            segments=tuple((s,) if isinstance(s, str) else tuple(s) for s in self.segments),
            max_segments=self.max_segments,
            maturity=Maturity(share=self.maturity.share, after=self.maturity.after),
            retention=Retention(
                rows=self.retention.rows,
                full_profiles=self.retention.full_profiles,
                measurements=self.retention.measurements,
            ),
            roles=dict(self.roles),
            kinds={k: v.value for k, v in self.kinds.items()},
            checks={k: None if v is False else v for k, v in self.checks.items()},
            rules=tuple(r.rule() for r in self.rules if not isinstance(r, OffTable)),
            rules_off=frozenset(r.name for r in self.rules if isinstance(r, OffTable)),
            threshold=self.threshold,
            table=table,
            owner=self.owner,
            labels=dict(self.labels),
            cost_of_errors={str(k): v for k, v in self.cost_of_errors.items()},
            currency=self.currency,
        )


class ChannelTable(Table):
    """One way to tell people."""

    kind: Literal["apprise", "alertmanager", "webhook"] = "apprise"
    """Apprise reaches Slack, mail, SMS, PagerDuty, Teams and many more by URL."""
    url: str
    """The target; it holds secrets, so write "env:NAME" or "file:/run/secrets/name"."""
    enabled: bool = True
    """False keeps it configured and silent."""
    template: Literal["short", "full"] = "full"
    """"short" for SMS and pagers."""
    wakes: bool | None = None
    """Whether it wakes people: then it is spared what can wait (windows of long ago, notices). Not set: pagers and
    telephones do, chats, mail and webhooks do not."""


class IncidentsTable(Table):
    """When alerts become an incident, and which of them belong to the same."""

    open_after: int = Field(default=1, ge=1)
    """Alerts of one group, all firing within `within`, that it takes."""
    within: Duration = timedelta(hours=24)
    """How far apart they may have begun to fire."""
    least: Literal["notice", "warning", "critical"] = "warning"
    """Quieter alerts open nothing, but join what is open."""
    group_by: list[str] = Field(default_factory=lambda: ["model"], min_length=1)
    """Alerts with the same values of these labels belong to one incident."""
    resolve_with_alerts: bool = False
    """Whether the end of its last alert resolves an incident that nobody has touched."""

    def policy(self) -> IncidentPolicy:
        """The decisions' word for it."""
        from watchkeeper.decisions.incidents.incidents import IncidentPolicy
        from watchkeeper.domain.rule import Severity

        return IncidentPolicy(
            open_after=self.open_after,
            within=self.within,
            least=Severity(self.least),
            group_by=tuple(self.group_by),
            resolve_with_alerts=self.resolve_with_alerts,
        )


class DeadMansSwitchTable(Table):
    """A service that raises the alarm when it is not pinged (healthchecks.io, a push monitor): it watches the watch."""

    url: str
    """Fetched after a tick that did its work; it is a secret, so write "env:NAME" or "file:/run/secrets/name"."""
    every: Duration = timedelta(minutes=1)
    """At most this often."""


class Config(Table):
    """A whole ``watchkeeper.toml``."""

    project: Project = Field(default_factory=Project)
    ledger: LedgerTable = Field(default_factory=LedgerTable)
    lake: LakeTable = Field(default_factory=LakeTable)
    server: ServerTable = Field(default_factory=ServerTable)
    models: dict[str, ModelTable] = Field(default_factory=dict)
    channels: dict[str, ChannelTable] = Field(default_factory=dict)
    routes: list[RouteTable] = Field(default_factory=list)
    incidents: IncidentsTable = Field(default_factory=IncidentsTable)
    dead_mans_switch: DeadMansSwitchTable | None = None
    maintenance: list[AnyMaintenanceTable] = Field(default_factory=list)
    """Maintenance windows, in which alerts that match are not sent."""
    inhibit: list[InhibitionTable] = Field(default_factory=list)
    """Alerts that mute others which follow from them (see docs/alerts.md)."""

    @field_validator("models")
    @classmethod
    def _names_are_plain(cls, models: dict[str, ModelTable]) -> dict[str, ModelTable]:
        for name in models:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
                raise PydanticCustomError(
                    "name",
                    "the model name {name} must be letters, digits, '.', '_' or '-', at most 100, not starting with a sign",
                    {"name": repr(name)},
                )
        return models

    @cached_property
    def _plan(self) -> AlertingPlan:
        from watchkeeper.loop.alerting.plan import alerting_plan

        return alerting_plan(
            self.watched(),
            routes=[r.route() for r in self.routes],
            inhibit=[i.inhibition() for i in self.inhibit],
            maintenance=[m.window() for m in self.maintenance],
            channels=list(self.channels),
            check=False,
        )

    def alerting(self) -> AlertingPlan:
        """The plan of rules, routes, inhibitions and maintenance, made once; `parse_config` has checked it."""
        return self._plan

    def watched(self) -> dict[str, WatchedModel]:
        """Every model, in the domain's words."""
        return {name: table.watched(name) for name, table in self.models.items()}


def find_project(start: str | Path = ".") -> Path:
    """The folder at or above *start* that holds a ``watchkeeper.toml``.

    Raises
    ------
    BadConfig
        there is none.
    """
    here = Path(start).resolve()
    if here.is_file():
        here = here.parent
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder
    raise BadConfig(f"There is no {FILE_NAME} in {here} or above it.", "Make one:  watchkeeper init")


def load_config(path: str | Path) -> Config:
    """Read and validate a file, or the file in a folder.

    Raises
    ------
    BadConfig
        with the place of each fault and the nearest known key.
    """
    file = Path(path)
    if file.is_dir():
        file = file / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise BadConfig(f"{file} cannot be read: {cause}.", "Make one:  watchkeeper init") from cause
    return parse_config(text, where=str(file))


def parse_config(text: str, *, where: str = FILE_NAME) -> Config:
    """Validate the text of a configuration.

    >>> parse_config('[models.churn]\\ncadance = "1h"')
    Traceback (most recent call last):
        ...
    watchkeeper.errors.BadConfig: watchkeeper.toml has 1 fault.
      line 2, models.churn.cadance: there is no such key. Did you mean 'cadence'?
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise BadConfig(f"{where} is not valid TOML: {cause}.") from cause
    written = raw.get("models")
    tables = list(written.values()) if isinstance(written, dict) else []
    context = {}
    if any(isinstance(m, dict) and m.get("rules") for m in tables):
        from watchkeeper.measures.catalogue import described_measures

        context["measures"] = list(described_measures())
    try:
        config = Config.model_validate(raw, context=context)
    except ValidationError as cause:
        faults = [
            fault_text(e, Config, line=_line_of(place_of(e), text), whole="the file") for e in cause.errors()
        ]
    else:
        faults = list(_alerting_faults(config, text))
        if not faults:
            return config
    plural = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise BadConfig(f"{where} has {plural}.", *faults)


def _alerting_faults(config: Config, text: str) -> Iterator[str]:
    """Rules, routes, inhibitions and maintenance that cannot stand together; not looked for where there are none."""
    if not (
        config.routes or config.inhibit or config.maintenance or any(m.rules for m in config.models.values())
    ):
        return
    from watchkeeper.loop.alerting.plan import plan_faults

    for at, fault in plan_faults(config.watched(), config.alerting(), config.channels):
        place = [str(p) for p in at]
        if "rules" in place:
            names = [r.name for r in config.models[place[1]].rules]
            last = len(names) - 1 - names[::-1].index(place[-1]) if place[-1] in names else 0
            place[-1] = str(last)
        line = _line_of(place, text)
        what = " ".join((fault.what, *fault.next_steps))
        yield f"line {line}, {'.'.join(place)}: {what}" if line else f"{'.'.join(place)}: {what}"


_HEADER = re.compile(r"\[\[?([^\]]+)\]\]?")
_KEY = re.compile(r'("[^"]+"|\'[^\']+\'|[A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=')


def _line_of(place: list[str], text: str) -> int | None:
    """The line of the deepest part of *place* that can be found, by its headers and keys.

    >>> _line_of(["routes", "1", "go_on"], '[[routes]]\\ngo_on = true\\n[[routes]]\\ngo_on = 1')
    4
    """
    best, deepest, header = None, 0, list[str]()
    counts: dict[tuple[str, ...], int] = {}

    def indexed(keys: Sequence[str], *, new: bool = False) -> list[str]:
        """The keys with the index of each array of tables that they pass."""
        out: list[str] = []
        for n, key in enumerate(keys, 1):
            out.append(key)
            known = tuple(out)
            if new and n == len(keys):
                counts[known] = counts.get(known, -1) + 1
            if known in counts:
                out.append(str(counts[known]))
        return out

    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.split("#", 1)[0].strip()
        if match := _HEADER.fullmatch(stripped):
            keys = [p.strip().strip("\"'") for p in re.findall(r'"[^"]*"|\'[^\']*\'|[^.\s]+', match[1])]
            header = here = indexed(keys, new=stripped.startswith("[["))
        elif match := _KEY.match(stripped):
            keys = [match[1]] if match[1][0] in "\"'" else match[1].split(".")
            here = header + [k.strip().strip("\"'") for k in keys]
        else:
            continue
        if len(here) > deepest and here == place[: len(here)]:
            best, deepest = number, len(here)
    return best


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors that complete and check TOML."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "watchkeeper.toml"
    return schema


def secret(value: str) -> str:
    """Resolve ``env:NAME`` and ``file:PATH``; anything else is itself.

    Raises
    ------
    BadConfig
        the variable is not set or the file cannot be read. The message never holds the secret.
    """
    if value.startswith("env:"):
        name = value[4:]
        found = os.environ.get(name)
        if not found:
            raise BadConfig(f"The environment variable {name} is not set.", f"Set it:  export {name}=...")
        return found
    if value.startswith("file:"):
        try:
            return Path(value[5:]).read_text(encoding="utf-8").strip()
        except OSError as cause:
            raise BadConfig(f"The secret file {value[5:]} cannot be read: {cause.strerror}.") from cause
    return value
