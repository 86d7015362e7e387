"""The check of one batch against another, with nothing set up."""
