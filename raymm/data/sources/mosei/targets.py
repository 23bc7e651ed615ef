"""What CMU-MOSEI's segments are labelled with: sentiment and six emotions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Label
from raymm.data.sources.intake import Writer
from raymm.data.sources.preparation import Notes

TARGETS = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
"""What the seven numbers of a segment's labels mean, in their order."""
DEFAULT_LABEL = "sentiment_01"
STRONGEST = 3.0
"""Sentiment runs from -3 to 3, emotions from 0 to 3."""


def write_targets(
    values: NDArray[np.float32], ids: Sequence[str], writer: Writer, notes: Notes
) -> None:
    """Sentiment as it is and scaled to 0 to 1, and the emotions.

    Args:
        values: (samples, 7), in the order of `TARGETS`.
        ids: of the samples.
        writer: where they go.
        notes: told of what is out of range.
    """
    values = np.where(np.isfinite(values), values, np.float32(np.nan))
    unknown = int(np.isnan(values[:, 0]).sum())
    if unknown:
        notes.warn(f"{unknown:,} segments have a sentiment that is no number: unlabelled.")
    beyond = int((np.abs(values[:, 0]) > STRONGEST).sum())
    if beyond:
        notes.warn(f"{beyond:,} segments have a sentiment beyond -3 to 3; it is kept as it is.")
    scaled = (values[:, 0] + STRONGEST) / (2 * STRONGEST)
    writer.label(Label(DEFAULT_LABEL, "regression", scaled, ()), ids, default=True)
    for column, target in enumerate(TARGETS):
        writer.label(Label(target, "regression", values[:, column].copy(), ()), ids)
