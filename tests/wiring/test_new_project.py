"""What `init` writes teaches the truth: every line that stands there as a comment works when it is taken out."""

import re
import typing
from datetime import timedelta
from pathlib import Path
from types import UnionType

import pytest
from pydantic import BaseModel

from watchkeeper.errors import BadConfig, Conflict
from watchkeeper.wiring.config import Config, parse_config
from watchkeeper.wiring.new_project import config_text, make_project


def uncommented(text: str) -> str:
    line = re.compile(r'# (?=\[|"?[a-z_:]+"? = )')
    return "\n".join(line.sub("", part, count=1) if line.match(part) else part for part in text.splitlines())


@pytest.mark.parametrize(
    ("zone", "cadence"), [("Europe/Berlin", 60), ("Asia/Kolkata", 30), ("Asia/Kathmandu", 15)]
)
def test_its_windows_fit_the_days_of_its_zone(zone, cadence):
    config = parse_config(config_text(project="p", model="m", timezone=zone))
    assert config.models["m"].cadence == timedelta(minutes=cadence)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"model": "churn"},
        {
            "model": "m",
            "task": "binary",
            "positive": "yes",
            "baseline": "m.wkb",
            "segments": [["a"], ["a", "b"]],
        },
    ],
)
def test_every_commented_key_is_a_real_one(said):
    text = config_text(project='a "quoted" name', **said)
    parse_config(text)
    config = parse_config(uncommented(text))
    model = config.models[said.get("model", "churn")]
    assert (model.table.time, model.checks["psi:age"], config.channels["team"].kind) == (
        "scored_at",
        0.4,
        "apprise",
    )
    assert config.routes[0].channels == ("team",)


def test_a_project_is_made_whole_or_not_at_all(tmp_path):
    with pytest.raises(BadConfig):
        make_project(tmp_path / "bad", "nonsense = 1")
    assert not (tmp_path / "bad").exists()
    make_project(tmp_path / "good", config_text(project="p"))
    with pytest.raises(Conflict, match="already"):
        make_project(tmp_path / "good", config_text(project="p"))
    make_project(tmp_path / "good", config_text(project="q"), replace=True)
    assert 'name = "q"' in (tmp_path / "good" / "watchkeeper.toml").read_text()


def tables(annotation):
    """Every table of the configuration, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from tables(field.annotation)
    elif typing.get_origin(annotation) in (dict, list, typing.Union, UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from tables(part)


def test_every_key_stands_on_the_page_of_the_configuration():
    docs = Path(__file__).parents[2] / "docs"
    if not docs.exists():
        pytest.skip("the documentation is not here")
    text = (docs / "configuration.md").read_text() + (docs / "rules.md").read_text()
    missing = [
        f"{table.__name__}.{name}"
        for table in tables(Config)
        for name in (field.alias or key for key, field in table.model_fields.items())
        if f"`{name}`" not in text
        and f"`{name}`," not in text
        and f", `{name}`" not in text
        and f"[{name}" not in text
        and f".{name}]" not in text
    ]
    assert missing == []
