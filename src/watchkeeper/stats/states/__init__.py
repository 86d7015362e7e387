"""Sufficient statistics of rows: each merges, scales, declares its accuracy, and is saved to bytes.

A state joins by its line in `catalogue`; the merge laws, the codec's round trip and the documentation find
it there. `state` says what every state can do.
"""
