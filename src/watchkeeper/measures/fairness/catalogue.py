"""The measures of how differently groups are treated, one line each. They read `Groups`: segments or versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.fairness.accuracy_difference import accuracy_difference
from watchkeeper.measures.fairness.demographic_parity import (
    demographic_parity_difference,
    demographic_parity_ratio,
)
from watchkeeper.measures.fairness.equal_opportunity import equal_opportunity_difference
from watchkeeper.measures.fairness.equalized_odds import equalized_odds_difference
from watchkeeper.measures.fairness.predictive_parity import predictive_parity_difference

_LOWER, _HIGHER = Direction.LOWER_IS_WORSE, Direction.HIGHER_IS_WORSE


def _entry(
    function: Callable[..., Any], title: str, sentence: str, reference: str, direction: Direction = _HIGHER
) -> Entry:
    measure = Measure(
        name=function.__name__,
        family=Family.FAIRNESS,
        title=title,
        direction=direction,
        sentence=sentence,
        low=0.0,
        high=1.0,
    )
    return Entry(measure=measure, function=function, reads="groups", reference=reference)


CATALOGUE: tuple[Entry, ...] = (
    _entry(demographic_parity_difference, "Demographic parity difference",
           "Largest difference between groups in how often they are predicted positive.", "Dwork et al. 2012"),
    _entry(demographic_parity_ratio, "Demographic parity ratio",
           "Smallest share predicted positive over the largest; the four-fifths rule asks for 0.8.", "EEOC 1978", _LOWER),
    _entry(equal_opportunity_difference, "Equal opportunity difference",
           "Largest difference between groups in how many of their positives are found.", "Hardt et al. 2016"),
    _entry(equalized_odds_difference, "Equalized odds difference",
           "The larger difference between groups, in true or in false positive rates.", "Hardt et al. 2016"),
    _entry(predictive_parity_difference, "Predictive parity difference",
           "Largest difference between groups in how often a positive prediction is right.", "Chouldechova 2017"),
    _entry(accuracy_difference, "Accuracy difference",
           "Largest difference between groups in how often the model is right.", "Berk et al. 2021"),
)  # fmt: skip
