"""One, two and four ranks give the same loss and the same gradients for the same global batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from raymm.config import SMDF_MODELS, LossConfig, ModelConfig, ModelName
from raymm.data.batch import Batch
from raymm.data.prepared import Column, Split
from raymm.losses.build import build_loss
from raymm.models.base import FusionModel
from raymm.models.build import build_model
from raymm.training.learner import data_parallel
from tests.models.batches import SPECS, random_presence
from tests.ranks import on_ranks

MODELS: tuple[ModelName, ...] = (*SMDF_MODELS, "cbmf")
SAMPLES, MODALITIES = 8, 3


class Step(torch.nn.Module):
    def __init__(self, name: ModelName) -> None:
        super().__init__()
        torch.manual_seed(3)
        config = ModelConfig(name=name, width=8, depth=2, heads=2, head_size=8)
        self.model: FusionModel = build_model(SPECS[:MODALITIES], config)
        self.loss = build_loss(name, self.model.pairs, LossConfig())

    def forward(self, batch: Batch) -> Tensor:
        loss: Tensor = self.loss(self.model(batch))
        return loss


def global_presence() -> NDArray[np.bool_]:
    """Rank 1 of 2 (the odd places) has nobody with the second modality; the last place is empty."""
    presence = random_presence(SAMPLES, MODALITIES, 0.3, seed=11)
    presence[1::2, 1] = False
    presence[1::2, 0] = True
    presence[-1] = False
    return presence


def share_of(rank: int, ranks: int) -> Batch:
    """A rank's share of the global batch: the same values that one rank would see."""
    presence = global_presence()
    rng = np.random.default_rng(0)
    columns = []
    for index in range(MODALITIES):
        rows = np.flatnonzero(presence[:, index])
        row_of = np.full(SAMPLES, -1, dtype=np.int64)
        row_of[rows] = np.arange(len(rows))
        spec = SPECS[index]
        if spec.kind == "table":
            values = rng.normal(size=(len(rows), spec.width)).astype(np.float32)
            columns.append(Column("table", row_of, values, None))
        else:
            lengths = rng.integers(1, spec.max_length + 1, size=len(rows))
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            values = rng.normal(size=(offsets[-1], spec.width)).astype(np.float32)
            columns.append(Column("sequence", row_of, values, offsets))
    ids = np.array([f"s{n}" for n in range(SAMPLES)])
    split = Split(ids=ids, presence=presence, labels=None, columns=tuple(columns))
    return split.batch(np.arange(SAMPLES)[rank::ranks])


def collectives(seen: profile) -> list[str]:
    """What ranks exchanged while a profiler watched, DDP's own exchanges among it."""
    return [each.name for each in seen.events() or [] if each.name.startswith("gloo:")]


def worker(rank: int, folder: Path) -> None:
    ranks = dist.get_world_size()
    found = {}
    for name in MODELS:
        step = Step(name)
        parallel = data_parallel(step, torch.device("cpu"))
        with profile(activities=[ProfilerActivity.CPU]) as forward:
            loss = parallel(share_of(rank, ranks))
        assert collectives(forward) == ["gloo:all_gather"], name  # whatever the number of pairs
        with profile(activities=[ProfilerActivity.CPU]) as backward:
            loss.backward()
        assert set(collectives(backward)) == {"gloo:all_reduce"}, name
        found[f"{name}|loss"] = loss.detach()
        for key, parameter in step.named_parameters():
            assert parameter.grad is not None
            found[f"{name}|{key}"] = parameter.grad
    if rank == 0:
        torch.save(found, folder / f"found-{ranks}.pt")


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_do_not_change_loss_or_gradient(ranks: int, tmp_path: Path) -> None:
    on_ranks(worker, ranks, tmp_path)
    found = torch.load(tmp_path / f"found-{ranks}.pt", weights_only=True)
    for name in MODELS:
        step = Step(name)
        loss = step(share_of(0, 1))
        loss.backward()
        torch.testing.assert_close(found[f"{name}|loss"], loss.detach(), atol=1e-6, rtol=1e-6)
        for key, parameter in step.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(
                found[f"{name}|{key}"],
                parameter.grad,
                atol=1e-6,
                rtol=1e-4,
                msg=lambda text, where=f"{name} {key}": f"{where}: {text}",
            )
