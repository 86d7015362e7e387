"""What is measured of one batch: the default measures of each family, and those that somebody names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from watchkeeper.domain.expectation import Expectation
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.scoring import Scoring
from watchkeeper.errors import NotFound, nearest
from watchkeeper.measures.catalogue import entries
from watchkeeper.measures.drift.evaluation import drift_entries, measure_drift
from watchkeeper.measures.performance.evaluation import measure_performance
from watchkeeper.measures.quality.evaluation import measure_quality
from watchkeeper.stats.duplicates import Duplicates
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import Profile

FAMILIES = ("drift", "quality", "performance")
"""What one batch can be asked; what serving costs, or an estimate before outcomes, needs a watch."""
JOINT = frozenset({"mmd", "domain_classifier", "pca_reconstruction"})
"""Measures of all columns together, on samples: only when asked for."""


def named_by(checks: Mapping[str, float | None] | None) -> list[str]:
    """The measures that *checks* give a level to.

    >>> named_by({"psi": 0.2, "rare_values:city": 0.01, "brier": None})
    ['psi', 'rare_values']
    """
    return [key.partition(":")[0] for key, level in (checks or {}).items() if level is not None]


def extra_measures(names: Iterable[str]) -> tuple[str, ...]:
    """Those of *names* that are not measured by default, or not of every column.

    Raises
    ------
    NotFound
        a name is not a measure of a batch.

    >>> extra_measures(["psi", "rare_values", "kl"])
    ('rare_values', 'kl')
    """
    default = {entry.name: entry.default for entry in entries(FAMILIES)}
    out = []
    for name in names:
        if name not in default:
            raise NotFound(f"There is no measure {name!r} of a batch.{nearest(name, default)}")
        if not default[name]:
            out.append(name)
    return tuple(dict.fromkeys(out))


def measure_batch(
    before: Baseline,
    after: Profile,
    *,
    families: Sequence[str] = FAMILIES,
    extra: Sequence[str] = (),
    expectations: Iterable[Expectation] = (),
    duplicates: Mapping[str, Duplicates] | None = None,
    now: datetime | None = None,
    threshold: float = 0.5,
    multivariate: bool = False,
) -> tuple[list[Measurement], list[Measurement]]:
    """Measure *after* against *before*: measurements of the current rows, and the baseline's own performance.

    *extra* are the measures of `extra_measures`, of whatever family, beside the default ones.
    """
    found: list[Measurement] = []
    earlier: list[Measurement] = []
    drift, quality, performance = ([e.name for e in entries((f,)) if e.name in extra] for f in FAMILIES)
    if "drift" in families:
        names = [*(entry.name for entry in drift_entries()), *(name for name in drift if name not in JOINT)]
        found += measure_drift(before.profile, after, names=names)
        if multivariate:
            from watchkeeper.measures.drift.multivariate import measure_joint_drift

            found += map(_told_apart, measure_joint_drift(before.sample, after.sample, before.schema))
    if "quality" in families:
        found += measure_quality(
            after, before.profile, expectations=tuple(expectations), duplicates=duplicates, now=now
        )
        known = {(m.measure, m.subject) for m in found}
        found += [
            m
            for m in measure_quality(after, before.profile, names=quality, now=now)
            if (m.measure, m.subject) not in known
        ]
    if "performance" in families:
        options = before.scoring_of(Scoring(threshold=threshold)).options
        for side, into in ((after, found), (before.profile, earlier)):
            for label, states in (("", side.performance), *side.segments.items()):
                made = measure_performance(states, **options)
                made += measure_performance(states, **options, names=performance)
                into += [m.in_segment(label) for m in made] if label else made
    return found, earlier


def _told_apart(m: Measurement) -> Measurement:
    """Say the classifier's answer in words; an area under a curve says little to most."""
    if m.measure != "domain_classifier" or m.value is None:
        return m
    by = sorted(m.details.get("columns", {}).items(), key=lambda item: -item[1])[:3]
    sentence = (
        f"A classifier that is asked which rows are new is right with an area under the curve of {m.value:.2f}; "
        "0.5 is guessing"
    )
    if by and m.p_value is not None and m.p_value < 0.05:
        sentence += f". It goes by {', '.join(name for name, _ in by)}"
    return replace(m, details={**m.details, "sentence": f"{sentence}."})
