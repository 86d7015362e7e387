"""Alarm for alarm what River's detectors say, on streams with and without change; and resuming."""

from __future__ import annotations

import json

import numpy as np
import pytest

from watchkeeper.errors import BadInput
from watchkeeper.stats.detectors.ddm import DDM
from watchkeeper.stats.detectors.eddm import EDDM
from watchkeeper.stats.detectors.page_hinkley import PageHinkley

river = pytest.importorskip("river.drift")


def errors(seed):
    rng = np.random.default_rng(seed)
    pieces = rng.integers(1, 6)
    rates = rng.choice([0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 1.0], pieces)
    return np.concatenate([rng.random(rng.integers(1, 4_000)) < rate for rate in rates]).astype(int)


def numbers(seed):
    rng = np.random.default_rng(seed)
    levels = rng.normal(0, 2, rng.integers(1, 6))
    return np.concatenate([rng.normal(level, 1, rng.integers(1, 4_000)) for level in levels])


def alarms_of(theirs, stream):
    out = []
    for i, x in enumerate(stream.tolist()):
        theirs.update(x)
        if theirs.drift_detected:
            out.append(i)
    return out


@pytest.mark.parametrize("seed", range(30))
class TestSameIndex:
    def test_ddm(self, seed):
        stream = errors(seed)
        assert DDM().update_many(stream)[1].tolist() == alarms_of(river.binary.DDM(), stream)

    def test_ddm_with_other_thresholds(self, seed):
        stream = errors(100 + seed)
        ours = DDM(warm_start=5, drift_threshold=2.2).update_many(stream.astype(bool))[1]
        assert ours.tolist() == alarms_of(river.binary.DDM(warm_start=5, drift_threshold=2.2), stream)

    def test_eddm(self, seed):
        stream = errors(seed)
        assert EDDM().update_many(stream)[1].tolist() == alarms_of(river.binary.EDDM(), stream)

    @pytest.mark.parametrize("mode", ["up", "down", "both"])
    def test_page_hinkley(self, seed, mode):
        for stream in (errors(seed).astype(float), numbers(seed)):
            ours = PageHinkley(mode=mode).update_many(stream)[1]
            assert ours.tolist() == alarms_of(river.PageHinkley(mode=mode), stream)

    def test_page_hinkley_with_other_parameters(self, seed):
        stream = numbers(seed)
        given = {"min_instances": 7, "delta": 0.1, "threshold": 8.0, "alpha": 0.99}
        assert PageHinkley(**given).update_many(stream)[1].tolist() == alarms_of(
            river.PageHinkley(**given), stream
        )


def test_the_streams_do_alarm():
    counts = [len(DDM().update_many(errors(seed))[1]) for seed in range(30)]
    assert sum(counts) > 30
    assert sum(len(PageHinkley().update_many(numbers(seed))[1]) for seed in range(30)) > 30
    assert sum(len(EDDM().update_many(errors(seed))[1]) for seed in range(30)) > 30


@pytest.mark.parametrize("detector", [DDM, EDDM, PageHinkley])
@pytest.mark.parametrize("cut", [0, 1, 29, 512, 3_000])
def test_a_saved_state_goes_on_as_if_nothing_happened(detector, cut):
    stream = np.concatenate([errors(seed) for seed in range(4)])
    whole, alarms = detector().update_many(stream)
    first, early = detector().update_many(stream[:cut])
    resumed = detector.of_payload(json.loads(json.dumps(first.to_payload())))
    last, late = resumed.update_many(stream[cut:])
    assert [*early, *(late + cut)] == alarms.tolist()
    ours, theirs = last.to_payload(), whole.to_payload()
    assert all(ours[k] == pytest.approx(theirs[k], rel=1e-9) for k in ours if isinstance(ours[k], float))


@pytest.mark.parametrize("detector", [DDM, EDDM, PageHinkley])
def test_one_at_a_time_is_the_same(detector):
    stream = errors(3)[:2_000]
    state, found = detector(), []
    for i, x in enumerate(stream):
        state, alarm = state.update(x)
        if alarm:
            found.append(i)
    assert found == detector().update_many(stream)[1].tolist()


def test_what_cannot_be_used_is_refused():
    with pytest.raises(BadInput, match="0 and 1"):
        DDM().update_many(np.array([0.5]))
    with pytest.raises(BadInput, match="0 and 1"):
        EDDM().update_many(np.array([2]))
    with pytest.raises(BadInput, match="not finite"):
        PageHinkley().update_many(np.array([np.nan]))
    with pytest.raises(BadInput, match="both"):
        PageHinkley(mode="sideways")
    with pytest.raises(BadInput, match="not of DDM"):
        DDM.of_payload(EDDM().to_payload())


class TestAdapter:
    @pytest.mark.parametrize(
        ("kind", "theirs", "parameters"),
        [
            ("adwin", "ADWIN", {}),
            ("kswin", "KSWIN", {"seed": 3}),
            ("hddm_a", "HDDMA", {}),
            ("hddm_w", "HDDMW", {}),
        ],
    )
    def test_alarms_are_rivers(self, kind, theirs, parameters):
        from watchkeeper.stats.detectors.river import RiverDetector

        binary = kind.startswith("hddm")
        stream = np.concatenate([errors(s) for s in range(4)]) if binary else numbers(5)[2_000:5_000]
        module = river.binary if binary else river
        expected = alarms_of(getattr(module, theirs)(**parameters), stream)
        assert RiverDetector(kind, **parameters).update_many(stream).tolist() == expected
        assert expected

    def test_unknown_kinds_and_parameters_are_refused(self):
        from watchkeeper.stats.detectors.river import RiverDetector

        with pytest.raises(BadInput, match="Did you mean 'adwin'"):
            RiverDetector("adwi")
        with pytest.raises(BadInput, match="does not take"):
            RiverDetector("adwin", colour=1)

    def test_without_river_it_says_what_to_install(self, monkeypatch):
        import sys

        from watchkeeper.errors import MissingExtra
        from watchkeeper.stats.detectors.river import RiverDetector

        monkeypatch.setitem(sys.modules, "river", None)
        with pytest.raises(MissingExtra, match=r"watchkeeper\[river\]"):
            RiverDetector("adwin")
