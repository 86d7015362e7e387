"""One suite for each socket, run over every adapter.

Subclass a suite, give it the fixture that it asks for, and pytest runs the whole contract over your adapter.
"""
