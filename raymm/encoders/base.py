"""What an encoder is: a name, weights with a checksum, and items to vectors.

encoder = load_encoder("minilm")
pooled = encoder.encode(["a cat", "a dog"]).values                 # (2, 384)
tokens = encoder.encode(["a cat", "a dog"], tokens=True)           # ragged: .values, .offsets
module = encoder.module()                                          # a trainable copy of its own
inputs = encoder.preprocess(["a cat", "a dog"])                    # what the module takes
pooled = module(inputs.values, inputs.mask)                        # (2, 384), with gradient
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raymm.data.sources.pairs.pairs import Domain, Item


@dataclass(frozen=True)
class Inputs:
    """What an encoder's module takes: a batch of items.

    Attributes:
        values: (n, 3, height, width) uint8 for images, which the module normalises itself;
            (n, length) int64 token ids for texts, padded.
        mask: (n, length) int64, 1 for tokens and 0 for padding; None for images.
        truncated: texts that were longer than the encoder takes, and were cut.
    """

    values: Tensor
    mask: Tensor | None
    truncated: int = 0


@dataclass(frozen=True)
class Encoded:
    """What an encoder made of some items.

    Attributes:
        values: (n, width) pooled vectors, or (all tokens, width) token sequences; float32.
        offsets: (n + 1,) first token of each item; None for pooled vectors.
        truncated: texts that were longer than the encoder takes, and were cut.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64] | None
    truncated: int = 0


class EncoderModule(nn.Module, ABC):
    """An encoder as a module: inputs to vectors, with gradient unless it is frozen.

    Attributes:
        width: of the vectors.
    """

    width: int

    @abstractmethod
    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pooled vectors, (n, width), of what `Encoder.preprocess` made."""

    @abstractmethod
    def tokens(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Token vectors, (n, length, width), and which of them there are, (n, length) bool."""


class Encoder(ABC):
    """A frozen pretrained encoder.

    Attributes:
        name: as it was asked for.
        domain: what it encodes, "text" or "image".
        width: of its vectors, pooled or tokens.
        checksum: SHA-256 of its weights, in hex.
        preprocessing: what is done to items before, and how vectors are pooled: all that decides
            its result besides the weights.
        at_a_time: items that it likes to be given together; more on a GPU.
    """

    name: str
    domain: Domain
    width: int
    checksum: str
    preprocessing: str
    at_a_time: int = 32

    @abstractmethod
    def encode(self, items: Sequence[Item], *, tokens: bool = False) -> Encoded:
        """Vectors of items, in their order, without gradient.

        Args:
            items: texts or pictures.
            tokens: a sequence of vectors for each item, instead of one.

        Raises:
            DataError: an image does not decode.
        """

    @abstractmethod
    def preprocess(self, items: Sequence[Item]) -> Inputs:
        """A batch for `module()`.

        Raises:
            DataError: an image does not decode.
        """

    @abstractmethod
    def module(self) -> EncoderModule:
        """A copy that can be trained: its own weights, training mode, gradients on.

        Raises:
            ConfigError: the encoder can only be run.
        """


def weights_checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256, in hex, over a state dict: names, types, shapes and bytes, in the names' order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
