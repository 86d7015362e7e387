"""The peers' own environments, and running one job in a process of its own.

``python -m benchmarks.peers nannyml`` makes one environment and prints where its Python is.

A job is a script of ``benchmarks/jobs`` that prints one line of JSON. It measures itself, so that starting
Python and importing libraries is not counted, and its peak memory is its own and nobody else's.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "environment", "run_job"]

ROOT = Path(__file__).resolve().parent.parent
JOBS = Path(__file__).resolve().parent / "jobs"
_QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "WHYLOGS_NO_ANALYTICS": "True", "DO_NOT_TRACK": "1"}
_OLDEST_TO_NEWEST = ("python3.11", "python3.12")
"""What every peer runs on; NannyML refuses 3.13."""


def environment(peer: str) -> Path:
    """Return the Python of *peer*'s environment, made on first use from its requirement file; one process makes it.

    Raises
    ------
    SystemExit
        there is no Python that the peer runs on, or its packages cannot be installed (no network, say).
    """
    (ROOT / ".venvs").mkdir(exist_ok=True)
    with (ROOT / ".venvs" / f"{peer}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(peer)


def _made(peer: str) -> Path:
    folder, wanted = ROOT / ".venvs" / peer, Path(__file__).parent / "requirements" / f"{peer}.txt"
    python, made = folder / "bin" / "python", folder / "made-from.txt"
    if made.exists() and made.read_text() == wanted.read_text():
        return python
    if not python.exists():
        base = (
            sys.executable
            if sys.version_info < (3, 13)
            else next(filter(None, map(shutil.which, _OLDEST_TO_NEWEST)), None)
        )
        if base is None:
            raise SystemExit(f"{peer} needs Python 3.11 or 3.12, and neither is on the PATH.")
        subprocess.run([base, "-m", "venv", str(folder)], check=True)
    print(f"Installing {peer} into {folder.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
    for attempt in (1, 2, 3):
        done = subprocess.run([*_installer(python), "-q", "-r", str(wanted)], capture_output=True, text=True)
        if done.returncode == 0:
            made.write_text(wanted.read_text())
            return python
        if attempt < 3:
            time.sleep(5 * attempt)
    raise SystemExit(f"{peer} could not be installed (is there a network?):\n{done.stderr[-2000:]}")


def _installer(python: Path) -> list[str]:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    return [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]


def run_job(python: Path | str, job: str, *words: str, timeout_s: float = 3600) -> dict[str, Any]:
    """Run ``jobs/<job>.py`` and return the JSON object of its last line.

    Raises
    ------
    SystemExit
        the job failed; its last lines of complaint are shown.
    """
    done = subprocess.run(
        [str(python), "-W", "ignore", str(JOBS / f"{job}.py"), *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **_QUIET},
        cwd=ROOT,
    )
    if done.returncode:
        raise SystemExit(f"The job {job} {' '.join(words)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    print(environment(sys.argv[1]))
