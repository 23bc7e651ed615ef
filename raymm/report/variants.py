"""Names of a sweep's lines: the model's, and what tells its cells apart where that is not enough."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from raymm.config import CellConfig, to_dict
from raymm.sweep.cells import CellResult

VARIED = ("model", "loss", "train")
"""Groups of settings by which a model's cells may differ; the data are a condition of their own."""
NOT_TOLD = {"name", "seed"}


def line_names(results: Sequence[CellResult]) -> dict[str, str]:
    """The line that each cell belongs to, by cell key: "mca", or "cbmf, add" beside "cbmf, multiply".

    A model is one line unless two of its cells would stand at the same place, of data set, sparsity
    and seeds. Then each combination of the settings in which its cells differ is a line.
    """
    by_model: dict[str, list[CellResult]] = defaultdict(list)
    for result in results:
        by_model[result.cell.model.name].append(result)
    names: dict[str, str] = {}
    for model, cells in by_model.items():
        places = {_place(cell) for cell in cells}
        if len(places) == len(cells):
            names |= {cell.key: model for cell in cells}
        else:
            names |= _told_apart(model, cells)
    return names


def _told_apart(model: str, cells: Sequence[CellResult]) -> dict[str, str]:
    settings = {cell.key: _settings(cell.cell) for cell in cells}
    varied = [
        name
        for name in next(iter(settings.values()))
        if len({str(each[name]) for each in settings.values()}) > 1
    ]
    return {
        key: ", ".join([model, *(_said(name, each[name]) for name in varied)])
        for key, each in settings.items()
    }


def _said(name: str, value: Any) -> str:
    """A word says enough by itself, a number does not."""
    shown = (
        value.replace("_", " ") if isinstance(value, str) else f"{name.replace('_', ' ')} {value}"
    )
    return str(shown)


def _settings(config: CellConfig) -> Mapping[str, Any]:
    groups = to_dict(config)
    return {
        name: value
        for group in VARIED
        for name, value in groups[group].items()
        if name not in NOT_TOLD
    }


def _place(result: CellResult) -> tuple[str, float, int, int, int]:
    data = result.cell.data
    seeds = (result.cell.train.seed, data.mask_seed, data.split_seed)
    return (result.dataset, data.sparsity, *seeds)
