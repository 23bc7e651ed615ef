"""Encoders that are torch modules: frozen here, and copied where somebody wants to train one."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymm.data.sources.pairs.pairs import Domain, Item, Picture
from raymm.data.sources.pairs.pictures import decode
from raymm.encoders.base import Encoded, Encoder, EncoderModule, Inputs, weights_checksum
from raymm.encoders.pixels import processed
from raymm.encoders.texts import Tokenised, tokenise

IMAGES = 16
"""Images in a forward pass."""
TOKENS = 4096
"""Tokens in a forward pass, padding included."""
ON_GPU = 8
"""A GPU takes this many times as much in a forward pass."""


class FrozenEncoder(Encoder):
    """An encoder around a module in eval mode whose weights need no gradient."""

    def __init__(
        self, name: str, domain: Domain, module: EncoderModule, preprocessing: str
    ) -> None:
        """Freeze a module.

        Args:
            name: as it was asked for.
            domain: what it encodes.
            module: is frozen where it is.
            preprocessing: see `Encoder`.
        """
        self._module = module.eval().requires_grad_(False)
        self.name, self.domain, self.preprocessing = name, domain, preprocessing
        self.width = module.width
        self.checksum = weights_checksum(module.state_dict())

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self._module.parameters()).device

    def to(self, device: str) -> None:
        """Move it to where it is to compute."""
        self._module.to(device)
        self.at_a_time = Encoder.at_a_time * self._more()

    def module(self) -> EncoderModule:
        """A copy that can be trained: its own weights, training mode, gradients on."""
        return copy.deepcopy(self._module).requires_grad_(True).train()

    def current_checksum(self) -> str:
        """SHA-256 of the weights as they are now; it never differs from `checksum`."""
        return weights_checksum(self._module.state_dict())

    def encode(self, items: Sequence[Item], *, tokens: bool = False) -> Encoded:
        """Vectors of items, in their order, without gradient."""
        found: list[NDArray[np.float32]] = [np.zeros((0, self.width), np.float32)] * len(items)
        cut = 0
        with torch.inference_mode():
            for places, inputs in self._batches(items):
                for place, vectors in zip(places, self._run(inputs, tokens), strict=True):
                    found[int(place)] = vectors
                cut += inputs.truncated
        if not tokens:
            values = np.stack(found) if found else np.zeros((0, self.width), np.float32)
            return Encoded(values, None, cut)
        offsets = np.cumsum([0, *(len(vectors) for vectors in found)]).astype(np.int64)
        empty = np.zeros((0, self.width), np.float32)
        return Encoded(np.concatenate([empty, *found]), offsets, cut)

    def _run(self, inputs: Inputs, tokens: bool) -> Iterator[NDArray[np.float32]]:
        values = inputs.values.to(self.device)
        mask = None if inputs.mask is None else inputs.mask.to(self.device)
        if not tokens:
            yield from self._module(values, mask).float().cpu().numpy()
            return
        vectors, present = self._module.tokens(values, mask)
        for each, there in zip(vectors.float().cpu().numpy(), present.cpu().numpy(), strict=True):
            yield each[there]

    def _more(self) -> int:
        return ON_GPU if self.device.type == "cuda" else 1

    @abstractmethod
    def _batches(self, items: Sequence[Item]) -> Iterator[tuple[Sequence[int] | Any, Inputs]]:
        """Places of items and what the module takes for them, all in all each once."""


class TextEncoder(FrozenEncoder):
    """A frozen encoder of texts."""

    def __init__(
        self, name: str, module: EncoderModule, preprocessing: str, tokenizer: Any, longest: int
    ) -> None:
        """Freeze a text module.

        Args:
            name: as it was asked for.
            module: is frozen where it is.
            preprocessing: see `Encoder`.
            tokenizer: of transformers.
            longest: most tokens of a text; longer ones are cut.
        """
        super().__init__(name, "text", module, preprocessing)
        self.tokenizer, self.longest = tokenizer, longest

    def preprocess(self, items: Sequence[Item]) -> Inputs:
        """Token ids and mask, (n, length) each."""
        made = self._tokenised(items)
        values, mask = made.padded(range(len(items)))
        return Inputs(values, mask, made.truncated)

    def _tokenised(self, items: Sequence[Item]) -> Tokenised:
        return tokenise(self.tokenizer, cast(Sequence[str], items), self.longest)

    def _batches(self, items: Sequence[Item]) -> Iterator[tuple[Sequence[int] | Any, Inputs]]:
        if not items:
            return
        made = self._tokenised(items)
        cut = made.truncated
        for places in made.batches(TOKENS * self._more()):
            values, mask = made.padded(places)
            yield places, Inputs(values, mask, cut)
            cut = 0


class ImageEncoder(FrozenEncoder):
    """A frozen encoder of images.

    Args (of the initialiser):
        name: as it was asked for.
        module: takes bytes, (n, 3, height, width); is frozen where it is.
        preprocessing: see `Encoder`.
        processor: of transformers; scales and crops.
    """

    def __init__(
        self, name: str, module: EncoderModule, preprocessing: str, processor: Any
    ) -> None:
        super().__init__(name, "image", module, preprocessing)
        self.processor = processor

    def preprocess(self, items: Sequence[Item]) -> Inputs:
        """Images of the encoder's size, (n, 3, height, width) uint8."""
        return Inputs(self._sized([decode(cast(Picture, item)) for item in items]), None)

    def _sized(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        return processed(self.processor, pictures, self.name)

    def _batches(self, items: Sequence[Item]) -> Iterator[tuple[Sequence[int] | Any, Inputs]]:
        step = IMAGES * self._more()
        for start in range(0, len(items), step):
            places = range(start, min(start + step, len(items)))
            yield places, self.preprocess([items[place] for place in places])
