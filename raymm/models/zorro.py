"""Zorro (Recasens et al., 2023) as SMDF 3 has it: one channel of all modalities.

It has as many fusion tokens as MCA has in all its channels, so that the two differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import ModelConfig
from raymm.data.dataset import ModalitySpec
from raymm.models.channel_model import ChannelModel
from raymm.models.channels import fusion_channels


class Zorro(ChannelModel):
    """Unimodal embeddings and one fusion embedding."""

    def __init__(self, specs: Sequence[ModalitySpec], config: ModelConfig) -> None:
        channels = fusion_channels(len(specs), config.channel_orders)
        total = config.fusion_tokens * len(channels)
        super().__init__(specs, config, channels[-1:], total)
