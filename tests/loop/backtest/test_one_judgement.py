"""The watch, `alerts test`, `refold` and `calibrate` say the same of the same windows, whatever the kind of rule.

A kind of rule joins by joining the catalogue. Where its options have no default, `EXAMPLES` holds one that works.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from river import drift

from watchkeeper.capture.recorder import Recorder
from watchkeeper.decisions.rules.catalogue import KINDS
from watchkeeper.decisions.rules.shares import folds, watches_columns
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.backtest.calibration_replay import Replayer
from watchkeeper.loop.backtest.refold import refold
from watchkeeper.loop.backtest.rule_trial import judged_again
from watchkeeper.loop.batch.profiling import baseline, save_baseline
from watchkeeper.profiles.stored_window import judged_profiles, known_edges
from watchkeeper.stats.evidence.column_evidence import FEWEST_WINDOWS
from watchkeeper.stats.states.baseline import WindowProfile
from watchkeeper.testing.clock import FakeClock
from watchkeeper.wiring import open_project
from watchkeeper.wiring.scratch import scratch_ledger
from watchkeeper.wiring.trial import try_rule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # one project is watched for all of them

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 200
BEFORE = AFTER = 27
CHANGE = FEWEST_WINDOWS
"""The day on which the inputs move and the model gets worse."""
SILENT = 3
"""Days after the last rows."""

MEASURED = {"measure": "brier"}
EXAMPLES = {
    "threshold": [
        {"measure": "psi", "columns": "x", "above": 0.5},
        {"measure": "psi", "columns": "x", "above": 0.5, "resolve_above": 0.1, "for": "2d"},
        {"measure": "infinite", "above": 0.0, "exact": True},
    ],
    "evidence": [
        {},
        {"matters": 0.3},
        {"measure": "brier", "columns": "", "matters": 0.01, "mean_time": 300},
        {"measure": "brier", "columns": "", "matters": 0.01},
        {"measure": "accuracy", "columns": "", "matters": 0.01, "mean_time": 300, "season": "weekend"},
        {"measure": "accuracy", "columns": "", "matters": 0.01, "mean_time": 20, "for": "2d"},
        {"measure": "psi", "columns": "x"},
    ],
    "break": [{}, {"independent_rows": True}, {"measure": "brier", "columns": "", "matters": 0.01}],
    "anomaly": [{"measure": "brier", "columns": "", "min_windows": 6}],
    "predictive": [{"measure": "brier", "columns": "", "above": 0.3, "min_windows": 6}],
    "detector": [
        {"detector": "adwin"},
        {"detector": "ddm"},
        {
            "detector": "page_hinkley",
            "measure": "brier",
            "columns": "",
            "parameters": {"min_instances": 8, "threshold": 0.05},
        },
    ],
    "ever": [
        {"measure": "brier", "columns": "", "above": 0.1},
        {"measure": "accuracy", "columns": "", "below": 0.6, "test": "e-sr", "mean_time": 20},
        {"measure": "brier", "columns": "", "above": 0.1, "test": "e-cusum", "mean_time": 20},
    ],
    "absence": [{"after": "36h"}],
    "composite": [{"when": "threshold-0 and not evidence-2"}],
}


def rules() -> dict[str, dict]:
    """Every kind of the catalogue, each with its examples, or as it is by default."""
    out = {}
    for kind, made in KINDS.items():
        default = MEASURED if made.needs_measure else {}
        for n, options in enumerate(EXAMPLES.get(kind, [default, MEASURED])):
            out[f"{kind}-{n}"] = {"name": f"{kind}-{n}", "kind": kind, **options}
    return out


RULES = rules()


def toml(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def day(rng, n):
    changed = n >= CHANGE
    x = rng.normal(size=ROWS) + changed
    score = 1 / (1 + np.exp(-x))
    return pd.DataFrame(
        {
            "id": [f"{n}-{i}" for i in range(ROWS)],
            "at": pd.to_datetime(T0 + n * DAY) + pd.to_timedelta(np.arange(ROWS) * 400, unit="s"),
            "x": x,
            "plan": rng.choice(list("abc"), ROWS, p=[0.6, 0.3, 0.1]),
            "score": score,
            "prediction": (score > 0.5).astype(int),
            "outcome": (rng.random(ROWS) < (0.5 if changed else score)).astype(int),
        }
    )


class Recording(AlertJudge):
    """The watch's judge, which keeps what it said of each window last, and of each tick's arrivals."""

    said: dict
    arrivals: list

    def judge(self, window):
        done = super().judge(window)
        self.said[window.window] = done.evaluations
        return done

    def judge_arrivals(self, ledger, model, *, now, lease=None):
        done = super().judge_arrivals(ledger, model, now=now, lease=lease)
        self.arrivals += [(now, e) for e in done.evaluations]
        return done


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    path = tmp_path_factory.mktemp("project")
    lines = ['[models.m]\nbaseline = "m.wkb"\ntask = "binary"\ncadence = "1d"\njudge_every = "1d"']
    lines += ['[models.m.maturity]\nshare = 0.9\nafter = "1d"']
    for raw in RULES.values():
        lines += ["[[models.m.rules]]", *(f"{key} = {toml(value)}" for key, value in raw.items())]
    (path / "watchkeeper.toml").write_text("\n".join(lines))
    rng = np.random.default_rng(4)
    rows = pd.concat([day(rng, n) for n in range(-BEFORE, 0)])
    save_baseline(baseline(rows, roles={"at": "time", "id": "id"}), path / "m.wkb")
    with open_project(path, clock=FakeClock(T0)) as watch:
        judge = Recording(watch.config.alerting())
        judge.said, judge.arrivals = {}, []
        watch.judges = [judge if isinstance(j, AlertJudge) else j for j in watch.judges]
        for n in range(AFTER + SILENT):
            if n < AFTER:
                rows = day(rng, n)
                with Recorder("m", "1", path=watch.data, flush_interval_s=60) as recorder:
                    recorder.record_batch(
                        rows.drop(columns="outcome"), id="id", at="at", prediction="prediction", score="score"
                    )
                    recorder.outcomes(rows[["id", "outcome"]], id="id", actual="outcome")
                    assert recorder.flush()
            watch.clock.advance(DAY)
            assert watch.tick().to_dict()["problems"] == []
        yield watch, judge


@pytest.fixture(scope="module")
def again(watched):
    """What `alerts test` and `refold` go through: the stored windows judged again."""
    watch, _ = watched
    with scratch_ledger() as scratch:
        judge = AlertJudge(watch.config.alerting())
        return [
            evaluation
            for judged in judged_again(watch, watch.model("m"), judge, scratch=scratch)
            for evaluation in judged.evaluations
        ]


@pytest.fixture(scope="module")
def as_it_was(watched):
    """Calibrate's replay of the very windows: the baseline's, and those of production after them."""
    watch, _ = watched
    model, made = watch.model("m"), watch.baseline("m")
    windows = list(made.windows)
    for n in range(AFTER):
        window = Window(T0 + n * DAY, T0 + (n + 1) * DAY)
        (state,) = (
            s for s in watch.ledger.windows.windows("m", limit=1000)
            if s.key.window == window and not s.key.version and not s.key.segment
        )  # fmt: skip
        table = watch.lake.profiles("m").get(window.start, window.end, segment=None)
        stored, _ = judged_profiles(table, known_edges(made), state.key, DAY)
        profile = stored["", ""].profile.effective()
        micro = [round(t.timestamp() * 1e6) for t in (window.start, window.end)]
        windows.append(WindowProfile(label=window.label, start_us=micro[0], end_us=micro[1], profile=profile))
    whole = replace(made, windows=tuple(windows))
    replayer = Replayer(whole, model, watch.config.alerting(), windows=10, within=2, seed=0)
    return replayer, replayer._as_it_was(np.random.default_rng(0))["rules"]


def of(evaluations, name):
    mine = [e for e in evaluations if e.rule == name]
    return sorted(mine, key=lambda e: (e.window.start, e.measure, e.subject))


@pytest.mark.parametrize("name", RULES)
class TestEveryKind:
    def test_windows_judged_again_are_judged_as_they_were(self, watched, again, name):
        _, judge = watched
        said = [e for window in sorted(judge.said) for e in of(judge.said[window], name)]
        assert of(again, name) == said
        assert bool(said) == (RULES[name]["kind"] != "absence")

    def test_alerts_test_says_what_the_watch_said(self, watched, name):
        watch, judge = watched
        end = T0 + (AFTER + SILENT) * DAY
        rule = next(r for r in judge.rules_of(watch.model("m"), watch.baseline("m")) if r.name == name)
        done = try_rule(watch, watch.model("m"), rule, start=T0, end=end)
        said = [e for window in judge.said for e in of(judge.said[window], name)]
        if rule.kind == "absence":
            said = [e for at, e in judge.arrivals if e.rule == name]
        assert done.verdicts == Counter(e.verdict.value for e in said)
        alerts = watch.ledger.facts.documents("alert", model="m", limit=10_000)
        mine = [d.body for d in alerts if d.body["rule"] == name and d.body["fired_at"]]
        assert len(done.episodes) == sum(body["episode"] for body in mine)
        fired = {datetime.fromisoformat(body["fired_at"]) for body in mine}
        assert fired <= {e.fired_at for e in done.episodes}

    def test_calibrate_fires_where_the_watch_did(self, watched, as_it_was, name):
        _, judge = watched
        replayer, firsts = as_it_was
        if name in replayer.left_out:
            if RULES[name]["kind"] == "broken":
                pytest.xfail("calibrate does not replay rules on one broken window yet; it says so")
            unmeasured = RULES[name]["kind"] in ("absence", "composite", "detector")
            assert RULES[name].get("exact") or (unmeasured and "measure" not in RULES[name])
            return
        rule = next(r for r in replayer.rules if r.name == name)
        hold = replayer._waits(rule)
        fired: dict[tuple[str, str], list[bool]] = {}
        run: Counter = Counter()
        for number, window in enumerate(sorted(judge.said)):
            for e in of(judge.said[window], name):
                place = (e.measure, e.subject)
                run[place] = run[place] + 1 if e.verdict is Verdict.FAIL else 0
                fired.setdefault(place, [False] * AFTER)[number] = run[place] > hold
        if (
            watches_columns(rule)
            or rule.kind == "threshold"
            or (folds(rule) and rule.selector.measure != "psi")
        ):
            alarms = [n for series in fired.values() for n, fires in enumerate(series, 1) if fires]
            assert firsts[name] == [min(alarms, default=0)]
            return
        # What ranks among its own past has that of the replayed baseline there: here, the first windows watched.
        assert fired
        for place, series in fired.items():
            early, late = (replayer.table[place][BEFORE:][at] for at in (slice(CHANGE), slice(CHANGE, None)))
            marks = np.arange(BEFORE, BEFORE + AFTER)
            found = replayer._series_alarms(rule, place, early, late, marks[:CHANGE], marks[CHANGE:])
            assert found.tolist() == series[CHANGE:]


def test_refold_finds_nothing_changed(watched):
    watch, _ = watched
    with scratch_ledger() as scratch:
        found = refold(watch, watch.model("m"), watch.config.alerting(), scratch=scratch, actor="test")
    assert (found.lost, found.changed) == (0, ())
    assert found.same >= 10


def test_the_windows_say_something(watched):
    """What is held equal above is worth holding: most rules pass, and fire."""
    _, judge = watched
    verdicts = {(e.rule, e.verdict) for done in judge.said.values() for e in done}
    firing = {name for name in RULES if (name, Verdict.FAIL) in verdicts}
    assert firing >= {"detector-0", "detector-1", "detector-2", "ever-0", "ever-1", "ever-2"}
    assert firing >= {"threshold-0", "threshold-1", "evidence-0", "evidence-2", "break-0", "break-1"}
    assert {name for name in RULES if (name, Verdict.PASS) in verdicts} >= firing - {"composite-0"}


@pytest.mark.parametrize(("name", "made"), [("detector-0", drift.ADWIN), ("detector-1", drift.binary.DDM)])
def test_a_detector_over_rows_alarms_on_the_days_on_which_river_does(watched, name, made):
    """The rows as they were recorded, through River itself."""
    watch, judge = watched
    rng, days = np.random.default_rng(4), {}
    for n in range(-BEFORE, AFTER):
        days[n] = day(rng, n)
    detector, alarmed = made(), []
    for n in range(AFTER):
        for wrong in (days[n]["prediction"] != days[n]["outcome"]).astype(int):
            detector.update(wrong)
            if detector.drift_detected and n not in alarmed:
                alarmed.append(n)
    failed = [w for w in sorted(judge.said) if of(judge.said[w], name)[0].verdict is Verdict.FAIL]
    assert [(w.start - T0) // DAY for w in failed] == alarmed
    assert alarmed[-1] >= CHANGE
    (alert,) = [
        d.body
        for d in watch.ledger.facts.documents("alert", model="m", limit=10_000)
        if d.body["rule"] == name
    ]
    assert alert["severity"] == "notice"
    assert "no bound on false alarms" in json.dumps(alert)
