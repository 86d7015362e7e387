"""A dead man's switch: a ping that is missed when we are dead.

Whoever watches the watch (healthchecks.io, Dead Man's Snitch, an Uptime Kuma push monitor, a cron monitor of your
own) raises the alarm when no ping has come for a while. Nothing inside this process can say that it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from watchkeeper.adapters.notifiers.exchange import request_json
from watchkeeper.errors import WatchkeeperError


class DeadMansSwitch:
    """Pings *url* at most every *every*, and only while *is_well* says that work is being done.

    ``last_error`` tells why the newest ping failed; a failed ping is tried again at the next call.
    """

    def __init__(
        self,
        url: str,
        *,
        every: timedelta = timedelta(minutes=1),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_well: Callable[[], bool] = lambda: True,
        timeout_s: float = 5.0,
    ) -> None:
        self._url, self._every, self._clock, self._is_well = url, every, clock, is_well
        self._timeout_s = timeout_s
        self.pinged_at: datetime | None = None
        self.last_error: str = ""

    def ping(self) -> bool:
        """Ping if it is time; return whether a ping went out."""
        now = self._clock()
        if self.pinged_at is not None and now - self.pinged_at < self._every:
            self.last_error = ""
            return False
        if not self._is_well():
            self.last_error = "not pinged: the watch does no work"
            return False
        try:
            request_json("GET", self._url, timeout_s=self._timeout_s, whom="The dead man's switch")
        except WatchkeeperError as fault:
            self.last_error = fault.what
            return False
        self.pinged_at, self.last_error = now, ""
        return True
