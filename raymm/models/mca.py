"""Modal Channel Attention (SMDF 3): a fusion channel for every combination of modalities."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import ModelConfig
from raymm.data.dataset import ModalitySpec
from raymm.models.channel_model import ChannelModel
from raymm.models.channels import fusion_channels


class MCA(ChannelModel):
    """`fusion_tokens` tokens for each channel; the all-modality channel is the fusion embedding."""

    def __init__(self, specs: Sequence[ModalitySpec], config: ModelConfig) -> None:
        channels = fusion_channels(len(specs), config.channel_orders)
        super().__init__(specs, config, channels, config.fusion_tokens)
