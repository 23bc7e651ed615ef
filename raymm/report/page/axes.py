"""A small plot as SVG: axes, ticks and grid, into which lines and marks are drawn.

The picture is `WIDTH` wide and laid out for a column of about that many pixels, so that its text is
readable on a telephone; on a wide screen several stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raymm.report.names import number
from raymm.report.page.markup import Markup, element

WIDTH, HEIGHT = 380.0, 264.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 12.0, 44.0, 42.0


@dataclass(frozen=True)
class Axes:
    """From data to places in the picture.

    Attributes:
        x, y: lowest and highest value shown.
        name: the same nowhere else on the page.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    name: str
    height: float = HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a point, rounded to a tenth of a pixel."""
        return round(self.across(x), 1), round(self.up(y), 1)

    def across(self, x: float) -> float:
        """Horizontal place of a value."""
        low, high = self.x
        share = (x - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(self, y: float) -> float:
        """Vertical place of a value; beyond the picture where the value is beyond the axis."""
        low, high = self.y
        share = (y - low) / (high - low) if high > low else 0.5
        return self.height - BOTTOM - share * (self.height - BOTTOM - TOP)

    def line(self, points: Sequence[tuple[float, float]]) -> str:
        """Path through points of the data."""
        places = [self.at(*point) for point in points]
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)

    def band(self, points: Sequence[tuple[float, float, float]]) -> str:
        """Path around (x, low, high)."""
        upper = [(x, high) for x, _, high in points]
        lower = [(x, low) for x, low, _ in reversed(points)]
        return self.line([*upper, *lower]) + "z"

    def picture(
        self,
        content: Sequence[str],
        *,
        title: str,
        subtitle: str = "",
        x_label: str,
        x_ticks: Sequence[float],
        said: str,
    ) -> Markup:
        """The whole SVG.

        Args:
            content: what is drawn between the axes; what leaves them is cut off.
            said: the picture in words, for who does not see it.
        """
        bottom, right = self.height - BOTTOM, WIDTH - RIGHT
        parts = [element("text", title, x=LEFT - 40, y=16, class_="t")]
        if subtitle:
            parts.append(element("text", subtitle, x=LEFT - 40, y=32, class_="q"))
        for y in ticks(*self.y):
            place = round(self.up(y), 1)
            parts.append(element("path", d=f"M{LEFT:g} {place:g}H{right:g}", class_="grid"))
            parts.append(element("text", _tick(y, self.y), x=LEFT - 6, y=place + 4, class_="y"))
        for x in x_ticks:
            place = round(self.across(x), 1)
            parts.append(element("path", d=f"M{place:g} {bottom:g}v4", class_="axis"))
            parts.append(element("text", f"{x:g}", x=place, y=bottom + 17, class_="x"))
        parts.append(element("path", d=f"M{LEFT:g} {bottom:g}H{right:g}", class_="axis"))
        middle = (LEFT + right) / 2
        parts.append(element("text", x_label, x=middle, y=self.height - 6, class_="x q"))
        frame = element("rect", x=LEFT - 6, y=TOP - 6, width=right - LEFT + 12,
                        height=bottom - TOP + 7)  # fmt: skip
        parts.append(element("clipPath", frame, id=f"clip-{self.name}"))
        parts.append(element("g", content, clip_path=f"url(#clip-{self.name})"))
        box = f"0 0 {WIDTH:g} {self.height:g}"
        return element("svg", parts, viewBox=box, role="img", aria_label=said, class_="plot")


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two others, `most` or fewer."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(step * place, 12) for place in range(first, last + 1)]


def thinned(values: Sequence[float], most: int = 6) -> list[float]:
    """Some of the values, evenly, so that their labels do not touch."""
    every = math.ceil(len(values) / most)
    return list(values[::every])


def spread_range(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value with some air around."""
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - air, high + air


def _tick(value: float, whole: tuple[float, float]) -> str:
    text = f"{value:g}"
    return text if len(text) <= 6 else number(value, like=max(map(abs, whole)))
