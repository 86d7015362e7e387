"""Our own writing of NannyML's CBPE gives the numbers that NannyML 0.13.1 itself gave."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.nannyml_cbpe import METRICS, chunk_estimates, needs_calibration

from watchkeeper.errors import BadInput

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KEPT = json.loads((HERE / "golden" / "nannyml_cbpe.json").read_text())["results"]


def cases() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("cbpe_cases", HERE / "golden" / "cbpe_cases.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return {case.name: case for case in module.cbpe_cases()}


CASES = cases()


def assert_same(ours: list, theirs: dict[str, Any]) -> None:
    """Every number that the peer gave, to one in a million."""
    for metric, fields in theirs.items():
        if metric == "calibrated":
            assert {e.calibrated for e in ours} == {fields}
            continue
        found = [e for e in ours if e.metric == metric]
        for field, values in fields.items():
            mine = [getattr(e, field) for e in found]
            assert len(mine) == len(values)
            if field == "alert":
                assert mine == values, metric
                continue
            for a, b in zip(mine, values, strict=True):
                assert (a is None) == (b is None), (metric, field)
                assert a is None or a == pytest.approx(b, abs=1e-6), (metric, field)


@pytest.mark.parametrize("name", KEPT)
def test_equal_to_the_peer(name):
    case = CASES[name]
    r, a = case.reference, case.analysis
    ours = chunk_estimates(
        r["score"], r["decision"], r["outcome"], a["score"], a["decision"], chunk_rows=case.chunk_rows
    )
    assert_same(ours, KEPT[name])


def test_both_ways_of_calibrating_occur_among_the_cases():
    assert {found["calibrated"] for found in KEPT.values()} == {True, False}


def columns_of(file: Path, names: list[str]) -> list[np.ndarray]:
    if file.suffix == ".pq":
        import pyarrow.parquet as pq

        table = pq.read_table(file, columns=names)
    else:
        from pyarrow import csv

        table = csv.read_csv(file, convert_options=csv.ConvertOptions(include_columns=names))
    return [table[name].to_numpy().astype(float) for name in names]


@pytest.fixture
def peer() -> Path:
    """The Python of NannyML's own environment, made when it is not there; what cannot be made fails with CI=true."""
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", "nannyml"], cwd=ROOT, capture_output=True, text=True
    )
    if made.returncode == 0:
        return Path(made.stdout.strip().splitlines()[-1])
    reason = f"NannyML's environment cannot be made here: {made.stderr.strip()[-1500:]}"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_equal_to_the_peer_on_the_data_in_its_wheel(peer):
    """Car loan and employment: the data never enters our repository, so the peer runs here and now."""
    done = subprocess.run(
        [str(peer), "-W", "ignore", str(HERE / "golden" / "produce_nannyml_cbpe.py"), "--bundled"],
        capture_output=True,
        text=True,
        env={**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    (data,) = peer.parents[1].glob("lib/python*/site-packages/nannyml/datasets/data")
    sets = {
        "car_loan": ("synthetic_car_loan_{}.csv", ["y_pred_proba", "y_pred", "repaid"], 5_000),
        "employment": ("employment_MA_{}.pq", ["predicted_probability", "prediction", "employed"], None),
    }
    assert set(theirs) == set(sets)
    for name, (file, columns, chunk_rows) in sets.items():
        reference = columns_of(data / file.format("reference"), columns)
        analysis = columns_of(data / file.format("analysis"), columns[:2])
        ours = chunk_estimates(*reference, *analysis, chunk_rows=chunk_rows)
        assert len(ours) == len(METRICS) * len(theirs[name]["accuracy"]["value"])
        assert_same(ours, theirs[name])


def test_it_is_not_calibrated_without_two_classes_or_when_nearly_perfect():
    s = np.linspace(0.01, 0.99, 200)
    assert not needs_calibration(s, np.ones(200))
    assert not needs_calibration(s, s > 0.5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="accuracy"):
        chunk_estimates([0.1] * 20, [0] * 20, [0] * 20, [0.1] * 20, [0] * 20, metrics=["accurracy"])
    with pytest.raises(BadInput, match="tenth"):
        chunk_estimates([0.1] * 20, [0] * 20, [0] * 20, [0.1] * 9, [0] * 9)
    with pytest.raises(BadInput, match="length"):
        chunk_estimates([0.1] * 20, [0] * 19, [0] * 20, [0.1] * 9, [0] * 9)
