"""Plots as SVG of our own, so that a report is one file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hydrant.evaluate.texts import escape

_WIDTH = 820
_LEFT = 250
_RIGHT = 90
_ROW = 30
_TOP = 12
_AXIS = 34
_NAME = 36
_BAR = "#2563c9"
_GOOD, _BAD, _NEUTRAL = "#1a7f4b", "#b3261e", "#8a8f98"


@dataclass(frozen=True, slots=True)
class Line:
    """A value with its interval.

    Attributes:
        name: What it is the value of.
        value: The value.
        low: The interval's lower end.
        high: Its upper end.
        color: How it is drawn.
    """

    name: str
    value: float
    low: float
    high: float
    color: str = _BAR


@dataclass(frozen=True, slots=True)
class Dot:
    """A point in a plane."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to positions.

    Attributes:
        low: The value at the start.
        high: The value at the end.
        start: The position of `low`.
        end: The position of `high`.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values between both ends."""
        raw = (self.high - self.low) / count
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(each * magnitude for each in (1, 2, 2.5, 5, 10) if each * magnitude >= raw)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def intervals(lines: Sequence[Line], label: str, *, zero: bool = False) -> str:
    """Values with their intervals, one below the other.

    Args:
        lines: The values.
        label: What the axis shows.
        zero: Whether the axis has a line at 0, for differences.
    """
    lows, highs = [line.low for line in lines], [line.high for line in lines]
    scale = Scale(
        *_padded(min([*lows, *([0.0] if zero else [])]), max([*highs, *([0.0] if zero else [])])),
        _LEFT,
        _WIDTH - _RIGHT,
    )
    bottom = _TOP + _ROW * len(lines)
    parts = _axis(scale, bottom, label)
    if zero:
        parts.append(_rule(scale(0), bottom, "#555", 1.4))
    for position, line in enumerate(lines):
        y = _TOP + _ROW * (position + 0.5)
        parts += [
            _name(line.name, _LEFT - 10, y + 4, "end"),
            (
                f'<line x1="{scale(line.low):.1f}" x2="{scale(line.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="{line.color}" stroke-width="3" stroke-linecap="round"/>'
            ),
            f'<circle cx="{scale(line.value):.1f}" cy="{y:.1f}" r="5.5" fill="{line.color}"/>',
            f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 4:.1f}" class="value">{line.value:{"+" if zero else ""}.4f}</text>',
        ]
    return _svg(parts, bottom + _AXIS + 14, label)


def scatter(dots: Sequence[Dot], x_label: str, y_label: str) -> str:
    """Points with their names; the horizontal axis is logarithmic.

    Args:
        dots: The points; `x` must be above 0.
        x_label: What the horizontal axis shows.
        y_label: What the vertical axis shows.
    """
    height, left = 320, 80
    logs = [math.log10(dot.x) for dot in dots]
    x_scale = Scale(*_padded(min(logs), max(logs), 0.25), left, _WIDTH - _RIGHT)
    y_scale = Scale(
        *_padded(min(dot.y for dot in dots), max(dot.y for dot in dots), 0.15), height - 50, _TOP + 10
    )
    parts = []
    for tick in y_scale.ticks():
        y = y_scale(tick)
        parts.append(f'<line x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" class="tick">{_tick(tick)}</text>'
        )
    for value in _log_ticks(x_scale.low, x_scale.high):
        x = x_scale(math.log10(value))
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - 50}" class="grid"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{height - 32}" text-anchor="middle" class="tick">{value:g}</text>'
        )
    parts.append(_label(x_label, (left + _WIDTH - _RIGHT) / 2, height - 10))
    parts.append(
        f'<text transform="translate(18 {height / 2 - 20:.0f}) rotate(-90)" text-anchor="middle" class="label">'
        f"{escape(y_label)}</text>"
    )
    taken: list[tuple[float, float]] = []
    for dot, log in sorted(zip(dots, logs, strict=True), key=lambda pair: -pair[0].y):
        x, y = x_scale(log), y_scale(dot.y)
        side = "end" if x > _WIDTH - _RIGHT - 190 else "start"
        name_y = _free(x, y + 4, taken)
        taken.append((x, name_y))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{_BAR}"/>')
        parts.append(_name(dot.name, x + (10 if side == "start" else -10), name_y, side))
    return _svg(parts, height, f"{y_label} against {x_label}")


def differences(values: Sequence[float], label: str) -> str:
    """A bar for each question, the largest gain on the left.

    Args:
        values: The differences.
        label: What the vertical axis shows.
    """
    height, left = 220, 80
    ordered = sorted(values, reverse=True)
    scale = Scale(*_padded(min(0.0, ordered[-1]), max(0.0, ordered[0])), height - 34, _TOP)
    width = (_WIDTH - left - 20) / len(ordered)
    parts = []
    for tick in scale.ticks(4):
        y = scale(tick)
        parts.append(f'<line x1="{left}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" class="tick">{_tick(tick)}</text>'
        )
    zero = scale(0)
    for position, value in enumerate(ordered):
        top, bottom = sorted((scale(value), zero))
        color = _GOOD if value > 0 else _BAD
        parts.append(
            f'<rect x="{left + position * width:.2f}" y="{top:.1f}" width="{max(0.4, width - 0.3):.2f}" '
            f'height="{bottom - top:.1f}" fill="{color}"/>'
        )
    parts.append(f'<line x1="{left}" x2="{_WIDTH - 20}" y1="{zero:.1f}" y2="{zero:.1f}" stroke="#555"/>')
    parts.append(_label(label, (left + _WIDTH - 20) / 2, height - 10))
    return _svg(parts, height, label)


def color_of(difference: float, *, significant: bool) -> str:
    """How a difference is drawn."""
    if not significant:
        return _NEUTRAL
    return _GOOD if difference > 0 else _BAD


def _axis(scale: Scale, bottom: float, label: str) -> list[str]:
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" class="grid"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" class="tick">{_tick(tick)}</text>'
        )
    parts.append(_label(label, (scale.start + scale.end) / 2, bottom + _AXIS + 4))
    return parts


def _rule(x: float, bottom: float, color: str, width: float) -> str:
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="{color}" stroke-width="{width}"/>'
    )


def _name(name: str, x: float, y: float, anchor: str) -> str:
    shown = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="name"><title>{escape(name)}</title>'
        f"{escape(shown)}</text>"
    )


def _label(text: str, x: float, y: float) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" class="label">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    inner = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{inner}</svg>'
    )


def _padded(low: float, high: float, share: float = 0.08) -> tuple[float, float]:
    extent = high - low
    if extent <= 0:
        extent = abs(high) or 1.0
    return low - share * extent, high + share * extent


def _tick(value: float) -> str:
    shown = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if shown in {"-0", ""} else shown


def _log_ticks(low: float, high: float) -> list[float]:
    ticks = [
        factor * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for factor in (1, 2, 5)
        if low <= math.log10(factor * 10.0**power) <= high
    ]
    return ticks or [10.0 ** ((low + high) / 2)]


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> float:
    """A height at which a name covers none that is there already."""
    while any(abs(x - other_x) < 220 and abs(y - other_y) < 15 for other_x, other_y in taken):  # noqa: PLR2004
        y += 15
    return y
