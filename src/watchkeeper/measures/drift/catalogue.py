"""The drift measures: one line for each.

``function`` takes the baseline's state and the window's, and returns a `Measurement` whose subject the caller
fills in; ``rows=(n, m)`` gives the rows behind scaled counts. What reads a sample takes the schema as well. The plain number is the function of the same name in
the measure's own file. Predictions, scores and outcomes are columns like any other: these measures on them are
prediction drift and label drift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.domain.measurement import Family, Measure
from watchkeeper.domain.schema import Kind
from watchkeeper.measures.drift.anderson_darling import measure_anderson_darling
from watchkeeper.measures.drift.chi_square import measure_chi_square
from watchkeeper.measures.drift.cramer_von_mises import measure_cramer_von_mises
from watchkeeper.measures.drift.cramers_v import measure_cramers_v
from watchkeeper.measures.drift.domain_classifier import measure_domain_classifier
from watchkeeper.measures.drift.energy import measure_energy
from watchkeeper.measures.drift.g_test import measure_g_test
from watchkeeper.measures.drift.hellinger import measure_hellinger
from watchkeeper.measures.drift.jensen_shannon import measure_jensen_shannon
from watchkeeper.measures.drift.js_divergence import measure_js_divergence
from watchkeeper.measures.drift.kl import measure_kl
from watchkeeper.measures.drift.ks import measure_ks
from watchkeeper.measures.drift.l_infinity import measure_l_infinity
from watchkeeper.measures.drift.mean_distance import measure_mean_distance
from watchkeeper.measures.drift.missing_drift import measure_missing_drift
from watchkeeper.measures.drift.mmd import measure_mmd
from watchkeeper.measures.drift.pca_reconstruction import measure_pca_reconstruction
from watchkeeper.measures.drift.psi import measure_psi
from watchkeeper.measures.drift.total_variation import measure_total_variation
from watchkeeper.measures.drift.wasserstein import measure_wasserstein
from watchkeeper.measures.drift.wasserstein_sd import measure_wasserstein_sd
from watchkeeper.measures.entry import Entry

NUMBERS = frozenset({Kind.NUMERIC, Kind.INTEGER})
CATEGORIES = frozenset({Kind.CATEGORICAL, Kind.BOOLEAN})


def _line(
    name: str,
    title: str,
    function: Callable[..., Any],
    reference: str,
    *,
    reads: str = "distribution",
    kinds: frozenset[Kind] = NUMBERS | CATEGORIES,
    default: bool = False,
    unit: str = "",
    low: float | None = 0.0,
    high: float | None = None,
    sentence: str = "",
) -> Entry:
    measure = Measure(
        name=name, family=Family.DRIFT, title=title, unit=unit, low=low, high=high, sentence=sentence
    )
    return Entry(
        measure=measure, function=function, reads=reads, kinds=kinds, default=default, reference=reference
    )


CATALOGUE: tuple[Entry, ...] = (
    _line(
        "psi",
        "Population stability index",
        measure_psi,
        "Yurdakul 2018",
        default=True,
        sentence="How far the shares of the bins have moved; 0.1 is a common level for a moderate change.",
    ),
    _line(
        "jensen_shannon",
        "Jensen-Shannon distance",
        measure_jensen_shannon,
        "Endres and Schindelin 2003",
        default=True,
        high=1.0,
        sentence="A distance of two distributions between 0 (the same) and 1 (nothing in common).",
    ),
    _line(
        "js_divergence",
        "Jensen-Shannon divergence",
        measure_js_divergence,
        "Lin 1991",
        unit="bit",
        high=1.0,
        sentence="What the bin of a row tells about the side that it came from.",
    ),
    _line(
        "hellinger",
        "Hellinger distance",
        measure_hellinger,
        "Hellinger 1909",
        high=1.0,
        sentence="The distance of the roots of the shares, between 0 and 1.",
    ),
    _line(
        "kl",
        "Kullback-Leibler divergence",
        measure_kl,
        "Kullback and Leibler 1951",
        unit="nat",
        sentence="How surprising the window is to one who expects the baseline.",
    ),
    _line(
        "total_variation",
        "Total variation",
        measure_total_variation,
        "Levin, Peres and Wilmer 2009",
        high=1.0,
        sentence="The share of rows that would have to change bins.",
    ),
    _line(
        "l_infinity",
        "Largest change of a share",
        measure_l_infinity,
        "Cha 2007",
        high=1.0,
        sentence="How much the share of the bin that changed most has changed.",
    ),
    _line(
        "ks",
        "Kolmogorov-Smirnov",
        measure_ks,
        "Smirnov 1948",
        reads="histogram",
        kinds=NUMBERS,
        default=True,
        high=1.0,
        sentence="The largest gap between the two distribution functions.",
    ),
    _line(
        "wasserstein",
        "Wasserstein distance",
        measure_wasserstein,
        "Ramdas, Garcia Trillos and Cuturi 2017",
        reads="histogram",
        kinds=NUMBERS,
        unit="of the column",
        sentence="How far values have moved on average, in the column's unit.",
    ),
    _line(
        "wasserstein_sd",
        "Wasserstein distance in standard deviations",
        measure_wasserstein_sd,
        "Evidently AI 2022; Ramdas, Garcia Trillos and Cuturi 2017",
        reads="histogram",
        kinds=NUMBERS,
        default=True,
        unit="sd",
        sentence="How far values have moved on average, in standard deviations of the baseline.",
    ),
    _line(
        "cramer_von_mises",
        "Cramer-von Mises",
        measure_cramer_von_mises,
        "Anderson 1962",
        reads="histogram",
        kinds=NUMBERS,
        sentence="The average squared gap between the distribution functions, times the rows.",
    ),
    _line(
        "anderson_darling",
        "Anderson-Darling",
        measure_anderson_darling,
        "Scholz and Stephens 1987",
        reads="histogram",
        kinds=NUMBERS,
        sentence="The average squared gap, with the tails weighed up, times the rows.",
    ),
    _line(
        "energy",
        "Energy distance",
        measure_energy,
        "Szekely and Rizzo 2013",
        reads="histogram",
        kinds=NUMBERS,
        unit="root of the column's",
        sentence="The root of the area under the squared gap of the distribution functions, doubled.",
    ),
    _line(
        "chi_square",
        "Chi-square test",
        measure_chi_square,
        "Pearson 1900; Cochran 1954",
        kinds=CATEGORIES,
        default=True,
        sentence="Whether both sides' counts fit one distribution.",
    ),
    _line(
        "g_test",
        "G-test",
        measure_g_test,
        "Sokal and Rohlf 2012",
        kinds=CATEGORIES,
        sentence="Whether both sides' counts fit one distribution, by the likelihood ratio.",
    ),
    _line(
        "cramers_v",
        "Cramer's V",
        measure_cramers_v,
        "Bergsma 2013",
        kinds=CATEGORIES,
        high=1.0,
        sentence="How strongly a row's category tells which side it is from.",
    ),
    _line(
        "missing_drift",
        "Change of the missing share",
        measure_missing_drift,
        "Fisher 1934",
        reads="state",
        kinds=frozenset(Kind) - {Kind.UNKNOWN},
        default=True,
        high=1.0,
        sentence="How much the share of missing values has changed.",
    ),
    _line(
        "mean_distance",
        "Distance of mean vectors",
        measure_mean_distance,
        "Szekely and Bakirov 2003",
        reads="vector",
        kinds=frozenset({Kind.VECTOR}),
        default=True,
        sentence="How far the centre of the vectors has moved, in units of the baseline's spread.",
    ),
    _line(
        "mmd",
        "Maximum mean discrepancy",
        measure_mmd,
        "Gretton et al. 2012",
        reads="sample",
        kinds=frozenset(),
        low=None,
        sentence="Whether the joint distribution of the features, or of an embedding, has moved.",
    ),
    _line(
        "domain_classifier",
        "Domain classifier AUC",
        measure_domain_classifier,
        "Lopez-Paz and Oquab 2017",
        reads="sample",
        kinds=frozenset(),
        high=1.0,
        sentence="How well a model can tell which side a row is from; 0.5 is not at all.",
    ),
    _line(
        "pca_reconstruction",
        "Change of the reconstruction error",
        measure_pca_reconstruction,
        "Jolliffe 2002",
        reads="sample",
        kinds=frozenset(),
        sentence="Whether the columns still move together as they did.",
    ),
)
