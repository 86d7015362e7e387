"""Sampled capture tells the truth about all rows: no bias, and intervals as wide as the rows that were kept.

Simulated: one version is kept one row in ten, the other wholly, and they differ in everything. What a window says must
be right on average over many choices of the rows kept, not for one lucky choice.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from watchkeeper.capture.redaction import sampler
from watchkeeper.domain.schema import Task
from watchkeeper.domain.series import WindowKey
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window
from watchkeeper.loop.watch.measuring import measure_stored
from watchkeeper.profiles.lake_schema import watch_schema
from watchkeeper.profiles.window_fold import WindowFold
from watchkeeper.stats.states.profile_plan import ProfilePlan

T0 = datetime(2026, 3, 1, tzinfo=UTC)
KEY = WindowKey(model="m", window=Window(T0, T0 + timedelta(hours=1)))
MODEL = WatchedModel(name="m", task=Task.BINARY)
RATES = {"old": 0.1, "new": 1.0}
DRAWS = 200


def population():
    """2,000 rows of the old version (seldom right), 500 of the new one (mostly right, larger x, slower)."""
    dice = np.random.default_rng(3)
    old = np.arange(2500) < 2000
    prediction = dice.integers(0, 2, 2500)
    right = dice.random(2500) < np.where(old, 0.6, 0.95)
    return {
        "old": old,
        "x": np.where(old, dice.normal(0, 1, 2500), dice.normal(5, 1, 2500)),
        "prediction": prediction,
        "outcome": np.where(right, prediction, 1 - prediction),
        "score": np.clip(prediction * 0.6 + 0.2 + dice.normal(0, 0.1, 2500), 0.01, 0.99),
        "latency": np.where(old, 0.01, 0.2),
    }


def window(rows, draw):
    """What is measured when the recorder keeps rows by the hash of their ids; *draw* gives them other ids."""
    ids = [f"{draw}-{i}" for i in range(len(rows["x"]))]
    keep_old = sampler(RATES["old"])
    kept = np.array([not old or keep_old(i) for old, i in zip(rows["old"], ids)])
    table = pa.table(
        {
            "wk_id": np.array(ids)[kept],
            "wk_at": pa.array([T0] * int(kept.sum()), pa.timestamp("us", tz="UTC")),
            "wk_version": np.where(rows["old"], "old", "new")[kept],
            "wk_rate": np.where(rows["old"], RATES["old"], RATES["new"])[kept],
            "wk_latency_s": rows["latency"][kept],
            "x": rows["x"][kept],
            "wk_prediction": rows["prediction"][kept],
            "wk_score": rows["score"][kept],
            "wk_actual": rows["outcome"][kept],
        }
    )
    schema = watch_schema(dict(zip(table.schema.names, table.schema.types)), None, {})
    schema = replace(schema, task=MODEL.task)
    with WindowFold(KEY, ProfilePlan(schema=schema, sample_k=0)) as fold:
        fold.add(table)
        whole = fold.finish().windows[0]
    found = {(m.measure, m.subject): m for m in measure_stored(whole, None, MODEL)}
    profile = whole.profile.estimate()
    return found, profile


@pytest.fixture(scope="module")
def draws():
    rows = population()
    return rows, [window(rows, draw) for draw in range(DRAWS)]


def agrees(estimates, truth):
    """The mean of the estimates is the truth, within what this many draws can tell apart."""
    estimates = np.asarray(estimates, float)
    error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    assert error > 0
    assert abs(estimates.mean() - truth) < 4 * error, (estimates.mean(), truth, error)
    return error


def test_counts_and_sums_are_right_on_average(draws):
    rows, windows = draws
    agrees([found["row_count", ""].value for found, _ in windows], 2500)
    agrees([p["x"].moments.mean * p["x"].moments.n for _, p in windows], rows["x"].sum())


@pytest.mark.parametrize(
    ("measure", "truth"),
    [
        ("accuracy", lambda r: np.mean(r["prediction"] == r["outcome"])),
        ("brier", lambda r: np.mean((r["score"] - r["outcome"]) ** 2)),
    ],
)
def test_shares_and_errors_are_those_of_all_rows(draws, measure, truth):
    """Ratios are right up to 1/n; kept rows alone would say something else altogether."""
    rows, windows = draws
    values = np.array([found[measure, ""].value for found, _ in windows])
    true = truth(rows)
    assert abs(values.mean() - true) < 4 * values.std(ddof=1) / np.sqrt(DRAWS) + 2 / 700
    kept_alone = np.concatenate([np.flatnonzero(~rows["old"]), np.flatnonzero(rows["old"])[::10]])
    unweighted = truth({n: c[kept_alone] for n, c in rows.items()})
    assert abs(unweighted - true) > 10 * abs(values.mean() - true), "weights matter here"


@pytest.mark.parametrize("measure", ["accuracy", "brier", "roc_auc"])
def test_intervals_are_as_wide_as_the_rows_kept(draws, measure):
    """Of all rows' value, an interval of 95% must not miss more often than it says."""
    _, windows = draws
    everything = population()
    everything["old"] = np.zeros(2500, bool)  # all rows kept
    true = window(everything, "all")[0][measure, ""].value
    intervals = [found[measure, ""].interval for found, _ in windows]
    inside = np.mean([i.low <= true <= i.high for i in intervals])
    assert inside >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / DRAWS), inside
