"""The sparsity grid: every model at every modal sparsity with every seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from raymm.config import GRID_MODELS, CellConfig
from raymm.data.dataset import Dataset
from raymm.sweep.settings import SweepSettings


@dataclass(frozen=True, kw_only=True)
class GridSettings(SweepSettings):
    """Train every model at every modal sparsity with every seed, and compare them.

    A setting that shows None takes its value from --preset.
    """

    AXES: ClassVar[tuple[str, ...]] = ("models", "sparsities", "seeds")

    models: tuple[str, ...] = GRID_MODELS
    """Fusion models to compare."""
    sparsities: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
    """Modal sparsities: the probability that a modality is dropped from a sample."""
    seeds: tuple[int, ...] = (0, 1)
    """One training each: initial weights and the order of the samples. Differences between models
    are tested over seeds; five or more can show small ones."""

    def configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        """A cell for each combination."""
        for model in self.models:
            for sparsity in self.sparsities:
                for seed in self.seeds:
                    yield self.config(dataset, name=model, sparsity=sparsity, seed=seed)
