"""From settings to a loss."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import LossConfig
from raymm.losses.contrastive import ContrastiveLoss
from raymm.losses.soft_targets import SoftTargetLoss


def build_loss(model: str, pairs: Sequence[tuple[int, int]], config: LossConfig) -> ContrastiveLoss:
    """The loss that a model is trained with: soft targets for CBMF unless asked otherwise.

    Args:
        model: its name.
        pairs: the pairs of embeddings that it compares.
        config: of the loss.
    """
    soft = model == "cbmf" and config.cbmf_targets == "soft"
    return (SoftTargetLoss if soft else ContrastiveLoss)(pairs, config)
