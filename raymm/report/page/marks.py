"""How models and sparsities are told apart: colour, marker and dashes, in light and in dark.

Colours are Okabe and Ito's, darkened or lightened until they stand out from the background; markers and
dashes tell models apart without any colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import colormaps

from raymm.report.names import model_place

KNOWN = {"mca": 0, "zorro": 1, "eao": 2, "cbmf": 3, "convirt": 4}
LIGHT = ("#0072b2", "#c44e00", "#00805c", "#a8487f", "#806600", "#3a3a3a", "#2b8cc4", "#7a4fb5")
DARK = ("#56b4e9", "#ff8f4f", "#2fd3a3", "#e79bc8", "#f0e442", "#dddddd", "#9fd3f5", "#c3a4f0")
MARKERS = ("circle", "square", "triangle", "diamond", "down", "plus", "cross", "hexagon")
CORNERS = {
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "triangle": ((0, -1.3), (1.25, 0.9), (-1.25, 0.9)),
    "down": ((0, 1.3), (1.25, -0.9), (-1.25, -0.9)),
    "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
    "plus": ((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
             (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)),
    "cross": ((0, -0.5), (0.6, -1.1), (1.1, -0.6), (0.5, 0), (1.1, 0.6), (0.6, 1.1),
              (0, 0.5), (-0.6, 1.1), (-1.1, 0.6), (-0.5, 0), (-1.1, -0.6), (-0.6, -1.1)),
    "hexagon": ((0, -1.2), (1.05, -0.6), (1.05, 0.6), (0, 1.2), (-1.05, 0.6), (-1.05, -0.6)),
}  # fmt: skip
"""Of markers but the circle, in units of their size; y goes down."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "1 2", "5 2 1 2", "4 4")
SHADES = 9
"""Sparsities that have a colour of their own."""


@dataclass(frozen=True)
class Mark:
    """How a model is drawn: `place` is its colour's number."""

    place: int
    marker: str
    dashes: str


def marks_of(models: Sequence[str]) -> dict[str, Mark]:
    """A mark for each model: the known ones have theirs for good, others take what is left."""
    taken: dict[str, int] = {}
    ordered = sorted(models, key=model_place)
    for model in ordered:
        if model in KNOWN:
            taken[model] = KNOWN[model]
    free = [place for place in range(len(LIGHT)) if place not in taken.values()]
    for number, model in enumerate(name for name in ordered if name not in taken):
        taken[model] = free[number % len(free)] if free else number % len(LIGHT)
    return {
        model: Mark(taken[model], MARKERS[taken[model]], DASHES[taken[model]]) for model in ordered
    }


def palette() -> str:
    """The colours as CSS: custom properties --c0 ... for models, --s0 ... for sparsities."""
    light = [*_named("c", LIGHT), *_named("s", _shades(0.0, 0.82))]
    dark = [*_named("c", DARK), *_named("s", _shades(0.3, 1.0))]
    classes = [f".c{i}{{--c:var(--c{i})}}" for i in range(len(LIGHT))]
    classes += [f".s{i}{{--c:var(--s{i})}}" for i in range(SHADES)]
    return (
        f":root{{{';'.join(light)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{';'.join(dark)}}}}}"
        f"@media print{{:root{{{';'.join(light)}}}}}" + "".join(classes)
    )


def marker(shape: str, x: float, y: float, size: float) -> str:
    """SVG path of a marker around (x, y)."""
    if shape == "circle":
        arc = f"a{size:g} {size:g} 0 1 0"
        return f"M{x - size:g} {y:g}{arc} {2 * size:g} 0{arc} {-2 * size:g} 0z"
    corners = [f"{x + size * dx:.4g} {y + size * dy:.4g}" for dx, dy in CORNERS[shape]]
    return f"M{'L'.join(corners)}z"


def shade(place: int, count: int) -> int:
    """Number of the colour of one of `count` sparsities in ascending order."""
    return 0 if count < 2 else round(place * (SHADES - 1) / (count - 1))


def _named(letter: str, colours: Sequence[str]) -> list[str]:
    return [f"--{letter}{place}:{colour}" for place, colour in enumerate(colours)]


def _shades(first: float, last: float) -> list[str]:
    """Colours in an order that grey and the colour-blind keep."""
    points = [first + (last - first) * i / (SHADES - 1) for i in range(SHADES)]
    colours = [colormaps["viridis"](point) for point in points]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in c[:3]) for c in colours]
