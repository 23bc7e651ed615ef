"""The sweep over CBMF's fusion operations: each aligns the same frozen encoders on the same pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from raymm.config import ATTENTION_OPERATIONS, FUSION_OPERATIONS, CellConfig, FusionOperation
from raymm.data.dataset import Dataset
from raymm.data.splits import places
from raymm.errors import ConfigError, nearest
from raymm.sweep.settings import SweepSettings

DEFAULTS = {
    "width": 512,
    "projection_width": 2048,
    "epochs": 500,
    "patience": 4,
    "batch_size": 256,
    "learning_rate": 3e-4,
    "warmup_steps": 6,
}
"""What the sweep uses where neither a setting nor --preset paper says otherwise.

Chosen on validation pairs of the emoji alone, by the mean reciprocal rank of `add`: narrower projections
and a learning rate of 0.001 do worse there; weight decay up to 1 and hard targets make no difference.
"""
CONVIRT_DEFAULTS = {**DEFAULTS, "batch_size": 32, "learning_rate": 1e-4, "warmup_steps": 50}
"""The same for ConVIRT, whose pretrained encoders a large step would spoil (Zhang et al., 2022, 4.2)."""
AlignmentName = Literal["cbmf", "convirt"]
HELD_OUT = 200


@dataclass(frozen=True, kw_only=True)
class OperationSettings(SweepSettings):
    """Train CBMF with every fusion operation on pairs, and compare their retrieval.

    Attention chooses among the frozen encoders' tokens; the element-wise operations see the tokens'
    mean, or each of them with --no-pool-tokens. A setting that shows None takes its value from
    --preset, or is this sweep's own: width 512 behind projections of 2048, batch 256, peak learning rate
    0.0003, early stopping after 4 epochs without a lower validation loss, 500 at most.
    """

    AXES: ClassVar[tuple[str, ...]] = ("operations", "seeds")
    KIND: ClassVar[str] = "fusion-operations"

    dataset: str = "emoji"
    """Pairs: the built-in ones (emoji), a folder of images and texts, or a folder of embeddings that
    `raymm embed --tokens` has made."""
    encoder: tuple[str, ...] = ("efficientnet-lite0", "minilm")
    """Encoders of the pairs, one for each modality."""
    cache: str = "embeddings"
    """Folder for the encoders' vectors, computed once."""
    models: tuple[AlignmentName, ...] = ("cbmf",)
    """convirt adds the CBMF paper's baseline, which trains the encoders themselves: minutes an epoch
    without a GPU."""
    operations: tuple[FusionOperation, ...] = FUSION_OPERATIONS
    """Fusion operations to compare."""
    seeds: tuple[int, ...] = (0,)
    """One training each: initial weights and the order of the samples."""
    held_out: int | None = None
    """Pairs to score retrieval on. Without it: --test-fraction if given, else 200."""
    patience: int | None = None
    """Epochs without a lower validation loss after which a training stops; 0 trains all epochs."""
    pool_tokens: bool = True
    """Element-wise operations see the mean of a sample's tokens; off, each token (much slower)."""
    projection_width: int | None = None
    """Hidden width of the projections. Laptop: 2048, paper: that of the embeddings."""
    soft_targets: bool = True
    """The paper's targets (eq. 5); --no-soft-targets trains with plain InfoNCE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.models or len(set(self.models)) < len(self.models):
            raise ConfigError(f"--models = {self.models!r}: give at least one, and each only once.")
        for model in self.models:
            if model not in ("cbmf", "convirt"):
                raise ConfigError(
                    f"--models {model}: this sweep compares cbmf and convirt; the other models are "
                    "compared by sweeps/sparsity_grid.py."
                )
        for operation in self.operations:
            if operation not in FUSION_OPERATIONS:
                known = nearest(operation, FUSION_OPERATIONS)
                raise ConfigError(f"There is no fusion operation '{operation}': {known}")
        if self.held_out is not None and self.test_fraction is not None:
            raise ConfigError(
                f"--held-out {self.held_out} and --test-fraction {self.test_fraction:g} both say how "
                "many pairs are scored. Give one of them."
            )
        if self.held_out is not None and self.held_out < 2:
            raise ConfigError(f"--held-out {self.held_out} is out of range. Give 2 or more.")

    def configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        """A cell for each operation and seed."""
        check_two(dataset)
        pooled = [each.name for each in dataset.modalities if each.kind == "table"]
        attention = [each for each in self.operations if each in ATTENTION_OPERATIONS]
        if pooled and attention:
            raise ConfigError(
                f"{', '.join(attention)} choose among tokens, and {dataset.name} holds pooled vectors "
                f"({', '.join(pooled)}). Embed with `raymm embed --tokens`, or give --operations "
                "without attention."
            )
        chosen = self.chosen(dataset, DEFAULTS)
        targets = "soft" if self.soft_targets else "hard"
        for operation in self.operations:
            for seed in self.seeds:
                varied = {"fusion_operation": operation, "seed": seed, "cbmf_targets": targets}
                varied["pool_tokens"] = self.pool_tokens and operation not in ATTENTION_OPERATIONS
                yield self.config(dataset, **{**chosen, **varied, "name": "cbmf"})

    def chosen(self, dataset: Dataset, defaults: dict[str, Any]) -> dict[str, Any]:
        """The sweep's own values, where neither a setting nor the preset says otherwise."""
        values = {} if self.preset == "paper" else defaults
        chosen = {name: value for name, value in values.items() if getattr(self, name) is None}
        if self.test_fraction is None:
            held_out = self.held_out or HELD_OUT
            chosen["test_fraction"] = fraction_for(dataset, held_out, self.split_seed)
        return chosen


@dataclass(frozen=True, kw_only=True)
class ConvirtSettings(OperationSettings):
    """Train ConVIRT on the raw pairs of a sweep over operations: the same splits, the same scores."""

    AXES: ClassVar[tuple[str, ...]] = ("seeds",)
    KIND: ClassVar[str] = "convirt"

    models: tuple[AlignmentName, ...] = ("convirt",)

    def configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        """A cell for each seed.

        Args:
            dataset: raw pairs, their modalities in the order of the encoders.
        """
        check_two(dataset)
        names = tuple(named_encoder(each)[1] for each in self.encoder)
        chosen = self.chosen(dataset, CONVIRT_DEFAULTS)
        for seed in self.seeds:
            varied = {"seed": seed, "name": "convirt", "encoders": names}
            yield self.config(dataset, **{**chosen, **varied})


def named_encoder(given: str) -> tuple[str, str]:
    """Modality and encoder of MODALITY=ENCODER; '' is every modality of the encoder's domain."""
    modality, mark, name = given.partition("=")
    return (modality, name) if mark else ("", given)


def check_two(dataset: Dataset) -> None:
    """See that there are two modalities to retrieve each other.

    Raises:
        ConfigError: there are more, or one.
    """
    names = [modality.name for modality in dataset.modalities]
    if len(names) != 2:
        raise ConfigError(
            f"Retrieval is compared between two modalities, and {dataset.name} has {len(names)}: "
            f"{', '.join(names)}. Choose two with --modalities, or an --encoder for each of two."
        )


def fraction_for(dataset: Dataset, count: int, split_seed: int) -> float:
    """The test fraction with which just so many samples that have every modality are held out.

    Whether a sample is held out is decided by its id, so the fraction lies between two samples. Of
    samples that come in groups, as captions of a photo do, it may be a few more: a group stays whole.

    Raises:
        ConfigError: there are not enough samples.
    """
    whole = dataset.presence().all(axis=1)
    if count >= int(whole.sum()) // 2:
        raise ConfigError(
            f"--held-out {count} of {int(whole.sum()):,} pairs in {dataset.name} leaves too few to "
            "train on. Give less than half."
        )
    standing = np.sort(places(dataset.ids[whole], split_seed))
    last = standing[count - 1]
    return float((last + standing[standing > last][0]) / 2)
