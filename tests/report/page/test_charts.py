"""What a plot of a metric draws, by its marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from raymm.report.page.charts import sparsity_panel
from raymm.report.page.marks import marks_of
from raymm.report.tables import cells_frame
from tests.report.synthetic import sweep

MODELS = ("mca", "zorro", "eao")
BAR = r'd="M([\d.]+) [\d.]+L([\d.]+) [\d.]+" class="line"'


def groups(sparsities: Sequence[float], seeds: Sequence[int]) -> list[str]:
    """The SVG of each model."""
    cells = cells_frame(sweep(seeds, sparsities=sparsities, models=MODELS))
    panel = sparsity_panel(cells, "probe/auprc", marks_of(list(MODELS)), "m0")
    assert panel is not None
    return panel.split('data-model="')[1:]


def left_of_seeds(group: str) -> set[float]:
    path = re.search(r'<path d="([^"]*)" class="seeds"', group)
    assert path is not None
    return {float(x) for x in re.findall(r"M(-?[\d.]+) ", path[1])}


def test_at_one_sparsity_models_stand_side_by_side_each_with_its_interval() -> None:
    drawn = groups((0.0,), range(4))
    places = [left_of_seeds(group) for group in drawn]
    assert all(len(place) == 1 for place in places)
    across = [x for place in places for x in place]
    assert across == sorted(across) and min(b - a for a, b in pairwise(across)) > 20
    for group in drawn:
        bars = re.findall(BAR, group)
        assert len(bars) == 1 and bars[0][0] == bars[0][1]
        assert group.count("data-tip=") == 1 and "S = 0: " in group


def test_of_one_seed_there_is_no_interval() -> None:
    for group in groups((0.0,), (0,)):
        assert re.findall(BAR, group) == []


def test_over_several_sparsities_models_share_their_places_and_have_bands() -> None:
    drawn = groups((0.0, 0.4), range(3))
    places = [left_of_seeds(group) for group in drawn]
    assert places[0] == places[1] == places[2] and len(places[0]) == 2
    assert all(group.count('class="band"') == 1 for group in drawn)
