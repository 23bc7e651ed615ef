"""Any data set as a packed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Modality
from raymm.data.pack_writer import PackWriter
from raymm.errors import DataError


def pack(dataset: Dataset, to: str, progress: Callable[[int], None] = lambda size: None) -> None:
    """Write a data set as a packed one; opened again, it has the same numbers and fingerprint.

    Args:
        dataset: from any source.
        to: folder to be made, or an address such as s3://bucket/folder.
        progress: told how many bytes of values were just taken in.

    Raises:
        DataError: the folder is there already, or cannot be written; or a modality is raw.
    """
    raw = [modality.name for modality in dataset.modalities if modality.raw]
    if raw:
        raise DataError(
            f"{', '.join(raw)} holds raw pixels or token ids, and packed sets hold features. Embed "
            "the pairs instead: `raymm embed` writes a packed set."
        )
    with PackWriter(to, name=dataset.name, licence=dataset.licence) as writer:
        writer.samples(dataset.ids.tolist())
        for modality in dataset.modalities:
            writer.modality(modality.name, modality.kind, modality.columns)
            for rows, values in _parts(modality):
                ids = dataset.ids[modality.rows[rows]].tolist()
                lengths = None if modality.offsets is None else np.diff(modality.offsets)[rows]
                writer.append(modality.name, ids, values, lengths)
                progress(values.nbytes)
        if dataset.label is not None:
            writer.label(dataset.label, dataset.ids.tolist())


def _parts(modality: Modality) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """A modality's rows and their values, a few at a time."""
    ends = np.arange(1, len(modality.rows) + 1)
    if modality.offsets is not None:
        ends = modality.offsets[1:]
    done = vectors = 0
    for values in modality.parts_of(np.arange(len(modality.rows))):
        vectors += len(values)
        stop = int(np.searchsorted(ends, vectors)) + 1
        yield slice(done, stop), values
        done = stop
