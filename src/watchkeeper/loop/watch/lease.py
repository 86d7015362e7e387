"""The lease of the tick: who holds it drains, measures, judges, forgets and replays."""

from __future__ import annotations

from datetime import timedelta

LEASE = "tick"
LEASE_FOR = timedelta(minutes=5)
