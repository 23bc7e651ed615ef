"""Images for tests."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(seed: int, height: int = 20, width: int = 24) -> NDArray[np.uint8]:
    """An image of (height, width, 3)."""
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file."""
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, "PNG")
    return sink.getvalue()
