"""Seasons: the stratum of each window, so that a Sunday is ranked among Sundays.

Ranks are taken within strata and the evidence of all strata is multiplied (`rank_e_process`), so seasons cost
little power as long as each has several baseline windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import BadInput, nearest

SEASONS: dict[str, int] = {
    "none": 1,
    "hour": 24,
    "weekday": 7,
    "weekend": 2,
    "month": 12,
    "hour_of_week": 168,
}
"""Names of seasons and how many strata each has."""


def season_codes(starts: NDArray[Any], season: str) -> NDArray[np.int64]:
    """Return the stratum ``(n,)`` of windows that begin at *starts* (datetime64 in the clock of the season).

    Give local time where people live by it. Weekday 0 is Monday, month 0 is January.

    Raises
    ------
    BadInput
        the season is not known.

    >>> season_codes(np.array(["2013-03-01T05", "2013-03-03T00"], "datetime64[h]"), "weekday")
    array([4, 6])
    """
    if season not in SEASONS:
        raise BadInput(
            f"There is no season {season!r}.{nearest(season, SEASONS)}", f"Known: {', '.join(SEASONS)}."
        )
    starts = np.asarray(starts, dtype="datetime64[h]")
    hours = starts.astype(np.int64)
    days = hours // 24
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    codes = {
        "none": np.zeros(len(hours), np.int64),
        "hour": hours % 24,
        "weekday": weekday,
        "weekend": (weekday >= 5).astype(np.int64),
        "month": starts.astype("datetime64[M]").astype(np.int64) % 12,
        "hour_of_week": weekday * 24 + hours % 24,
    }
    return codes[season]


def fewest_in_a_season(strata: NDArray[np.integer[Any]]) -> int:
    """Return how many baseline windows the rarest season has; under 4 it is too few to rank against.

    >>> fewest_in_a_season(np.array([0, 0, 1]))
    1
    """
    return int(np.unique(strata, return_counts=True)[1].min())
