"""Settings of a search, as its command line shows them, and the conditions they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from raymm.config import GRID_MODELS, CellConfig
from raymm.data.dataset import Dataset
from raymm.errors import ConfigError
from raymm.sweep.cells import Cell, cell_key
from raymm.sweep.search.objective import Objective, check_each_epoch, objectives
from raymm.sweep.search.space import (
    SEARCHABLE,
    SIZES,
    Params,
    Space,
    contains,
    edges,
    parse_space,
    space_of,
)
from raymm.sweep.search.strategy import (
    PrunerName,
    SamplerName,
    all_points,
    check_pruner,
    check_sampler,
)
from raymm.sweep.search.trials import Condition
from raymm.sweep.settings import SweepSettings

TRIALS = 12
"""Trials of a condition where nothing is said of it."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings(SweepSettings):
    """Search hyperparameters for every model at every modal sparsity: one study for each.

    A setting that shows None takes its value from --preset.
    """

    AXES: ClassVar[tuple[str, ...]] = ("models", "sparsities", "seeds")
    KIND: ClassVar[str] = "search"

    models: tuple[str, ...] = GRID_MODELS
    """Fusion models to search for."""
    sparsities: tuple[float, ...] = (0.0, 0.6)
    """Modal sparsities: the probability that a modality is dropped from a sample."""
    seeds: tuple[int, ...] = (0,)
    """Trainings of each trial, which is judged on their mean."""

    trials: int | None = None
    """Trials of each model at each sparsity; the first is the preset as it is. Without it: 12, or
    as many as --sampler grid has points."""
    space: tuple[str, ...] = ("temperature", "learning_rate", "weight_decay", "warmup_steps")
    """What is searched: of temperature, learning_rate, weight_decay, warmup_steps, width, depth,
    fusion_tokens and negatives. A name alone has a range around the preset. Others:
    learning_rate=1e-4:0.1, warmup_steps=0:80:20 (with a step), width=16,32,64 (values only)."""
    objective: tuple[str, ...] = ()
    """Metric of the validation split, as val/probe/auprc or val/uniformity/fusion, or a cost, as
    time/train_s. Several give the Pareto set; the first of them then chooses what --from-search
    takes. Without it: val/probe/auprc, val/probe/pearson, or val/recall/at_1_mean."""
    sampler: SamplerName = "tpe"
    """How settings are suggested. grid: all combinations of --space."""
    pruner: PrunerName = "none"
    """How poor trials are stopped early, each compared with others of its model and sparsity
    only."""
    prune_on: str = "loss/val"
    """What the pruner compares, as the mean over a trial's seeds at the same epoch: loss/val or
    loss/train."""
    grace_epochs: int = 1
    """Epochs that every trial may train before it can be pruned."""
    sampler_seed: int = 0
    """Decides what a sampler draws."""
    studies: str | None = None
    """Where Optuna keeps the studies: a file (SQLite, or a journal if it ends in .journal), or the
    URL of a database. Without it: studies.db in the results folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trials is not None and self.trials < 1:
            raise ConfigError(f"--trials = {self.trials} is out of range. Give 1 or more.")
        if self.pruner != "none":
            check_each_epoch(self.prune_on)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Each model at each sparsity."""
        return tuple(
            Condition(model, sparsity) for model in self.models for sparsity in self.sparsities
        )

    def beside_cells(self) -> str:
        """The cells that are known beforehand are the preset's, whatever is searched."""
        words = (*self.space, *self.objective, self.sampler, self.pruner, self.prune_on)
        return " ".join((*words, str(self.grace_epochs), str(self.sampler_seed)))

    def configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        """The cells of each condition's first trial; those of the others are not known before.

        Raises:
            ConfigError: the search cannot be: its space, objective, sampler or pruner is at fault.
        """
        self.check(dataset)
        for condition in self.conditions:
            for cell in self.cells(dataset, condition, {}):
                yield cell.config

    def cells(self, dataset: Dataset, condition: Condition, params: Params) -> tuple[Cell, ...]:
        """The cells of a trial: one for each seed.

        Raises:
            ConfigError: the parameters are not possible together.
        """
        configs = [
            self.config(
                dataset,
                **{**params, "name": condition.model, "sparsity": condition.sparsity, "seed": seed},
            )
            for seed in self.seeds
        ]
        return tuple(Cell(cell_key(config, dataset.fingerprint), config) for config in configs)

    def largest(self, dataset: Dataset, condition: Condition) -> Cell:
        """A cell of the largest model that a condition's space allows."""
        sizes = {
            name: max(cast("tuple[int, ...]", edges(distribution)))
            for name, distribution in self.spaces(dataset)[condition.model].items()
            if name in SIZES
        }
        return self.cells(dataset, condition, sizes)[0]

    def spaces(self, dataset: Dataset) -> dict[str, Space]:
        """The space of each model."""
        space = parse_space(self.space, self.preset_values(dataset))
        return {model: space_of(model, space) for model in self.models}

    def goals(self, dataset: Dataset) -> tuple[Objective, ...]:
        """The objectives."""
        return objectives(self.objective, dataset)

    def preset_values(self, dataset: Dataset) -> dict[str, Any]:
        """What each searchable setting is without a search."""
        return searchable_values(self.config(dataset, name=self.models[0]))

    def trials_of(self, space: Space) -> int:
        """How many trials a study of this space has."""
        if self.sampler != "grid":
            return self.trials or TRIALS
        return len(all_points(space, self.sampler_seed))

    def check(self, dataset: Dataset) -> None:
        """Refuse a search that cannot be.

        Raises:
            ConfigError: says which setting is at fault.
        """
        spaces, goals = self.spaces(dataset), self.goals(dataset)
        unsaid = type(self)()
        for name in {name for space in spaces.values() for name in space}:
            if getattr(self, name) != getattr(unsaid, name):
                flag = name.replace("_", "-")
                raise ConfigError(
                    f"--{flag} = {getattr(self, name)} is fixed and --space searches it. Leave out "
                    f"--{flag}, or take {name} out of --space."
                )
        check_sampler(self.sampler, spaces, goals)
        epochs = self.config(dataset).train.epochs
        check_pruner(self.pruner, goals, self.grace_epochs, epochs)
        self._check_comparable(spaces, goals)
        for condition in self.conditions:
            self._check_edges(dataset, condition, spaces[condition.model])
        if self.sampler == "grid":
            self._check_grid(spaces)

    def default_point(self, dataset: Dataset, space: Space) -> dict[str, Any] | None:
        """The preset as a point of the space; None if it lies outside."""
        values = self.preset_values(dataset)
        point = {name: values[name] for name in space}
        return point if contains(space, point) else None

    def _check_edges(self, dataset: Dataset, condition: Condition, space: Space) -> None:
        """Let each setting say now whether it may have the values that the space allows."""
        for name, distribution in space.items():
            for value in edges(distribution):
                try:
                    self.cells(dataset, condition, {name: value})
                except ConfigError as error:
                    raise ConfigError(
                        f"--space lets {name} be {value} for '{condition.model}': {error}"
                    ) from error

    def _check_grid(self, spaces: Mapping[str, Space]) -> None:
        for model, space in spaces.items():
            points = self.trials_of(space)
            if self.trials not in (None, points):
                raise ConfigError(
                    f"--trials = {self.trials}, but the grid of '{model}' has {points} points. "
                    "Leave --trials out, or take another --sampler."
                )

    def _check_comparable(self, spaces: Mapping[str, Space], goals: tuple[Objective, ...]) -> None:
        """A loss says nothing across losses that are not the same function."""
        by_loss = [goal.metric for goal in goals if goal.metric.startswith("loss/")]
        if self.pruner != "none" and self.prune_on.startswith("loss/"):
            by_loss.append(self.prune_on)
        searched = {name for space in spaces.values() for name in space}
        changing = {"negatives"} | ({"temperature"} if self.freeze_temperature else set())
        if by_loss and changing & searched:
            raise ConfigError(
                f"{by_loss[0]} cannot compare trials that differ in "
                f"{' and '.join(sorted(changing & searched))}: each has another loss. Give another "
                "--objective and --pruner none, or take it out of --space."
            )


def searchable_values(config: CellConfig) -> dict[str, Any]:
    """What a cell has of the settings that can be searched."""
    groups = (config.model, config.loss, config.train)
    return {
        name: getattr(group, name)
        for name in SEARCHABLE
        for group in groups
        if hasattr(group, name)
    }
