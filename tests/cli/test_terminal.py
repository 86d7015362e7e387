"""What a terminal of 80 columns shows: names stay whole, sentences break between words."""

from __future__ import annotations

import pytest

from watchkeeper.cli import terminal


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(terminal, "screen_width", lambda: 60)
    monkeypatch.setattr(terminal, "_in_a_terminal", lambda: True)


def test_a_name_in_the_first_column_stays_whole(narrow, capsys):
    rows = [
        ("expected_calibration_error", "age_of_the_customer_in_years", "0.0123", "0.01 to 0.02", "12,345")
    ]
    terminal.print_table(("measure", "of", "value", "interval", "rows"), rows)
    assert "expected_calibration_error" in capsys.readouterr().out


def test_a_sentence_breaks_between_words_and_goes_on_indented(narrow, capsys):
    text = (
        "  ! churn: it had several windows without a single row, and nobody has been told of any of them yet"
    )
    terminal.say(text, indent=4)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].startswith("    ")
    assert " ".join(line.strip() for line in lines) == text.strip()
