"""The estimates of performance before outcomes arrive, one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.estimate.binary import estimated_binary
from watchkeeper.measures.estimate.change import change_parts
from watchkeeper.measures.estimate.label_shift import estimated_positive_share
from watchkeeper.measures.estimate.regression import estimated_error
from watchkeeper.measures.estimate.several_classes import estimated_classes
from watchkeeper.measures.estimate.told import PREFIX
from watchkeeper.measures.estimate.track_record import estimate_coverage, estimate_error
from watchkeeper.measures.performance.catalogue import CATALOGUE as PERFORMANCE
from watchkeeper.stats.estimation.dle import REGRESSION
from watchkeeper.stats.estimation.expected_metrics import BINARY
from watchkeeper.stats.estimation.multiclass import MULTICLASS

_BIALEK, _LIPTON, _ZHANG = "Białek et al. 2024", "Lipton et al. 2018", "Zhang et al. 2023"
_COUNTS = {
    "true_positives": ("true positives", Direction.NEITHER),
    "false_positives": ("false positives", Direction.HIGHER_IS_WORSE),
    "false_negatives": ("false negatives", Direction.HIGHER_IS_WORSE),
    "true_negatives": ("true negatives", Direction.NEITHER),
}


def _like(realised: Entry) -> Entry:
    """The estimate of what another measure realises: the same unit, direction and limits."""
    name = realised.name
    m = realised.measure
    measure = replace(
        m,
        name=PREFIX + name,
        family=Family.ESTIMATE,
        title=f"Estimated {m.title[0].lower() + m.title[1:] if m.title[1:2].islower() else m.title}",
        sentence=f"Before outcomes arrive: {m.sentence[0].lower()}{m.sentence[1:]}",
    )
    function: Callable[..., Any]
    if name in REGRESSION:
        function, reads, reference = (
            partial(estimated_error, name),
            "sample",
            "NannyML's DLE; Hirshberg and Wager 2021",
        )
    elif name in BINARY:
        function, reads, reference = partial(estimated_binary, name), "score_table", _BIALEK
    else:
        function, reads, reference = partial(estimated_classes, name), "score_tables", _BIALEK
    return Entry(
        measure=measure, function=function, reads=reads, default=realised.default, reference=reference
    )


def _count(name: str, title: str, direction: Direction) -> Entry:
    measure = Measure(
        name=PREFIX + name,
        family=Family.ESTIMATE,
        title=f"Estimated {title}",
        unit="rows",
        direction=direction,
        sentence=f"How many {title} the window is expected to hold.",
        low=0.0,
    )
    return Entry(
        measure=measure,
        function=partial(estimated_binary, name),
        reads="score_table",
        default=False,
        reference=_BIALEK,
    )


def _change(name: str, title: str, sentence: str) -> Entry:
    measure = Measure(name=name, family=Family.ESTIMATE, title=title, unit="loss", sentence=sentence)
    return Entry(measure=measure, function=change_parts, reads="sample", default=False, reference=_ZHANG)


CATALOGUE: tuple[Entry, ...] = (
    *(_like(e) for e in PERFORMANCE if e.name in {*BINARY, *MULTICLASS, *REGRESSION}),
    *(_count(name, title, direction) for name, (title, direction) in _COUNTS.items()),
    Entry(
        measure=Measure(
            name="estimated_positive_share",
            family=Family.ESTIMATE,
            title="Estimated share of positives",
            direction=Direction.NEITHER,
            sentence="The share of rows that will turn out positive, if only shares of classes have moved.",
            low=0.0,
            high=1.0,
        ),
        function=estimated_positive_share,
        reads="score_table",
        default=False,
        reference=_LIPTON,
    ),
    _change("performance_change_covariate", "Change by other rows",
            "What other rows cost, with the old relation of rows to outcomes."),
    _change("performance_change_concept", "Change by another concept",
            "What the change of the relation of rows to outcomes costs."),
    _change("performance_change_of_column", "Change by a column",
            "What the move of one column costs."),
    Entry(
        measure=Measure(
            name="estimate_error",
            family=Family.ESTIMATE,
            title="Error of estimates",
            unit="metric",
            sentence="How far estimates were from what their outcomes showed, on average.",
            low=0.0,
        ),
        function=estimate_error,
        reads="told",
        reference="Wilson 1927",
    ),
    Entry(
        measure=Measure(
            name="estimate_coverage",
            family=Family.ESTIMATE,
            title="Coverage of estimates",
            direction=Direction.LOWER_IS_WORSE,
            sentence="How often the interval of an estimate held what its outcomes showed.",
            low=0.0,
            high=1.0,
        ),
        function=estimate_coverage,
        reads="told",
        reference="Wilson 1927",
    ),
)  # fmt: skip
"""What each line's function reads: ``score_table`` and ``score_tables`` those of baseline and window; ``sample``
arrays of sampled rows of both; ``told`` pairs of estimates with what was realised."""
