"""Rows that stay where they are: a user's own tables, watched in place."""
