"""What ranks exchange beside gradients."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from raymm.training.learner import data_parallel
from tests.ranks import on_ranks

CPU = torch.device("cpu")


class Shifted(nn.Module):
    """A layer, and a constant that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("shift", torch.ones(2), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        shifted: Tensor = self.linear(values) + self.shift
        return shifted


def use_both(rank: int, folder: Path) -> None:
    constants = data_parallel(Shifted(), CPU)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        constants(torch.ones(1, 2))
    assert not [each for each in seen.events() or [] if each.name.startswith("gloo:")]
    state = nn.BatchNorm1d(2)
    parallel = data_parallel(state, CPU).eval()
    assert state.running_mean is not None
    state.running_mean.fill_(float(rank))
    parallel(torch.ones(1, 2))
    assert state.running_mean.tolist() == [0.0, 0.0]  # the first rank's


def test_only_buffers_that_are_state_are_sent_to_all_ranks(tmp_path: Path) -> None:
    on_ranks(use_both, 2, tmp_path)
