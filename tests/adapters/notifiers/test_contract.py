"""The notifiers keep the contract of their socket, each against a real receiver."""

import socket

import pytest

from receivers import Receiver, Reply
from watchkeeper.adapters.notifiers.alertmanager import AlertmanagerNotifier
from watchkeeper.adapters.notifiers.apprise import AppriseNotifier
from watchkeeper.adapters.notifiers.webhook import WebhookNotifier
from watchkeeper.testing.contracts.notifier import SECRET, NotifierContract

pytest.importorskip("apprise")


def _webhook(url: str) -> WebhookNotifier:
    return WebhookNotifier("ops", f"{url}/{SECRET}")


def _alertmanager(url: str) -> AlertmanagerNotifier:
    return AlertmanagerNotifier("ops", f"{url}/{SECRET}")


def _apprise(url: str) -> AppriseNotifier:
    return AppriseNotifier("ops", url.replace("http://", f"json://me:{SECRET}@") + "/hook")


class RealWire:
    def __init__(self, make, receiver: Receiver) -> None:
        self._make, self._receiver = make, receiver
        self.notifier = make(receiver.url)

    def answer(self, status, *, retry_after=""):
        headers = {"Retry-After": retry_after} if retry_after else {}
        self._receiver.default = Reply(status, "{}", headers)

    def arrived(self):
        return [r.body.decode() for r in self._receiver.received]

    def hang_up(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.notifier = self._make(f"http://127.0.0.1:{port}")


@pytest.fixture(params=[_webhook, _alertmanager, _apprise], ids=["webhook", "alertmanager", "apprise"])
def wire(request, receiver):
    receiver.default = Reply(200, "{}")
    return RealWire(request.param, receiver)


class TestNotifiers(NotifierContract):
    pass
