"""The words of the crosshair: each window with its numbers, what is estimated, who served it, what fired at its end."""

from __future__ import annotations

from datetime import UTC, datetime

from watchkeeper.web.dashboard.kit.readout import readout

NOW = datetime(2026, 3, 12, tzinfo=UTC)


def said(**more):
    points = [
        {"at": "2026-03-09T00:00:00Z", "end": "2026-03-10T00:00:00Z", "value": 0.8134, "low": 0.8, "high": 0.82, "rows": 1234},
        {"at": "2026-03-10T00:00:00Z", "end": "2026-03-11T00:00:00Z", "value": None, "reason": "no outcome has come"},
    ]  # fmt: skip
    made = readout(points, title="Accuracy", unit="share of rows", now=NOW, **more)
    return [
        {label: texts[i] for label, texts in zip(made["labels"], made["texts"]) if texts[i]}
        for i in range(len(made["windows"]))
    ], [w[2] for w in made["windows"]]


def test_a_window_has_its_value_interval_and_rows_and_one_without_says_why():
    windows, when = said()
    assert when == ["9 Mar", "10 Mar"]
    assert windows == [
        {"Accuracy": "81.3%", "95% interval": "80% to 82%", "rows": "1,234"},
        {"Accuracy": "no outcome has come"},
    ]


def test_estimate_coverage_version_and_alerts_stand_at_their_window():
    """An alert that fired when a window ended belongs to that window; a version serves until the next one."""
    guess = {
        "at": "2026-03-10T00:00:00Z",
        "end": "2026-03-11T00:00:00Z",
        "value": 0.75,
        "low": 0.7,
        "high": 0.8,
    }
    windows, _ = said(
        estimated=[guess],
        coverage={"2026-03-09T00:00:00Z": 0.5},
        versions=[{"at": "2026-02-01T00:00:00Z", "text": "v1"}, {"at": "2026-03-10T06:00:00Z", "text": "v2"}],
        alerts=[{"at": "2026-03-10T00:00:00Z", "text": "it fell"}],
    )
    assert windows[0] == {
        "Accuracy": "81.3%",
        "95% interval": "80% to 82%",
        "rows": "1,234",
        "with outcome": "50%",
        "version": "v1",
        "alert": "it fell",
    }
    assert windows[1]["estimated"] == "75% (70% to 80%)"
    assert windows[1]["version"] == "v2"
