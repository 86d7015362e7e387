"""Charts by address: ``/models/{model}/charts/{chart}.{form}``, with every filter in the query.

``vega`` is what the page draws; ``csv``, ``json`` and ``arrow`` are the numbers behind it; ``svg`` and ``png`` are
pictures of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from watchkeeper.documents.drawing import charts
from watchkeeper.documents.drawing.column_view import picture_of
from watchkeeper.domain.measurement import Family, Measure
from watchkeeper.domain.series import ALIKE
from watchkeeper.errors import BadInput, NotFound, nearest
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.web.charts_data import BUCKETS, downsample, table_as
from watchkeeper.web.dashboard.kit.filters import Period, whole
from watchkeeper.web.dashboard.kit.frame import Room
from watchkeeper.web.dashboard.kit.readout import readout
from watchkeeper.web.dashboard.kit.words import figure
from watchkeeper.web.dashboard.model.column import QUANTILES, sides_of, spread_by_time
from watchkeeper.web.dashboard.model.page import baseline_values, estimate_of, span_of
from watchkeeper.web.dashboard.operate.alert_view import alert_evidence, alert_row

if TYPE_CHECKING:
    import pyarrow as pa


MOST_COVERED = 400
FORMS = ("vega", "csv", "json", "arrow", "svg", "png")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart before it takes a form: its spec, the table behind it, its title and one sentence."""

    spec: charts.Spec
    table: pa.Table
    title: str
    says: str
    readout: Mapping[str, Any] | None = None
    """What the crosshair says, window by window."""


def chart(room: Room, request: Request) -> Response:
    """One chart in one form."""
    name = room.known_model(request.path_params["model"])
    kind, form = request.path_params["chart"], request.path_params["form"]
    if kind not in CHARTS:
        raise NotFound(f"There is no chart {kind!r}.{nearest(kind, CHARTS)}", f"Known: {', '.join(CHARTS)}.")
    if form not in FORMS:
        raise NotFound(f"A chart has no form {form!r}.{nearest(form, FORMS)}", f"Known: {', '.join(FORMS)}.")
    theme: charts.Theme = "dark" if request.query_params.get("theme") == "dark" else "light"
    place = charts.Place("report" if form in ("svg", "png") else "page", theme)
    drawn = CHARTS[kind](room, name, request.query_params, place)
    if form == "vega":
        legend = [list(entry) for entry in charts.legend_of(drawn.spec)]
        return JSONResponse(
            {
                "spec": drawn.spec,
                "title": drawn.title,
                "says": drawn.says,
                "legend": legend,
                "readout": drawn.readout,
            }
        )
    if form == "svg":
        content, media = charts.render_svg(drawn.spec).encode(), "image/svg+xml"
    elif form == "png":
        content, media = charts.render_png(drawn.spec), "image/png"
    else:
        content, media = table_as(drawn.table, form)
    file = "".join(c if c.isalnum() or c in "._-" else "_" for c in f"{name}-{drawn.title}")[:120]
    return Response(
        content, media_type=media, headers={"Content-Disposition": f'inline; filename="{file}.{form}"'}
    )


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What happened within a period: alerts that fired, incidents, and versions that began."""

    alerts: list[dict[str, str]]
    incidents: list[dict[str, str]]
    versions: list[dict[str, str]]


def meanwhile(room: Room, name: str, shown: Period, *, column: str = "") -> Meanwhile:
    """What happened to the model within the period; of alerts on columns, those of *column* alone."""

    def ask() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        read = room.watch.ledger.facts.documents
        rows = map(alert_row, read("alert", states=["firing", "resolved"], model=name, limit=200))
        alerts = [
            {
                "at": _zulu(r["fired_at"]),
                "text": r["sentence"][:90],
                "link": f"/alerts/{quote(r['key'], safe='')}",
                "column": r["labels"].get("column", ""),
            }
            for r in rows
            if r["fired_at"]
        ]
        incidents = [
            {
                "at": _zulu(d.body["started_at"]),
                "end": _zulu(over) if (over := d.body.get("entered", {}).get("resolution")) else "",
                "text": str(d.body.get("title", ""))[:90],
                "link": f"/incidents/{quote(d.key, safe='')}",
                "kind": "incident",
            }
            for d in read("incident", model=name, limit=100)
            if d.state != "merged"
        ]
        return alerts, incidents

    alerts, incidents = room.kept(("marks", name), ask, seconds=5)
    start, end = _iso(shown.start), _iso(shown.end)
    versions = [{"at": _zulu(v["first"]), "text": v["version"]} for v in room.versions(name)][-12:]
    return Meanwhile(
        alerts=[a for a in alerts if start <= a["at"] <= end and (not column or a["column"] == column)][:60],
        incidents=[
            {**i, "at": max(i["at"], start), "end": i["end"] or end}
            for i in incidents
            if i["at"] < end and (i["end"] or end) > start
        ],
        versions=[v for v in versions if start <= v["at"] <= end],
    )


def _zulu(at: str) -> str:
    return _iso(datetime.fromisoformat(at).astimezone(UTC))


def read_series(
    room: Room,
    name: str,
    measure: str,
    shown: Period,
    *,
    subject: str = "",
    segment: str = "",
    version: str = "",
    buckets: int = BUCKETS,
) -> pa.Table:
    """One series by time in at most *buckets* rows: the longest windows; days of 23 and 25 hours are days too."""
    import pyarrow as pa

    store = room.watch.ledger.measurements
    lengths = [
        le for m, s, g, v, le in room.series_of(name) if (m, s, g, v) == (measure, subject, segment, version)
    ]
    if not lengths:
        return store.series(name, measure, subject=subject, segment=segment, version=version, buckets=buckets)
    alike = sorted(le for le in lengths if le >= ALIKE * max(lengths))
    parts = [
        store.series(
            name,
            measure,
            subject=subject,
            segment=segment,
            version=version,
            start=shown.start,
            end=shown.end,
            length=timedelta(microseconds=le),
            buckets=buckets,
        )
        for le in alike
    ]
    return parts[0] if len(parts) == 1 else downsample(pa.concat_tables(parts).sort_by("start"), buckets)


def _points(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as the chart takes them, short numbers; ``least`` and ``largest`` only where a bucket holds several."""
    points = []
    for row in table.to_pylist():
        point: dict[str, Any] = {
            "at": _iso(row["start"]),
            "end": _iso(row["end"]),
            "value": _short(row["value"]),
        }
        for name in ("low", "high", "rows"):
            if row.get(name) is not None:
                point[name] = _short(row[name])
        if row.get("reason"):
            point["reason"] = row["reason"]
        if row.get("value_min") is not None and row["value_min"] != row["value_max"]:
            point["least"], point["largest"] = _short(row["value_min"]), _short(row["value_max"])
        points.append(point)
    return points


def _apart(points: list[dict[str, Any]], estimated: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Spans in which the intervals of what was realised and of the estimate do not meet."""
    guesses = {g["at"]: g for g in estimated if g.get("low") is not None and g.get("high") is not None}
    return [
        {"at": p["at"], "end": p["end"]}
        for p in points
        if (g := guesses.get(p["at"])) is not None
        and p.get("low") is not None
        and p.get("high") is not None
        and (g["low"] > p["high"] or g["high"] < p["low"])
    ]


def _beside(realised: pa.Table, estimated: pa.Table) -> pa.Table:
    """The numbers of both lines: ``estimated``, ``estimated_low`` and ``estimated_high`` beside what was realised."""
    names = {"value": "estimated", "low": "estimated_low", "high": "estimated_high", "end": "estimated_end"}
    kept = ["start", *(n for n in names if n in estimated.column_names)]
    other = estimated.select(kept).rename_columns(["start", *(names[n] for n in kept[1:])])
    import pyarrow.compute as pc

    both = realised.join(other, "start", join_type="full outer").sort_by("start")
    end = pc.coalesce(both["end"], both["estimated_end"])
    at = both.column_names.index("end")
    return both.set_column(at, "end", end).drop_columns(["estimated_end"])


def _short(value: float | None) -> float | None:
    return None if value is None or value - value != 0 else float(f"{value:.5g}")


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _series(room: Room, name: str, query: Mapping[str, str], place: charts.Place) -> Drawn:
    measure, subject, segment = query.get("measure", ""), query.get("subject", ""), query.get("segment", "")
    described = described_measures()
    having = {m for m, *_ in room.series_of(name)}
    if measure not in having:
        raise NotFound(f"{name} has no measure {measure!r}.{nearest(measure, having)}")
    shown = span_of(room, name, query)
    buckets = whole(query, "buckets", usual=BUCKETS, least=10, most=2000)
    version = query.get("version", "")
    table = read_series(
        room, name, measure, shown, subject=subject, segment=segment, version=version, buckets=buckets
    )
    about = described.get(measure)
    estimated: list[dict[str, Any]] = []
    points = _points(table)
    other = estimate_of(measure, having)
    if other is not None and not version:
        guessed = read_series(room, name, other, shown, subject=subject, segment=segment, buckets=buckets)
        estimated = _points(guessed)
        table = _beside(table, guessed)
    is_performance = about is not None and about.family is Family.PERFORMANCE
    seen = meanwhile(room, name, shown, column=subject if _is_column(about) else "")
    title = (about.title if about else measure) + (f" of {subject}" if subject else "")
    says = (f"In {segment}. " if segment else "") + (about.sentence if about else "")
    spec = charts.series_line(
        points,
        title=f"{name}: {title}",
        subtitle=says,
        unit=about.unit if about else "",
        place=place,
        span=(shown.start, shown.end),
        baseline=baseline_values(room, name, [measure]).get(measure)
        if is_performance and not segment
        else None,
        estimated=estimated,
        alerts=seen.alerts,
        spans=seen.incidents,
        marks=seen.versions,
        apart=_apart(points, estimated),
        height=whole(query, "height", usual=220, least=80, most=600),
    )
    said = None
    if place.on_page:
        said = readout(
            points,
            title=title,
            unit=about.unit if about else "",
            now=room.now(),
            estimated=estimated,
            coverage=None if version else _coverage(room, name, shown, segment),
            versions=[{"at": _zulu(v["first"]), "text": v["version"]} for v in room.versions(name)],
            alerts=seen.alerts,
        )
    return Drawn(spec, table, title, says, said)


def _is_column(about: Measure | None) -> bool:
    """Whether the subjects of a measure are columns: of latency they are quantiles."""
    return about is not None and about.family in (Family.DRIFT, Family.QUALITY)


def _coverage(room: Room, name: str, shown: Period, segment: str) -> dict[str, float | None]:
    """The share of outcomes that have come, by window; of a period with many windows nothing is read."""
    model = room.watch.models.get(name)
    if model is None or (shown.end - shown.start) / model.judge_every > MOST_COVERED:
        return {}
    states = room.watch.ledger.windows.windows(
        name, start=shown.start, end=shown.end, limit=20 * MOST_COVERED
    )
    return {
        _iso(s.key.window.start): s.coverage
        for s in states
        if not s.key.version and s.key.segment == segment and s.key.window.length >= ALIKE * model.judge_every
    }


def _drift_map(room: Room, name: str, query: Mapping[str, str], place: charts.Place) -> Drawn:
    import pyarrow as pa

    measure = query.get("measure", "psi")
    described = described_measures()
    if measure not in described:
        raise NotFound(f"There is no measure {measure!r}.{nearest(measure, described)}")
    shown = span_of(room, name, query)
    found = room.reads.grid(
        name,
        measure,
        start=shown.start,
        end=shown.end,
        segment=query.get("segment", ""),
        buckets=whole(query, "buckets", usual=60, least=2, most=366),
        most=whole(query, "columns", usual=40, least=1, most=100),
    )
    title = f"{described[measure].title} by column"
    if not found.names:
        raise BadInput(f"{name} has no {measure} in this period.", "Choose a longer period.")
    top = {"psi": 0.5, "missing": 0.5, "ks": 0.4, "jensen_shannon": 0.4, "wasserstein_sd": 1.0}.get(
        measure, 1.0
    )
    more = f" {found.more} more columns moved less." if found.more else ""
    says = f"The largest value of each span; strongest from {top:g}.{more}"
    seen = meanwhile(room, name, shown)
    spec = charts.heat_map(
        found.names,
        found.edges,
        found.cells,
        title=f"{name}: {title}",
        subtitle=says,
        place=place,
        top=top,
        alerts=seen.alerts,
        marks=seen.versions,
    )
    flat = [
        {"column": column, "start": found.edges[j], "end": found.edges[j + 1], "largest": value}
        for column, cells in zip(found.names, found.cells)
        for j, value in enumerate(cells)
        if value is not None
    ]
    return Drawn(spec, pa.Table.from_pylist(flat), title, says)


def _distribution(room: Room, name: str, query: Mapping[str, str], place: charts.Place) -> Drawn:
    import pyarrow as pa

    column = query.get("column", "")
    before, after = sides_of(room, name, column, query, span_of(room, name, query))
    pair = picture_of(before.profile, after.profile) if before.profile and after.profile else None
    if pair is None:
        raise NotFound(f"There is nothing to draw of {column!r} in these two windows.", "Choose two others.")
    names = (before.title, after.title if after.title != before.title else f"{after.title} (second)")
    title = f"Distribution of {column}"
    says = f"Shares of each side's own rows. Filled: {names[0]}. Line: {names[1]}."
    spec = charts.distribution(
        pair, title=f"{name}: {title}", subtitle=says, place=place, names=names, height=230
    )
    places: dict[str, Any] = (
        {"category": list(pair.labels)}
        if pair.labels
        else {
            "from": list(pair.borders[:-1]),
            "to": list(pair.borders[1:]),
        }
    )
    table = pa.table({**places, names[0]: list(pair.baseline), names[1]: list(pair.current)})
    return Drawn(spec, table, title, says)


def _bands(room: Room, name: str, query: Mapping[str, str], place: charts.Place) -> Drawn:
    import pyarrow as pa

    column, shown = query.get("column", ""), span_of(room, name, query)
    segment = query.get("segment", "")
    rows = spread_by_time(room, name, column, shown, segment=segment) if name in room.watch.models else []
    if not rows:
        raise NotFound(f"No numbers of {column!r} are stored for this period.", "Choose a longer period.")
    points = [{"at": _iso(r["start"]), **{q: _short(r[q]) for q in QUANTILES}} for r in rows]
    made = room.watch.baseline(name) if name in room.watch.models else None
    held = made.profile.columns.get(column) if made is not None else None
    h = held.histogram if held is not None else None
    baseline = {q: float(h.quantile(p)) for q, p in QUANTILES.items()} if h is not None and h.n else None
    seen = meanwhile(room, name, shown, column=column)
    title = f"{column} over time"
    says = "Median, middle half, and 5% to 95%." + (" Dotted: the baseline's quartiles." if baseline else "")
    spec = charts.column_bands(
        points,
        title=f"{name}: {title}",
        subtitle=says,
        place=place,
        span=(shown.start, shown.end),
        baseline=baseline,
        alerts=seen.alerts,
        spans=seen.incidents,
        marks=seen.versions,
    )
    said = None
    if place.on_page:
        ends = [p["at"] for p in points[1:]] + [_iso(shown.end)]
        said = readout(
            [
                {"at": p["at"], "end": e, "value": p["p50"], "rows": r["rows"]}
                for p, e, r in zip(points, ends, rows)
            ],
            title="median",
            unit="",
            now=room.now(),
            versions=[{"at": _zulu(v["first"]), "text": v["version"]} for v in room.versions(name)],
            alerts=seen.alerts,
        )
        said["labels"] += ["middle half", "5% to 95%"]
        said["texts"] += [
            [f"{figure(_short(r[low]))} to {figure(_short(r[high]))}" for r in rows]
            for low, high in (("p25", "p75"), ("p5", "p95"))
        ]
    return Drawn(spec, pa.Table.from_pylist(rows), title, says, said)


def _evidence(room: Room, name: str, query: Mapping[str, str], place: charts.Place) -> Drawn:
    """What an alert judged, with what it was held against."""
    import pyarrow as pa

    document = room.watch.ledger.facts.document("alert", query.get("alert", ""))
    if document is None:
        raise NotFound(f"There is no alert {query.get('alert', '')!r}.")
    found = alert_evidence(room, document)
    if found is None:
        raise NotFound("Nothing is stored of what this alert judged.")
    points = [{**p, "at": _iso(p["at"]), "end": _iso(p["end"])} for p in found.points]
    said = None
    if place.on_page:
        said = readout(
            points,
            title=found.title,
            unit=found.unit,
            now=room.now(),
            versions=[{"at": _zulu(v["first"]), "text": v["version"]} for v in room.versions(name)],
        )
    return Drawn(found.chart(place), pa.Table.from_pylist(found.points), found.title, found.subtitle, said)


CHARTS: dict[str, Callable[[Room, str, Mapping[str, str], charts.Place], Drawn]] = {
    "series": _series,
    "drift-map": _drift_map,
    "distribution": _distribution,
    "bands": _bands,
    "evidence": _evidence,
}
