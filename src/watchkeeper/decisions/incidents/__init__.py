"""Incidents: how alerts join them, and how they are assessed."""
