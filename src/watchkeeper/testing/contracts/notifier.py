"""What every notifier must do. Give it a fixture ``wire``: the notifier, and the receiver at its other end (`Wire`)."""

from __future__ import annotations

from typing import Protocol

import pytest

from watchkeeper.documents.message import compose
from watchkeeper.errors import BadConfig, StoreUnavailable
from watchkeeper.ports.notifier import Notifier

__all__ = ["SECRET", "NotifierContract", "Wire"]

SECRET = "s3cret-t0ken"  # noqa: S105 - of a receiver on this machine
"""Part of the address that the notifier is made with."""


class Wire(Protocol):
    """A notifier whose address holds `SECRET`, and its receiver."""

    notifier: Notifier

    def answer(self, status: int, *, retry_after: str = "") -> None:
        """From now on the receiver answers with this status."""
        ...

    def arrived(self) -> list[str]:
        """The bodies that came, oldest first."""
        ...

    def hang_up(self) -> None:
        """From now on nobody listens there."""
        ...


def message(**changes):
    body = {
        "title": "Accuracy fell",
        "text": "Accuracy 0.9 became 0.5.",
        "group": "churn",
        "status": "firing",
        "severity": "critical",
        "alerts": [
            {
                "fingerprint": "f1",
                "rule": "accuracy fell",
                "headline": "Accuracy fell",
                "state": "firing",
                "severity": "critical",
                "labels": {"rule": "accuracy fell", "model": "churn", "severity": "critical"},
                "since": "2026-03-01T00:00:00Z",
            }
        ],
        **changes,
    }
    return compose(body, project="shop", url="https://watch.example").to_dict()


class NotifierContract:
    """Delivered once, or an error that says whether to try again, without the secret."""

    def test_it_is_a_notifier(self, wire):
        assert isinstance(wire.notifier, Notifier)
        assert wire.notifier.name

    def test_a_message_arrives_once(self, wire):
        wire.notifier.send(message(), key="k1")
        (body,) = wire.arrived()
        assert "ccuracy fell" in body

    def test_signs_of_markup_and_unicode_arrive(self, wire):
        wire.notifier.send(message(title='<b>Zürich</b> & "née" 🚨'), key="k1")
        assert len(wire.arrived()) == 1

    @pytest.mark.parametrize("status", [500, 502, 503, 429])
    def test_a_receiver_in_trouble_is_tried_again(self, wire, status):
        wire.answer(status)
        with pytest.raises(StoreUnavailable) as failure:
            wire.notifier.send(message(), key="k1")
        assert SECRET not in str(failure.value)

    def test_a_receiver_that_says_when_is_heard(self, wire):
        wire.answer(429, retry_after="7")
        with pytest.raises(StoreUnavailable) as failure:
            wire.notifier.send(message(), key="k1")
        assert failure.value.retry_after_s == 7

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_a_refusal_is_not_tried_again(self, wire, status):
        wire.answer(status)
        with pytest.raises(BadConfig) as failure:
            wire.notifier.send(message(), key="k1")
        assert SECRET not in str(failure.value)

    def test_where_nobody_listens_it_is_tried_again(self, wire):
        wire.hang_up()
        with pytest.raises(StoreUnavailable) as failure:
            wire.notifier.send(message(), key="k1")
        assert SECRET not in str(failure.value)

    def test_after_trouble_the_same_notifier_delivers(self, wire):
        wire.answer(503)
        with pytest.raises(StoreUnavailable):
            wire.notifier.send(message(), key="k1")
        wire.answer(200)
        wire.notifier.send(message(), key="k1")
        assert len(wire.arrived()) == 2
