"""What is configured, in the file's own words, and whether it is right; and who may come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from watchkeeper.domain.duration import duration_text
from watchkeeper.errors import BadInput, WatchkeeperError
from watchkeeper.web.dashboard.kit.filters import pager
from watchkeeper.web.dashboard.kit.frame import Page, Room
from watchkeeper.web.security import Identity, Role, create_token, revoke_token, tokens

SECTIONS = ("project", "server", "ledger", "lake")
_QUOTED = re.compile(r"(\"\"\"|'''|\"|')((?:\\.|(?!\1).)*)\1", re.DOTALL)
_SECRET_KEY = re.compile(r"(?:^|[\s{,.])([\"']?)([\w-]*)\1\s*=\s*$")
HIDDEN = "(hidden)"


def settings_page(room: Room, request: Request) -> Page:
    """The file as it is now, its faults, what its keys mean; tokens for those who may make them."""
    return _page(room, request, None)


def _page(room: Room, request: Request, made: dict[str, Any] | None) -> Page:
    from watchkeeper.wiring.config import Config, load_config

    file = room.watch.path / "watchkeeper.toml"
    faults: list[str] = []
    changed = False
    text = ""
    try:
        stamp = file.stat().st_mtime_ns
        text = room.kept(("words", stamp), lambda: redacted(file.read_text(encoding="utf-8")), seconds=600)
        now = room.kept(("config", stamp), lambda: load_config(file), seconds=600)
        changed = room.watch.config is not None and now != room.watch.config
    except WatchkeeperError as failure:
        faults = [failure.what, *failure.next_steps]
    except (OSError, UnicodeDecodeError) as failure:
        faults = [f"{file.name} cannot be read: {failure}."]
    config = room.watch.config if room.watch.config is not None else Config()
    names = list(config.models)
    model = request.query_params.get("model", "")
    pages = pager(request.query_params, total=len(names), size=100)
    who: Identity | None = request.scope.get("state", {}).get("who")
    admin = who is not None and who.role.may(Role.ADMIN)
    lines = text.splitlines()
    data = {
        "file": file.name,
        "faults": faults,
        "changed": changed,
        "text": "\n".join(lines[:1000]),
        "lines_left_out": max(0, len(lines) - 1000),
        "sections": [{"name": s, "keys": _keys(getattr(config, s))} for s in SECTIONS],
        "models": names[pages.offset : pages.offset + 100],
        "pager": pages.to_dict(),
        "model": {"name": model, "keys": _keys(config.models[model])} if model in config.models else None,
        "channels": [
            {"name": n, "kind": c.kind, "enabled": c.enabled, "template": c.template}
            for n, c in config.channels.items()
        ],
        "routes": [
            {
                "match": {m.label: m.operator.lstrip("=") + m.value for m in r.match},
                "channels": list(r.channels),
                "group_by": list(r.group_by),
            }
            for r in config.routes
        ],
        "tokens": tokens(room.watch.ledger.facts) if admin else None,
        "roles": [r.value for r in Role],
        "made": made,
        "open_door": not room.watch.ledger.facts.count("token"),
    }
    return Page(template="settings.html.j2", title="Settings", data=data, here="settings")


def _keys(table: Any) -> list[dict[str, Any]]:
    """Each key of a table: its value as a person writes it, whether the file says it, and what it means."""
    out = []
    for name, about in type(table).model_fields.items():
        value = getattr(table, name)
        out.append(
            {
                "name": name,
                "value": _said(name, value),
                "set": name in table.model_fields_set,
                "about": " ".join((about.description or "").split()),
            }
        )
    return out


def _said(name: str, value: Any) -> str:
    if isinstance(value, timedelta):
        return duration_text(value)
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "model_dump"):
        return ", ".join(f"{k}: {_said(k, getattr(value, k))}" for k in type(value).model_fields)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {_said(k, v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(name, v) for v in value) or "none"
    return _safe(name, str(getattr(value, "value", value)))


def _safe(key: str, text: str) -> str:
    """A value without what is secret in it: references to secrets are shown, secrets are not."""
    if text.startswith(("env:", "file:")) or not text:
        return text
    if re.search(
        r"secret|password|passwd|token|credential|access_key|account_key|_key$|^key$", key, re.IGNORECASE
    ):
        return HIDDEN
    if "://" in text:
        scheme, _, rest = text.partition("://")
        rest = re.sub(r"^[^/@\s]*@", f"{HIDDEN}@", rest)
        return f"{scheme}://{re.sub(r'[?#].*$', '?' + HIDDEN, rest)}"
    return text


def redacted(text: str) -> str:
    """The file's text with every secret hidden: addresses of channels, credentials in URLs, keys of stores.

    >>> print(redacted('[channels.chat]\\nurl = "https://chat.example/T0/secret"\\n[ledger]\\nurl = "postgresql://me:pw@db/x"'))
    [channels.chat]
    url = "(hidden)"
    [ledger]
    url = "postgresql://(hidden)@db/x"
    """
    out, section = [], ""
    for line in text.splitlines():
        if found := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            section = found[1]
        in_channel = section.startswith("channels") or re.search(r"(^|[{,\s])channels\b", line) is not None
        in_options = section.startswith("lake.options") or "options" in line.partition("=")[0]

        def hide(
            match: re.Match[str], line: str = line, channel: bool = in_channel, options: bool = in_options
        ) -> str:
            quote, value = match[1], match[2]
            key = _SECRET_KEY.search(line[: match.start()])
            name = key[2] if key else ""
            if value.startswith(("env:", "file:")):
                return match[0]
            if (channel and ("://" in value or name == "url")) or (
                options and name not in ("endpoint", "region")
            ):
                return f"{quote}{HIDDEN}{quote}"
            return f"{quote}{_safe(name, value)}{quote}"

        out.append(_QUOTED.sub(hide, line))
    return "\n".join(out)


# ---- what buttons do --------------------------------------------------------------------------------


def make_token(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> Page:
    """A new token, shown once."""
    facts = room.watch.ledger.facts
    role = form.get("role", "")
    if not facts.count("token") and role != Role.ADMIN.value:
        raise BadInput(
            "The first token must be an admin's: from then on nobody comes in without one.",
            "Choose the role admin.",
        )
    days = form.get("days", "").strip()
    if days and not days.isdigit():
        raise BadInput(f"{days!r} is not a number of days.")
    lasts = timedelta(days=int(days)) if days and int(days) else None
    name = form.get("name", "")
    word = create_token(facts, name=name, role=role, by=who.name, now=room.now(), lasts=lasts)
    return _page(room, request, {"token": word, "name": name.strip(), "role": role})


def revoke(room: Room, request: Request, form: Mapping[str, str], who: Identity) -> str:
    """End a token and its sessions."""
    revoke_token(room.watch.ledger.facts, request.path_params["id"], by=who.name, now=room.now())
    return "/settings?did=revoked"
