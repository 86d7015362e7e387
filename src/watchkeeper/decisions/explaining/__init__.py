"""Explaining: what happened to a column, in its own unit, in one sentence that a person understands at 3 am."""
