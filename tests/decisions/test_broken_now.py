"""One window, judged by the baseline's own: each fault in its first window and in words, and nothing on quiet days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from watchkeeper.decisions.alerting.state_machine import step
from watchkeeper.decisions.rules.broken_now import BrokenNow, columns_broken, own_columns, series_broken
from watchkeeper.decisions.rules.series import Point, Series
from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.domain.alert import AlertState
from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.domain.rule import Evaluation, Rule, Selector, Severity
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput
from watchkeeper.loop.batch.profiling import baseline, profile
from watchkeeper.measures.quality.cardinality import became_constant

START, DAYS, ROWS = datetime(2026, 1, 1, tzinfo=UTC), 30, 400
RULE = Rule(
    name="column broke", kind="broken", condition=BrokenNow(), severity=Severity.CRITICAL, resolve_after=2
)


def day(i, rng):
    """A day of rows; `weekday` and `promo` have one value a day."""
    at = START + timedelta(days=i)
    table = {
        "spend": rng.lognormal(3, 1, ROWS),
        "temperature": 15 + 8 * rng.normal(size=ROWS) + rng.normal(),
        "region": rng.choice(["north", "south", "west"], ROWS, p=[0.5, 0.3, 0.2]).astype(object),
        "weekday": np.full(ROWS, at.strftime("%a"), dtype=object),
        "promo": np.full(ROWS, float(rng.random() < 0.15)),
        "at": [at + timedelta(seconds=int(s)) for s in np.sort(rng.integers(0, 86_400, ROWS))],
    }
    table["spend"] = np.where(rng.random(ROWS) < 0.03, np.nan, table["spend"])
    return table


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(3)
    days = [day(i, rng) for i in range(DAYS)]
    made = baseline(pa.concat_tables([pa.table(d) for d in days]), roles={"at": "time"})
    windows = [profile(pa.table(d), plan=made.plan).columns for d in days]
    names = ("spend", "temperature", "region", "weekday", "promo")
    binnings = {n: Binning.of(made.profile.columns[n]) for n in names}
    return made, own_columns(binnings, made.profile.columns, windows)


def judged(world, rows, *, firing=False, i=DAYS):
    made, own = world
    at = START + timedelta(days=i)
    columns = profile(pa.table(rows), plan=made.plan).columns
    point = Point(Window(at, at + timedelta(days=1)), None)
    series = [Series(model="m", measure="", subject=c, points=[point], firing=firing) for c in own.columns]
    found = columns_broken(RULE, series, own, columns, windows_a_year=365)
    return {e.subject: e for e in found if e.verdict is Verdict.FAIL}


class TestColumns:
    @pytest.mark.parametrize(
        ("column", "fault", "said", "severe"),
        [
            (
                "spend",
                lambda x, rng: np.where(rng.random(ROWS) < 0.38, np.nan, x),
                "of rows have no value, usually 3%",
                False,
            ),
            ("spend", lambda x, rng: x * 100, "spend is about 100 times larger: ", True),
            ("spend", lambda x, rng: x / 1000, "spend is about 1,000 times smaller: ", True),
            ("temperature", lambda x, rng: np.full(ROWS, 15.0), "temperature is 15 in every row", True),
            ("temperature", lambda x, rng: -x, "temperature has the opposite sign", True),
            (
                "region",
                lambda x, rng: np.where(x == "west", "West ", x),
                "of rows; 'west' is gone. Renamed?",
                False,
            ),
            (
                "region",
                lambda x, rng: np.where(rng.random(ROWS) < 0.1, "moon", x),
                "the category 'moon' is new",
                False,
            ),
        ],
    )
    def test_a_fault_is_named_in_its_first_window(self, world, column, fault, said, severe):
        rng = np.random.default_rng(8)
        rows = day(DAYS, rng)
        rows[column] = fault(rows[column], rng)
        found = judged(world, rows)
        assert set(found) == {column}
        evaluation = found[column]
        assert said in evaluation.sentence
        assert evaluation.sentence.endswith("One window so far; whether it lasts is not known.")
        assert evaluation.since == START + timedelta(days=DAYS)
        assert evaluation.guarantee.startswith("on average about 1 window a year")
        assert evaluation.details["statistic"]
        assert evaluation.details["advice"]
        assert (evaluation.loudest is None) is severe

    def test_once_it_fires_the_sentence_no_longer_says_that_it_is_the_first(self, world):
        rows = day(DAYS, np.random.default_rng(8))
        rows["spend"] = rows["spend"] * 100
        assert "One window" not in judged(world, rows, firing=True)["spend"].sentence

    def test_days_like_the_baselines_are_not_broken(self, world):
        rng = np.random.default_rng(9)
        for i in range(DAYS, DAYS + 60):
            assert judged(world, day(i, rng), i=i) == {}

    def test_a_column_that_is_constant_within_each_day_does_not_become_constant(self, world):
        _, own = world
        rng = np.random.default_rng(10)
        for column in ("weekday", "promo"):
            window = profile(pa.table(day(DAYS, rng)), plan=world[0].plan).columns[column]
            assert not own.columns[column].became_constant(window, 1e-6)
            found = became_constant(window, world[0].profile.columns[column])
            assert found.value == 0

    def test_a_column_that_varies_within_days_does(self, world):
        made, own = world
        rows = day(DAYS, np.random.default_rng(10))
        rows["region"] = np.full(ROWS, "north", dtype=object)
        window = profile(pa.table(rows), plan=made.plan).columns["region"]
        assert own.columns["region"].became_constant(window, 1e-6)
        assert became_constant(window, made.profile.columns["region"]).value == 1

    def test_few_baseline_windows_judge_nothing(self, world):
        made, own = world
        few = own_columns(
            {n: c.binning for n, c in own.columns.items()}, made.profile.columns, [made.profile.columns] * 5
        )
        assert few.columns == {}


def measure(name, direction, family=Family.PERFORMANCE):
    return Measure(name=name, title=name, family=family, direction=direction)


def one(
    name,
    value,
    half,
    *,
    rows=500.0,
    direction=Direction.LOWER_IS_WORSE,
    segment="",
    firing=False,
    mature=True,
):
    at = START + timedelta(days=DAYS)
    return Series(
        model="m",
        measure=name,
        points=[Point(Window(at, at + timedelta(days=1)), value, rows, value - half, value + half)],
        described=measure(name, direction),
        segment=segment,
        firing=firing,
        mature=mature,
    )


class TestMeasures:
    OWN = tuple((0.9 + 0.01 * z, 0.013, 500.0) for z in np.random.default_rng(1).normal(size=30))

    def judged(self, series, own=None, **rest):
        rule = Rule(
            name="broke",
            kind="broken",
            condition=BrokenNow(**rest),
            selector=Selector(measure=series.measure),
        )
        return series_broken(rule, series, self.OWN if own is None else own, tests=5, windows_a_year=365)

    @pytest.mark.parametrize("name", ["accuracy", "roc_auc", "f1_macro"])
    def test_a_collapse_is_told_in_its_first_window(self, name):
        found = self.judged(one(name, 0.5, 0.044))
        assert found.verdict is Verdict.FAIL
        assert found.since == START + timedelta(days=DAYS)
        assert "became 0.5 (0.456 to 0.544) on 500 rows" in found.sentence
        assert ("The model now guesses" in found.sentence) is (name == "roc_auc")

    @pytest.mark.parametrize(("name", "value"), [("accuracy", 0.89), ("roc_auc", 0.95), ("accuracy", 0.99)])
    def test_noise_and_what_is_better_are_not(self, name, value):
        assert self.judged(one(name, value, 0.02)).verdict is Verdict.PASS

    def test_log_loss_and_mean_errors(self):
        rng = np.random.default_rng(2)
        losses = [(0.53 + 0.02 * z, 0.02, 500.0) for z in rng.normal(size=20)]
        exploded = one("log_loss", 10.0, 0.9, direction=Direction.HIGHER_IS_WORSE)
        assert self.judged(exploded, losses).verdict is Verdict.FAIL
        errors = [(20 * np.exp(0.1 * z), 1.0, 500.0) for z in rng.normal(size=20)]
        for value, verdict in ((80.0, Verdict.FAIL), (23.0, Verdict.PASS)):
            found = self.judged(one("mae", value, 6.0, direction=Direction.HIGHER_IS_WORSE), errors)
            assert found.verdict is verdict

    def test_a_segment_is_judged_by_its_own_windows(self):
        weak = [(0.6 + 0.02 * z, 0.03, 200.0) for z in np.random.default_rng(3).normal(size=20)]
        series = one("accuracy", 0.6, 0.07, rows=200, segment="region=north")
        assert self.judged(series, weak).verdict is Verdict.PASS
        assert self.judged(series).verdict is Verdict.FAIL

    def test_what_is_immature_or_has_too_few_baseline_windows_is_not_decided(self):
        assert self.judged(one("accuracy", 0.5, 0.04, mature=False)).verdict is Verdict.INCONCLUSIVE
        assert self.judged(one("accuracy", 0.5, 0.04), self.OWN[:5]).verdict is Verdict.INCONCLUSIVE

    def test_impossible_settings_are_refused(self):
        with pytest.raises(BadInput, match="must not be negative"):
            BrokenNow(matters=-1)
        with pytest.raises(BadInput, match="a_year"):
            BrokenNow(a_year=0)


class TestTheEnd:
    def walk(self, verdicts, rule=RULE):
        """(day, verdict) in the order in which they are judged; returns the states."""
        alert, states = None, []
        for i, verdict in verdicts:
            at = START + timedelta(days=i)
            window = Window(at, at + timedelta(days=1))
            said = Evaluation(
                rule=rule.name, model="m", verdict=verdict, sentence=verdict.value, window=window, since=at
            )
            alert, _ = step(alert, said, rule, now=at + timedelta(days=9))
            states.append(None if alert is None else alert.state)
        return alert, states

    def test_it_takes_two_good_windows(self):
        bad, good = Verdict.FAIL, Verdict.PASS
        _, states = self.walk([(0, bad), (1, good), (2, bad), (3, good), (4, good)])
        firing = AlertState.FIRING
        assert states == [firing, firing, firing, firing, AlertState.RESOLVED]

    def test_windows_that_wait_for_outcomes_neither_heal_nor_hold(self):
        late = Verdict.INCONCLUSIVE
        bad, good = Verdict.FAIL, Verdict.PASS
        alert, states = self.walk(
            [(0, late), (1, late), (0, bad), (2, late), (1, good), (3, late), (2, good), (4, late)]
        )
        assert states[2:6] == [AlertState.FIRING] * 4
        assert states[6:] == [AlertState.RESOLVED] * 2
        assert alert.since == START

    def test_judging_the_same_window_again_counts_once(self):
        _, states = self.walk([(0, Verdict.FAIL), (1, Verdict.PASS), (1, Verdict.PASS)])
        assert states[-1] is AlertState.FIRING
