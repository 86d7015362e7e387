"""A card says what was measured, reads as YAML and Markdown, and obeys nothing that a name says."""

from datetime import UTC, datetime

import yaml

from watchkeeper.documents.model_card import CardFacts, model_card
from watchkeeper.domain.measurement import Family, Interval, Measure, Measurement
from watchkeeper.domain.schema import Column, Kind, Role, Schema, Task
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.domain.window import Window

SCHEMA = Schema(
    columns=(
        Column(name="<script>|x", kind=Kind.NUMERIC),
        Column(name="late", kind=Kind.INTEGER, role=Role.OUTCOME),
    ),
    task=Task.BINARY,
)
BRIER = Measure(name="brier", family=Family.PERFORMANCE, title="Brier score")


def facts(**rest):
    given = {
        "model": WatchedModel(name='a: "b"', owner="Ada"),
        "schema": SCHEMA,
        "baseline_name": "January",
        "baseline_rows": 1000,
        "measures": {"brier": BRIER},
    }
    return CardFacts(**{**given, **rest})


def test_the_head_is_the_hub_s_model_index():
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    latest = [Measurement(measure="brier", value=0.19, rows=500, interval=Interval(0.17, 0.21))]
    card = model_card(
        facts(window=window, latest=latest, baseline=[Measurement(measure="brier", value=0.16)])
    )
    head = yaml.safe_load(card.split("---")[1])
    (result,) = head["model-index"][0]["results"]
    assert head["model-index"][0]["name"] == 'a: "b"'
    assert result["task"] == {"type": "tabular-classification"}
    assert result["metrics"] == [{"type": "brier", "value": 0.19, "name": "Brier score"}]
    assert "| Brier score | 0.16 | 0.19 | 0.17 to 0.21 |" in card


def test_what_is_not_known_says_so():
    card = model_card(facts())
    assert "No mature window yet." in card
    assert "Performance has not been measured" in card
    assert "Versions seen in production: none yet" in card


def test_names_are_shown_and_not_obeyed():
    card = model_card(facts(alarms=["<b>PSI</b> of *x* | moved"]))
    assert "<script>" not in card
    assert "<b>" not in card
    assert "\\*x\\* \\| moved" in card
