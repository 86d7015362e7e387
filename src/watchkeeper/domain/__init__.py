"""The words: frozen dataclasses of the standard library only."""
