"""How good a model is before outcomes arrive, with few of them, and where a change of it came from."""
