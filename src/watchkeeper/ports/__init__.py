"""The sockets: what the core asks of the outside world, as Protocols of at most six methods each, one socket a file.

Each has one contract suite in `watchkeeper.testing`, run over every adapter.
"""
