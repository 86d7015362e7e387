"""A ledger filled with a made-up year: many models, hourly windows, columns, segments, alerts, versions.

For tests and measurements of pages at full size. Nobody else sees it: every number in it is invented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from watchkeeper.domain.alert import Alert, AlertState, LogEntry, fingerprint
from watchkeeper.domain.fact import Document, Fact
from watchkeeper.domain.measurement import Interval, Measurement
from watchkeeper.domain.rule import Severity
from watchkeeper.domain.series import PlacedMeasurement, WindowKey, WindowState
from watchkeeper.domain.window import Window
from watchkeeper.ports.ledger import Ledger

__all__ = ["Size", "column_names", "fill", "model_names"]

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
WORDS = ("age", "income", "tenure", "balance", "visits", "region", "plan", "device", "distance", "delay")
SEGMENTS = ("region=north", "region=south", "plan=basic", "plan=pro", "device=phone")
SENTENCES = (
    "The distribution of {column} moved: PSI 0.31, where 0.1 matters.",
    "ROC AUC fell from 0.81 to 0.74.",
    "{column} is missing in 14% of rows; it was 2%.",
    "95% of requests take up to 850 ms; 300 ms was agreed.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much to make. The first model gets everything; the others 60 days of daily numbers."""

    models: int = 40
    days: int = 365
    window: timedelta = HOUR
    """Length of the first model's windows."""
    columns: int = 100
    segments: int = 5
    alerts: int = 500
    firing: int = 6
    shallow_columns: int = 3


def model_names(size: Size) -> list[str]:
    """The names that `fill` uses.

    >>> model_names(Size(models=3))
    ['churn', 'model-0001', 'model-0002']
    """
    return ["churn", *(f"model-{i:04d}" for i in range(1, size.models))][: size.models]


def column_names(count: int) -> list[str]:
    """Names of columns; one of them is markup, which pages must show and never obey."""
    names = [
        f"{WORDS[i % len(WORDS)]}_{i // len(WORDS)}" if i >= len(WORDS) else WORDS[i] for i in range(count)
    ]
    if count > 3:
        names[3] = "<script>alert(1)</script>"
    return names


def fill(ledger: Ledger, *, now: datetime, size: Size | None = None, seed: int = 7) -> Size:
    """Write the made-up year that ends at *now*; returns the size."""
    size = size or Size()
    rng = np.random.default_rng(seed)
    names = model_names(size)
    end = now.replace(minute=0, second=0, microsecond=0)
    first = end.replace(hour=0) - DAY
    for chunk in _chunks(_deep(names[0], end, size, rng), 50_000):
        ledger.measurements.write(chunk, at=now)
    ledger.measurements.write(list(_versions(names[0], end, size)), at=now)
    for chunk in _chunks(_shallow(names[1:], first, size, rng), 50_000):
        ledger.measurements.write(chunk, at=now)
    _windows(ledger, names, end, size, rng)
    _alerts(ledger, names, end, size, rng)
    fact = Fact(
        kind="baseline.set", at=end - size.days * DAY, actor="ann", model=names[0], body={"rows": 250_000}
    )
    measured = [
        Fact(
            kind="window.measured",
            at=end - i * HOUR,
            actor="tick",
            model=names[i % len(names)],
            subject=Window(end - (i + 1) * HOUR, end - i * HOUR).label,
            body={"rows": 1200 + i, "outcomes": 1000, "mature": i > 24},
        )
        for i in range(300, 0, -1)
    ]
    ledger.facts.append([fact, *measured])
    return size


def _put(
    model: str, window: Window, measure: str, value: float, *, segment: str = "", subject: str = "", width: float = 0.0,
    rows: float = 1200, margin: float | None = None, details: dict[str, float] | None = None,
) -> PlacedMeasurement:  # fmt: skip
    return PlacedMeasurement(
        key=WindowKey(model=model, window=window, segment=segment),
        measurement=Measurement(
            measure=measure,
            subject=subject,
            value=value,
            rows=rows,
            interval=Interval(value - width, value + width) if width else None,
            margin=margin,
            details=details or {},
        ),
    )


def _deep(model: str, end: datetime, size: Size, rng: np.random.Generator) -> Iterator[PlacedMeasurement]:
    """A year of windows of every column and segment, with a drift in the last tenth and one spike of one window."""
    count = int(size.days * DAY / size.window)
    windows = [
        Window(end - (count - i) * size.window, end - (count - 1 - i) * size.window) for i in range(count)
    ]
    time = np.arange(count) / count
    late = np.clip((time - 0.9) / 0.1, 0, 1)
    auc = 0.82 + 0.01 * np.sin(time * 12) + rng.normal(0, 0.006, count) - 0.05 * late
    spike = count // 2
    auc[spike] = 0.55
    for i, w in enumerate(windows):
        yield _put(model, w, "roc_auc", float(auc[i]), width=0.015, rows=1000)
        yield _put(model, w, "accuracy", float(auc[i] + 0.05), width=0.01, rows=1000)
        day = 1 + 0.6 * np.sin(2 * np.pi * w.start.hour / 24)
        yield _put(model, w, "request_rate", float(max(0.01, 4 * day + rng.normal(0, 0.2))))
        yield _put(model, w, "error_rate", float(abs(rng.normal(0.002, 0.001))), width=0.0005)
        for q, s in (("p50", 0.04), ("p95", 0.16), ("p99", 0.31)):
            yield _put(model, w, "latency", float(s * (1 + 0.1 * rng.normal())), subject=q)
    for g in ("", *SEGMENTS[: size.segments]):
        if g:
            shift = rng.normal(0, 0.02)
            for i, w in enumerate(windows):
                yield _put(model, w, "roc_auc", float(auc[i] + shift), segment=g, width=0.03, rows=200)
        for k, column in enumerate(column_names(size.columns)):
            moved = 0.4 * late * (k % 17 == 2) + 0.15 * (np.abs(time - 0.6) < 0.03) * (k % 11 == 5)
            psi = rng.gamma(2, 0.006, count) + moved
            missing = np.clip(rng.normal(0.01 * (k % 5), 0.003, count), 0, 1)
            for i, w in enumerate(windows):
                yield _put(model, w, "psi", float(psi[i]), segment=g, subject=column, margin=0.03)
                if not g:
                    yield _put(model, w, "missing", float(missing[i]), subject=column)
                middle = float(20 + k + 4 * moved[i] + 0.3 * psi[i])
                around = {"p5": middle - 9, "p25": middle - 3, "p75": middle + 3, "p95": middle + 9}
                width = 0.9 if g else 0.4
                yield _put(model, w, "median", middle, segment=g, subject=column, width=width, details=around)


def _versions(model: str, end: datetime, size: Size) -> Iterator[PlacedMeasurement]:
    """Three versions, one after the other."""
    for d in range(size.days):
        start = end.replace(hour=0) - (size.days - d) * DAY
        key = WindowKey(model=model, window=Window(start, start + DAY), version=f"v{1 + 3 * d // size.days}")
        yield PlacedMeasurement(
            key=key, measurement=Measurement(measure="row_count", value=28_800.0, rows=28_800)
        )


def _shallow(
    models: Sequence[str], first: datetime, size: Size, rng: np.random.Generator
) -> Iterator[PlacedMeasurement]:
    columns = column_names(max(4, size.shallow_columns))[: size.shallow_columns]
    for n, model in enumerate(models):
        if n % 19 == 18:
            continue  # waiting: nothing has come yet
        level = 0.7 + 0.25 * rng.random()
        for d in range(60):
            start = first - (59 - d) * DAY
            w = Window(start, start + DAY)
            yield _put(model, w, "roc_auc", float(level + rng.normal(0, 0.008)), width=0.012, rows=5000)
            if d == 59:
                yield _put(model, w, "request_rate", float(rng.gamma(2, 2)))
                yield _put(model, w, "error_rate", float(abs(rng.normal(0.001, 0.002))))
                yield _put(model, w, "latency", float(0.1 + 0.1 * rng.random()), subject="p95")
                for column in columns:
                    yield _put(model, w, "psi", float(rng.gamma(2, 0.01)), subject=column, margin=0.03)


def _windows(ledger: Ledger, names: list[str], end: datetime, size: Size, rng: np.random.Generator) -> None:
    states = []
    for n, model in enumerate(names):
        if n and (n - 1) % 19 == 18:
            continue
        silent = 3 * DAY if n % 29 == 28 else timedelta(0)
        many = int(size.days * DAY / HOUR) if n == 0 else 48
        for i in range(many):
            start = end - silent - (many - i) * HOUR
            mature = i < many - 24
            outcomes = 1000 if mature else int(700 * (many - i) / 48)
            version = f"v{1 + 3 * i // many}"
            for v in ("", version):
                states.append(
                    WindowState(
                        key=WindowKey(model=model, window=Window(start, start + HOUR), version=v),
                        rows=1200,
                        outcomes=outcomes,
                        mature=mature,
                        generation=1,
                        measured_at=end,
                        marks=1,
                    )
                )
        if len(states) > 20_000:
            ledger.windows.done(states)
            states = []
    ledger.windows.done(states)


def _alerts(ledger: Ledger, names: list[str], end: datetime, size: Size, rng: np.random.Generator) -> None:
    columns = column_names(max(4, size.columns))
    documents: list[Document] = []
    for i in range(size.alerts):
        firing = i < size.firing
        pending = size.firing <= i < size.firing + 2
        model = names[0] if i in (0, 1) or i % 7 == 0 else names[int(rng.integers(len(names)))]
        severity = list(Severity)[2 if i % 5 == 0 else i % 2]
        column = columns[int(rng.integers(len(columns)))]
        fired = end - (2 + i if i < size.firing + 2 else 30 + (i * 37) % max(40, 24 * size.days)) * HOUR
        labels = {"model": model, "rule": f"rule-{i % 4}", "column": column, "n": str(i)}
        state = AlertState.FIRING if firing else AlertState.PENDING if pending else AlertState.RESOLVED
        sentence = SENTENCES[i % 4].format(column=column)
        alert = Alert(
            fingerprint=fingerprint(labels),
            labels=labels,
            severity=severity,
            state=state,
            episode=1,
            since=fired - 5 * HOUR,
            pending_since=fired - 3 * HOUR,
            fired_at=None if pending else fired,
            resolved_at=fired + 8 * HOUR if state is AlertState.RESOLVED else None,
            last_failed=fired,
            window_start=fired - HOUR,
            window_end=fired,
            changed_at=fired,
            verdict="fail",
            sentence=sentence,
            rule=f"rule-{i % 4}",
            model=model,
            about="Watches whether the data still look as they did.",
            acknowledged_by="ann" if i == 1 else "",
            acknowledged_at=fired + HOUR if i == 1 else None,
            what={
                "measure": ("psi", "roc_auc", "missing", "latency")[i % 4],
                "subject": "" if i % 4 == 1 else "p95" if i % 4 == 3 else column,
                "sentence": sentence,
                "guarantee": "at most 1 in 20 chance of ever firing falsely, if windows are exchangeable",
            },
            whom={"segments": [{"segment": "region=north"}]},
            log=(LogEntry(fired, "watchkeeper", "It fired."),),
        )
        body: dict[str, Any] = msgspec.to_builtins(alert)
        documents.append(
            Document(
                kind="alert",
                key=alert.fingerprint,
                body=body,
                state=state.value,
                model=model,
                rank=float(severity.rank) + (10 if firing or pending else 0),
                updated_at=fired,
            )
        )
    for chunk in _chunks(iter(documents), 5_000):
        ledger.facts.append([], chunk)
    facts = [
        Fact(kind="alert.fired", at=d.updated_at or end, actor="watchkeeper", model=d.model, subject=d.key)
        for d in documents[:50]
    ]
    ledger.facts.append(facts)


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
