"""A classifier on embeddings: trained for 100 epochs and validated every 20 (CBMF, tables V and VI).

Shapes: n samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raymm.errors import ConfigError, DataError, TrainingError

Codes = NDArray[np.int64]
Inputs = Callable[[str, Codes], Any]
"""What the module takes, for some positions (n,) of a split: "train", "validation" or "test"."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """How a classifier is trained. The paper gives the epochs alone."""

    epochs: int = 100
    """Passes over the train split."""
    every: int = 20
    """Epochs between two looks at the validation split."""
    batch_size: int = 256
    """Samples in a step."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW, which falls to 0 as a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    seed: int = 0
    """Decides the classifier's initial weights and the order of the samples."""

    def __post_init__(self) -> None:
        for name in ("epochs", "every", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is out of range. Give 1 or more."
                )
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                f"learning_rate = {self.learning_rate} is out of range. Give a positive number."
            )


@dataclass(frozen=True)
class Classified:
    """What came of a classifier.

    Attributes:
        validation: accuracy on the validation split after each `every` epochs.
        test: accuracy on the test split after the last epoch, looked at once.
        loss: mean training loss of each epoch.
    """

    validation: Mapping[int, float]
    test: float
    loss: tuple[float, ...] = field(default=())


def train_classifier(
    module: nn.Module,
    inputs: Inputs,
    labels: Mapping[str, Codes],
    settings: ClassifierSettings,
    advance: Callable[[int], None] = lambda epochs: None,
) -> Classified:
    """Train all parameters of a module that need a gradient; score the last epoch's on the test split.

    No epoch is chosen: the test figure is that of the last, whatever validation says.

    Args:
        module: inputs of a batch -> logits (n, C).
        inputs: what the module takes, for some positions of a split.
        labels: class codes (n,) of "train", "validation" and "test"; -1 is unlabelled and left out.
        settings: of the training.
        advance: told that one more epoch is done.

    Raises:
        DataError: a split has no labelled sample.
        TrainingError: the loss is no longer finite.
    """
    used = {split: np.flatnonzero(codes >= 0) for split, codes in labels.items()}
    for split, positions in used.items():
        if not len(positions):
            raise DataError(f"The {split} split has no labelled sample to classify.")
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * -(-len(used["train"]) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    validation: dict[int, float] = {}
    losses = []
    for epoch in range(1, settings.epochs + 1):
        module.train()
        order = np.random.default_rng([settings.seed, epoch]).permutation(used["train"])
        seen: list[Tensor] = []
        for start in range(0, len(order), settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            target = torch.from_numpy(labels["train"][chosen])
            loss = cross_entropy(module(inputs("train", chosen)), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            seen.append(loss.detach() * len(chosen))
        losses.append(float(torch.stack(seen).sum()) / len(order))
        if not math.isfinite(losses[-1]):
            raise TrainingError(
                f"The classifier's loss is {losses[-1]} in epoch {epoch}. Lower its learning rate "
                f"(now {settings.learning_rate:g})."
            )
        if epoch % settings.every == 0:
            validation[epoch] = accuracy(module, inputs, labels, used, "validation")
        advance(1)
    return Classified(validation, accuracy(module, inputs, labels, used, "test"), tuple(losses))


@torch.no_grad()
def accuracy(
    module: nn.Module,
    inputs: Inputs,
    labels: Mapping[str, Codes],
    used: Mapping[str, Codes],
    split: str,
    batch_size: int = 1024,
) -> float:
    """Share of a split's labelled samples whose class has the highest logit."""
    module.eval()
    right, positions = 0, used[split]
    for start in range(0, len(positions), batch_size):
        chosen = positions[start : start + batch_size]
        said = module(inputs(split, chosen)).argmax(dim=1).numpy()
        right += int((said == labels[split][chosen]).sum())
    return right / len(positions)
