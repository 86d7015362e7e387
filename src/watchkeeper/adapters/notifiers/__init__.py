"""Ways to tell people and programs: Apprise, Alertmanager, a plain webhook, a dead man's switch. One a file."""
