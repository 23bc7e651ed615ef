"""AdamW with a linear warm-up and a cosine to zero, and its state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raymm.config import TrainConfig


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over all parameters; those of a single number (the temperature) are not decayed."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 0], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() == 0], "weight_decay": 0.0},
    ]
    used = [group for group in groups if group["params"]]
    fused = trained[0].device.type == "cuda"
    return torch.optim.AdamW(used, lr=config.learning_rate, fused=fused)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of a step (0-based) out of all `steps` of a training."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use a rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's moments and step counts, keyed "<parameter>|<name of the moment>"."""
    return {
        f"{name}|{key}": torch.as_tensor(value)
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` returned."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, moment = key.rsplit("|", 1)
        parameter = parameters[name]
        # AdamW counts steps on the host unless it is fused.
        fused = bool(optimizer.defaults.get("fused"))
        device = torch.device("cpu") if moment == "step" and not fused else parameter.device
        optimizer.state[parameter][moment] = value.to(device)
