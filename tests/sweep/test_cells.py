"""A cell's key hashes all that decides its result, and nothing else."""

from __future__ import annotations

import dataclasses

from raymm.config import CellConfig, DataConfig, LossConfig, ModelConfig, TrainConfig
from raymm.sweep.cells import cell_key

CHANGES: dict[str, dict[str, object]] = {
    "data": {
        "modalities": ("fou", "kar"),
        "label": "digit",
        "sparsity": 0.2,
        "mask_seed": 1,
        "split_seed": 1,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
    },
    "model": {
        "name": "zorro",
        "width": 16,
        "depth": 3,
        "heads": 2,
        "head_size": 8,
        "feedforward_factor": 2,
        "fusion_tokens": 1,
        "channel_orders": (2, 4),
        "eao_projection": False,
        "fusion_operation": "multiply",
        "dfe_heads": 2,
        "projection_width": 64,
        "pool_tokens": True,
        "encoders": ("minilm", "minilm"),
    },
    "loss": {
        "temperature": 0.1,
        "learn_temperature": False,
        "similarity": "dot",
        "negatives": "all",
        "eao_pairs": "disjoint",
        "cbmf_targets": "hard",
    },
    "train": {
        "epochs": 9,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "clip_norm": 1.0,
        "precision": "bf16",
        "seed": 1,
        "patience": 3,
    },
}


def test_every_setting_changes_the_key() -> None:
    cell = CellConfig(model=ModelConfig(name="cbmf"))  # the one that takes any of them
    keys = {cell_key(cell, "data")}
    for group, changes in CHANGES.items():
        for name, value in changes.items():
            part = dataclasses.replace(getattr(cell, group), **{name: value})
            keys.add(cell_key(dataclasses.replace(cell, **{group: part}), "data"))
    assert len(keys) == 1 + sum(map(len, CHANGES.values()))


def test_no_setting_is_forgotten_above() -> None:
    groups = {"data": DataConfig, "model": ModelConfig, "loss": LossConfig, "train": TrainConfig}
    for group, settings in groups.items():
        names = {item.name for item in dataclasses.fields(settings)} - {"dataset"}
        assert names == CHANGES[group].keys()


def test_the_data_count_by_their_content_and_not_by_their_address() -> None:
    cell = CellConfig()
    moved = dataclasses.replace(cell, data=DataConfig(dataset="s3://elsewhere/digits"))
    assert cell_key(moved, "data") == cell_key(cell, "data")
    assert cell_key(cell, "other data") != cell_key(cell, "data")
