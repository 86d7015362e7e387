"""One promise a file; peers run side by side, each in its own environment."""
