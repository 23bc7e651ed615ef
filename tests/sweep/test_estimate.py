"""What a cell takes: the formula against real models, real batches and measured memory."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch

from raymm.config import GRID_MODELS, CellConfig, DataConfig, ModelConfig, ModelName, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.loader import ordered_batches
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.models.build import build_model
from raymm.models.channel_model import ChannelModel
from raymm.models.eao import EAO, _Passes
from raymm.sweep.estimate import SLACK, estimate, tokens_per_sample
from raymm.training.loop import train_cell
from tests.sweep.small import with_sequence


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def cell(name: ModelName, sparsity: float = 0.4, batch: int = 256, **model: int) -> CellConfig:
    return CellConfig(
        data=DataConfig(sparsity=sparsity),
        model=ModelConfig(name=name, **model),  # type: ignore[arg-type]
        train=TrainConfig(epochs=1, batch_size=batch),
    )


@pytest.mark.parametrize("name", GRID_MODELS)
def test_parameters_are_those_of_the_model(name: ModelName, digits: Dataset) -> None:
    config = cell(name, width=24, depth=3)
    model = build_model(prepare(digits, config.data).specs, config.model, config.loss)
    wanted = sum(parameter.numel() for parameter in model.parameters())
    need = estimate(config, digits, workers=1, gpu=False)
    assert need.parameters == wanted
    assert need.finished_gb == pytest.approx(2e-9 * wanted)  # half the space: two bytes each


@pytest.mark.parametrize("name", GRID_MODELS)
def test_tokens_are_those_of_real_batches(name: ModelName, digits: Dataset) -> None:
    config = cell(name)
    prepared = prepare(digits, config.data)
    model = build_model(prepared.specs, config.model, config.loss)
    tokens = samples = 0
    for _, batch in ordered_batches(prepared.train, batch_size=256, rank=0, world_size=1):
        samples += batch.size
        unimodal = sum(
            block.size * (1 if name == "cbmf" else block.length) for block in batch.blocks
        )
        if isinstance(model, ChannelModel):
            groups = int(model.exists(batch.presence)[len(prepared.specs) :].sum())
            unimodal += groups * model.fusion_tokens.shape[1]
        if isinstance(model, EAO):
            unimodal = len(_Passes(batch, model.couples).source)
        tokens += unimodal
    assert tokens_per_sample(config, digits) == pytest.approx(tokens / samples, rel=0.05)


def test_a_longer_sequence_more_workers_and_a_gpu_count() -> None:
    config = cell("mca", sparsity=0.0)
    short, long = (estimate(config, with_sequence(n), 1, False) for n in (40, 4000))
    shared = estimate(config, with_sequence(4000), 4, False)
    assert short.memory_gib < shared.memory_gib < long.memory_gib
    assert estimate(config, with_sequence(4000), 1, True).memory_gib > long.memory_gib


def measure(config: CellConfig, folder: str, told: Any) -> None:
    """Train in a process of its own, as a worker does, and tell its peak."""
    torch.set_num_threads(1)
    metrics = train_cell(
        config, load_dataset("digits"), storage=folder, device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )  # fmt: skip
    told.put(metrics["memory/peak_gib"])


@pytest.mark.parametrize(
    "config",
    [
        cell("mca", 0.0, 256, width=64, depth=3),
        pytest.param(cell("zorro", 0.6, 512, width=64, depth=2), marks=pytest.mark.slow),
        pytest.param(cell("eao", 0.4, 256, width=48, depth=2), marks=pytest.mark.slow),
        cell("cbmf", 0.0, 512, width=256),
    ],
    ids=lambda config: config.model.name,
)
def test_memory_is_within_the_stated_factor_of_what_is_measured(
    config: CellConfig, digits: Dataset, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    worker = context.Process(target=measure, args=(config, str(tmp_path), told))
    worker.start()
    measured = told.get(timeout=120)
    worker.join()
    estimated = estimate(config, digits, workers=1, gpu=False).memory_gib
    assert measured / SLACK < estimated < measured * SLACK
