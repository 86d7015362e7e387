"""Two distributions side by side, small enough to send: what reports, pages and alerts draw.

A picture holds shares, never rows. The same picture becomes inline SVG in a report (an SVG path of a column
is under one kilobyte, so that 3,000 columns fit in one page) and a Vega-Lite chart in pages and alerts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

__all__ = ["Picture", "spark_svg", "svg"]


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


def spark_svg(picture: Picture, *, width: int = 160, height: int = 36) -> str:
    """A picture of a few hundred bytes for a table cell; decorative, so hidden from screen readers."""
    body = _bars(picture, width, height, 1) if picture.labels else _steps(picture, width, height, 1)
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{body}</svg>'


def svg(picture: Picture, *, title: str, width: int = 560, height: int = 190) -> str:
    """The picture with its axis, and *title* for those who cannot see it."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">'
    if picture.labels:
        return head + _labelled_bars(picture, width) + "</svg>"
    floor = height - 22
    axis = f'<path class="ax" d="M0 {floor}H{width}"/>'
    ticks = _ticks(picture, width, height)
    return f"{head}{_steps(picture, width, floor, 6)}{axis}{ticks}</svg>"


def _peak(picture: Picture) -> float:
    return max((*picture.baseline, *picture.current, 1e-12))


def _steps(picture: Picture, width: float, height: float, top: float) -> str:
    """Baseline as a filled outline, current as a line: the two differ in form, not in colour alone."""
    peak = _peak(picture)
    n = max(1, len(picture.baseline))

    def path(shares: Sequence[float]) -> str:
        parts, last = [], None
        for i, share in enumerate(shares):
            y = round(height - (height - top) * share / peak, 1)
            if y != last:
                parts.append(f"{'M0 ' if i == 0 else f'H{round(i * width / n, 1):g}V'}{y:g}")
                last = y
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
            f'<path class="b" d="M{x + step * 0.12:.1f} {height:g}v{-b:.1f}h{step * 0.76:.1f}V{height:g}Z"/>'
            f'<path class="c" d="M{x + step * 0.06:.1f} {a:.1f}h{step * 0.88:.1f}"/>'
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


def _ticks(picture: Picture, width: float, height: float) -> str:
    borders = picture.borders
    if len(borders) < 2:
        return ""
    parts = []
    for k, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        value = borders[0] + k * (borders[-1] - borders[0])
        said = _moment(value) if picture.is_time else f"{value:,.4g}"
        parts.append(
            f'<text class="tx" x="{k * width:.0f}" y="{height - 6}" text-anchor="{anchor}">{said}</text>'
        )
    return "".join(parts)


def _moment(us: float) -> str:
    try:
        return datetime.fromtimestamp(us / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{us:.3g}"
