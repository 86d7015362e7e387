"""Watchkeeper stands watch over machine-learning models in production and keeps them working.

    import watchkeeper as wk

    report = wk.compare("january.parquet", "february.parquet")
    report.to_html("report.html")

Everything heavy is loaded when it is first used, so that importing this costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from watchkeeper import detectors
    from watchkeeper.capture.recorder import Recorder
    from watchkeeper.capture.wrapping import wrap
    from watchkeeper.documents.batch.report import Report
    from watchkeeper.domain.schema import Schema
    from watchkeeper.errors import WatchkeeperError
    from watchkeeper.loop.batch.compare import compare
    from watchkeeper.loop.batch.profiling import baseline, profile
    from watchkeeper.stats.states.baseline import Baseline
    from watchkeeper.web.app import dashboard_app

__all__ = [
    "Baseline",
    "Recorder",
    "Report",
    "Schema",
    "WatchkeeperError",
    "__version__",
    "baseline",
    "compare",
    "dashboard_app",
    "detectors",
    "open",
    "profile",
    "wrap",
]

_DOORS = {
    "Baseline": "watchkeeper.stats.states.baseline",
    "Recorder": "watchkeeper.capture.recorder",
    "Report": "watchkeeper.documents.batch.report",
    "Schema": "watchkeeper.domain.schema",
    "WatchkeeperError": "watchkeeper.errors",
    "baseline": "watchkeeper.loop.batch.profiling",
    "compare": "watchkeeper.loop.batch.compare",
    "dashboard_app": "watchkeeper.web.app",
    "open": "watchkeeper.wiring",
    "profile": "watchkeeper.loop.batch.profiling",
    "wrap": "watchkeeper.capture.wrapping",
}


def __getattr__(name: str) -> Any:
    if name == "detectors":
        return import_module("watchkeeper.detectors")
    if name not in _DOORS:
        raise AttributeError(f"module 'watchkeeper' has no attribute {name!r}")
    value = getattr(import_module(_DOORS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
