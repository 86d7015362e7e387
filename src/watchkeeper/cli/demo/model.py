"""The model: will this flight arrive more than 15 minutes late? Trained on what was known in February 2013."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.cli.demo.flights import FEATURES, Flights
from watchkeeper.errors import MissingExtra

WORDS = ("carrier", "origin")


@dataclass(frozen=True, slots=True)
class LateModel:
    """A fitted scikit-learn classifier and the categories that it knows."""

    classifier: Any
    categories: dict[str, list[str]]

    def scores(self, rows: pa.Table) -> NDArray[np.float64]:
        """Probability of being late, one a row ``(rows,)``."""
        with one_thread():
            return np.asarray(self.classifier.predict_proba(matrix(rows, self.categories))[:, 1])


def matrix(rows: pa.Table, categories: dict[str, list[str]]) -> NDArray[np.float64]:
    """The features as numbers ``(rows, features)``; a category that was never seen is missing (NaN)."""
    columns = []
    for name in FEATURES:
        if name in WORDS:
            code = {word: float(i) for i, word in enumerate(categories[name])}
            columns.append(np.array([code.get(w, np.nan) for w in rows[name].to_pylist()]))
        else:
            columns.append(np.array([np.nan if v is None else float(v) for v in rows[name].to_pylist()]))
    return np.column_stack(columns)


def train(flights: Flights, *, seed: int = 0) -> LateModel:
    """Fit on flights whose outcome is known.

    Raises
    ------
    MissingExtra
        scikit-learn is not installed.
    """
    known = flights.late >= 0
    categories = {name: sorted({w for w in flights.rows[name].to_pylist() if w}) for name in WORDS}
    classifier = _classifier(seed)
    with one_thread():
        classifier.fit(matrix(flights.rows, categories)[known], flights.late[known])
    return LateModel(classifier, categories)


def out_of_fold_scores(flights: Flights, *, seed: int = 0, folds: int = 5) -> NDArray[np.float64]:
    """Scores that the model gives to flights of days that it was not trained on: an honest baseline.

    Whole days are left out together, since the flights of one day share its weather.
    """
    from sklearn.model_selection import GroupKFold

    categories = {name: sorted({w for w in flights.rows[name].to_pylist() if w}) for name in WORDS}
    x, y, day = matrix(flights.rows, categories), flights.late, flights.departs_us // 86_400_000_000
    scores = np.zeros(len(flights))
    for fit, test in GroupKFold(n_splits=folds).split(x, y, groups=day):
        known = fit[y[fit] >= 0]
        with one_thread():
            scores[test] = _classifier(seed).fit(x[known], y[known]).predict_proba(x[test])[:, 1]
    return scores


def one_thread() -> Any:
    """One thread for OpenMP and BLAS: on a busy machine theirs wait for each other much longer than they work."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _classifier(seed: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as cause:
        raise MissingExtra(adapter="demo", library="scikit-learn", extra="demo") from cause
    return HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.08, max_leaf_nodes=15, l2_regularization=5.0,
        categorical_features=[FEATURES.index(n) for n in WORDS], random_state=seed,
    )  # fmt: skip
