"""Rules judged on measured windows, and the alerts that come of it."""
