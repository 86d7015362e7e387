"""Several parts of one window, for measures that compare them: segments of a column, versions of the model, arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchkeeper.stats.states.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The parts of one window along one axis, by name.

    ``axis`` is what tells them apart: a column ("region"), crossed columns ("region & plan"), or "version".
    """

    axis: str
    profiles: Mapping[str, Profile]
