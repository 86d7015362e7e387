"""Requests: how long each took, whether it failed, how late its outcome came."""

from hypothesis import strategies as st

from watchkeeper.stats.states.service import ServiceState

SECONDS = st.floats(1e-5, 1e4)
ROW = st.tuples(st.one_of(st.just(float("nan")), SECONDS), st.booleans(), st.one_of(st.none(), SECONDS))


def build(rows):
    return ServiceState.of(
        latency_s=[r[0] for r in rows],
        failed=[r[1] for r in rows],
        delay_s=[r[2] for r in rows if r[2] is not None],
    )
