"""What MCA, Zorro and EAO have in common: tokens of every modality, and a transformer over them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raymm.config import ModelConfig
from raymm.data.dataset import ModalitySpec
from raymm.models.base import FusionModel
from raymm.models.layers import TransformerBlock
from raymm.models.tokens import Tokenizer


class TokenTransformer(FusionModel):
    """A model that turns every value or vector into a token and lets the tokens see each other."""

    def __init__(self, specs: Sequence[ModalitySpec], config: ModelConfig) -> None:
        super().__init__(specs, config)
        self.tokenizer = Tokenizer(specs, config.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                config.width, config.heads, config.head_size, config.feedforward_factor
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, bias=False)
