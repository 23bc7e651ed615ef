"""Settings that every sweep has, as command lines show them, and how cells are made of them."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from raymm.config import (
    MODEL_NAMES,
    CellConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    Precision,
    TrainConfig,
)
from raymm.data.dataset import Dataset
from raymm.errors import ConfigError, nearest
from raymm.models.channels import fusion_channels
from raymm.models.custom import custom_model, is_custom
from raymm.models.needs import check_tokens, pooled_modalities
from raymm.sweep.cells import Cell, cell_key
from raymm.sweep.work import relative_work
from raymm.training.placing import check_gpu_share

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "laptop": {"workers_per_cell": 1},
    "paper": {
        "width": 512,
        "depth": 5,
        "heads": 8,
        "head_size": 64,
        "fusion_tokens": 8,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "warmup_steps": 2000,
        "clip_norm": 2.0,
        "test_fraction": 0.10,
        "workers_per_cell": 4,
    },
}
PAPER_EPOCHS = {"sequence": 32, "table": 128}


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """What every sweep has to be told; each kind of sweep adds what it varies.

    A setting that shows None takes its value from --preset.
    """

    AXES: ClassVar[tuple[str, ...]] = ()
    """Settings that a sweep varies, each a tuple of values."""
    KIND: ClassVar[str] = ""
    """Part of the names of sweeps that are no grids."""

    preset: Literal["laptop", "paper"] = "laptop"
    """laptop: small models that train in seconds. paper: the settings of Sparsely Multimodal Data
    Fusion: width 512, 8 heads, 5 blocks, batch 32 over 4 workers, peak learning rate 1e-4 after
    2,000 warm-up steps, 32 epochs (128 if all modalities are tables), 10 % of the samples for
    testing."""

    dataset: str = "digits"
    """Built-in data set (digits), or a folder or s3:// address with one table per modality."""
    modalities: tuple[str, ...] = ()
    """Modalities to use, in this order. Without it: those the data set chooses."""
    label: str | None = None
    """Label column that the linear probes predict. Without it: the one the data set chooses."""
    validation_fraction: float = 0.15
    """Share of the samples on which the epoch is chosen."""
    test_fraction: float | None = None
    """Share of the samples that are scored once, at the end. Laptop: 0.15, paper: 0.1."""
    mask_seed: int = 0
    """Decides which modalities are dropped from which sample; the same for all cells."""
    split_seed: int = 0
    """Decides which samples train, validate and test; the same for all cells."""

    width: int | None = None
    """Width of tokens and embeddings. Laptop: 32, paper: 512."""
    depth: int | None = None
    """Transformer blocks. Laptop: 2, paper: 5."""
    heads: int | None = None
    """Attention heads. Laptop: 1, paper: 8."""
    head_size: int | None = None
    """Width of one attention head. Laptop: 16, paper: 64."""
    fusion_tokens: int | None = None
    """Fusion tokens per channel of MCA; Zorro has the same total. Laptop: 2, paper: 8."""
    channel_orders: tuple[int, ...] = ()
    """Sizes of MCA's fusion channels. Without it: 2 to M for M up to 5 modalities, else 2 and M."""

    epochs: int | None = None
    """Passes over the train split. Laptop: 5, paper: 32, or 128 if all modalities are tables."""
    batch_size: int | None = None
    """Samples in a step, over all workers of a cell. Both presets: 32."""
    learning_rate: float | None = None
    """Peak learning rate of AdamW's cosine schedule. Laptop: 0.008, paper: 0.0001."""
    weight_decay: float | None = None
    """Weight decay of AdamW. Both presets: 0.01."""
    warmup_steps: int | None = None
    """Steps over which the learning rate rises. Laptop: 40, paper: 2000."""
    clip_norm: float | None = None
    """Gradients are scaled down to this norm; 0 turns it off. Both presets: 2."""
    precision: Precision | None = None
    """fp32, or bf16 mixed precision. Without it: bf16 with --gpu, else fp32."""
    temperature: float | None = None
    """Temperature of the contrastive loss at the start. Both presets: 0.07."""
    freeze_temperature: bool = False
    """Keep the temperature as it is instead of learning it."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of embeddings in the loss. dot: as in the papers' published code."""
    negatives: Literal["present", "all"] | None = None
    """Negatives of a pair. Both presets: present. all: also samples that lack a side, as in the
    papers' published code."""

    workers_per_cell: int | None = None
    """Worker processes that share the batches of a cell. Laptop: 1, paper: 4."""
    cpus_per_worker: float = 1
    """CPUs, and threads, of each worker."""
    gpu: str | None = None
    """Give each worker a GPU of this kind, as Ray names it (A10G, A100, H100 ...), or any."""
    larger_gpu: str | None = None
    """Another kind (A100), only for models whose estimated memory does not fit --gpu."""
    gpus_per_worker: float = 1
    """GPUs of each worker: 1, or a share of one, such as 0.25 for four small cells on a GPU."""
    checkpoint_every_s: float = 30
    """Least seconds between two checkpoints of a cell: what it may lose when a machine goes."""
    max_concurrent: int | None = None
    """Most cells that train at the same time. Without it: as many as fit."""
    address: str | None = field(default_factory=lambda: os.environ.get("RAY_ADDRESS"))
    """Ray cluster to join, auto for the one this machine is part of. Without it: the one that
    RAY_ADDRESS names, as it does in a submitted job, else a local Ray, started for the sweep and
    stopped after it."""

    name: str | None = None
    """Name of the sweep and of its results folder. Without it: made from the settings."""
    results_dir: str = "results"
    """Folder or s3:// address that gets one folder per sweep: tables, figures, report."""
    storage: str = "storage"
    """Folder or s3:// address for checkpoints and weights; seen by all machines of a cluster."""
    tracking_uri: str | None = None
    """MLflow server or database. Without it: sqlite:///mlruns/mlflow.db."""
    artifacts: str | None = None
    """Folder or s3:// address for MLflow's files (figures, reports, models) of a store that is new.
    Without it: mlruns/artifacts, or what the server chooses."""
    plan: bool = False
    """Show what would be trained, where, how long it takes and what it costs; start nothing."""
    calibrate: bool = False
    """Train one cell of each model for two epochs, as a small sweep of its own, so that the plan
    knows how fast they are; then show the plan."""

    def __post_init__(self) -> None:
        for name in self.AXES:
            values: Sequence[object] = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"--{name} = {values!r}: give at least one, and each only once.")
        for name in ("workers_per_cell", "max_concurrent"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{_flag(name)} = {value} is out of range. Give 1 or more.")
        if not self.cpus_per_worker > 0:
            raise ConfigError(f"--cpus-per-worker = {self.cpus_per_worker} must be above 0.")
        if not self.checkpoint_every_s >= 0:
            raise ConfigError(
                f"--checkpoint-every-s = {self.checkpoint_every_s} must be 0 or more."
            )
        if self.larger_gpu is not None and self.gpu is None:
            raise ConfigError(
                f"--larger-gpu {self.larger_gpu} is for what does not fit --gpu, which is not "
                f"given. Give --gpu too, or --gpu {self.larger_gpu} alone."
            )
        check_gpu_share(self.gpus_per_worker, self.workers, self.gpu)
        if self.name is not None and not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", self.name):
            raise ConfigError(
                f"--name = {self.name!r} cannot name a folder. Use letters, digits and _ . + - "
                "only; where results go is set by --results-dir."
            )
        for model in getattr(self, "models", ()):
            if model not in MODEL_NAMES and not is_custom(model):
                raise ConfigError(f"There is no model '{model}': {nearest(model, MODEL_NAMES)}")

    @property
    def workers(self) -> int:
        """Workers per cell, by setting or preset."""
        return int(self.workers_per_cell or PRESETS[self.preset]["workers_per_cell"])

    def configs(self, dataset: Dataset) -> Iterator[CellConfig]:
        """The cells that the sweep stands for, in any order."""
        raise NotImplementedError

    def expand(self, dataset: Dataset) -> list[Cell]:
        """The cells, the most work first, so that no group of workers is left with a long one.

        Raises:
            ConfigError: a setting is out of range, or two contradict each other or the data.
        """
        orders = self.channel_orders
        fusion_channels(len(dataset.modalities), orders)  # said now, not by each cell
        cells = [
            Cell(cell_key(config, dataset.fingerprint), config) for config in self.configs(dataset)
        ]
        for name in {cell.config.model.name for cell in cells if is_custom(cell.config.model.name)}:
            custom_model(name)  # that it cannot be imported is said now too
        pooled = pooled_modalities(dataset.modalities)
        for cell in cells:
            check_tokens(cell.config.model, pooled)
        batch = min(cell.config.train.batch_size for cell in cells)
        if batch < self.workers:
            raise ConfigError(
                f"--batch-size = {batch} is smaller than --workers-per-cell = {self.workers}: some "
                "workers would have nothing to do. Raise the one or lower the other."
            )
        return sorted(cells, key=lambda cell: -relative_work(cell.config, dataset))

    def config(self, dataset: Dataset, **varied: object) -> CellConfig:
        """One cell: the preset's values, then what is given here, then what the sweep varies.

        Args:
            varied: any fields of a cell's groups of settings by their names; "name" is the model's.
        """
        # What the data set chose is written out: to choose the same gives the same key.
        used = {
            "modalities": tuple(modality.name for modality in dataset.modalities),
            "label": dataset.label.name if dataset.label else None,
            "learn_temperature": not self.freeze_temperature,
        }
        values = {
            **PRESETS[self.preset],
            "epochs": _preset_epochs(self.preset, dataset),
            "precision": "bf16" if self.gpu else "fp32",
            **self._given(),
            **used,
            **varied,
        }
        return CellConfig(
            data=DataConfig(**_fields(DataConfig, values)),
            model=ModelConfig(**_fields(ModelConfig, values)),
            loss=LossConfig(**_fields(LossConfig, values)),
            train=TrainConfig(**_fields(TrainConfig, values)),
        )

    def beside_cells(self) -> str:
        """What tells two sweeps of this kind apart that have the same cells."""
        return ""

    def summary(self) -> str:
        """What is varied, for the plan: "mca, zorro x sparsity 0, 0.5 x seed 0, 1"."""
        return " x ".join(
            f"{_singular(name)}{', '.join(_shown(value) for value in getattr(self, name))}"
            for name in self.AXES
        )

    def _given(self) -> dict[str, Any]:
        """What the settings say themselves; None means they leave it to the preset."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        # Their "name" is the sweep's, a cell's is its model's.
        return {k: v for k, v in values.items() if v is not None and k != "name"}


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _singular(axis: str) -> str:
    return {"models": "", "sparsities": "sparsity ", "seeds": "seed "}.get(axis, f"{_flag(axis)} ")


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _preset_epochs(preset: str, dataset: Dataset) -> int:
    if preset != "paper":
        return TrainConfig().epochs
    kinds = {modality.kind for modality in dataset.modalities}
    return PAPER_EPOCHS["sequence" if "sequence" in kinds else "table"]


def _fields(group: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that the group of settings has."""
    return {f.name: values[f.name] for f in dataclasses.fields(group) if f.name in values}
