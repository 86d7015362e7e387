"""No promise is printed that a null replay does not confirm: how many windows a year are called broken that are not.

A deployment is 50 columns or five measures, a baseline of 20 windows and a year of daily windows in which nothing
changes. Half of the budget of one false window a year belongs to columns, a quarter to measures. What was measured is
printed (``pytest -s``); the table is in docs/evidence.md.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr, ndtri

from watchkeeper.domain.rule import NO_GUARANTEE
from watchkeeper.stats.evidence.broken_window import (
    MOST_CORRELATED,
    any_broken,
    distribution,
    heavy_tails,
    judged,
    lag_one_of,
    location,
    measured,
    promise,
    rate,
    share,
)

BASELINE, YEAR, COLUMNS, MEASURES = 20, 365, 50, 5
CUTS = ndtri(np.arange(1, 20) / 20)

QUIET = ("iid", "day_.1", "day_.3", "together_.1", "weekly", "zero_inflated", "ar_.6")
"""Worlds in which one false window a year is promised."""
ROUGH = ("t3", "ar_.9")
"""Worlds in which nothing is: the rule must notice."""
SIZES = ("500", "growing", "shrinking", "mixed")


def sizes(rng, kind, windows):
    ramp = np.clip((np.arange(windows) - BASELINE) / 150, 0, 1)
    return {
        "500": np.full(windows, 500),
        "growing": (50 * 100**ramp).astype(int),
        "shrinking": (5000 * 0.01**ramp).astype(int),
        "mixed": np.exp(rng.uniform(np.log(20), np.log(5000), windows)).astype(int),
    }[kind]


def chain(noise, r):
    out = noise.copy()
    for i in range(1, out.shape[-1]):
        out[..., i] = r * out[..., i - 1] + np.sqrt(1 - r * r) * noise[..., i]
    return out


def day_effects(rng, kind, windows, series=COLUMNS):
    shape = (series, windows)
    name, _, size = kind.partition("_")
    noise = rng.normal(size=shape)
    if name in ("iid", "zero"):
        return np.zeros(shape)
    if name == "day":
        return float(size) * noise
    if name == "together":
        return float(size) * (np.sqrt(0.8) * rng.normal(size=(1, windows)) + np.sqrt(0.2) * noise)
    if name == "t3":
        return 0.1 * rng.standard_t(3, shape) / np.sqrt(3)
    if name == "ar":
        return 0.1 * chain(noise, float(size))
    week = rng.normal(size=(series, 7))
    return 0.2 * (week - week.mean(1, keepdims=True))[:, np.arange(windows) % 7]


def columns(rng, kind, rows, windows=BASELINE + YEAR):
    """Counts ``(columns, windows, bins)`` and missing rows ``(columns, windows)``."""
    effect = day_effects(rng, kind, windows)
    gone = rng.binomial(rows, 0.01, effect.shape)
    if kind == "zero_inflated":
        zero = expit(logit(0.9) + 0.2 * rng.normal(size=effect.shape))[..., None]
        chances = np.concatenate([zero, np.repeat((1 - zero) / 5, 5, -1)], -1)
    else:
        below = ndtr(CUTS - effect[..., None])
        edge = np.zeros((*effect.shape, 1))
        chances = np.maximum(np.diff(below, prepend=edge, append=edge + 1, axis=-1), 0)
    counts = rng.multinomial(np.maximum(rows - gone, 1), chances / chances.sum(-1, keepdims=True))
    return counts.astype(float), gone.astype(float)


def false_windows(rng, kind, size):
    """Windows of a year that are called broken in one deployment: all, those that carry the promise, and whether any could."""
    rows = sizes(rng, size, BASELINE + YEAR)
    counts, gone = columns(rng, kind, rows)
    old, new = np.s_[:, :BASELINE], np.s_[:, BASELINE:]
    everything = counts.sum(-1) + gone
    contrasts = [
        location(counts[new], counts[old]),
        distribution(counts[new], counts[old]),
        *share(gone[new], everything[new], gone[old], everything[old]),
    ]
    correlation = lag_one_of(contrasts[0].usual, contrasts[0].usual_noise)
    heavy = heavy_tails(contrasts[0].usual, contrasts[0].usual_noise)
    chance = 0.5 / (COLUMNS * 3 * YEAR)
    found = any_broken([judged(c, chance=chance, correlation=correlation, heavy=heavy) for c in contrasts])
    growth = np.broadcast_to(rows[BASELINE:] / np.median(rows[:BASELINE]), found.shape)
    promised = [
        promise(a_year=1, correlation=correlation, heavy=heavy, growth=g)[0] != NO_GUARANTEE
        for g in growth[found]
    ]
    could = promise(a_year=1, correlation=correlation, heavy=heavy)[0] != NO_GUARANTEE
    return int(found.sum()), int(sum(promised)), could


def replay(kind, size, deployments, seed=20):
    """Windows called broken a year, those of them that carry the promise, and whether it is given ``(deployments,)``."""
    rng = np.random.default_rng(seed)
    runs = np.array([false_windows(rng, kind, size) for _ in range(deployments)], float)
    print(
        f"\n{kind} {size}: {runs[:, 0].mean():.2f} windows a year in {deployments} deployments, "
        f"{runs[:, 1].mean():.2f} with the promise, which {runs[:, 2].mean():.0%} have"
    )
    return runs.T


def lower_limit(counted):
    """Of the mean, at 99%."""
    return counted.mean() - 2.33 * counted.std(ddof=1) / np.sqrt(len(counted))


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUIET)
def test_columns_keep_within_half_a_window_a_year(kind):
    counted, _, _ = replay(kind, "500", 6)
    assert lower_limit(counted) <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES[1:])
def test_so_they_do_where_traffic_grows_shrinks_and_varies(size):
    counted, _, _ = replay("day_.1", size, 6)
    assert lower_limit(counted) <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROUGH)
def test_where_it_is_not_so_nothing_is_promised(kind):
    _, _, promised = replay(kind, "500", 6)
    assert promised.mean() <= 0.2


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [*QUIET, *ROUGH])
def test_a_year_of_many_deployments(kind, size):
    counted, with_promise, _ = replay(kind, size, 60, seed=21)
    assert lower_limit(with_promise) <= 1.0
    if kind in QUIET:
        assert lower_limit(counted) <= 1.0


def losses(rng, kind, rows, effect):
    """Losses of one window; *effect* moves the day."""
    scale = np.exp(effect)
    if kind == "log_loss" or kind == "brier":
        score = expit(1.5 * rng.normal(size=rows) - 1)
        happened = rng.random(rows) < expit(logit(score) + effect)
        return (
            -np.log(np.where(happened, score, 1 - score)) if kind == "log_loss" else (score - happened) ** 2
        )
    if kind == "mae_lognormal":
        return np.exp(rng.normal(size=rows)) * scale
    return np.abs(rng.standard_t(3, rows)) * scale


def measure_windows(rng, kind, rows, day_sd, r):
    effects = day_sd * chain(rng.normal(size=len(rows)), r)
    if kind == "accuracy":
        return rng.binomial(rows, expit(logit(0.9) + effects)).astype(float), rows.astype(float)
    out = []
    for m, effect in zip(rows, effects, strict=True):
        x = losses(rng, kind, m, effect)
        if kind == "rmse":
            x, root = x**2, np.sqrt((x**2).mean())
            out.append((root, x.std(ddof=1) / np.sqrt(m) / (2 * root)))
        else:
            out.append((x.mean(), x.std(ddof=1) / np.sqrt(m)))
    return tuple(np.array(out).T)


def false_measures(kind, rows_kind, day_sd, r, deployments, seed=3):
    rng, found = np.random.default_rng(seed), []
    chance = 0.25 / (MEASURES * YEAR)
    for _ in range(deployments):
        rows = sizes(rng, rows_kind, BASELINE + YEAR)
        a, b = measure_windows(rng, kind, rows, day_sd, r)
        new, old = (a[None, BASELINE:], b[None, BASELINE:]), (a[None, :BASELINE], b[None, :BASELINE])
        if kind == "accuracy":
            contrast, worse = rate(*new, *old), -1
        else:
            relative = kind in ("mae_lognormal", "mae_t3", "rmse")
            contrast = measured(*new, *old, matters=0.1 if relative else 0.02, logarithm=relative)
            worse = 1
        correlation = lag_one_of(contrast.usual, contrast.usual_noise)
        found.append(
            MEASURES * judged(contrast, chance=chance, correlation=correlation, worse=worse).broken.sum()
        )
    print(f"\n{kind} {rows_kind} day sd {day_sd} AR {r}: {np.mean(found):.2f} a year, as of five measures")
    return np.array(found, float)


KINDS = ("accuracy", "log_loss", "brier", "mae_lognormal", "mae_t3", "rmse")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_measures_keep_within_a_quarter(kind):
    found = false_measures(kind, "500", 0.2, 0.0, 12)
    assert lower_limit(found) <= 0.25


@pytest.mark.long
@pytest.mark.parametrize(("rows", "r"), [("500", 0.0), ("500", 0.5), ("growing", 0.0), ("mixed", 0.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_measures_over_many_deployments(kind, rows, r):
    found = false_measures(kind, rows, 0.2, r, 100)
    assert lower_limit(found) <= 0.5
    assert r <= MOST_CORRELATED
