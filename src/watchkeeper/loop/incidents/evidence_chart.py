"""The picture of an alert: the statistic that was judged, what it was held against, and when it fired.

The same picture stands on its page, in its message, in its incident and in the post-mortem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.decisions.rules.window_counts import Binning
from watchkeeper.documents.drawing.charts import MESSAGE, Place, Spec, points_of, series_line
from watchkeeper.documents.drawing.column_view import missing_share
from watchkeeper.domain.alert import Alert
from watchkeeper.domain.window import Window
from watchkeeper.errors import WatchkeeperError
from watchkeeper.loop.watch.profile_rollups import columns_by_time
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.stats.states.frequencies import Frequencies
from watchkeeper.stats.states.histogram import Histogram
from watchkeeper.stats.states.profile import ColumnProfile

BEFORE, AFTER, MOST = 20, 5, 400
"""Windows that a chart shows: before the change began, after it was over, and at most."""
Statistic = Callable[[ColumnProfile], float | None]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The judged statistic by window; *points* have ``at``, ``end``, ``value``, maybe ``low`` and ``high``."""

    title: str
    subtitle: str
    unit: str
    points: list[dict[str, Any]]
    span: tuple[datetime, datetime]
    baseline: float | None = None
    tolerated: tuple[float, float] | None = None
    threshold: float | None = None
    marks: tuple[dict[str, Any], ...] = ()
    firing: tuple[dict[str, Any], ...] = ()

    def chart(self, place: Place = MESSAGE) -> Spec:
        """Its chart at *place*."""
        return series_line(
            self.points,
            title=self.title,
            subtitle=self.subtitle,
            unit=self.unit,
            place=place,
            span=self.span,
            baseline=self.baseline,
            tolerated=self.tolerated,
            threshold=self.threshold,
            marks=self.marks,
            spans=self.firing,
        )


def evidence_of(watch: Any, alert: Alert) -> Evidence | None:
    """What was judged, from some windows before it changed to the newest that counts; None where nothing is stored."""
    if not alert.model:
        return None
    column = alert.labels.get("column", "")
    measure = str(alert.what.get("measure") or alert.labels.get("measure") or "")
    made = None
    if column and not measure:
        made = _of_a_column(watch, alert, column)
    return made or _of_a_series(watch, alert, measure or ("psi" if column else ""), named=bool(measure))


def _span(alert: Alert, length: timedelta) -> tuple[datetime, datetime]:
    """From some windows before it changed until a few after it was over, or the newest."""
    end = alert.window_end
    assert end is not None
    if alert.resolved_at is not None:
        end = min(end, alert.resolved_at + AFTER * length)
    began = alert.since or alert.fired_at or end
    return max(began - BEFORE * length, end - MOST * length), end


def _length(alert: Alert) -> timedelta | None:
    """Of the window that was judged: an alert spans more while its outcomes are still coming."""
    if alert.window_end is None:
        return None
    if judged := alert.what.get("window"):
        start, end = map(datetime.fromisoformat, judged)
        return end - start
    return None if alert.window_start is None else alert.window_end - alert.window_start


def _happened(alert: Alert, span: tuple[datetime, datetime], length: timedelta | None) -> dict[str, Any]:
    """The marks of when it began and fired, and the span in which it fires."""
    start, end = span
    marks: list[dict[str, Any]] = []
    if alert.since is not None and alert.since >= start:
        near = (alert.since - start) < 0.15 * (end - start)  # there is no room before its line
        marks.append({"at": alert.since, "text": "it began", **({} if near else {"side": "left"})})
    if alert.fired_at is not None and length is not None and alert.fired_at - length >= start:
        marks.append({"at": alert.fired_at - length, "text": "fired", "kind": "fail"})
    firing: tuple[dict[str, Any], ...] = ()
    if alert.fired_at is not None:
        began = max(alert.fired_at - (length or timedelta(0)), start)
        over = min(alert.resolved_at or end, end)
        if over > began:
            firing = ({"at": began, "end": over, "kind": "firing", "text": "it fires"},)
    return {"marks": tuple(marks), "firing": firing}


def _subtitle(alert: Alert) -> str:
    return ", ".join(p for p in (alert.model, alert.labels.get("segment", "")) if p)


def _of_a_series(watch: Any, alert: Alert, measure: str, *, named: bool) -> Evidence | None:
    """The measured series. Evidence is tolerated around its baseline; other rules have a threshold."""
    if not measure:
        return None
    what, length = alert.what, _length(alert)
    start, end = (None, alert.window_end) if length is None else _span(alert, length)
    subject = str(what.get("subject") or alert.labels.get("column", ""))
    table = watch.ledger.measurements.series(
        alert.model,
        measure,
        subject=subject,
        segment=alert.labels.get("segment", ""),
        version=alert.labels.get("version", ""),
        start=start,
        end=None if end is None else end + timedelta(seconds=1),
        length=length,
    )
    points = points_of(table)
    if not any(p["value"] is not None for p in points):
        return None
    span = (points[0]["at"], points[-1]["end"])
    described = described_measures().get(measure)
    title = described.title if described is not None else measure
    limit, baseline = (what.get("limit"), what.get("baseline")) if named else (None, None)
    tolerated = None
    if limit is not None and baseline is not None and what.get("effect") is not None:
        tolerated, limit = (baseline - limit, baseline + limit), None
    return Evidence(
        title=f"{title} of {subject}" if subject else title,
        subtitle=_subtitle(alert),
        unit=described.unit if described is not None else "",
        points=points,
        span=span,
        baseline=baseline,
        tolerated=tolerated,
        threshold=limit,
        **_happened(alert, span, length),
    )


def _of_a_column(watch: Any, alert: Alert, column: str) -> Evidence | None:
    """A column's own statistic: the share of a category, of missing values, or the middle or spread of numbers."""
    length = _length(alert)
    if length is None or alert.model not in watch.models:
        return None
    try:
        baseline = watch.baseline(alert.model)
    except WatchkeeperError:
        return None
    held = baseline.profile.columns.get(column) if baseline is not None else None
    if held is None:
        return None
    details = alert.what.get("details") or {}
    span = _span(alert, length)
    segment = alert.labels.get("segment", "")
    found = columns_by_time(watch, alert.model, column, Window(*span), length, segment=segment)
    profiles = [(at, p) for at, p in found if p is not None]
    if not profiles:
        return None
    chosen = _statistic(str(details.get("score", "")), held, profiles[-1][1])
    if chosen is None:
        return None
    title, statistic, is_share = chosen
    usual = statistic(held)
    limit = alert.what.get("limit")
    tolerated = None
    if is_share and usual is not None and limit is not None and not details.get("breaks"):
        tolerated = (max(0.0, usual - limit), usual + limit)
    points = [
        {"at": at, "end": at + length, "value": statistic(p), "rows": float(p.rows)} for at, p in profiles
    ]
    return Evidence(
        title=title.format(column=column),
        subtitle=_subtitle(alert),
        unit="share of rows" if is_share else "",
        points=points,
        span=span,
        baseline=usual,
        tolerated=tolerated,
        **_happened(alert, span, length),
    )


def _statistic(score: str, held: ColumnProfile, newest: ColumnProfile) -> tuple[str, Statistic, bool] | None:
    """(title, statistic, whether it is a share) of what a rule on a whole column judged; None for its distance."""
    if score == "missing":
        return "Missing share of {column}", missing_share, True
    if isinstance(held.distribution, Histogram):
        if score not in ("location", "spread"):
            return None  # the whole distribution: its distance from the baseline is measured
        if score == "spread":
            return "Middle half of {column}, its width", _width, False
        return "Median of {column}", lambda p: _quantile(p, 0.5), False
    if not isinstance(held.distribution, Frequencies):
        return None
    name = ""
    binning = Binning.of(held)
    if score.startswith("share:") and binning is not None:
        k = int(score.removeprefix("share:"))
        name = binning.categories[k] if k < len(binning.categories) else ""
    if not name:  # the whole distribution: the category that moved most
        after = newest.frequencies
        before = held.frequencies
        if before is None or after is None:
            return None
        names = {*before.counts, *after.counts}
        name = max(names, key=lambda n: abs(_share(after, n) - _share(before, n)), default="")
    if not name:
        return None
    return (
        f"Share of {name!r} in {{column}}".replace(name, name.replace("{", "{{").replace("}", "}}")),
        (lambda p: None if p.frequencies is None else _share(p.frequencies, name)),
        True,
    )


def _share(found: Frequencies, name: str) -> float:
    return float(found.counts.get(name, 0) / found.total) if found.total else 0.0


def _quantile(profile: ColumnProfile, at: float) -> float | None:
    h = profile.histogram
    return float(h.quantile(at)) if h is not None and h.n else None


def _width(profile: ColumnProfile) -> float | None:
    low, high = _quantile(profile, 0.25), _quantile(profile, 0.75)
    return None if low is None or high is None else high - low
