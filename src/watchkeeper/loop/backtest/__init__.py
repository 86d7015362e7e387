"""Rules and alarms tried on what has already happened."""
