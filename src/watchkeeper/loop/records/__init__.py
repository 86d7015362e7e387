"""What is kept: facts of declared kinds, and typed records that change by compare-and-swap. Imports nothing else of `loop`."""
