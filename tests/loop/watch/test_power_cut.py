"""A power cut right after a drain loses nothing: on a real file system, which is shut down without a flush."""

import os
import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("deltalake")
pytest.importorskip("sqlalchemy")

from watchkeeper.adapters.lakes.delta import open_lake
from watchkeeper.capture.journal import journals, read_flushes
from watchkeeper.capture.recorder import Recorder
from watchkeeper.domain.window import Window
from watchkeeper.errors import StoreUnavailable
from watchkeeper.testing.contracts.lake import origin, predictions

T0 = datetime(2026, 3, 1, tzinfo=UTC)
SPAN = Window(T0 - timedelta(days=1), T0 + timedelta(days=2))
CUT = textwrap.dedent(
    """
    import fcntl, os, struct, sys
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from watchkeeper.adapters.lakes.delta import open_lake
    from watchkeeper.adapters.ledgers.sql import open_ledger
    from watchkeeper.domain.watched import WatchedModel
    from watchkeeper.loop.watch.drain import drain

    data = Path(sys.argv[1])
    ledger, now = open_ledger(data / "ledger.db"), datetime(2026, 3, 2, tzinfo=UTC)
    lease = ledger.leases.acquire("tick", "here", timedelta(minutes=5), now)
    done = drain(WatchedModel(name="m"), data=data, lake=open_lake(data / "lake"), ledger=ledger, lease=lease)
    assert (done.predictions, done.problems) == (50, []), done
    fcntl.ioctl(os.open(data, os.O_RDONLY), 0x8004587D, struct.pack("I", 2))  # shut down, without a flush
    os._exit(0)
    """
)


@pytest.fixture
def disk(tmp_path):
    """An ext4 file system of its own, with a way to mount it again."""
    if sys.platform != "linux" or os.geteuid() or not shutil.which("mkfs.ext4"):
        pytest.skip("a file system of its own needs Linux, root and mkfs.ext4")
    image, folder = tmp_path / "disk", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(96 << 20)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)

    def mount():
        return subprocess.run(
            ["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True
        )

    if (done := mount()).returncode:
        pytest.skip(f"a loop device cannot be mounted here: {done.stderr.strip()}")

    def again():
        subprocess.run(["umount", str(folder)], check=True)
        assert mount().returncode == 0

    yield folder, again
    subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.parametrize("cut", range(2))
def test_what_a_journal_has_forgotten_survives_a_power_cut(disk, cut):
    folder, mount_again = disk
    with Recorder("m", "1", path=folder) as recorder:
        for i in range(50):
            recorder.record({"x": float(i), "plan": "a" * cut}, i % 2, id=f"p{i}", at=T0)
    subprocess.run([sys.executable, "-c", CUT, str(folder)], check=True)
    mount_again()
    assert not any(list(read_flushes(p)) for p in journals(folder, "m")), "the journal has forgotten them"
    lake = open_lake(folder / "lake")
    found = sorted(i for b in lake.joined("m", SPAN, columns=["wk_id"]) for i in b["wk_id"].to_pylist())
    assert found == sorted(f"p{i}" for i in range(50))


def test_an_empty_last_log_file_is_found_reported_and_made_good(tmp_path):
    lake = open_lake(tmp_path)
    for n in (1, 2):
        lake.append("m", "predictions", predictions(2, start=2 * n), origin=origin("j", n))
    log = tmp_path / "m" / "predictions" / "_delta_log"
    last = max(log.glob("*.json"))
    os.truncate(last, 0)
    lake = open_lake(tmp_path)
    with pytest.raises(StoreUnavailable, match="was empty, as after a power cut"):
        lake.drained("m", "predictions", "j")
    assert lake.drained("m", "predictions", "j").sequence == 1, "its rows come again from the journal"
    assert lake.append("m", "predictions", predictions(2, start=4), origin=origin("j", 2)) == 2
    assert (log / f"{last.name}.empty").exists()
