"""Makes `datasketches` an absent library, as on a Python that it cannot be installed on (3.14 today)."""

import sys

sys.modules["datasketches"] = None  # type: ignore[assignment]
