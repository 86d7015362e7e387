"""Two distributions side by side, small enough to send: what reports, pages and alerts draw.

A picture holds shares, never rows. The same picture becomes inline SVG in a report (an SVG path of a column
is under one kilobyte, so that 3,000 columns fit in one page) and a Vega-Lite chart in pages and alerts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import floor, isfinite, log10
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Shares of the baseline and of the current rows, by bin (``borders``) or by category (``labels``).

    ``borders`` has one entry more than the shares and is empty for categories; ``labels`` is empty for bins.
    ``is_time`` says that borders are microseconds since 1970.
    """

    baseline: tuple[float, ...]
    current: tuple[float, ...]
    borders: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    is_time: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, rounded to what a picture shows."""
        out: dict[str, Any] = {
            "baseline": [round(s, 5) for s in self.baseline],
            "current": [round(s, 5) for s in self.current],
        }
        if self.labels:
            out["labels"] = list(self.labels)
        else:
            out["borders"] = [float(f"{b:.6g}") for b in self.borders]
            if self.is_time:
                out["unit"] = "microseconds since 1970"
        return out


def spark_svg(picture: Picture, *, width: int = 160, height: int = 60) -> str:
    """A picture of a few hundred bytes for a table cell; decorative, so hidden from screen readers."""
    body = _bars(picture, width, height, 1) if picture.labels else _steps(picture, width, height, 1)
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{body}</svg>'


def figure_html(picture: Picture, *, title: str) -> str:
    """The picture with its axis as HTML: the curve stretches with the page, and words keep their size.

    *title* tells those who cannot see it what it shows; names are escaped.
    """
    if picture.labels:
        return _bar_rows(picture, title)
    steps = _steps(picture, 400, 150, 6)
    ticks = "".join(
        f'<span style="left:{100 * at:.2f}%">{escape(said)}</span>' for at, said in _ticks(picture)
    )
    return (
        f'<svg class="curve" viewBox="0 0 400 150" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title, quote=True)}">{steps}<path class="ax" d="M0 150H400"/></svg>'
        f'<div class="axis" aria-hidden="true">{ticks}</div>'
    )


def svg(picture: Picture, *, title: str, width: int = 560, height: int = 190) -> str:
    """The picture as one SVG that stands alone, with its axis, and *title* for those who cannot see it."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">'
    if picture.labels:
        return head + _labelled_bars(picture, width) + "</svg>"
    floor = height - 22
    axis = f'<path class="ax" d="M0 {floor}H{width}"/>'
    ticks = "".join(
        f'<text class="tx" x="{at * width:.0f}" y="{height - 6}" text-anchor="middle">{escape(said)}</text>'
        for at, said in _ticks(picture)
    )
    return f"{head}{_steps(picture, width, floor, 6)}{axis}{ticks}</svg>"


def _bar_rows(picture: Picture, title: str) -> str:
    """One line a category: name, two bars, the two shares."""
    peak = _peak(picture)
    rows = []
    for label, before, after in list(zip(picture.labels, picture.baseline, picture.current))[:24]:
        name = label if len(label) <= 40 else label[:39] + "…"
        rows.append(
            f'<li><span class="lb">{escape(name)}</span><span class="bars" aria-hidden="true">'
            f'<i class="bb" style="width:{100 * before / peak:.1f}%"></i>'
            f'<i class="cc" style="width:{100 * after / peak:.1f}%"></i></span>'
            f"<span>{_percent(before)} → <b>{_percent(after)}</b></span></li>"
        )
    return f'<ul class="cats" aria-label="{escape(title, quote=True)}">{"".join(rows)}</ul>'


def _percent(share: float) -> str:
    percent = 100 * share
    return "0%" if percent < 5e-5 else f"{percent:.2g}%" if percent < 10 else f"{percent:.3g}%"


def _peak(picture: Picture) -> float:
    return max((*picture.baseline, *picture.current, 1e-12))


def _steps(picture: Picture, width: float, height: float, top: float) -> str:
    """Baseline as a filled outline, current as a line: the two differ in form, not in colour alone."""
    peak = _peak(picture)
    n = max(1, len(picture.baseline))

    def path(shares: Sequence[float]) -> str:
        # Whole numbers, each relative to the one before: half the bytes, and 3,000 of these stand in one page.
        x = 0
        y = round(height - (height - top) * (shares[0] if shares else 0) / peak)
        parts = [f"M0 {y}"]
        for i, share in enumerate(shares):
            now = round(height - (height - top) * share / peak)
            if now != y:
                at = round(i * width / n)
                parts.append(f"h{at - x}v{now - y}")
                x, y = at, now
        return "".join(parts) + f"H{width:g}"

    return f'<path class="b" d="{path(picture.baseline)}V{height:g}H0Z"/><path class="c" d="{path(picture.current)}"/>'


def _bars(picture: Picture, width: float, height: float, top: float) -> str:
    peak = _peak(picture)
    n = max(1, len(picture.baseline))
    step = width / n
    parts = []
    for i, (before, after) in enumerate(zip(picture.baseline, picture.current)):
        b = (height - top) * before / peak
        a = height - (height - top) * after / peak
        x = i * step
        parts.append(
            f'<path class="b" d="M{x + step * 0.12:.1f} {height:g}v{-b:.0f}h{step * 0.76:.1f}V{height:g}Z"/>'
            f'<path class="c" d="M{x + step * 0.06:.1f} {a:.0f}h{step * 0.88:.1f}"/>'
        )
    return "".join(parts)


def _labelled_bars(picture: Picture, width: float) -> str:
    """One line a category: name, then two bars; at most a dozen, the rest is summed up."""
    shown = list(zip(picture.labels, picture.baseline, picture.current))[:12]
    peak = _peak(picture)
    left, room = width * 0.32, width * 0.54
    row = 190 / max(len(shown), 6)
    parts = []
    for i, (label, before, after) in enumerate(shown):
        y = i * row
        name = label if len(label) <= 24 else label[:23] + "…"
        parts.append(
            f'<text class="tx" x="{left - 8:.0f}" y="{y + row * 0.62:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="b" x="{left:.0f}" y="{y + row * 0.12:.1f}" width="{room * before / peak:.1f}" height="{row * 0.34:.1f}"/>'
            f'<rect class="cb" x="{left:.0f}" y="{y + row * 0.5:.1f}" width="{room * after / peak:.1f}" height="{row * 0.34:.1f}"/>'
            f'<text class="tx" x="{left + room * max(before, after) / peak + 6:.0f}" y="{y + row * 0.62:.1f}">'
            f"{100 * before:.3g}% → {100 * after:.3g}%</text>"
        )
    return "".join(parts)


def _ticks(picture: Picture) -> list[tuple[float, str]]:
    """Where the axis is marked (0 at its left, 1 at its right end), and with what: round numbers inside it."""
    borders = picture.borders
    if len(borders) < 2 or not borders[-1] > borders[0]:
        return []
    low, high = borders[0], borders[-1]
    if picture.is_time:
        return [(k, _moment(low + k * (high - low))) for k in (0.12, 0.5, 0.88)]
    step = _round_step((high - low) / 4)
    first = int(low // step)
    at = [n * step for n in range(first, first + 12) if low <= n * step <= high]
    inside = [v for v in at if 0.03 <= (v - low) / (high - low) <= 0.97] or [(low + high) / 2]
    return [((v - low) / (high - low), _figure(v)) for v in inside]


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten, from above.

    >>> _round_step(0.13), _round_step(37)
    (0.2, 50.0)
    """
    if not isfinite(rough) or rough <= 0:
        return 1.0
    power = 10.0 ** floor(log10(rough))
    return next((float(f"{k * power:.12g}") for k in (1, 2, 5) if k * power >= rough), 10 * power)


def _figure(x: float) -> str:
    """A mark of the axis, without noise in its last digit.

    >>> _figure(0.30000000000000004), _figure(1500000), _figure(2e9)
    ('0.3', '1.5M', '2B')
    """
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(x) >= size:
            scale = 1e3 if unit == "k" else size
            return f"{x / scale:.4g}{unit}" if abs(x) < 1e13 else f"{x:.3g}"
    return f"{float(f'{x:.6g}'):g}"


def _moment(us: float) -> str:
    try:
        return datetime.fromtimestamp(us / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{us:.3g}"
