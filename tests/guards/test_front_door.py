"""The front door is pinned: a name that is added or taken away is a decision, written down here."""

from __future__ import annotations

import importlib.metadata

import watchkeeper

NAMES = [
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
"""What we promise. A name may be missing from the door until its room is built; none may be added unseen."""


def test_the_names_are_those_agreed():
    assert sorted(set(watchkeeper.__all__) - set(NAMES)) == []
    assert len(watchkeeper.__all__) == len(set(watchkeeper.__all__))


def test_every_name_is_there_and_says_what_it_is():
    for name in watchkeeper.__all__:
        member = getattr(watchkeeper, name)
        assert name == "__version__" or member.__doc__


def test_the_door_lists_its_names():
    assert set(watchkeeper.__all__) <= set(dir(watchkeeper))


def test_the_version_is_that_of_the_package():
    assert watchkeeper.__version__ == importlib.metadata.version("watchkeeper")
