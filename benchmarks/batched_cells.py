"""Many CBMF cells trained as one model: cells that differ only in learning rate, temperature or seed.

Their weights are stacked, and `torch.func` turns one cell's step into a step of all: every linear layer
becomes one batched product. It is for pooled vectors that every sample has and the operation `add`,
which is enough to see what training cells together gains.

Shapes: C cells, M modalities, B samples of a batch, w components of a feature vector, d width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad_and_value, stack_module_state, vmap

from raymm.config import CellConfig
from raymm.data.batch import Batch, Block
from raymm.data.prepare import PreparedData
from raymm.training.learner import Learner
from raymm.training.optimizer import learning_rate, make_optimizer, set_learning_rate

Parameters = Mapping[str, Tensor]
Features = Sequence[Tensor]
"""(n, w) of each modality."""


def features_of(data: PreparedData, dtype: torch.dtype) -> list[Tensor]:
    """The train split's standardised tables."""
    batch = data.train.batch(np.arange(data.train.size))
    return [block.values.to(dtype) for block in batch.blocks]


def learners(cells: Sequence[CellConfig], data: PreparedData, dtype: torch.dtype) -> list[Learner]:
    """The cells' models with their losses, freshly drawn from the cells' seeds."""
    made = []
    for cell in cells:
        torch.manual_seed(cell.train.seed)
        made.append(Learner(data, cell).to(dtype))
    return made


def one_by_one(
    cells: Sequence[CellConfig], made: Sequence[Learner], features: Features
) -> list[list[float]]:
    """Each cell's mean loss in every epoch; the cells are trained one after the other."""
    curves = []
    for cell, learner in zip(cells, made, strict=True):
        optimizer = make_optimizer(learner, cell.train)
        curve = []
        for epoch in range(1, cell.train.epochs + 1):
            losses = []
            for rows, rate in _steps(cell, len(features[0]), epoch):
                set_learning_rate(optimizer, rate)
                loss = learner(_batch([each[rows] for each in features]))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(learner.parameters(), cell.train.clip_norm)
                optimizer.step()
                learner.loss.clamp()
                losses.append(loss.detach())
            curve.append(float(torch.stack(losses).mean()))
        curves.append(curve)
    return curves


def together(
    cells: Sequence[CellConfig], made: Sequence[Learner], features: Features
) -> list[list[float]]:
    """The same numbers from one batched training of all cells."""
    stacked, _ = stack_module_state(list(made))
    parameters = {name: value.detach() for name, value in stacked.items()}
    optimizer = _StackedAdamW(parameters, cells)
    step = vmap(grad_and_value(_cell_loss), in_dims=(0, 0))
    curves = []
    for epoch in range(1, cells[0].train.epochs + 1):
        losses = []
        for every in zip(*(_steps(cell, len(features[0]), epoch) for cell in cells), strict=True):
            rows = torch.stack([rows for rows, _ in every])
            grads, loss = step(parameters, [each[rows] for each in features])
            optimizer.step(grads, [rate for _, rate in every])
            losses.append(loss)
        curves.append(torch.stack(losses).mean(0).tolist())
    return [list(curve) for curve in zip(*curves, strict=True)]


def _steps(cell: CellConfig, samples: int, epoch: int) -> Iterator[tuple[Tensor, float]]:
    """Rows and learning rate of an epoch's steps, as the project's own training has them."""
    train = cell.train
    order = torch.from_numpy(np.random.default_rng([train.seed, epoch]).permutation(samples))
    steps = max(1, samples // train.batch_size)
    for number in range(steps):
        rows = order[number * train.batch_size : (number + 1) * train.batch_size]
        yield rows, learning_rate(train, steps * (epoch - 1) + number, steps * train.epochs)


def _batch(values: Sequence[Tensor]) -> Batch:
    """A batch of samples that have everything."""
    size = len(values[0])
    blocks = tuple(Block(index, torch.arange(size), rows) for index, rows in enumerate(values))
    return Batch(np.ones((size, len(values)), dtype=np.bool_), blocks)


def _cell_loss(parameters: Parameters, features: Features) -> Tensor:
    """One cell's loss of one batch, from its parameters under the learner's names."""
    embedded = [_embedded(parameters, index, rows) for index, rows in enumerate(features)]
    scale = parameters["loss.log_scale"].exp().clamp(1, 100)
    terms = [_soft(one, two, scale) for one, two in combinations(embedded, 2)]
    return torch.stack(terms).mean()


def _embedded(parameters: Parameters, index: int, rows: Tensor) -> Tensor:
    """Normalised CBMF embeddings of a modality's pooled vectors, (B, w) -> (B, d)."""
    named = f"model.projections.{index}"
    for layer in ("expand", "contract"):
        weight, bias = (parameters[f"{named}.{layer}.{part}"] for part in ("weight", "bias"))
        rows = F.linear(rows, weight, bias)
        rows = torch.relu(rows) if layer == "expand" else rows
    fused = rows + parameters["model.contexts"][index]
    own = "model.fusion_encoder"
    rows = F.layer_norm(fused, fused.shape[-1:], parameters[f"{own}.norm.weight"])
    value, gate = F.linear(rows, parameters[f"{own}.feedforward.expand.weight"]).chunk(2, -1)
    fed = F.linear(F.gelu(gate) * value, parameters[f"{own}.feedforward.contract.weight"])
    return F.normalize(fused + fed + rows, dim=-1)


def _soft(one: Tensor, two: Tensor, scale: Tensor) -> Tensor:
    """Equation 6 of CBMF for samples that have both, with the targets of equation 5."""
    logits = one @ two.T * scale
    alike = (one @ one.T + two @ two.T) * (scale / 2)
    targets = alike.detach().softmax(1)
    entries = targets * (logits.log_softmax(1) + logits.log_softmax(0))
    return -entries.sum() / (2 * len(one))


class _StackedAdamW:
    """AdamW of many cells at once: each with its own rate, and its own norm to clip by."""

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, parameters: Parameters, cells: Sequence[CellConfig]) -> None:
        self.parameters, self.config, self.count = parameters, cells[0].train, 0
        self.first = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.second = {name: torch.zeros_like(value) for name, value in parameters.items()}

    @torch.no_grad()
    def step(self, grads: Parameters, rates: Sequence[float]) -> None:
        """Clip each cell's gradients, and move its parameters at its rate."""
        self.count += 1
        one, two = self.BETAS
        squares = [grad.view(len(rates), -1).square().sum(1) for grad in grads.values()]
        norm = torch.stack(squares).sum(0).sqrt()
        shrink = (self.config.clip_norm / (norm + 1e-6)).clamp(max=1)
        rate = torch.tensor(rates, dtype=norm.dtype)
        second_correction = math.sqrt(1 - two**self.count)
        for name, value in self.parameters.items():
            wide = (-1,) + (1,) * (value.dim() - 1)
            grad, own = grads[name] * shrink.view(wide), rate.view(wide)
            if value.dim() > 1:  # a number of each cell, the temperature, is not decayed
                value.mul_(1 - own * self.config.weight_decay)
            self.first[name].lerp_(grad, 1 - one)
            self.second[name].mul_(two).addcmul_(grad, grad, value=1 - two)
            divisor = (self.second[name].sqrt() / second_correction).add_(self.EPSILON)
            value.sub_(own / (1 - one**self.count) * self.first[name] / divisor)
        self.parameters["loss.log_scale"].clamp_(0, math.log(100))
