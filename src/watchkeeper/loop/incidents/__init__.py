"""Incidents, their runbooks, and what other systems report to them."""
