"""Pretrained encoders that run in every step, on raw pixels and token ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raymm.data.batch import Block
from raymm.data.dataset import ModalitySpec
from raymm.data.sources.pairs.pairs import Item
from raymm.encoders.base import Encoder, EncoderModule
from raymm.encoders.load import load_encoder
from raymm.errors import ConfigError


class StepEncoders(nn.Module):
    """One encoder for each modality, trained or frozen.

    They stay in evaluation mode also while they are trained: dropout and a batch norm's own statistics
    would make a step depend on how its batch is shared out over ranks, and a resumed training end
    elsewhere than an uninterrupted one.

    Attributes:
        widths: of each encoder's pooled vectors.
    """

    def __init__(
        self, specs: Sequence[ModalitySpec], names: Sequence[str], *, trained: bool
    ) -> None:
        """Load the encoders.

        Raises:
            ConfigError: they do not fit the modalities, there is none of a name, or it cannot be
                trained.
        """
        super().__init__()
        listed = ", ".join(spec.name for spec in specs)
        if len(names) != len(specs):
            raise ConfigError(
                f"encoders = {tuple(names)!r} are {len(names)}, for {len(specs)} modalities "
                f"({listed}). Give one for each, in order."
            )
        features = [spec.name for spec in specs if not spec.raw]
        if features:
            raise ConfigError(
                f"encoders = {tuple(names)!r} take pixels and token ids, but {', '.join(features)} "
                "holds features. Leave `encoders` empty, or prepare raw inputs for them "
                "(raymm.encoders.raw)."
            )
        self.trained = trained
        modules = [_module(load_encoder(name, device="cpu"), trained) for name in names]
        self.widths = [module.width for module in modules]
        self.encoders = nn.ModuleList(modules)
        self.eval()

    def train(self, mode: bool = True) -> StepEncoders:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, block: Block) -> Tensor:
        """Pooled vectors of a block's raw inputs, (n, width), each with mean 0 and deviation 1.

        Encoders differ in scale by orders of magnitude, and nothing has standardised these.
        """
        encoder = self.encoders[block.modality]
        assert isinstance(encoder, EncoderModule)
        if not block.size:
            return self._none(encoder, block)
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            vectors: Tensor = encoder(*_inputs(block))
        return F.layer_norm(vectors, vectors.shape[-1:])

    def _none(self, encoder: EncoderModule, block: Block) -> Tensor:
        """(0, width); the parameters take part, as data-parallel training wants."""
        nothing = torch.zeros(0, encoder.width, device=block.values.device)
        return nothing + sum(p.sum() * 0 for p in encoder.parameters() if p.requires_grad)


def _module(encoder: Encoder, trained: bool) -> EncoderModule:
    """An encoder's module; of its parameters, those are trained that its vectors depend on.

    A checkpoint may bring parts that are not used, such as a pooler where tokens are averaged, and
    data-parallel training waits for the gradient of whatever says that it is trained.
    """
    module = encoder.module().eval().requires_grad_(trained)
    if trained:
        example: Item = "a" if encoder.domain == "text" else np.zeros((32, 32, 3), np.uint8)
        inputs = encoder.preprocess([example])
        module(inputs.values, inputs.mask).sum().backward()
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.grad is not None)
            parameter.grad = None
    return module


def _inputs(block: Block) -> tuple[Tensor, Tensor | None]:
    """What an encoder's module takes: pixels, or token ids (n, L) with their mask."""
    if block.values.dim() == 4:
        return block.values, None
    ids = block.values.squeeze(-1)
    if block.lengths is None:
        return ids, torch.ones_like(ids)
    place = torch.arange(ids.shape[1], device=ids.device)
    return ids, (place < block.lengths.to(ids.device)[:, None]).to(ids.dtype)
