"""Alerting: a state machine, and what keeps it from waking people for nothing."""
