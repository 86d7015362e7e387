"""The alerting machine, part by part; laws by hypothesis."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.decisions.alerting.flapping import flap_score
from watchkeeper.decisions.alerting.grouping import Group, assign, compose
from watchkeeper.decisions.alerting.inhibition import InhibitionTable, check_inhibitions
from watchkeeper.decisions.alerting.maintenance import AnyMaintenanceTable
from watchkeeper.decisions.alerting.routing import RouteTable
from watchkeeper.decisions.alerting.silences import Muting, preview
from watchkeeper.decisions.alerting.state_machine import acknowledge, step, unacknowledge
from watchkeeper.decisions.alerting.unit_tests import check_file, expand
from watchkeeper.decisions.rules.catalogue import parse_rule
from watchkeeper.decisions.tables import read
from watchkeeper.domain.alert import Alert, AlertState, fingerprint
from watchkeeper.domain.rule import Evaluation, Severity
from watchkeeper.domain.silence import Matcher, Silence, parse_matcher, parse_matchers
from watchkeeper.domain.verdict import Verdict
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, BadTransition

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LETTERS = {"f": Verdict.FAIL, "p": Verdict.PASS, "i": Verdict.INCONCLUSIVE, "e": Verdict.ERROR}


def inhibition_of(raw):
    return read(InhibitionTable, raw, "The inhibition").inhibition()


def maintenance_of(raw):
    return read(AnyMaintenanceTable, raw, "The maintenance window").window()


def route_of(raw):
    return read(RouteTable, raw, "The route").route()


def rule(**rest):
    return parse_rule({"name": "r", "measure": "x", "above": 1, "severity": "critical", **rest})


def evaluation(n, letter, sentence="", **rest):
    verdict = LETTERS[letter]
    return Evaluation(
        rule="r", model="m", verdict=verdict, sentence=sentence or f"{verdict} in {n}.",
        window=Window(START + n * DAY, START + (n + 1) * DAY), **rest,
    )  # fmt: skip


def run(letters, made=None, *, recent=None, **rest):
    """Walk a string of verdicts; return the states and what happened."""
    made = made or rule(**rest)
    alert, states, kinds = None, [], []
    for n, letter in enumerate(letters):
        alert, found = step(alert, evaluation(n, letter), made, now=START + (n + 1) * DAY, recent=recent)
        states.append("-" if alert is None else alert.state.value[0])
        kinds.append([t.kind for t in found])
    return "".join(states), kinds, alert


class TestStateMachine:
    @pytest.mark.parametrize(
        ("letters", "states", "options"),
        [
            ("pfp", "-fr", {}),
            ("pffp", "-pfr", {"for": "1d"}),
            ("ffff", "ppff", {"for": "2d"}),
            ("fpf", "pip", {"for": "1d"}),
            ("ffpppp", "ffffrr", {"keep_firing_for": "2d"}),
            ("ffppfppp", "ffffffff", {"keep_firing_for": "3d"}),
            ("fipif", "ffrrf", {}),
            ("iiep", "----", {}),
            ("fif", "ppf", {"for": "2d"}),
            ("fee", "fff", {}),
        ],
    )
    def test_walks(self, letters, states, options):
        assert run(letters, **options)[0] == states

    def test_what_happened_is_told_once(self):
        _, kinds, alert = run("ffpfp", **{"for": "1d"})
        assert kinds == [["pending"], ["fired"], ["resolved"], ["pending"], ["dropped"]]
        assert alert.episode == 1

    def test_since_is_when_the_change_began_not_when_it_was_seen(self):
        alert, _ = step(None, evaluation(5, "f", since=START + DAY), rule(), now=START + 6 * DAY)
        assert alert.since == START + DAY
        alert, _ = step(None, evaluation(5, "f"), rule(), now=START + 6 * DAY)
        assert alert.since == START + 5 * DAY

    @given(st.text("fpie", max_size=40), st.sampled_from(["0s", "1d", "3d"]), st.sampled_from(["0s", "2d"]))
    def test_doing_a_step_again_changes_nothing(self, letters, hold, keep):
        made = rule(**{"for": hold, "keep_firing_for": keep})
        alert = None
        for n, letter in enumerate(letters):
            e, now = evaluation(n, letter), START + (n + 1) * DAY
            alert, _ = step(alert, e, made, now=now)
            again, found = step(alert, e, made, now=now + timedelta(hours=1))
            assert (again, found) == (alert, ())

    @given(st.text("fpie", max_size=60))
    def test_it_is_the_same_after_being_stored(self, letters):
        made = rule(**{"for": "1d"})
        kept = stored = None
        for n, letter in enumerate(letters):
            e, now = evaluation(n, letter), START + (n + 1) * DAY
            kept, one = step(kept, e, made, now=now)
            stored, other = step(
                None if stored is None else msgspec.convert(json.loads(msgspec.json.encode(stored)), Alert),
                e,
                made,
                now=now,
            )
            assert one == other
        assert kept == stored

    @given(st.text("fp", min_size=1, max_size=60))
    def test_fired_and_resolved_come_in_turns(self, letters):
        _, kinds, _ = run(letters)
        turns = [k for found in kinds for k in found if k in ("fired", "resolved")]
        assert turns == (["fired", "resolved"] * len(turns))[: len(turns)]

    def test_an_older_window_never_touches_the_present_alert(self):
        _, _, alert = run("pff")
        for letter in "fpie":
            assert step(alert, evaluation(0, letter), rule(), now=START + 9 * DAY) == (alert, ())

    def test_a_correction_of_the_newest_window_resolves_and_reopens(self):
        _, _, alert = run("ppf")
        alert, found = step(alert, evaluation(2, "p", "better"), rule(), now=START + 4 * DAY)
        assert [t.kind for t in found] == ["corrected", "resolved"]
        alert, found = step(alert, evaluation(2, "f", "worse"), rule(), now=START + 5 * DAY)
        assert [t.kind for t in found] == ["reopened"]

    def test_a_window_of_long_ago_is_retrospective_until_it_goes_on_now(self):
        alert, found = step(None, evaluation(0, "f"), rule(), now=START + 30 * DAY, recent=3 * DAY)
        assert alert.retrospective
        assert [t.kind for t in found] == ["fired"]
        alert, found = step(alert, evaluation(29, "f"), rule(), now=START + 30 * DAY, recent=3 * DAY)
        assert not alert.retrospective
        assert [t.kind for t in found] == ["current"]

    def test_a_forecast_without_trust_is_a_notice(self):
        alert, _ = step(None, evaluation(0, "f", loudest=Severity.NOTICE), rule(), now=START)
        assert (alert.severity, alert.labels["severity"]) == (Severity.NOTICE, "notice")
        louder, _ = step(alert, evaluation(1, "f"), rule(), now=START + 2 * DAY)
        assert louder.fingerprint == alert.fingerprint
        assert louder.severity is Severity.CRITICAL

    def test_acknowledgements(self):
        _, _, alert = run("f")
        seen = acknowledge(alert, actor="ann", now=START + 2 * DAY, note="on it")
        assert seen.acknowledged_by == "ann"
        assert unacknowledge(seen, actor="ann", now=START + 2 * DAY).acknowledged_by == ""
        over, found = step(seen, evaluation(1, "p"), rule(), now=START + 3 * DAY)
        assert [t.kind for t in found] == ["resolved", "unacknowledged"]
        assert over.acknowledged_by == ""
        with pytest.raises(BadTransition):
            acknowledge(over, actor="ann", now=START)
        with pytest.raises(BadTransition):
            unacknowledge(over, actor="ann", now=START)

    def test_flapping_begins_and_calms(self):
        _, kinds, alert = run("pf" * 12 + "p" * 25)
        flat = [k for found in kinds for k in found]
        assert flat.count("flapping") == flat.count("calmed") == 1
        assert not alert.flapping

    @given(st.text("01", max_size=40))
    def test_the_flap_score_is_a_share(self, flips):
        assert 0 <= flap_score(flips) <= 1 + 1e-12

    def test_the_flap_score_is_nagios_own(self):
        # Nagios: weights .8 to 1.2 over the 20 changes between 21 states, divided by 20. One change, the newest:
        assert flap_score("0" * 20 + "1") == pytest.approx(1.2 / 20)
        assert flap_score("0" + "1" * 20) == pytest.approx(0.8 / 20)


class TestMatchers:
    @pytest.mark.parametrize(
        ("text", "labels", "matches"),
        [
            ("a=x", {"a": "x"}, True),
            ("a = 'x y'", {"a": "x y"}, True),
            ("a!=x", {"a": "x"}, False),
            ("a!=x", {}, True),
            ('a=~"x|y"', {"a": "y"}, True),
            ("a=~x", {"a": "xx"}, False),
            ("a!~x.*", {"a": "xx"}, False),
            ("a=", {}, True),
        ],
    )
    def test_as_alertmanager_reads_them(self, text, labels, matches):
        assert parse_matcher(text).matches(labels) is matches

    @pytest.mark.parametrize("text", ["", "a", "=x", "1a=x", "a=~*", "a=~(", "a~x"])
    def test_what_cannot_be_read(self, text):
        with pytest.raises(BadInput):
            parse_matcher(text)

    @given(
        st.sampled_from(["=", "!=", "=~", "!~"]),
        st.sampled_from(["x", "", "x|y", "z"]),
        st.sampled_from(["x", "y", ""]),
    )
    def test_a_negation_says_the_opposite(self, operator, value, label):
        opposite = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[operator]
        labels = {"a": label} if label else {}
        assert Matcher("a", operator, value).matches(labels) != Matcher("a", opposite, value).matches(labels)

    @given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
    def test_fingerprints_do_not_depend_on_order(self, labels):
        assert fingerprint(labels) == fingerprint(dict(reversed(list(labels.items()))))


def alert(name="a", *, state=AlertState.FIRING, severity=Severity.CRITICAL, **rest):
    labels = {
        "rule": name,
        "model": "m",
        "severity": severity.value,
        "category": "rule",
        **rest.pop("labels", {}),
    }
    return Alert(
        fingerprint=fingerprint(labels), labels=labels, severity=severity, state=state, rule=name, model="m",
        sentence=f"{name} is bad.", **rest,
    )  # fmt: skip


class TestSilencesAndInhibition:
    def test_a_preview_says_what_is_muted_and_why_not_more(self):
        alerts = [alert("a"), alert("b", state=AlertState.RESOLVED), alert("c", state=AlertState.PENDING)]
        found = preview(parse_matchers({"model": "m"}), alerts)
        assert (len(found.firing), len(found.pending), found.quiet, found.hints) == (1, 1, 1, ())
        assert preview(parse_matchers({"modle": "m"}), alerts).hints == (
            "No alert has the label 'modle'. Did you mean 'model'?",
        )
        assert preview(parse_matchers({"rule": "z"}), alerts).hints == ('No alert matches rule="z".',)

    def test_why_an_alert_is_muted(self):
        silence = Silence(
            id="1", matchers=parse_matchers({"rule": "a"}), author="ann", reason="known", starts_at=START,
            ends_at=START + DAY,
        )  # fmt: skip
        now = START + timedelta(hours=1)
        inhibition = inhibition_of({"source": {"rule": "a"}, "target": {"rule": "b"}, "equal": ["model"]})
        muting = Muting(now, silences=[silence], inhibitions=[inhibition], firing=[alert("a")])
        assert (muting.why(alert("a")).kind, muting.why(alert("a")).until) == ("silence", START + DAY)
        assert muting.why(alert("b")).reason == "a fires: a is bad."
        assert muting.why(alert("b", labels={"model": "other"})) is None
        assert muting.why(alert("c")) is None
        later = Muting(START + DAY, silences=[silence])
        assert later.why(alert("a")) is None

    def test_an_alert_that_resolved_or_is_of_long_ago_inhibits_nothing(self):
        inhibition = inhibition_of({"source": {"rule": "a"}, "target": {"rule": "b"}})
        for source in (alert("a", state=AlertState.RESOLVED), alert("a", retrospective=True)):
            assert Muting(START, inhibitions=[inhibition], firing=[source]).why(alert("b")) is None

    @pytest.mark.parametrize(
        "pairs",
        [
            [("a", "~a|b")],
            [("a", "b"), ("b", "a")],
            [("a", "b"), ("b", "c"), ("c", "a")],
            [("~.*", "b")],
        ],
    )
    def test_circles_are_refused(self, pairs):
        made = [inhibition_of({"source": {"rule": s}, "target": {"rule": t}}) for s, t in pairs]
        with pytest.raises(BadInput, match="could mute"):
            check_inhibitions(made)

    @pytest.mark.parametrize(
        "pairs", [[("a", "b")], [("a", "b"), ("a", "c"), ("b", "c")], [("a", "!a")], [("a", "~b|c")]]
    )
    def test_what_flows_one_way_is_accepted(self, pairs):
        check_inhibitions([inhibition_of({"source": {"rule": s}, "target": {"rule": t}}) for s, t in pairs])


class TestMaintenance:
    def test_over_midnight_and_over_the_change_of_clocks(self):
        window = maintenance_of(
            {"name": "x", "days": ["sat"], "at": "23:00", "duration": "6h", "timezone": "Europe/Berlin"}
        )
        # Saturday 28 March 2026, 23:00 CET is 22:00 UTC; six hours later clocks have gone on.
        assert window.until(datetime(2026, 3, 28, 21, 59, tzinfo=UTC)) is None
        assert window.until(datetime(2026, 3, 28, 22, 0, tzinfo=UTC)) == datetime(
            2026, 3, 29, 4, 0, tzinfo=UTC
        )
        assert window.until(datetime(2026, 3, 29, 4, 0, tzinfo=UTC)) is None

    def test_it_ends_when_it_expires(self):
        window = maintenance_of(
            {"name": "x", "at": "02:00", "duration": "1h", "expires": "2026-02-01T00:00Z"}
        )
        assert window.until(datetime(2026, 1, 31, 2, 30, tzinfo=UTC)) is not None
        assert window.until(datetime(2026, 2, 2, 2, 30, tzinfo=UTC)) is None

    @pytest.mark.parametrize(
        "raw",
        [
            {},
            {"name": "x"},
            {"name": "x", "start": "2026-01-02", "end": "2026-01-01"},
            {"name": "x", "start": "2026-01-01"},
            {"name": "x", "start": "soon", "end": "later"},
            {"name": "x", "days": ["sun"], "at": "25:00", "duration": "1h"},
            {"name": "x", "days": ["sun"], "at": "02:00"},
            {"name": "x", "days": ["sun"], "at": "02:00", "duration": "8d"},
            {"name": "x", "at": "02:00", "duration": "1h", "cron": "0 2 * * *"},
            {"name": "x", "at": "02:00", "duration": "1h", "timezone": "Mars/Base"},
            {"name": "x", "at": "02:00", "duraton": "1h"},
        ],
    )
    def test_what_cannot_be_read(self, raw):
        with pytest.raises(BadInput):
            maintenance_of(raw)


def nobody(_):
    return None


class TestGrouping:
    ROUTE = route_of(
        {"channels": ["c"], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "1h"}
    )

    def test_a_group_waits_then_tells_then_is_quiet(self):
        groups = assign([alert("a")], [self.ROUTE], {}, now=START)
        (group,) = groups.values()
        assert group.due == START + timedelta(seconds=30)
        a, b = alert("a"), alert("b")
        groups = assign([b], [self.ROUTE], groups, now=START + timedelta(seconds=20))
        (group,) = groups.values()
        assert group.due == START + timedelta(seconds=30)
        held = {x.fingerprint: x for x in (a, b)}
        message, group = compose(group, held, nobody, now=group.due)
        assert (message.status, message.firing, message.urgency, len(message.new)) == ("firing", 2, "high", 2)
        again, group = compose(group, held, nobody, now=group.due - timedelta(minutes=1))
        assert again is None
        repeated, group = compose(group, held, nobody, now=group.due + timedelta(hours=1))
        assert repeated.repeated

    def test_the_key_is_the_same_however_often_it_is_worked_out(self):
        (group,) = assign([alert("a")], [self.ROUTE], {}, now=START).values()
        held = {alert("a").fingerprint: alert("a")}
        one, after = compose(group, held, nobody, now=START + DAY)
        other, _ = compose(
            msgspec.convert(json.loads(msgspec.json.encode(group)), Group), held, nobody, now=START + DAY
        )
        assert one == other
        later, _ = compose(after, {}, nobody, now=START + DAY)
        assert later is None

    def test_what_was_never_told_is_not_resolved_aloud(self):
        (group,) = assign([alert("a")], [self.ROUTE], {}, now=START).values()
        over = alert("a", state=AlertState.RESOLVED)
        message, group = compose(group, {over.fingerprint: over}, nobody, now=START + DAY)
        assert message is None
        assert group.due is None

    def test_notices_and_looks_back_are_low(self):
        for quiet in (alert("a", severity=Severity.NOTICE), alert("a", retrospective=True)):
            (group,) = assign([quiet], [self.ROUTE], {}, now=START).values()
            message, _ = compose(group, {quiet.fingerprint: quiet}, nobody, now=START + DAY)
            assert (message.urgency, message.can_wait) == ("low", True)

    def test_the_end_of_what_woke_somebody_may_wake_them_and_no_other(self):
        for was, waits in ((alert("a"), False), (alert("a", severity=Severity.NOTICE), True)):
            (group,) = assign([was], [self.ROUTE], {}, now=START).values()
            first, group = compose(group, {was.fingerprint: was}, nobody, now=START + DAY)
            over = replace(was, state=AlertState.RESOLVED)
            last, _ = compose(group, {was.fingerprint: over}, nobody, now=START + 2 * DAY)
            assert (first.can_wait, last.can_wait, last.urgency) == (waits, waits, "low")

    def test_the_gravest_is_told_first_and_the_rest_is_counted(self):
        many = [alert(f"w{i}", severity=Severity.WARNING) for i in range(100)] + [alert("worst")]
        (group,) = assign(many, [self.ROUTE], {}, now=START).values()
        message, _ = compose(group, {a.fingerprint: a for a in many}, nobody, now=START + DAY)
        assert message.alerts[0]["labels"]["rule"] == "worst"
        assert (len(message.alerts), message.firing, message.to_body()["more"]) == (20, 101, 81)


class TestRuleTests:
    FILE = {
        "rule": [{"name": "psi high", "measure": "psi", "above": 0.2, "for": "2d"}],
        "test": [
            {
                "name": "held",
                "rule": "psi high",
                "series": [{"column": "age", "values": "0.05x2 0.3x2 _ 0.1"}],
                "expect": [
                    {"window": 3, "state": "inactive"},
                    {"window": 4, "state": "pending"},
                    {"window": 6, "state": "firing", "says": "0.3"},
                    {"window": 7, "state": "firing"},
                    {"window": 8, "state": "resolved"},
                ],
            }
        ],
    }

    def test_expectations_hold_or_say_what_was(self):
        assert all(c.ok for c in check_file(self.FILE))
        wrong = json.loads(json.dumps(self.FILE))
        wrong["test"][0]["expect"] = [{"window": 4, "state": "firing"}]
        (said,) = check_file(wrong)
        assert not said.ok
        assert said.sentence.startswith(
            "window 4: pending, expected firing (fail: psi of age is 0.3, above 0.2.)"
        )

    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("1", [1]),
            ("1x2", [1, 1, 1]),
            ("1-0.5x2", [1, 0.5, 0]),
            ("_x2 3", [None, None, 3]),
            ("-1e-3", [-0.001]),
        ],
    )
    def test_values_are_expanded_as_promtool_does(self, text, values):
        assert expand(text) == pytest.approx(values) if None not in values else expand(text) == values

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"rule": "psi hgh"}, "Did you mean 'psi high'?"),
            ({"sereis": []}, "Did you mean 'series'?"),
            ({"expect": [{"window": 99, "state": "firing"}]}, "there are 8"),
            ({"expect": [{"window": 1, "state": "fireing"}]}, "Did you mean 'firing'?"),
            ({"expect": []}, "needs series, and what to expect"),
            ({"series": [{"values": "1..2"}]}, "is not a value"),
        ],
    )
    def test_faults_of_the_file(self, change, said):
        wrong = json.loads(json.dumps(self.FILE))
        wrong["test"][0] |= change
        with pytest.raises(BadInput) as failure:
            check_file(wrong)
        assert said in str(failure.value)
