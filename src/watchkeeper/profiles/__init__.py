"""The profile kernel: rows of a window become stored profiles."""
