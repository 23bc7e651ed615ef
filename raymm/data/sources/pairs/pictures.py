"""Images to numbers: decoding files, and counting those that cannot be decoded."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raymm.data.problems import some
from raymm.data.sources.pairs.pairs import Picture, picture_bytes
from raymm.errors import DataError

MOST_UNREADABLE = 0.01
"""Share of a set's images that may fail to decode; more is an error."""
BACKGROUND = (255, 255, 255)
"""What shows through where an image is transparent."""


def decode(picture: Picture) -> NDArray[np.uint8]:
    """An image as (height, width, 3) RGB; transparent parts are laid over white.

    Raises:
        DataError: it cannot be read or decoded.
    """
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise DataError(
                f"An image is an array of {picture.dtype} of shape {picture.shape}. Give uint8 of "
                "shape (height, width, 3)."
            )
        return picture
    content = picture_bytes(picture)
    try:
        with warnings.catch_warnings():
            # Odd metadata and pictures of more than 89 million pixels are warned of; both decode.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                return np.asarray(_opaque(image), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        where = f"{len(content):,} bytes" if isinstance(picture, bytes) else str(picture)
        raise DataError(
            f"An image ({where}) does not decode: {error}. Replace it, or leave its sample out."
        ) from error


def _opaque(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, (*BACKGROUND, 255)), seen).convert(
        "RGB"
    )


@dataclass(frozen=True)
class Decoded:
    """Images of a list, as far as they decode.

    Attributes:
        pictures: those that do, in order.
        failed: places in the list of those that do not, ascending.
    """

    pictures: list[NDArray[np.uint8]]
    failed: tuple[int, ...]


def decode_all(pictures: Sequence[Picture]) -> Decoded:
    """Decode what can be decoded."""
    found, failed = [], []
    for place, picture in enumerate(pictures):
        try:
            found.append(decode(picture))
        except DataError:
            failed.append(place)
    return Decoded(found, tuple(failed))


def refuse_many_unreadable(ids: Sequence[str], count: int, where: str) -> None:
    """Refuse a set too many of whose images do not decode.

    Args:
        ids: samples whose image does not.
        count: samples that have an image.
        where: the set, in words.

    Raises:
        DataError: there are more than `MOST_UNREADABLE`.
    """
    if len(ids) > MOST_UNREADABLE * count:
        raise DataError(
            f"{where}: {len(ids):,} of {count:,} images do not decode ({some(ids)}); "
            f"{MOST_UNREADABLE:.0%} may. Copy them again, or leave those samples out."
        )
