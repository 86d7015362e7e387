"""Calibrate tells what is so: quiet on a stable baseline, shifts are found, always-fire always fires."""

import json

import numpy as np
import pandas as pd
import pytest

from as_written import model_of
from sizes import sizes
from watchkeeper.decisions.rules.preset import default_rules
from watchkeeper.errors import BadInput
from watchkeeper.loop.backtest import calibration as room
from watchkeeper.loop.backtest.calibration import calibrate
from watchkeeper.loop.batch.profiling import baseline
from watchkeeper.stats.evidence.column_evidence import ColumnEvidence
from watchkeeper.stats.evidence.injection import Shift


def frame(days=40, rows=300, seed=0, day_sd=0.0):
    rng = np.random.default_rng(seed)
    n = days * rows
    day = np.repeat(rng.normal(size=days) * day_sd, rows)
    x = rng.normal(size=n) + day
    score = 1 / (1 + np.exp(-x))
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(n) * (86_400 / rows), unit="s")
    return pd.DataFrame(
        {
            "at": at,
            "x": x,
            "z": np.exp(rng.normal(size=n)),
            "plan": rng.choice(list("abcde"), n, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
            "score": score,
            "outcome": rng.random(n) < score,
        }
    )


@pytest.fixture(scope="module")
def stable():
    return baseline(frame(), roles={"at": "time", "score": "score", "outcome": "outcome"})


@pytest.fixture(scope="module")
def calibrated(stable):
    return calibrate(stable, runs=60, seed=1)


def of(made, shift, procedure="paging"):
    return next(f for f in made.found if (f.shift, f.procedure) == (shift, procedure))


@pytest.mark.slow
class TestWhatIsTold:
    def test_a_stable_baseline_has_no_false_alarm_beyond_its_budget(self, calibrated):
        for how in ("by window", "by block"):
            told = calibrated.false_alarm(how, "paging")
            assert told.deployments == 60
            assert told.chance.low <= calibrated.options["stated"]
            assert told.alarmed <= 1
        assert calibrated.false_alarm("as it was", "paging").alarmed == 0

    def test_half_a_standard_deviation_is_found_within_days(self, calibrated):
        found = of(calibrated, "location +0.5 sd")
        assert found.power.low > 0.85
        assert found.delay <= 6
        assert found.delay_low <= found.delay <= found.delay_high

    def test_a_larger_shift_is_found_no_later(self, calibrated):
        small, large = of(calibrated, "location +0.1 sd"), of(calibrated, "location +0.5 sd")
        assert small.found <= large.found
        assert small.delay is None or small.delay >= large.delay

    def test_always_fire_has_a_rate_of_one_and_never_fire_of_none(self, calibrated):
        for how in ("as it was", "by window", "by block"):
            always, never = (calibrated.false_alarm(how, p) for p in ("always", "never"))
            assert (always.alarmed, always.alarmed_windows) == (always.deployments, 1.0)
            assert (never.alarmed, never.alarmed_windows) == (0, 0.0)
        assert of(calibrated, "location +0.1 sd", "always").share == 1
        assert of(calibrated, "location +0.5 sd", "never").found == 0

    def test_a_test_repeated_on_every_column_and_window_cries_wolf(self, calibrated):
        told = calibrated.false_alarm("by window", "ks")
        assert told.chance.low > 0.9

    def test_worse_performance_is_found_by_the_rules_on_it(self, calibrated):
        assert of(calibrated, "performance 0.1 worse").power.low > 0.85

    def test_missing_values_and_lost_categories_are_found(self, calibrated):
        assert of(calibrated, "0.1 more rows missing").share > 0.9
        assert of(calibrated, "a category of at least 0.05 vanishes").share > 0.9

    def test_each_rule_is_replayed_or_says_why_not(self, calibrated):
        assert {r["name"] for r in calibrated.rules if r["replayed"]} >= {
            "column changed", "roc_auc fell", "brier rose", "accuracy fell"
        }  # fmt: skip
        assert all(r.get("why_not") for r in calibrated.rules if not r["replayed"])

    def test_it_recommends_cadence_sample_size_and_baseline(self, calibrated):
        assert [line.partition(":")[0] for line in calibrated.recommendation][:3] == [
            "Cadence", "Sample size", "Baseline"
        ]  # fmt: skip
        fewer = next(o for o in calibrated.tried if o.what == "rows" and o.rows < 50)
        assert fewer.found < calibrated.tried[0].found

    def test_the_document_is_plain_json_and_a_page(self, calibrated, tmp_path):
        again = json.loads(calibrated.to_json(tmp_path / "c.json"))
        assert again["format"] == "watchkeeper.calibration/1"
        page = calibrated.to_html(tmp_path / "c.html")
        assert "location +0.5 sd" in page
        assert "<svg" in page
        assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
class TestHonestly:
    @sizes("runs", small=15, full=40)
    def test_days_that_differ_do_not_alarm_but_take_longer(self, runs):
        made = calibrate(
            baseline(frame(day_sd=0.15, seed=3), roles={"at": "time"}),
            runs=runs,
            shifts=[Shift("location", 0.2), Shift("location", 1.0)],
        )
        assert made.false_alarm("by window", "paging").alarmed <= 1
        assert made.false_alarm("by window", "ks").alarmed == runs
        assert of(made, "location +1 sd").share > 0.9
        assert of(made, "location +0.2 sd").share < of(made, "location +1 sd").share

    @sizes("runs", small=10, full=20)
    def test_an_own_rule_that_cries_wolf_is_seen_to(self, stable, runs):
        loud = {
            "name": "tight",
            "kind": "threshold",
            "measure": "psi",
            "above": 0.0001,
            "severity": "warning",
        }
        made = calibrate(
            stable, model=_model(stable, rules=(loud,)), runs=runs, shifts=[Shift("location", 0.5)]
        )
        assert made.by_rule["tight"] == {"as it was": 1.0, "by window": 1.0, "by block": 1.0}
        assert made.false_alarm("by window", "paging").alarmed == runs

    def test_an_own_threshold_meets_the_shifted_window(self, stable):
        own = {"name": "far", "kind": "threshold", "measure": "psi", "above": 0.15, "severity": "warning"}
        off = [{"name": r.name, "enabled": False} for r in default_rules(None)]
        made = calibrate(
            stable, model=_model(stable, rules=(own, *off)), runs=20,
            shifts=[Shift("location", 0.1), Shift("location", 1.0)],
        )  # fmt: skip
        assert made.false_alarm("by window", "paging").alarmed == 0
        assert of(made, "location +0.1 sd").found == 0
        assert of(made, "location +1 sd").share == 1.0
        assert of(made, "location +1 sd").delay == 1


class TestTheSameRules:
    def test_the_replay_says_what_evidence_folded_window_by_window_says(self, stable):
        """The rules' own path, one window after the other, on the same drawn windows."""
        replayer = room.Replayer(stable, None, None, windows=30, within=30, seed=0)
        rule = next(r for r in replayer.column_rules if not r.breaks)
        group = next(g for g in replayer.groups if g.ordered)
        before, after = replayer._drawn(np.random.default_rng(5), "by window", 30)
        counts = group.counts[0][after].copy()
        counts[10:] = Shift("location", 0.4).of(counts[10:], np.zeros(20))[0]
        names = ["x"]
        told = room_replay(group.counts[0][before][None], counts[None], rule.evidence, names)
        state = ColumnEvidence.of(group.counts[0][before], column="x", rules=rule.evidence)
        first = 0
        for t, window in enumerate(counts, 1):
            state = state.update(window)
            if state.reading().persistent:
                first = t
                break
        assert told == first > 10


@pytest.mark.slow
class TestGoingOn:
    @sizes("runs", small=10, full=20)
    def test_the_same_seed_gives_the_same_answer_and_another_another(self, stable, runs):
        wanted = {"runs": runs, "shifts": [Shift("location", 0.2)], "windows": 40}
        a, b = (calibrate(stable, seed=7, now=_NOW, **wanted) for _ in range(2))
        assert a.to_dict() == b.to_dict()
        assert calibrate(stable, seed=8, now=_NOW, **wanted).to_dict() != a.to_dict()

    @sizes("runs", small=10, full=40)
    def test_interrupted_and_gone_on_with_it_ends_as_if_it_had_not_been(self, stable, tmp_path, runs):
        state = tmp_path / "state.json"
        wanted = {"runs": runs, "shifts": [Shift("location", 0.2)], "windows": 40, "now": _NOW}
        whole = calibrate(stable, **wanted)
        done = []

        def stop_after_three(stage, number, total):
            done.append(stage)
            if number == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            calibrate(stable, state=state, progress=stop_after_three, **wanted)
        assert len(json.loads(state.read_text())["parts"]) == 3
        seen = []
        again = calibrate(stable, state=state, progress=lambda s, n, t: seen.append(n), **wanted)
        assert again.to_dict() == whole.to_dict()
        assert min(seen) == 3
        assert not state.exists()

    def test_a_state_of_another_question_is_not_gone_on_with(self, stable, tmp_path):
        state = tmp_path / "state.json"
        state.write_text(json.dumps({"format": room._FORMAT, "key": "other", "parts": {"by window/0": {}}}))
        made = calibrate(stable, runs=20, shifts=[Shift("location", 0.5)], windows=20, state=state)
        assert made.false_alarm("by window", "paging").deployments == 20


class TestBadInput:
    def test_a_baseline_without_windows_says_how_to_get_one(self):
        with pytest.raises(BadInput, match="--role COLUMN=time"):
            calibrate(baseline(frame(days=3)))

    def test_a_short_baseline_is_replayed_and_says_what_that_means(self):
        made = calibrate(
            baseline(frame(days=12), roles={"at": "time"}, window=pd.Timedelta(days=1).to_pytimedelta()),
            runs=10, windows=20, shifts=[Shift("location", 0.5)],
        )  # fmt: skip
        assert any("there are 12" in note for note in made.notes)
        assert made.false_alarm("as it was", "paging") is None


_NOW = pd.Timestamp("2026-06-01", tz="UTC").to_pydatetime()


def _model(made, **rest):
    day = pd.Timedelta(days=1).to_pytimedelta()
    return model_of(task=made.schema.task, cadence=day, judge_every=day, **rest)


def room_replay(before, after, rules, names):
    from watchkeeper.stats.evidence.replay import replay

    return int(replay(before, after, rules=rules, names=names).persistent[0])
