"""The best settings of each condition as a file, from which a grid takes them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm.config import CellConfig, from_dict, to_dict
from raymm.data.dataset import Dataset
from raymm.errors import ConfigError, RaymmError, SweepError
from raymm.storage.address import joined
from raymm.storage.mirror import working_folder
from raymm.sweep.cells import Cell
from raymm.sweep.search.trials import Condition, TrialRecord

BEST_FILE = "best.json"
FORMAT = 1
GROUPS = ("model", "loss", "train")
"""Groups of a cell's settings that a search decides; the data are the grid's own."""
NOT_SETTINGS = ("seed", "name")
"""Of those groups, what a grid varies itself."""


@dataclass(frozen=True)
class Best:
    """What a search has found for one condition.

    Attributes:
        trial: the chosen one.
        cells: its cells.
        default: the preset's trial; None where the space does not hold the preset.
        pareto: numbers of the trials that no other beats; the chosen one's among them.
        test: mean over the cells of each metric of the test split.
    """

    trial: TrialRecord
    cells: tuple[Cell, ...]
    default: TrialRecord | None
    pareto: tuple[int, ...]
    test: Mapping[str, float]

    @property
    def condition(self) -> Condition:
        """Model and sparsity."""
        return self.trial.condition


def write_best(
    found: Sequence[Best], folder: Path, *, name: str, dataset: Dataset, objective: Sequence[str]
) -> None:
    """Write `best.json` into a search's results folder.

    Raises:
        SweepError: it cannot be written.
    """
    content = {
        "format": FORMAT,
        "search": name,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "objective": list(objective),
        "conditions": [_entry(best) for best in found],
    }
    aside = folder / f".{BEST_FILE}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        os.replace(aside, folder / BEST_FILE)
    except OSError as error:
        raise SweepError(f"{folder / BEST_FILE} cannot be written: {error}.") from error


def _entry(best: Best) -> dict[str, Any]:
    return {
        "model": best.condition.model,
        "sparsity": best.condition.sparsity,
        "trial": best.trial.number,
        "searched": dict(best.trial.params),
        "validation": dict(best.trial.objectives),
        "default": dict(best.default.objectives) if best.default else None,
        "pareto": list(best.pareto),
        "test": {name: v if math.isfinite(v) else None for name, v in best.test.items()},
        "cells": {cell.config.train.seed: cell.key for cell in best.cells},
        "config": to_dict(best.cells[0].config),
    }


class Chosen:
    """The settings that a search has chosen, as a grid takes them.

    Args:
        results_dir: folder in which the search has its own.
        search: its name.

    Raises:
        ConfigError: there are none, or their file cannot be read.
    """

    def __init__(self, results_dir: str, search: str, dataset: Dataset) -> None:
        self.search = search
        if Path(search).name != search:
            raise ConfigError(
                f"--from-search {search} is not the name of a search. Give the name only; the "
                "folder of results is --results-dir."
            )
        file = working_folder(joined(results_dir, search)) / BEST_FILE
        try:
            content = json.loads(file.read_text())
            self._check(content, dataset)
            self._configs = {
                Condition(entry["model"], float(entry["sparsity"])): from_dict(
                    CellConfig, entry["config"], str(file)
                )
                for entry in content["conditions"]
            }
        except FileNotFoundError as error:
            raise ConfigError(
                f"--from-search {search}: there is no {file}. Finish the search first (python "
                f"sweeps/temperature_lr.py --name {search} ...), or mend the name."
            ) from error
        except RaymmError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"--from-search {search}: {file} cannot be read: {error!r}. Run the search again: "
                "it writes the file anew."
            ) from error

    def _check(self, content: Mapping[str, Any], dataset: Dataset) -> None:
        if content["format"] != FORMAT:
            raise ConfigError(
                f"--from-search {self.search}: its {BEST_FILE} has format {content['format']}, "
                f"this program reads {FORMAT}. Run the search again: it writes the file anew."
            )
        if content["fingerprint"] != dataset.fingerprint:
            raise ConfigError(
                f"--from-search {self.search} was made on other data ({content['dataset']}) than "
                f"this grid's ({dataset.name}), or on other columns of it. Search on these data."
            )

    def config(self, grid: CellConfig, given: Mapping[str, Any]) -> CellConfig:
        """A cell of the grid with the settings that the search has chosen for its condition.

        Args:
            grid: the cell as it is without a search.
            given: settings that the grid's command line gives.

        Raises:
            ConfigError: the search has nothing for the condition, was made on other holes or splits
                of the data, or something given contradicts it.
        """
        condition = Condition(grid.model.name, grid.data.sparsity)
        if condition not in self._configs:
            has = ", ".join(each.title for each in self._configs) or "nothing"
            raise ConfigError(
                f"--from-search {self.search} has nothing for {condition.title}. It has {has}. "
                "Leave the condition out, or search it first: the same search with more --models "
                "or --sparsities goes on from where it is."
            )
        found = self._configs[condition]
        self._check_data(grid, found)
        for group in GROUPS:
            for name, value in to_dict(getattr(found, group)).items():
                own = given.get(name)
                own = list(own) if isinstance(own, tuple) else own
                if name not in NOT_SETTINGS and name in given and own != value:
                    flag = name.replace("_", "-")
                    raise ConfigError(
                        f"--{flag} = {own} contradicts --from-search {self.search}, which chose "
                        f"{name} = {value} for {condition.title}. Leave --{flag} out."
                    )
        train = dataclasses.replace(found.train, seed=grid.train.seed)
        return dataclasses.replace(grid, model=found.model, loss=found.loss, train=train)

    def _check_data(self, grid: CellConfig, found: CellConfig) -> None:
        ours, theirs = to_dict(grid.data), to_dict(found.data)
        differs = [n for n in ours if n != "dataset" and ours[n] != theirs[n]]
        if differs:
            words = "; ".join(
                f"{name} is {ours[name]} here, {theirs[name]} there" for name in differs
            )
            raise ConfigError(
                f"--from-search {self.search} was made on other holes or splits of the data: "
                f"{words}. Give the grid the search's settings (and its --preset)."
            )
