"""What every test may use. The fixtures themselves live in tests/plugins, one subject a file."""

from __future__ import annotations

import os

# Tests run side by side already. Where the processors are taken, the threads of OpenMP (scikit-learn's boosting) and
# OpenBLAS spin while they wait for each other: a fit of 20 s took over 300. Read when those libraries are loaded.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

from hypothesis import HealthCheck, settings  # noqa: E402

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
