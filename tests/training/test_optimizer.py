"""The schedule against its closed form, and the optimiser's state through plain tensors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from raymm.config import TrainConfig
from raymm.training.optimizer import (
    learning_rate,
    load_optimizer,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)


def test_schedule_rises_to_the_peak_and_falls_as_a_cosine_to_zero() -> None:
    config = TrainConfig(learning_rate=2.0, warmup_steps=4)
    rates = [learning_rate(config, step, 104) for step in range(104)]
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates[4] == pytest.approx(2.0)
    assert rates[54] == pytest.approx(1.0)
    expected = [1 + math.cos(math.pi * n / 100) for n in range(100)]
    assert rates[4:] == pytest.approx(expected)


def test_a_training_shorter_than_its_warm_up_only_rises() -> None:
    rates = [learning_rate(TrainConfig(warmup_steps=100), step, 10) for step in range(10)]
    assert rates == sorted(rates)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)


def step(model: Model, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (model.linear(torch.ones(1, 3)).square().sum() * model.scale).backward()
    optimizer.step()


def test_state_goes_through_tensors_unchanged() -> None:
    straight, cut = Model(), Model()
    first = make_optimizer(straight, TrainConfig())
    for _ in range(4):
        step(straight, first)
    second = make_optimizer(cut, TrainConfig())
    for _ in range(2):
        step(cut, second)
    tensors = {key: value.clone() for key, value in optimizer_tensors(second, cut).items()}
    weights = {key: value.clone() for key, value in cut.state_dict().items()}
    resumed = Model()
    resumed.load_state_dict(weights)
    third = make_optimizer(resumed, TrainConfig())
    load_optimizer(third, resumed, tensors)
    for _ in range(2):
        step(resumed, third)
    torch.testing.assert_close(resumed.state_dict(), straight.state_dict(), rtol=0, atol=0)


def test_the_temperature_is_not_decayed_and_rates_reach_all_groups() -> None:
    optimizer = make_optimizer(Model(), TrainConfig(weight_decay=0.5))
    set_learning_rate(optimizer, 0.25)
    found = [
        (group["weight_decay"], len(group["params"]), group["lr"])
        for group in optimizer.param_groups
    ]
    assert found == [(0.5, 2, 0.25), (0.0, 1, 0.25)]
