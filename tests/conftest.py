"""What every test may use. The fixtures themselves live in tests/plugins, one subject a file."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["real_servers", "receivers"]

# The same examples on every run: a property that fails must fail for everybody. Set
# HYPOTHESIS_PROFILE=explore to look for new ones.
settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
