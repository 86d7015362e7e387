"""Every state, once. A state joins the merge laws, the codec and the documentation by its line here."""

from __future__ import annotations

from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.by_rate import ByRate
from watchkeeper.stats.states.confusion import Confusion
from watchkeeper.stats.states.distinct import Distinct
from watchkeeper.stats.states.edge_finder import EdgeFinder
from watchkeeper.stats.states.edges import Edges
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.moments import Moments
from watchkeeper.stats.states.profile import ColumnProfile, Profile
from watchkeeper.stats.states.profile_plan import ProfilePlan
from watchkeeper.stats.states.residuals import Residuals
from watchkeeper.stats.states.sample import Sample
from watchkeeper.stats.states.score_table import ScoreTable
from watchkeeper.stats.states.service import ServiceState
from watchkeeper.stats.states.span import DatetimeSpan
from watchkeeper.stats.states.state import State, Stored
from watchkeeper.stats.states.text import TextLengths
from watchkeeper.stats.states.vector import VectorState

CATALOGUE: tuple[type[State], ...] = (
    Histogram,
    Moments,
    Frequencies,
    ByRate,
    ScoreTable,
    Confusion,
    Sample,
    Distinct,
    DatetimeSpan,
    VectorState,
    Residuals,
    TextLengths,
    ServiceState,
    Profile,
)
"""The states: they merge, and `tests/laws` proves it for each of them."""

DOCUMENTS: tuple[type[Stored], ...] = (Edges, EdgeFinder, ColumnProfile, ProfilePlan, Baseline)
"""What is stored by the same codec, but is not a state of rows."""

BY_KIND: dict[str, type[Stored]] = {thing.kind: thing for thing in (*CATALOGUE, *DOCUMENTS)}
