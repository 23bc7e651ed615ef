"""Images to the size an encoder takes, as bytes: normalising is left to the encoder's module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from raymm.errors import DataError


class Normalise(nn.Module):
    """Bytes x to x * gain + bias, where the encoder computes: a quarter of the traffic of float32."""

    gain: Tensor
    bias: Tensor

    def __init__(self, gain: Sequence[float], bias: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(gain).view(-1, 1, 1), persistent=False)
        self.register_buffer("bias", torch.tensor(bias).view(-1, 1, 1), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise (n, 3, height, width) uint8 to float32."""
        return values.to(self.gain.dtype) * self.gain + self.bias

    def __str__(self) -> str:
        gain, bias = self.gain.flatten().tolist(), self.bias.flatten().tolist()
        return f"x * {_short(gain)} + {_short(bias)}"


def _short(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{number:.6g}" for number in numbers) + "]"


def normalise_of(processor: Any, name: str) -> Normalise:
    """What a Hugging Face processor does to pixels once they have their size, found by trying it.

    Processors name their constants in different ways (`rescale_offset`, `include_top`, ...); what
    they do to black, to white and to noise says the same for all.

    Raises:
        DataError: it is not one gain and bias for each channel.
    """
    side = 32
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    pictures = [np.zeros_like(noise), np.full_like(noise, 255), noise]
    made = processor(images=pictures, input_data_format="channels_last", return_tensors=None)
    black, white, mixed = (np.asarray(each, np.float64) for each in made["pixel_values"])
    bias = black.mean(axis=(1, 2))
    gain = (white.mean(axis=(1, 2)) - bias) / 255
    found = Normalise(gain.tolist(), bias.tolist())
    ours = found(processed(processor, [noise], name))[0].numpy()
    # Resized noise is rounded to bytes in ours, and may not be in theirs: half a step of 255.
    if np.abs(ours - mixed).max() > 0.51 * np.abs(gain).max() + 1e-5:
        raise DataError(
            f"The image processor of '{name}' does more to pixels than a gain and a bias for each "
            "channel. Use an encoder with a plain processor, such as ViT's."
        )
    return found


def fitted(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image of (side, side, 3): its shorter side scaled to `side` (bicubic), then its middle."""
    image = Image.fromarray(picture)
    scale = side / min(image.size)
    size = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def stacked(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Images of one size, (height, width, 3) each, as (n, 3, height, width)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def processed(processor: Any, pictures: Sequence[NDArray[np.uint8]], name: str) -> Tensor:
    """Images as a Hugging Face processor resizes and crops them, (n, 3, height, width) uint8.

    Raises:
        DataError: the processor gives them different sizes, or no bytes.
    """
    made = processor(
        images=list(pictures),
        input_data_format="channels_last",
        do_rescale=False,
        do_normalize=False,
        return_tensors=None,
    )["pixel_values"]
    arrays = [np.asarray(each) for each in made]
    if len({array.shape for array in arrays}) > 1:
        raise DataError(
            f"The image processor of '{name}' gives images of different sizes. Use an encoder whose "
            "images have one size."
        )
    values = np.stack(arrays)
    if values.dtype == np.uint8:
        return torch.from_numpy(values)
    return torch.from_numpy(np.clip(np.rint(values), 0, 255).astype(np.uint8))
