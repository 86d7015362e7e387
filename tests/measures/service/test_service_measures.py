"""Service measures against numpy and statsmodels on the requests themselves."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from watchkeeper.measures.service.durations import latency, outcome_delay
from watchkeeper.measures.service.evaluation import measure_service
from watchkeeper.measures.service.rates import (
    availability,
    dropped_events,
    error_rate,
    outcome_coverage,
    request_rate,
    rescued_rows,
)
from watchkeeper.stats.states.service import ServiceState


def requests(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(-4, 1, n), rng.random(n) < 0.03


@pytest.mark.known_answer("latency", "outcome_delay", source="numpy.quantile")
@pytest.mark.parametrize("function", [latency, outcome_delay])
def test_quantiles_are_those_of_the_requests_within_the_bound(function):
    seconds, failed = requests(20_000)
    state = ServiceState.of(latency_s=seconds, failed=failed, delay_s=seconds)
    for m, q in zip(function(state), (0.5, 0.95, 0.99), strict=True):
        true = np.quantile(seconds, q)
        assert m.value == pytest.approx(true, rel=0.02)
        assert m.interval.low < true < m.interval.high
        assert abs(m.value - true) <= m.bound


def test_a_day_s_quantile_is_that_of_all_its_requests():
    hours = [requests(500, seed) for seed in range(24)]
    day = ServiceState.empty()
    for seconds, failed in hours:
        day = day.merge(ServiceState.of(latency_s=seconds, failed=failed))
    everything = np.concatenate([s for s, _ in hours])
    assert latency(day)[2].value == pytest.approx(np.quantile(everything, 0.99), rel=0.02)
    assert day.requests == everything.size


@pytest.mark.known_answer(
    "error_rate",
    "availability",
    "dropped_events",
    "rescued_rows",
    "request_rate",
    "outcome_coverage",
    source="statsmodels, counts by hand",
)
def test_rates_and_their_intervals():
    state = ServiceState.of(latency_s=np.full(200, 0.01), failed=np.arange(200) < 7, dropped=50, rescued=20)
    low, high = proportion_confint(7, 200, method="wilson")
    m = error_rate(state)
    assert (m.value, m.interval.low, m.interval.high) == pytest.approx((0.035, low, high), rel=1e-4)
    assert availability(state).value == pytest.approx(0.965)
    assert dropped_events(state).value == pytest.approx(50 / 250)
    assert rescued_rows(state).value == pytest.approx(0.1)
    assert request_rate(state, seconds=100).value == 2.0
    late = ServiceState.of(
        latency_s=np.full(200, 0.01), failed=np.zeros(200, bool), delay_s=np.full(50, 60.0)
    )
    assert outcome_coverage(late).value == 0.25


def test_a_quiet_window_has_no_error_rate():
    measured = {(m.measure, m.subject): m for m in measure_service(ServiceState.empty(), seconds=3600)}
    assert measured["request_rate", ""].value == 0.0
    assert measured["error_rate", ""].value is None
    assert measured["latency", "p99"].reason == "no latency was recorded"
