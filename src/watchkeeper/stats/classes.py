"""Which of two classes is the positive one, from what was said, the scores, and the names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from watchkeeper.domain.classes import TRUE_AND_FALSE, class_key, class_order, in_words, spelled_as
from watchkeeper.errors import BadInput
from watchkeeper.stats.states.moments import Moments

_POSITIVE = frozenset(
    [
        "positive",
        "pos",
        "bad",
        "fraud",
        "fraudulent",
        "default",
        "defaulted",
        "churn",
        "churned",
        "spam",
        "failure",
        "failed",
        "fail",
        "click",
        "clicked",
        "conversion",
        "converted",
        "sick",
        "ill",
        "disease",
        "malignant",
        "abnormal",
        "anomaly",
        "attack",
        "late",
        "delayed",
        "dead",
        "died",
        "hit",
        "cancelled",
        "canceled",
        "returned",
    ]
)
"""Names that are usually the class which a model looks for."""
_SURE = 4.0
"""Standard errors between the classes' mean scores from which they say what the score is of."""
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class PositiveClass:
    """Which class is positive (None: not known), in a sentence why, and whether it is more than a toss-up."""

    name: str | None
    note: str = ""
    sure: bool = True


def positive_class(
    outcomes: Mapping[str, Moments], predictions: Mapping[str, Moments], *, given: str | None = None
) -> PositiveClass:
    """Tell which of two classes is the positive one.

    What was said counts first; then true of true and false in any spelling; then the class for which scores are
    higher, beyond chance; then well-known names; and of two numbers the larger one. A single class says nothing, but
    that the other one of a usual pair is its counterpart.

    Parameters
    ----------
    outcomes, predictions : the scores of the rows of each class; without a score their number of rows is 0.
    given : what the schema or the configuration says.

    Raises
    ------
    BadInput
        *given* is not one of the two classes.

    >>> scores = {"good": Moments.of([0.1, 0.2] * 9), "bad": Moments.of([0.7, 0.9] * 9)}
    >>> positive_class(scores, {}).name
    'bad'
    >>> positive_class({"0": Moments.empty()}, {}).name
    '1'
    """
    names = list(outcomes)
    names += [name for name in spelled_as(predictions, outcomes) if name not in outcomes]
    if given is not None:
        (said,) = spelled_as([given], names)
        if said not in names and len(names) > 1:
            raise BadInput(
                f"The positive class is said to be {given!r}, and the classes are {in_words(names)}.",
                "Say one of these: positive = ... in the schema, or --positive.",
            )
        return PositiveClass(said)
    by_key = {class_key(name): name for name in names}
    higher, where = _higher(outcomes, predictions)
    if by_key and by_key.keys() <= {"0", "1"} and len(by_key) == len(names):
        name = by_key.get("1") or _counterpart(by_key["0"])
        if higher is not None and class_key(higher) == "0":
            return PositiveClass(
                name,
                f"Scores are higher where {where} is {higher!r}, and {name!r} is the positive class: if they are the "
                f"probability of {higher!r}, say positive={higher!r}.",
            )
        return PositiveClass(name)
    if len(names) < 2:
        known = f" but {in_words(names)}" if names else ""
        return PositiveClass(
            None,
            f"There is no class{known} yet, so which one is positive is not known; say positive=...",
            False,
        )
    if len(names) > 2:
        return PositiveClass(
            None,
            f"There are more than two classes ({in_words(names)}); which one is positive? Say positive=...",
            False,
        )
    other = {names[0]: names[1], names[1]: names[0]}
    if higher is not None:
        why = f"scores are higher where {where} is {higher!r} than where it is {other[higher]!r}"
        return PositiveClass(higher, _guess(higher, why))
    usual = [name for name in names if set(name.casefold().split()) & _POSITIVE]
    if len(usual) == 1:
        return PositiveClass(usual[0], _guess(usual[0], "by its name"))
    larger = max(names, key=class_order)
    if all(class_order(name)[0] == 0 for name in names):
        return PositiveClass(larger, _guess(larger, f"the larger of {in_words(names)}"))
    return PositiveClass(
        larger,
        f"Which of {in_words(names)} is the positive class is a toss-up; {larger!r} is taken. Say positive=...",
        False,
    )


def _guess(name: str, why: str) -> str:
    return f"The positive class is taken to be {name!r}: {why}; positive=... says otherwise."


def _higher(outcomes: Mapping[str, Moments], predictions: Mapping[str, Moments]) -> tuple[str | None, str]:
    """The class with the higher scores beyond chance, of the predictions, which follow them, or of the outcomes."""
    for where, scores in (("the prediction", predictions), ("the outcome", outcomes)):
        if len(scores) != 2:
            continue
        (one, a), (other, b) = scores.items()
        if min(a.n, b.n) < _FEWEST:
            continue
        gap, noise = a.mean - b.mean, sqrt(a.variance(1) / a.n + b.variance(1) / b.n)
        if abs(gap) > _SURE * noise:
            higher = one if gap > 0 else other
            return (spelled_as([higher], outcomes) if outcomes else [higher])[0], where
    return None, ""


def _counterpart(name: str) -> str:
    """The other one of a usual pair, in the spelling of *name*.

    >>> _counterpart("No"), _counterpart("0.0")
    ('Yes', '1')
    """
    word = name.strip()
    for no, yes in TRUE_AND_FALSE:
        if word.casefold() == no:
            return yes.upper() if word.isupper() and len(word) > 1 else yes.title() if word.istitle() else yes
    return "1"


def merged_scores(one: Mapping[str, Moments], other: Mapping[str, Moments]) -> dict[str, Moments]:
    """Scores by class of both."""
    return {
        name: one.get(name, Moments.empty()).merge(other.get(name, Moments.empty()))
        for name in dict.fromkeys([*one, *other])
    }


def scores_of_classes(
    codes: np.ndarray, names: Sequence[str], scores: np.ndarray | None
) -> dict[str, Moments]:
    """Moments of the scores of each class that occurs; codes are -1 where there is none."""
    held = np.unique(codes[codes >= 0]).tolist()
    if scores is None:
        return {names[i]: Moments.empty() for i in held}
    return {names[i]: Moments.of(scores[codes == i]) for i in held}
