"""Every detector behind the one door: batch, one by one and resumed say the same. A kind joins by joining the catalogue."""

import json

import numpy as np
import pytest

import watchkeeper as wk
from watchkeeper.errors import BadInput


@pytest.fixture(scope="module")
def errors():
    rng = np.random.default_rng(0)
    return np.r_[rng.random(400) < 0.05, rng.random(250) < 0.8].astype(float)


@pytest.mark.parametrize("kind", wk.detectors.KINDS)
class TestEveryKind:
    def test_a_batch_and_one_by_one_alarm_at_the_same_values(self, kind, errors):
        whole, single = wk.detectors.Detector(kind), wk.detectors.Detector(kind)
        alarms = whole.update_many(errors).tolist()
        assert [i for i, value in enumerate(errors) if single.update(value)] == alarms
        assert whole.seen == single.seen == len(errors)
        assert any(i >= 400 for i in alarms)

    def test_saved_and_read_back_it_goes_on_as_if_it_had_not_been(self, kind, errors):
        alarms = wk.detectors.Detector(kind).update_many(errors).tolist()
        first = wk.detectors.Detector(kind)
        found = first.update_many(errors[:417]).tolist()
        again = wk.detectors.Detector.of_payload(json.loads(json.dumps(first.to_payload(), allow_nan=False)))
        assert found + [417 + int(i) for i in again.update_many(errors[417:])] == alarms

    def test_what_it_cannot_take_is_refused(self, kind):
        with pytest.raises(BadInput, match="not take these parameters"):
            wk.detectors.Detector(kind, no_such_parameter=1)
        with pytest.raises(BadInput, match="not finite"):
            wk.detectors.Detector(kind).update(float("nan"))


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(BadInput, match="Did you mean 'adwin'"):
        wk.detectors.Detector("adwni")


def test_a_chart_without_a_target_takes_the_first_values_as_usual():
    """The same as with their mean and standard deviation given, over the values that come after."""
    rng = np.random.default_rng(1)
    values = np.r_[rng.normal(5, 2, 60), rng.normal(9, 2, 20)]
    usual = values[:30]
    given = wk.detectors.Detector("cusum", target=float(usual.mean()), sd=float(usual.std(ddof=1)))
    own = wk.detectors.Detector("cusum").update_many(values)
    assert len(own) > 0
    assert own.tolist() == (given.update_many(values[30:]) + 30).tolist()


def test_forgetting_does_not_depend_on_how_the_stream_was_cut():
    values = np.random.default_rng(2).random(1_000)
    whole = wk.detectors.Detector("kswin").update_many(values).tolist()
    parts, made = [], wk.detectors.Detector("kswin")
    for start in range(0, 1_000, 333):
        parts += [start + int(i) for i in made.update_many(values[start : start + 333])]
        made = wk.detectors.Detector.of_payload(made.to_payload())
    assert parts == whole
