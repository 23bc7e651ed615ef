"""The sparsity grid: every model at every modal sparsity with every seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from raymm.config import GRID_MODELS, CellConfig, FusionOperation, LossConfig, ModelConfig
from raymm.data.dataset import Dataset
from raymm.sweep.search.best_file import Chosen
from raymm.sweep.settings import SweepSettings

NOT_CBMF: Mapping[str, object] = {
    "fusion_operation": ModelConfig().fusion_operation,
    "dfe_heads": ModelConfig().dfe_heads,
    "cbmf_targets": LossConfig().cbmf_targets,
}
"""What a model has that makes no use of CBMF's settings."""


@dataclass(frozen=True, kw_only=True)
class GridSettings(SweepSettings):
    """Train every model at every modal sparsity with every seed, and compare them.

    A setting that shows None takes its value from --preset.
    """

    AXES: ClassVar[tuple[str, ...]] = ("models", "sparsities", "seeds")

    models: tuple[str, ...] = GRID_MODELS
    """Fusion models to compare; one of your own as package.module:Class (docs/add-a-model.md)."""
    sparsities: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
    """Modal sparsities: the probability that a modality is dropped from a sample."""
    seeds: tuple[int, ...] = (0, 1)
    """One training each: initial weights and the order of the samples. Differences between models
    are tested over seeds; five or more can show small ones."""
    fusion_operation: FusionOperation = "add"
    """How CBMF fuses a modality with its context. The attentions need sequences: over a table's
    one vector they are refused."""
    dfe_heads: int = 4
    """Attention heads of CBMF's encoder of sequences; they divide the width."""
    cbmf_targets: Literal["soft", "hard"] = "soft"
    """CBMF's targets: soft as in its paper, or hard, as the other models have."""

    log_models: Literal["none", "best", "all"] = "best"
    """Models that MLflow gets a copy of, for mlflow.pyfunc.load_model: none, that of the best seed (by
    validation loss) of each model at each sparsity, or all."""
    register: str | None = None
    """Also register those models in MLflow, under names that begin with this."""

    from_search: str | None = None
    """Name of a search (sweeps/temperature_lr.py): each model at each sparsity takes the settings
    that were best for it there."""

    def configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        """A cell for each combination.

        Raises:
            ConfigError: the search that is to choose settings has none for one of them.
        """
        if self.from_search is None:
            yield from self._plain_configs(dataset)
            return
        chosen = Chosen(self.results_dir, self.from_search, dataset)
        for config in self._plain_configs(dataset):
            yield chosen.config(config, self._said())

    def _plain_configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        for model in self.models:
            # The others' cells stay the same cells whatever CBMF is told.
            own = {} if model == "cbmf" else NOT_CBMF
            for sparsity in self.sparsities:
                for seed in self.seeds:
                    yield self.config(dataset, **own, name=model, sparsity=sparsity, seed=seed)

    def _said(self) -> dict[str, object]:
        """Settings of cells that are not as they are without a word."""
        plain = type(self)(preset=self.preset)
        said = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if getattr(self, item.name) != getattr(plain, item.name)
        }
        return said | ({"learn_temperature": False} if self.freeze_temperature else {})
