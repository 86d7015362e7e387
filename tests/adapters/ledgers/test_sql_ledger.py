"""The ledger's contract over SQLite and PostgreSQL, and what is particular to each."""

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

from watchkeeper.adapters.ledgers.sql import open_ledger
from watchkeeper.domain.fact import Fact
from watchkeeper.domain.measurement import Measurement
from watchkeeper.domain.series import PlacedMeasurement, WindowKey
from watchkeeper.domain.window import Window
from watchkeeper.errors import BadInput, StoreUnavailable
from watchkeeper.testing.contracts.ledger import LedgerContract

T0 = datetime(2026, 3, 1, tzinfo=UTC)


class TestSqlite(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path):
        ledger = open_ledger(tmp_path / "data" / "ledger.db")
        yield ledger
        ledger.close()


@pytest.mark.server
class TestPostgres(LedgerContract):
    @pytest.fixture
    def ledger(self, postgres_url):
        ledger = open_ledger(postgres_url)
        yield ledger
        ledger.close()


def test_the_tables_are_those_that_the_migrations_make(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from watchkeeper.adapters.ledgers.tables import metadata

    ledger = open_ledger(tmp_path / "ledger.db")
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    ledger.close()


def test_a_ledger_is_read_again_by_another_process(tmp_path):
    first = open_ledger(tmp_path / "ledger.db")
    first.facts.append([Fact(kind="a.b", at=T0, actor="x")])
    first.close()
    second = open_ledger(tmp_path / "ledger.db")
    assert [f.kind for f in second.facts.facts()] == ["a.b"]
    second.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "://"])
def test_a_url_that_cannot_be_used_is_told(url):
    with pytest.raises(BadInput):
        open_ledger(url)


def test_a_database_that_is_not_there_is_told_without_its_password():
    with pytest.raises(StoreUnavailable) as failure:
        open_ledger("postgresql://user:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(failure.value)


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """A child appends and prints each sequence once it is committed; it is killed at a random moment."""
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    script = textwrap.dedent(
        f"""
        from datetime import UTC, datetime
        from watchkeeper.adapters.ledgers.sql import open_ledger
        from watchkeeper.domain.fact import Fact
        ledger = open_ledger({str(path)!r})
        for i in range(100000):
            print(ledger.facts.append([Fact(kind="a.b", at=datetime.now(UTC), actor="x", key=str(i))])[0], flush=True)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(child.stdout.readline()) for _ in range(37)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.wait()
    ledger = open_ledger(path)
    stored = {f.sequence for f in ledger.facts.facts(limit=100_000)}
    ledger.close()
    assert set(acknowledged) <= stored
    assert len(stored) <= len(acknowledged) + 1, "at most the one that was under way"


@pytest.mark.slow
def test_a_year_of_hourly_windows_is_charted_from_its_buckets(tmp_path):
    """50 columns x 5 segments x 8,760 hours: the answer is right; benchmarks/bench_ledger.py says how fast."""
    ledger = open_ledger(tmp_path / "ledger.db")
    hour = timedelta(hours=1)
    for start in range(0, 8760, 730):
        rows = [
            PlacedMeasurement(
                key=WindowKey(model="m", window=Window(T0 + h * hour, T0 + (h + 1) * hour), segment=segment),
                measurement=Measurement(measure="psi", subject=f"c{c}", value=float(h % 24 + c), rows=10),
            )
            for h in range(start, start + 730)
            for segment in ("", "a")
            for c in range(5)
        ]
        ledger.measurements.write(rows, at=T0)
    table = ledger.measurements.series("m", "psi", subject="c3", segment="a", buckets=365)
    assert table.num_rows == 365
    assert set(table["value_max"].to_pylist()) == {26.0}
    assert set(table["value"].to_pylist()) == {14.5}
    assert ledger.measurements.latest(model="m").num_rows == 10
    ledger.close()
