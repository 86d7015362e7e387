"""Drop two files, get the report."""

from __future__ import annotations

import json
import re
import secrets
from base64 import b64encode
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, urlencode

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from watchkeeper.documents.batch.answer import Side
from watchkeeper.documents.batch.report import Report
from watchkeeper.domain.schema import Role as RowRole
from watchkeeper.errors import BadInput, NotFound, WatchkeeperError
from watchkeeper.loop.batch.compare import compare
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kind, Records, plain, write
from watchkeeper.web.dashboard.kit.frame import Page, Room, check_form, root, told, wants_json
from watchkeeper.web.dashboard.kit.uploads import Upload, received
from watchkeeper.web.security import Identity, Role, require

KEPT = 50
"""Reports that are kept; older ones go when a new one comes."""
FORMS = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "xml": "application/xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A report that was made here: what it compared, and what came out."""

    key: str
    headline: str
    verdict: str
    summary: str
    reference: str
    current: str
    reference_rows: int
    current_rows: int
    by: str
    at: datetime
    roles: dict[str, str] = field(default_factory=dict)
    """What columns were taken for; all others are features."""


COMPARISON = Kind("comparison", Comparison, key="key", state="verdict")


class ComparisonMade(TypedDict):
    headline: str
    reference: str
    current: str


COMPARISON_MADE = FactKind("comparison.made", ComparisonMade)


class Comparing:
    """The page, what its form does, and the reports that came of it. One comparison runs at a time."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._one = anyio.Semaphore(1)

    @property
    def most_bytes(self) -> int:
        """How large both files may be together."""
        config = self.room.watch.config
        return int(config.server.max_request_mb if config is not None else 64) << 20

    def page(self, room: Room, request: Request) -> Page:
        """The form, and the newest reports."""
        found = self._kept.some(limit=KEPT)
        data = {
            "most_mb": self.most_bytes >> 20,
            "reports": [plain(kept.value) for kept in found],
            "roles": request.query_params.get("roles", ""),
            "baselines": sorted(n for n in room.watch.models if _has_baseline(room, n))[:200],
        }
        return Page(template="compare.html.j2", title="Compare two files", data=data, here="compare")

    def report_page(self, room: Room, request: Request) -> Page:
        """One report, in a frame of its own."""
        made = self._made(request.path_params["key"])
        edit = urlencode({"roles": "\n".join(f"{c} = {r}" for c, r in made.roles.items())})
        data = {**plain(made), "edit": edit}
        return Page(template="comparison.html.j2", title=made.headline, data=data, here="compare")

    def report_file(self, room: Room, request: Request) -> Response:
        """The report itself in one of its forms."""
        key, form = request.path_params["key"], request.path_params["form"]
        made = self._made(key)
        file = self._folder / f"{made.key}.{form}"
        if form not in FORMS or not file.is_file():
            raise NotFound(f"There is no report {key}.{form}.", f"Known forms: {', '.join(FORMS)}.")
        content = file.read_bytes()
        headers = {}
        if form == "html":
            # The report is a page of its own: it runs its own script and style, and reaches nothing else.
            scripts = re.findall(rb"<script[^>]*>(.*?)</script>", content, re.DOTALL)
            hashes = " ".join(f"'sha256-{b64encode(sha256(s).digest()).decode()}'" for s in scripts)
            headers["Content-Security-Policy"] = (
                f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; "
                "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
            )
        else:
            headers["Content-Disposition"] = f'attachment; filename="comparison.{form}"'
        return Response(content, media_type=FORMS[form], headers=headers)

    async def run(self, request: Request) -> Response:
        """Read both files, compare, keep the report, and lead to it."""
        who: Identity | None = request.scope.get("state", {}).get("who")
        try:
            doer = require(who, Role.LABELLER)
            only_current = request.query_params.get("baseline", "")
            names = ["current"] if only_current else ["reference", "current"]
            async with received(request, names, most_bytes=self.most_bytes) as (files, fields):
                check_form(doer, fields.get("csrf", "") or request.headers.get("x-csrf", ""))
                async with self._one:
                    roles = _written_roles(fields.get("roles", ""))
                    key = await run_in_threadpool(self._compare, files, only_current, roles, doer)
        except WatchkeeperError as failure:
            return await run_in_threadpool(told, self.room, request, failure, who)
        if wants_json(request):
            see = f"{root(request)}/compare/{key}"
            return JSONResponse({"see": see, "report": json.loads(self._read(key, "json"))})
        return RedirectResponse(f"{root(request)}/compare/{quote(key)}", status_code=303)

    def _compare(self, files: dict[str, Upload], model: str, roles: dict[str, str], who: Identity) -> str:
        current = files["current"]
        taken: dict[str, str] = {}
        if model:
            made = self.room.watch.baseline(self.room.known_model(model))
            if made is None:
                raise NotFound(f"{model!r} has no baseline yet.", "Compare with a file instead.")
            report = compare(made, current.path, title=f"Batch check of {model}")
            before = f"the baseline of {model}"
        else:
            reference = files["reference"]
            report, taken = _compared(reference.path, current.path, roles)
            before = reference.name
        # The files' own names, not those under which they lay here for a moment.
        report = replace(
            report,
            reference=Side(name=before, rows=report.reference.rows),
            current=Side(name=current.name, rows=report.current.rows),
            notes=tuple(n.replace(str(f.path), f.name) for n in report.notes for f in [_named_in(n, files)]),
        )
        return self._keep(report, taken, who)

    def _keep(self, report: Report, roles: dict[str, str], who: Identity) -> str:
        now = self.room.now()
        key = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        self._folder.mkdir(parents=True, exist_ok=True)
        for form, text in (
            ("html", report.to_html()),
            ("json", report.to_json()),
            ("md", report.to_markdown()),
            ("xml", report.to_junit()),
        ):
            (self._folder / f"{key}.{form}").write_text(text, encoding="utf-8")
        made = Comparison(
            key=key,
            headline=report.headline,
            verdict=report.verdict.value,
            summary=report.summary,
            reference=report.reference.name,
            current=report.current.name,
            reference_rows=report.reference.rows,
            current_rows=report.current.rows,
            by=who.name,
            at=now,
            roles=roles,
        )
        said: ComparisonMade = {
            "headline": made.headline,
            "reference": made.reference,
            "current": made.current,
        }
        fact = COMPARISON_MADE(said, at=now, actor=who.name, subject=key)
        write(self.room.watch.ledger.facts, [fact], [COMPARISON.new(made)], now=now)
        self._forget_old(now)
        return key

    def _forget_old(self, now: datetime) -> None:
        old = [kept.key for kept in self._kept.some(limit=100, offset=KEPT)]
        for key in old:
            for form in FORMS:
                (self._folder / f"{key}.{form}").unlink(missing_ok=True)
        self._kept.forget(old)

    @property
    def _kept(self) -> Records[Comparison]:
        return Records(self.room.watch.ledger.facts, COMPARISON)

    @property
    def _folder(self) -> Path:
        return Path(self.room.watch.data) / "reports" / "comparisons"

    def _made(self, key: str) -> Comparison:
        found = self._kept.get(key)
        if found is None:
            raise NotFound(f"There is no report {key!r}.", f"The newest {KEPT} are kept; make it again.")
        return found.value

    def _read(self, key: str, form: str) -> str:
        return (self._folder / f"{key}.{form}").read_text(encoding="utf-8")


def _compared(reference: Path, current: Path, roles: dict[str, str]) -> tuple[Report, dict[str, str]]:
    """The report, and the roles of columns that it rests on: those given, else those that names and values suggest."""
    guessed = {} if roles else _guessed_roles(reference)
    try:
        return compare(reference, current, roles=roles or guessed or None), roles or guessed
    except BadInput:
        if not guessed:
            raise
        return compare(reference, current), {}  # a guess must not stop what goes without it


def _guessed_roles(file: Path) -> dict[str, str]:
    """What each column is, as ``watchkeeper init`` guesses it."""
    from watchkeeper.loop.batch.profiling import is_baseline_file
    from watchkeeper.rows.infer import infer
    from watchkeeper.rows.likely_roles import likely_roles
    from watchkeeper.rows.sources import open_source

    if is_baseline_file(file):
        return {}
    opened = open_source(file)
    sample = opened.sample()
    schema = infer(opened, sample=sample).schema
    named = {c.name: c.role for c in schema.columns if c.role is not RowRole.FEATURE}
    return {name: role.value for name, role in (named | likely_roles(schema, sample)).items()}


def _written_roles(text: str) -> dict[str, str]:
    """``column = role``, one a line.

    Raises
    ------
    BadInput
        a line has no equals sign.
    """
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        column, equals, role = line.rpartition("=")
        if not equals or not column.strip():
            raise BadInput(
                f"{line!r} gives no column a role.", "Write column = role, one a line: churned = outcome"
            )
        found[column.strip()] = role.strip()
    return found


def _named_in(note: str, files: dict[str, Upload]) -> Upload:
    return next((f for f in files.values() if str(f.path) in note), next(iter(files.values())))


def _has_baseline(room: Room, name: str) -> bool:
    try:
        return room.watch.baseline_path(name).is_file()
    except WatchkeeperError:
        return False
