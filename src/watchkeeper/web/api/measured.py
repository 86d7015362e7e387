"""What is read over HTTP: models, their state, measurements, and why a window's numbers are what they are."""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from watchkeeper.errors import BadInput
from watchkeeper.loop.reports.explain import explain, instant
from watchkeeper.loop.reports.status import model_status
from watchkeeper.loop.reports.status import status as look
from watchkeeper.loop.watch.outside import MOST, outside_measurement, store_outside
from watchkeeper.web.api.alerts import Body, who
from watchkeeper.web.api.answers import answer
from watchkeeper.web.api.bodies import ARROW
from watchkeeper.web.security import Role

if TYPE_CHECKING:
    from watchkeeper.loop.watch.watch import Watch
    from watchkeeper.web.api.intake import Intake


MOST_ROWS = 100_000


class Outside(Body):
    """One number about one window, from outside."""

    measure: str = Field(max_length=80)
    """Its name, which begins with "outside.", such as "outside.gpu_use"."""
    start: datetime
    """When the window begins, with a time zone."""
    end: datetime
    """When it ends."""
    value: float = Field(allow_inf_nan=False)
    low: float | None = None
    """The interval's lower end, where there is one."""
    high: float | None = None
    """The interval's upper end."""
    rows: float = Field(default=1, ge=0)
    """How many observations it rests on."""
    subject: str = Field(default="", max_length=200)
    """What it is about, such as a machine."""
    segment: str = Field(default="", max_length=500)
    version: str = Field(default="", max_length=200)


class FromOutside(Body):
    """Measurements of one model."""

    measurements: list[Outside] = Field(max_length=MOST)


def reading_routes(watch: Watch, intake: Intake) -> APIRouter:
    """The routes over the measurements of an open project."""
    router = APIRouter(prefix="/v1")

    @router.get("/models", summary="What is watched")
    def models(request: Request) -> Response:
        who(request, Role.VIEWER)
        now = watch.clock()
        return answer({"models": [model_status(watch, name, now) for name in watch.models]})

    @router.get("/status", summary="The whole project in one look")
    def status(request: Request) -> Response:
        who(request, Role.VIEWER)
        found = look(watch)
        found["problems"] += intake.problems
        found["healthy"] = found["healthy"] and not intake.problems
        return answer(found)

    @router.get("/models/{model}/measurements", summary="Measurements of a model")
    def measurements(
        request: Request,
        model: str,
        measure: Annotated[list[str], Query(description="Only these measures.")] = [],  # noqa: B006 - never changed
        subject: Annotated[list[str], Query(description="Only of these columns.")] = [],  # noqa: B006 - never changed
        segment: Annotated[list[str], Query(description="Only of these segments; empty is all rows.")] = [],  # noqa: B006 - never changed
        version: Annotated[list[str], Query(description="Only of these versions; empty is all.")] = [],  # noqa: B006 - never changed
        start: str | None = Query(default=None, alias="from", description="First day or moment."),
        end: str | None = Query(default=None, alias="to", description="Day or moment that is left out."),
        format: str = Query(default="json", pattern="^(json|arrow|csv)$"),
        limit: int = Query(default=10_000, ge=1, le=MOST_ROWS),
    ) -> Response:
        who(request, Role.VIEWER)
        zone = watch.model(model).timezone
        table = watch.measurements(
            model,
            start=instant(start, zone) if start else None,
            end=instant(end, zone) if end else None,
            measures=measure,
            subjects=subject,
            segments=segment,
            versions=version,
        )
        more = table.num_rows > limit
        table = table.slice(0, limit)
        headers = {"X-More-Rows": "true"} if more else {}
        if format == "arrow":
            return Response(_arrow(table), media_type=ARROW, headers=headers)
        if format == "csv":
            return Response(_csv(table), media_type="text/csv", headers=headers)
        return answer({"measurements": table.to_pylist(), "more": more}, 200, **headers)

    @router.post(
        "/models/{model}/measurements",
        status_code=202,
        summary="Send in measurements of your own: machines, costs",
    )
    def from_outside(request: Request, model: str, body: FromOutside) -> Response:
        who(request, Role.OPERATOR)
        watch.model(model)
        taken, refused = [], []
        for n, m in enumerate(body.measurements):
            interval = None if m.low is None or m.high is None else (m.low, m.high)
            try:
                taken.append(
                    outside_measurement(
                        model, m.measure, m.start, m.end, m.value, subject=m.subject, segment=m.segment,
                        version=m.version, rows=m.rows, interval=interval,
                    )
                )  # fmt: skip
            except BadInput as fault:
                refused.append({"row": n, "error": " ".join((fault.what, *fault.next_steps))})
        stored = store_outside(watch, model, taken)
        return answer({"stored": stored, "refused": refused}, 202 if taken or not refused else 400)

    @router.get("/models/{model}/windows/{window:path}", summary="Why a window's numbers are what they are")
    def explained(request: Request, model: str, window: str, column: str | None = None) -> Response:
        who(request, Role.VIEWER)
        return answer(explain(watch, model, window, subject=column))

    return router


def _arrow(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _csv(table: Any) -> bytes:
    from pyarrow import csv

    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()
