"""Faults are put into rows, and the catalogue must name the right cause first; of clean rows it must say nothing.

Four data sets: flights from New York, breast cancer measurements (scikit-learn), a survey (statsmodels), one simulated.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from watchkeeper.cli.demo.flights import load_flights
from watchkeeper.decisions.explaining.columns import explain_column, explain_profile
from watchkeeper.loop.batch.profiling import baseline, profile

ROWS = 20_000


def sampled(frame: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    return frame.sample(2 * ROWS, replace=True, random_state=seed).reset_index(drop=True)


def simulated() -> pd.DataFrame:
    rng, n = np.random.default_rng(1), 2 * ROWS
    return pd.DataFrame(
        {
            "spend": np.where(rng.random(n) < 0.3, 0.0, rng.lognormal(3, 1, n)),
            "temperature": 15 + 8 * rng.normal(size=n),
            "age": rng.integers(18, 90, n),
            "paid": rng.random(n) < 0.2,
            "region": rng.choice(["Łódź", "Zürich", "Bonn", "Oslo"], n, p=[0.5, 0.3, 0.15, 0.05]),
            "salary_range": rng.choice(["20K - 40K €", "40K - 60K €", "60K - 80K €"], n, p=[0.5, 0.3, 0.2]),
        }
    )


def flights() -> pd.DataFrame:
    return sampled(
        load_flights().rows.select(["distance", "carrier", "origin"]).to_pandas().astype({"distance": float})
    )


def cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    frame = sampled(load_breast_cancer(as_frame=True).frame[["mean area", "worst concavity", "target"]])
    return frame.assign(target=frame.target.map({0: "malignant", 1: "benign"}))


def survey() -> pd.DataFrame:
    import statsmodels.api as sm

    frame = sampled(sm.datasets.fair.load_pandas().data[["age", "yrs_married", "religious"]])
    names = {1.0: "not", 2.0: "mildly", 3.0: "fairly", 4.0: "strongly"}
    return frame.assign(religious=frame.religious.map(names))


SETS = {"simulated": simulated, "flights": flights, "cancer": cancer, "survey": survey}
NUMBERS = [
    ("simulated", "spend"),
    ("simulated", "temperature"),
    ("flights", "distance"),
    ("cancer", "mean area"),
    ("survey", "age"),
    ("survey", "yrs_married"),
]
NAMES = [
    ("simulated", "region"),
    ("simulated", "salary_range"),
    ("flights", "carrier"),
    ("cancer", "target"),
    ("survey", "religious"),
]


@cache
def world(name):
    frame = SETS[name]()
    return baseline(pa.Table.from_pandas(frame[:ROWS], preserve_index=False)), frame[ROWS:].reset_index(
        drop=True
    )


def window_of(name, column="", fault=None, *, rows=2000, seed=5):
    """A window of *rows* with *fault* put into *column*."""
    made, frame = world(name)
    window = frame.sample(rows, random_state=seed).reset_index(drop=True)
    if fault is not None:
        window[column] = fault(window[column], np.random.default_rng(seed)).array
    return made.profile, profile(pa.Table.from_pandas(window, preserve_index=False), plan=made.plan)


def explained(name, column, fault, **rest):
    before, after = window_of(name, column, fault, **rest)
    return explain_column(before.columns[column], after.columns[column])


@pytest.mark.parametrize(("name", "column"), NUMBERS)
class TestNumbers:
    @pytest.mark.parametrize(
        ("factor", "said"),
        [
            (100, "about 100 times larger"),
            (10, "about 10 times larger"),
            (1000, "about 1,000 times larger"),
            (0.01, "about 100 times smaller"),
            (0.001, "about 1,000 times smaller"),
        ],
    )
    def test_another_scale(self, name, column, factor, said):
        found = explained(name, column, lambda x, rng: x.astype(float) * factor)
        assert found[0].cause == "scale"
        assert found[0].sentence.startswith(f"{column} is {said}: ")
        assert " became " in found[0].sentence

    @pytest.mark.parametrize(
        ("factor", "said"),
        [
            (1.609344, "as kilometres are to miles"),
            (1 / 1.609344, "as miles are to kilometres"),
            (0.45359237, "as kilograms are to pounds"),
        ],
    )
    def test_another_unit(self, name, column, factor, said):
        if name == "simulated" and column == "temperature":
            pytest.skip("around zero a factor is a spread")
        found = explained(name, column, lambda x, rng: x.astype(float) * factor)
        assert found[0].cause == "scale"
        assert said in found[0].sentence

    def test_another_sign(self, name, column):
        found = explained(name, column, lambda x, rng: -x)
        assert found[0].cause == "sign"
        assert "the opposite sign" in found[0].sentence

    def test_a_shift(self, name, column):
        size = round(0.7 * world(name)[1][column].std())
        if not size:
            pytest.skip("too small a unit")
        found = explained(name, column, lambda x, rng: x + size)
        assert found[0].cause == "shift"
        assert found[0].sentence.startswith(f"{column} is about {found[0].details['offset']:.4g} higher: ")
        assert found[0].details["offset"] == pytest.approx(size, rel=0.15)

    def test_wider_spread(self, name, column):
        if column == "spend":
            pytest.skip("a third of its rows is 0, which no spread moves from there")
        found = explained(name, column, lambda x, rng: x.mean() + 2.5 * (x - x.mean()))
        assert found[0].cause == "spread"
        assert "times as much" in found[0].sentence

    def test_missing_values(self, name, column):
        found = explained(name, column, lambda x, rng: x.mask(rng.random(len(x)) < 0.38))
        assert found[0].cause == "missing"
        assert (
            found[0].sentence
            == f"{column}: {100 * found[0].details['missing']:.0f}% of rows have no value, usually 0%."
        )

    def test_a_placeholder(self, name, column):
        found = explained(name, column, lambda x, rng: x.mask(rng.random(len(x)) < 0.35, -999))
        assert found[0].cause == "filled"
        assert "of rows are -999, usually 0%" in found[0].sentence

    def test_one_value_in_every_row(self, name, column):
        found = explained(name, column, lambda x, rng: x * 0 + 25)
        assert found[0].cause == "constant"
        assert found[0].sentence == f"{column} is 25 in every row; the baseline has many values."

    def test_values_beyond_the_range(self, name, column):
        made, frame = world(name)
        least = made.profile.columns[column].moments.max + frame[column].std()
        found = explained(
            name,
            column,
            lambda x, rng: x.mask(
                rng.random(len(x)) < 0.15, least + frame[column].std() * rng.random(len(x))
            ),
        )
        assert found[0].cause == "out_of_range"
        assert "of rows are above anything in the baseline" in found[0].sentence

    def test_a_part_in_another_unit(self, name, column):
        found = explained(name, column, lambda x, rng: x.where(rng.random(len(x)) > 0.3, x * 100))
        assert found[0].cause == "mixture"
        assert "times larger; the others are as before" in found[0].sentence

    def test_a_part_from_another_group(self, name, column):
        spread = world(name)[1][column].std()
        centre = world(name)[1][column].quantile(0.9)
        if name == "survey":
            pytest.skip("too few values to tell a group apart")
        found = explained(
            name,
            column,
            lambda x, rng: x.where(rng.random(len(x)) > 0.4, centre + 0.1 * spread * rng.normal(size=len(x))),
        )
        assert found[0].cause in ("mixture", "filled")
        assert "the others are as before" in found[0].sentence

    def test_text_in_the_column(self, name, column):
        before, after = window_of(
            name, column, lambda x, rng: pd.Series(np.where(rng.random(len(x)) < 0.4, "12,50", x.astype(str)))
        )
        found = explain_column(before.columns[column], after.columns[column])
        assert found[0].cause == "type"
        assert "another type, for instance '12,50'" in found[0].sentence


@pytest.mark.parametrize(("name", "column"), NAMES)
class TestCategories:
    def top(self, name, column, k=0):
        return world(name)[1][column].value_counts().index[k]

    def test_renamed(self, name, column):
        old = self.top(name, column)
        new = old.replace(" - ", "–") if " - " in old else old.swapcase() + " "
        found = explained(name, column, lambda x, rng: x.replace({old: new}))
        assert found[0].cause == "renamed"
        assert f"the category '{new}' is new and has " in found[0].sentence
        assert f"'{old}' is gone. Renamed?" in found[0].sentence

    def test_renamed_in_some_rows(self, name, column):
        old = self.top(name, column)
        found = explained(
            name, column, lambda x, rng: x.where((x != old) | (rng.random(len(x)) < 0.6), old + "_")
        )
        assert found[0].cause == "renamed"
        assert f"'{old}' fell from " in found[0].sentence

    def test_all_written_otherwise(self, name, column):
        found = explained(name, column, lambda x, rng: x.str.upper() + "_")
        assert found[0].cause == "renamed"
        assert "categories with " in found[0].sentence or world(name)[1][column].nunique() < 2

    def test_a_new_category(self, name, column):
        found = explained(name, column, lambda x, rng: x.mask(rng.random(len(x)) < 0.12, "quite different"))
        assert found[0].cause == "new"
        assert found[0].sentence.startswith(f"{column}: the category 'quite different' is new and has 1")

    def test_a_category_that_is_gone(self, name, column):
        if column == "target":
            pytest.skip("the other is then constant")
        gone = self.top(name, column, 1)
        found = explained(
            name,
            column,
            lambda x, rng: x[x != gone].sample(len(x), replace=True, random_state=1).reset_index(drop=True),
        )
        assert found[0].cause == "vanished"
        assert f"the category '{gone}' is gone; usually " in found[0].sentence

    def test_two_that_have_changed_places(self, name, column):
        if column == "origin":
            pytest.skip("its shares are alike")
        a, b = self.top(name, column), self.top(name, column, min(8, world(name)[1][column].nunique() - 1))
        found = explained(name, column, lambda x, rng: x.replace({a: b, b: a}))
        assert found[0].cause == "swapped"
        assert "have changed places" in found[0].sentence

    def test_one_category_alone(self, name, column):
        only = self.top(name, column)
        found = explained(name, column, lambda x, rng: x.where(x == only, only))
        assert found[0].cause == "constant"

    def test_other_shares(self, name, column):
        more = self.top(name, column, 1)
        found = explained(name, column, lambda x, rng: x.mask(rng.random(len(x)) < 0.25, more))
        assert found[0].cause in ("shares", "swapped")
        assert f"'{more}'" in found[0].sentence


def test_flags_that_are_turned_around():
    found = explained("simulated", "paid", lambda x, rng: ~x)
    assert found[0].cause == "swapped"
    assert "'false' and 'true' have changed places" in found[0].sentence.replace(
        "'true' and 'false'", "'false' and 'true'"
    )


def test_celsius_that_became_fahrenheit_and_kelvin():
    assert (
        "as Fahrenheit is to Celsius"
        in explained("simulated", "temperature", lambda x, rng: 1.8 * x + 32)[0].sentence
    )
    assert (
        "as kelvin is to Celsius"
        in explained("simulated", "temperature", lambda x, rng: x + 273.15)[0].sentence
    )


def test_integers_that_were_rounded_after_a_change_of_unit():
    found = explained("simulated", "age", lambda x, rng: (x * 1.609344).round().astype("int64"))
    assert "as kilometres are to miles" in found[0].sentence


def test_many_new_categories_are_counted():
    found = explained(
        "simulated",
        "region",
        lambda x, rng: x.mask(rng.random(len(x)) < 0.4, pd.Series([f"user {i}" for i in range(len(x))])),
    )
    assert found[0].cause == "new"
    assert "new categories have 4" in found[0].sentence


def test_two_columns_that_have_changed_places():
    made, frame = world("simulated")
    window = frame[:2000].rename(columns={"spend": "temperature", "temperature": "spend"})
    after = profile(pa.Table.from_pandas(window, preserve_index=False), plan=made.plan)
    found = explain_profile(made.profile, after)
    assert [e.cause for e in found] == ["swapped"]
    assert found[0].sentence == "spend and temperature have changed places: each looks like the other did."


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("rows", [100, 1000, 10_000])
def test_nothing_is_found_in_clean_rows(name, rows):
    for seed in range(8):
        before, after = window_of(name, rows=rows, seed=seed)
        assert explain_profile(before, after) == ()


def test_what_baseline_windows_did_is_no_news():
    made, frame = world("simulated")
    part = frame[frame.region.isin(["Łódź", "Bonn"])][:2000]
    after = profile(pa.Table.from_pandas(part, preserve_index=False), plan=made.plan)
    assert explain_column(made.profile.columns["region"], after.columns["region"])
    usual = [after.columns["region"]]
    assert explain_column(made.profile.columns["region"], after.columns["region"], usual=usual) == ()


def test_small_changes_get_words_once_they_are_known():
    before, after = window_of("simulated", "temperature", lambda x, rng: x + 0.8, rows=10_000)
    column = before.columns["temperature"], after.columns["temperature"]
    assert explain_column(*column) == ()
    found = explain_column(*column, known=True)
    assert found[0].cause == "shift"
    assert "higher" in found[0].sentence


def test_an_empty_window_has_no_explanation():
    made, frame = world("simulated")
    nothing = profile(pa.Table.from_pandas(frame[:0], preserve_index=False), plan=made.plan)
    assert explain_profile(made.profile, nothing) == ()
