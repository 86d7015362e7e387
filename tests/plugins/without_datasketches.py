"""Makes `datasketches` an absent library, as on a Python that it cannot be installed on (3.14 today).

Only as a plugin (``-p without_datasketches``): doctests import this file too, and must not lose the library.
"""

import sys


def pytest_configure() -> None:
    """Before any test or doctest is collected."""
    sys.modules["datasketches"] = None  # type: ignore[assignment]
