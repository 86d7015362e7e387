"""A small project with made-up numbers, and the server over it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)


class Clock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, length: timedelta) -> None:
        self.at += length


@pytest.fixture
def clock() -> Clock:
    return Clock()


def project(folder: Path, names: list[str], clock: Any) -> Any:
    from watchkeeper.wiring import open_project

    folder.mkdir(parents=True, exist_ok=True)
    models = "\n".join(f'[models.{n}]\ntask = "binary"\njudge_every = "1h"' for n in names)
    (folder / "watchkeeper.toml").write_text(f'[project]\nname = "Night watch"\n{models}\n')
    return open_project(folder, clock=clock)


@pytest.fixture(scope="session")
def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Filled once; only read by tests that take `watch`."""
    from benchmarks.filled import Size, fill, model_names

    size = Size(models=24, days=6, columns=6, segments=2, alerts=60)
    folder = tmp_path_factory.mktemp("filled")
    with project(folder, model_names(size), Clock()) as watch:
        fill(watch.ledger, now=NOW, size=size)
    return folder


@pytest.fixture
def watch(filled_folder: Path, tmp_path: Path, clock: Clock) -> Iterator[Any]:
    """A copy of the filled project, for this test alone."""
    import shutil

    from watchkeeper.wiring import open_project

    shutil.copytree(filled_folder, tmp_path / "project")
    with open_project(tmp_path / "project", clock=clock) as opened:
        yield opened


@pytest.fixture
def empty_watch(tmp_path: Path, clock: Clock) -> Iterator[Any]:
    with project(tmp_path / "empty", [], clock) as opened:
        yield opened


def client_of(app: Any, **more: Any) -> Any:
    from starlette.testclient import TestClient

    more.setdefault("client", ("127.0.0.1", 50000))
    return TestClient(app, base_url=more.pop("base_url", "http://127.0.0.1:8471"), **more)


@pytest.fixture
def client(watch: Any) -> Any:
    from watchkeeper.web.app import create_app

    return client_of(create_app(watch))


@pytest.fixture
def connect() -> Any:
    """``connect(app, client=(address, port), base_url=...)``: a client of another application or address."""
    return client_of
