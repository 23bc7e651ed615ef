"""The fingerprint of a data set: what it holds, whatever the order or format of its files.

A modality has a digest of its own, so that a set of which only some modalities are used, or whose
values lie on disk, has its fingerprint without reading them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Kind, Label, Modality


def fingerprint(ids: NDArray[np.str_], modalities: Sequence[Modality], label: Label | None) -> str:
    """SHA-256 over ids, modalities in order (name, kind, columns, values) and label, in hex."""
    return fingerprint_of(ids, [(each.rows, modality_digest(each)) for each in modalities], label)


def fingerprint_of(
    ids: NDArray[np.str_],
    modalities: Iterable[tuple[NDArray[np.int64], str]],
    label: Label | None,
) -> str:
    """The same from what is known of the modalities.

    Args:
        ids: (samples,) ids.
        modalities: (rows, digest) of each, in order.
        label: of the samples.
    """
    digest = _Digest()
    digest.words("ids", *ids.tolist())
    for rows, content in modalities:
        digest.words("modality", content)
        digest.numbers(rows)
        digest.shape(rows.shape)
    if label is not None:
        digest.words("label", label.name, label.task, *label.classes)
        digest.numbers(label.values)
    return digest.hex()


def modality_digest(modality: Modality) -> str:
    """SHA-256 over a modality's name, kind, columns and values, in hex; its samples do not count."""
    digest = ModalityDigest(modality.name, modality.kind, modality.columns)
    for part in modality.parts():
        digest.add(part)
    return digest.finish(modality.offsets)


class ModalityDigest:
    """The digest of a modality whose values come part by part."""

    def __init__(self, name: str, kind: Kind, columns: Sequence[str]) -> None:
        self._digest = _Digest()
        self._digest.words("modality", name, kind, *columns)
        self._vectors = 0

    def add(self, part: NDArray[np.float32]) -> None:
        """Take up the next (vectors, width) values; how they are cut into parts does not count."""
        self._digest.numbers(part)
        self._vectors += len(part)

    def finish(self, offsets: NDArray[np.int64] | None) -> str:
        """The digest in hex.

        Args:
            offsets: (rows + 1,) first vector of each row of a sequence; None for a table.
        """
        self._digest.shape((self._vectors,))
        if offsets is not None:
            self._digest.numbers(offsets)
            self._digest.shape(offsets.shape)
        return self._digest.hex()


class _Digest:
    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def words(self, *texts: str) -> None:
        self._state.update(repr(texts).encode())

    def shape(self, shape: tuple[int, ...]) -> None:
        self._state.update(repr(shape).encode())

    def numbers(self, values: NDArray[np.float32] | NDArray[np.int64]) -> None:
        if values.dtype == np.float32:
            # One bit pattern for every NaN, and one for the two zeros.
            values = np.where(np.isnan(values), np.float32(np.nan), values) + np.float32(0)
        plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        self._state.update(plain.data)

    def hex(self) -> str:
        return self._state.hexdigest()
