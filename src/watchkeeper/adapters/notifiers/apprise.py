"""Slack, mail, SMS, PagerDuty, Teams, Discord and a hundred more through Apprise, by URL.

Apprise answers only yes or no; whether another try is worth while stands in the receiver's reply. So while one
message is sent, the replies that Apprise's plugin gets are listened to (through the ``response`` hook of requests)
for their status and ``Retry-After``. Everything that Apprise, requests and urllib3 would log of it stays in here:
their log lines hold URLs, and those hold secrets.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from watchkeeper.adapters.notifiers.exchange import LATER, Refused, TryAgain, judge, retry_after_s
from watchkeeper.documents.message import CHART_NAME, shortened, without_chart
from watchkeeper.errors import BadConfig, MissingExtra

PAGERS = frozenset({"NotifyPagerDuty", "NotifyOpsgenie", "NotifyPagerTree", "NotifySplunk", "NotifySIGNL4"})
READ_AS_MARKDOWN = {"NotifyDiscord": (2_000, "\n"), "NotifyWorkflows": (24_000, "\n\n")}
"""Chats that take plain text for Markdown; how long a message of theirs may be, and how their lines end. (Apprise's own
limit for a Teams card is 1,000, that of Teams 28 KB.)"""
TEXT_LENGTH = 500
"""A plugin that takes no more than this many characters is a telephone: it gets the short form."""
READ_TIMEOUT_S = 10.0
_LOGGERS = ("apprise", "urllib3.connectionpool", "requests")
_sending = threading.local()


class AppriseNotifier:
    """One target, by its Apprise URL.

    Parameters
    ----------
    name : the channel's name, for messages about it.
    url : the target with its secrets (``slack://...``, ``mailtos://...``, ``twilio://...``, ``pagerduty://...``).
    template : ``"full"``, or ``"short"`` for one line everywhere.
    wakes : whether it wakes people, so that it is spared what can wait; None: pagers and telephones do.

    Raises
    ------
    MissingExtra
        Apprise is not installed.
    BadConfig
        Apprise does not understand the URL. The message does not hold it.
    """

    def __init__(self, name: str, url: str, *, template: str = "full", wakes: bool | None = None) -> None:
        self.name, self._url, self._template = name, url, template
        self._secrets = _secrets(url)
        plugin = self._plugin()
        self.wakes = _is_pager(plugin) or _is_telephone(plugin) if wakes is None else wakes

    def send(self, message: Mapping[str, Any], *, key: str) -> None:
        """See `watchkeeper.ports.notifier.Notifier`."""
        apprise = _library()
        plugin = self._plugin()
        kinds = apprise.NotifyType
        kind = {"critical": kinds.FAILURE, "warning": kinds.WARNING}.get(message["severity"], kinds.INFO)
        if message.get("urgency") == "low":
            kind = kinds.INFO
        if message["status"] == "resolved":
            kind = kinds.SUCCESS
        attached = self._attachment(plugin, message)
        title, body, form = self._form(plugin, message, picture=attached is not None)
        _mark(plugin, message, key)
        with _listening(plugin) as heard:
            delivered = plugin.notify(
                body=body,
                title=title,
                notify_type=kind,
                body_format=form,
                attach=attached,
            )
        if not delivered:
            self._raise(heard)

    def _form(self, plugin: Any, message: Mapping[str, Any], *, picture: bool) -> tuple[str, str, Any]:
        """Title, body and format: the form of the message that this kind of channel shows."""
        formats = _library().NotifyFormat
        name = type(plugin).__name__
        if _is_pager(plugin):
            return "", message["pager"], formats.TEXT
        if self._template == "short" or _is_telephone(plugin):
            return "", message["short"], formats.TEXT
        if name == "NotifyEmail":
            if plugin.resolve_format(formats.HTML) == formats.TEXT:
                return message["title"], message["text"], formats.TEXT
            shows = picture and hasattr(plugin, "inline")
            return (
                message["title"],
                message["html"] if shows else without_chart(message["html"]),
                formats.HTML,
            )
        title, text = message["title"], message["chat"]
        if name not in READ_AS_MARKDOWN:
            return title, shortened(text, plugin.body_maxlen - len(title) - 10), formats.TEXT
        longest, line_end = READ_AS_MARKDOWN[name]
        title = _literal(title)
        room = longest = longest - len(title) - 10
        while len(shown := line_end.join(map(_literal, shortened(text, room).splitlines()))) > longest:
            room -= len(shown) - longest
        return title, shown, formats.MARKDOWN if name == "NotifyWorkflows" else formats.TEXT

    def _attachment(self, plugin: Any, message: Mapping[str, Any]) -> Any:
        """The chart as a picture, where the channel takes files; a chart that cannot be drawn costs nothing else."""
        if not message.get("chart") or not plugin.attachment_support or self._template == "short":
            return None
        if type(plugin).__name__ == "NotifySlack" and "webhook" in str(getattr(plugin, "mode", "")):
            return None
        try:
            from watchkeeper.documents.drawing.charts import render_png

            picture = render_png(message["chart"])
        except Exception:
            return None
        memory = _library().attachment.memory.AttachMemory
        return _library().AppriseAttachment([memory(content=picture, name=CHART_NAME, mimetype="image/png")])

    def _plugin(self) -> Any:
        """A fresh plugin: what is set for one message must not stay for the next."""
        with _quiet([]):
            asset = _library().AppriseAsset(
                app_id="Watchkeeper", app_desc="Watchkeeper", image_url_mask="", image_url_logo=""
            )
            plugin = _library().Apprise.instantiate(self._url, asset=asset, suppress_exceptions=True)
        if plugin is None:
            scheme = re.match(r"[a-z0-9+.-]{1,20}(?=:)", self._url.lower())
            raise BadConfig(
                f"Apprise does not understand the url of channel {self.name!r}"
                + (f" ({scheme[0]}://...)." if scheme else "."),
                "Its form for each service stands at https://github.com/caronc/apprise/wiki",
            )
        # Its own pictures would be fetched from somebody else's server for each message.
        plugin.include_image = False
        plugin.include_footer = False
        if hasattr(plugin, "inline"):
            plugin.inline = True
        if plugin.socket_read_timeout == type(plugin).socket_read_timeout:
            plugin.socket_read_timeout = READ_TIMEOUT_S
        return plugin

    def _raise(self, heard: _Heard) -> None:
        whom = f"Channel {self.name!r}"
        if heard.replies:
            status, after, said = heard.replies[-1]
            if 200 <= status < 300 and "ratelimited" in said.replace("_", ""):
                status = 429  # Slack's Web API says 200 and means no
            if not 200 <= status < 300:
                judge(status, after, whom=whom, said=self._scrubbed(said))
        said = self._scrubbed(" ".join(heard.said))
        code = re.search(r"\((\d{3}), b", said)  # how smtplib shows a reply
        if code and code[1].startswith("5"):
            raise Refused(f"{whom} refused it with {code[1]}.", said[:300])
        if heard.replies and not code:
            raise Refused(f"{whom} took the request and refused the message.", said[:300])
        waits = [retry_after_s(after) for status, after, _ in heard.replies if status in LATER]
        raise TryAgain(
            f"{whom} could not be reached: {said[:300] or 'no answer'}",
            retry_after_s=waits[-1] if waits else None,
        )

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())


def split_targets(text: str) -> list[str]:
    """The URLs of a channel, one a line (or parted by spaces): each is a target with a result of its own.

    >>> split_targets("json://a\\n# the night shift\\njson://b json://c")
    ['json://a', 'json://b', 'json://c']
    """
    lines = (line.strip() for line in text.splitlines())
    return [url for line in lines if line and not line.startswith("#") for url in line.split()]


def _literal(text: str) -> str:
    """A line that a chat would read as Markdown, so that it shows as written and mentions nobody.

    >>> _literal("PSI of @everyone [here](http://x)")
    'PSI of @\\u200beveryone \\\\[here\\\\]\\\\(http://x\\\\)'
    """
    if text.startswith(("http://", "https://")) and " " not in text:
        return text  # our own link
    return re.sub(r"([\\*_`~|\[\]()<>#])", r"\\\1", text).replace("@", "@\u200b")


def _is_pager(plugin: Any) -> bool:
    return type(plugin).__name__ in PAGERS


def _is_telephone(plugin: Any) -> bool:
    return bool(plugin.body_maxlen <= TEXT_LENGTH)


class _Heard:
    """What came back while one message was sent: replies as (status, Retry-After, text), and words."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, str | None, str]] = []
        self.said: list[str] = []


class _Listening:
    """Stands before the module ``requests`` in a plugin's file, and listens to replies in threads that send."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        if name not in ("get", "post", "put", "patch", "delete", "request"):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            heard: _Heard | None = getattr(_sending, "heard", None)
            if heard is not None:
                text = (answer.content or b"")[:2000].decode("utf-8", "replace")
                heard.replies.append((answer.status_code, answer.headers.get("Retry-After"), text))
            return answer

        return call


@contextmanager
def _listening(plugin: Any) -> Iterator[_Heard]:
    heard = _Heard()
    for kind in type(plugin).__mro__:
        module = sys.modules.get(kind.__module__)
        library = getattr(module, "requests", None)
        ours = isinstance(library, _Listening) or not kind.__module__.startswith("apprise.")
        if module is not None and library is not None and not ours:
            module.requests = _Listening(library)  # type: ignore[attr-defined]
    smtp = sys.modules.get("apprise.plugins.email.smtp")
    if smtp is not None and not isinstance(smtp.logger, _Overheard):
        smtp.logger = _Overheard(smtp.logger)  # type: ignore[attr-defined]
    private = logging.Logger("watchkeeper.apprise", logging.DEBUG)
    private.addHandler(_Keep(heard.said))
    plugin.logger = private
    _sending.heard = heard
    try:
        with _quiet(heard.said):
            yield heard
    finally:
        _sending.heard = None


class _Overheard:
    """Stands before the logger of Apprise's SMTP file, where a refusal is told only as a debug line."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def debug(self, text: str, *args: Any) -> None:
        heard: _Heard | None = getattr(_sending, "heard", None)
        if heard is None:
            self._logger.debug(text, *args)
        else:
            heard.said.append((text % args)[:500])


class _Keep(logging.Handler):
    """Collects what says why it failed; payloads are not kept."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if (record.levelno >= logging.WARNING or text.startswith("Socket Exception")) and len(
            self._said
        ) < 20:
            self._said.append(text[:500])


class _Hush(logging.Filter):
    """Takes log lines of threads that send out of the ordinary logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(_sending, "said", None)
        if said is None:
            return True
        if record.name == "apprise":
            _Keep(said).emit(record)
        return False


_hush = _Hush()


@contextmanager
def _quiet(said: list[str]) -> Iterator[None]:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hush)  # adding it twice changes nothing
    before = getattr(_sending, "said", None)
    _sending.said = said
    try:
        yield
    finally:
        _sending.said = before


def _mark(plugin: Any, message: Mapping[str, Any], key: str) -> None:
    """Put the key where this kind of receiver looks for it."""
    name = type(plugin).__name__
    if name == "NotifyPagerDuty":
        # PagerDuty folds what has one key into one incident, and a resolve finds it by that key.
        plugin.dedup = plugin.dedup or str(message.get("group") or key)[:255]
        if plugin.action == "trigger":
            plugin.action = "map"
        plugin.click = plugin.click or message.get("link") or None
        plugin.details = {**(plugin.details or {}), "key": key, "severity": message["severity"]}
    elif name == "NotifyEmail":
        plugin.headers["X-Watchkeeper-Key"] = key
    elif name in ("NotifyJSON", "NotifyXML", "NotifyForm"):
        plugin.headers["Idempotency-Key"] = key


def _secrets(url: str) -> list[str]:
    """Every part of the URL that could be a secret, longest first, as written and decoded."""
    _, _, rest = url.partition("://")
    parts = {p for p in re.split(r"[/@:?&=#,;]", rest) if len(p) >= 6}
    parts |= {unquote(p) for p in parts} | ({rest} if rest else set())
    return sorted(parts, key=len, reverse=True)


def _library() -> Any:
    try:
        import apprise
        import apprise.attachment.memory
    except ImportError as cause:
        raise MissingExtra(
            adapter="Apprise channel",
            library="apprise",
            extra="server",
            instead='Or use kind = "webhook", which needs nothing more',
        ) from cause
    return apprise
