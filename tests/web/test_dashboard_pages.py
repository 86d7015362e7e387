"""Each page says what the ledger knows, as HTML and as JSON."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv
import pytest

PAGES = [
    "/",
    "/models/churn",
    "/models/churn/columns/age",
    "/alerts",
    "/silences",
    "/incidents",
    "/labels",
    "/compare",
    "/facts",
    "/settings",
]


@pytest.mark.parametrize("path", PAGES)
class TestEveryPage:
    def test_has_a_json_twin_at_the_same_path(self, client, path):
        by_query = client.get(path, params={"format": "json"})
        by_header = client.get(path, headers={"accept": "application/json"})
        assert by_query.status_code == by_header.status_code == 200
        assert by_query.json() == by_header.json()

    def test_is_small(self, client, path):
        assert len(client.get(path).content) < 300_000

    def test_has_one_heading_a_title_and_a_language(self, client, path):
        page = client.get(path).text
        assert page.count("<h1") == 1
        assert '<html lang="en"' in page
        assert "<title>" in page


class TestFleet:
    def test_the_first_words_say_whether_anything_is_wrong(self, client):
        page = client.get("/").text
        said = page.index("need you")
        assert said < page.index("<table")

    def test_what_needs_a_person_comes_first_and_silence_is_not_health(self, client):
        data = client.get("/?format=json").json()
        states = [m["health"]["state"] for m in data["models"]]
        order = ["needs_you", "silent", "unsure", "steady", "waiting"]
        assert states == sorted(states, key=order.index)
        assert data["counts"]["waiting"] >= 1

    def test_drift_that_hurts_nothing_is_worth_a_look_and_what_somebody_has_recedes(self, client, watch):
        from watchkeeper.loop.alerting.alert_actions import acknowledge_alert

        data = client.get("/?format=json").json()
        firing = watch.ledger.facts.documents("alert", states=["firing"], limit=1000)
        harmful = {
            d.model for d in firing if d.body["severity"] == "critical" and not d.body.get("acknowledged_by")
        }
        state = {m["name"]: m["health"]["state"] for m in data["models"]}
        assert {n for n, s in state.items() if s == "needs_you"} == harmful & set(state)
        others = {d.model for d in firing} - harmful
        assert others
        assert {state[n] for n in others & set(state)} <= {"unsure", "silent"}
        first = data["todo"][0]["key"]
        acknowledge_alert(watch.ledger.facts, first, actor="ann", now=watch.clock(), note="")
        again = client.get("/?format=json").json()["todo"]
        assert [bool(a["acknowledged_by"]) for a in again] == sorted(
            bool(a["acknowledged_by"]) for a in again
        )

    def test_the_url_holds_the_filter(self, client):
        data = client.get("/?format=json&q=churn").json()
        assert [m["name"] for m in data["models"]] == ["churn"]
        only = client.get("/?format=json&state=steady").json()["models"]
        assert {m["health"]["state"] for m in only} == {"steady"}

    def test_the_main_number_has_its_interval(self, client):
        churn = client.get("/?format=json&q=churn").json()["models"][0]["main"]
        assert churn["measure"] == "roc_auc"
        assert churn["low"] < churn["value"] < churn["high"]

    def test_an_empty_project_teaches_the_next_command(self, empty_watch, connect):
        from watchkeeper.web.app import create_app

        page = connect(create_app(empty_watch)).get("/").text
        assert "No model is watched yet" in page
        assert "watchkeeper baseline" in page


class TestModel:
    def test_an_unknown_model_is_told_with_the_nearest(self, client):
        answer = client.get("/models/chrn?format=json")
        assert answer.status_code == 404
        assert "Did you mean 'churn'" in answer.json()["what"]

    def test_says_the_number_before_any_chart(self, client):
        page = client.get("/models/churn").text
        assert page.index("ROC AUC is 0.") < page.index("<figure")

    def test_shows_only_what_exists(self, client):
        page = client.get("/models/model-0001").text
        assert "h-segments" not in page
        waiting = client.get("/models/model-0019").text
        assert "Nothing has been recorded yet" in waiting
        assert "<figure" not in waiting

    def test_a_period_that_cannot_be_read_is_told(self, client):
        assert client.get("/models/churn?start=yesterday&format=json").status_code == 400
        assert client.get("/models/churn?period=3x&format=json").status_code == 400
        assert client.get("/models/churn?start=2026-03-02&end=2026-03-01&format=json").status_code == 400

    def test_what_moved_needs_a_baseline_and_says_so(self, client):
        data = client.get("/models/churn/change?format=json").json()
        assert "no baseline" in data["trouble"][0]
        assert client.get("/models/churn/change?window=2025-01-01/2026-01-01&format=json").status_code == 400


class TestCharts:
    SERIES = "/models/churn/charts/series"

    def test_numbers_come_out_in_every_form_and_are_the_same(self, client):
        ask = {"measure": "roc_auc", "period": "7d"}
        rows = client.get(f"{self.SERIES}.json", params=ask).json()
        arrow = pa.ipc.open_stream(client.get(f"{self.SERIES}.arrow", params=ask).content).read_all()
        csv = pyarrow.csv.read_csv(io.BytesIO(client.get(f"{self.SERIES}.csv", params=ask).content))
        assert [r["value"] for r in rows] == arrow["value"].to_pylist() == csv["value"].to_pylist()
        assert len(rows) == 144

    def test_pictures_are_pictures(self, client):
        assert client.get(f"{self.SERIES}.svg?measure=roc_auc").text.startswith("<svg")
        assert client.get(f"{self.SERIES}.png?measure=roc_auc").content[:4] == b"\x89PNG"

    def test_a_spike_of_one_window_survives_the_smallest_picture(self, client):
        whole = client.get(f"{self.SERIES}.json?measure=roc_auc&period=7d").json()
        few = client.get(f"{self.SERIES}.json?measure=roc_auc&period=7d&buckets=10").json()
        assert len(few) <= 11
        assert min(r["value_min"] for r in few) == min(r["value"] for r in whole) == pytest.approx(0.55)

    def test_the_map_puts_what_moved_lately_first(self, client):
        rows = client.get("/models/churn/charts/drift-map.json?measure=psi&period=7d").json()
        assert rows[0]["column"] == "tenure"
        assert max(r["largest"] for r in rows) > 0.3

    def test_unknown_charts_forms_and_measures_are_told(self, client):
        assert client.get("/models/churn/charts/serie.json?measure=psi").status_code == 404
        assert client.get(f"{self.SERIES}.pdf?measure=roc_auc").status_code == 404
        answer = client.get(f"{self.SERIES}.json?measure=roc_au")
        assert "Did you mean 'roc_auc'" in answer.json()["what"]

    def test_a_column_named_like_markup_does_not_break_the_map(self, client):
        spec = client.get("/models/churn/charts/drift-map.vega?measure=psi").json()["spec"]
        import vl_convert

        drawn = vl_convert.vegalite_to_svg({**spec, "width": 400})
        assert "<script>" not in drawn
        assert "&lt;script&gt;" in drawn


class TestFacts:
    def test_newest_first_and_paged_by_sequence(self, client):
        first = client.get("/facts?format=json").json()
        assert len(first["facts"]) == 100
        older = client.get(f"/facts?format=json&before={first['older']}").json()
        assert older["facts"][0]["sequence"] == first["facts"][-1]["sequence"] - 1

    def test_by_kind_model_and_actor(self, client):
        rows = client.get("/facts?format=json&kind=baseline.*&model=churn&actor=ann").json()["facts"]
        assert [r["kind"] for r in rows] == ["baseline.set"]


class TestSearch:
    def test_models_columns_and_alerts_by_a_few_letters(self, client):
        kinds = {f["kind"] for f in client.get("/search?q=e").json()["found"]}
        assert {"model", "column", "alert"} <= kinds
        found = client.get("/search?q=CHUR").json()["found"]
        assert found[0] == {"kind": "model", "title": "churn", "note": "", "path": "/models/churn"}

    def test_signs_of_a_pattern_stand_for_themselves(self, client):
        assert client.get("/search?q=_").json()["found"] == []
