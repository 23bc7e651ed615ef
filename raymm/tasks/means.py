"""One pass of an encoder for two kinds of model: pooled vectors as the means of its tokens.

Attention needs an encoder's tokens, the other fusion operations can do with one vector. Where models of
both kinds are trained on the same items, encoding them once as tokens is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.pack import PackWriter
from raymm.data.packed import PackedDataset, is_packed, open_packed
from raymm.data.sources.pairs.pairs import Item, Pairs
from raymm.encoders.base import Encoded, Encoder, EncoderModule, Inputs
from raymm.encoders.record import RECORD, VERSION, Outcome, Record, Source
from raymm.tasks.rows import pooled, rows_of

MARK = "; mean of its tokens"
"""Ends the preprocessing of vectors that were made so."""
ROWS = 1024
"""Samples written at a time."""


class TokenMeans(Encoder):
    """An encoder whose pooled vectors are the means of its tokens.

    Args:
        inner: the encoder of the tokens.
    """

    def __init__(self, inner: Encoder) -> None:
        self.inner, self.name, self.domain, self.width = (
            inner,
            inner.name,
            inner.domain,
            inner.width,
        )
        self.checksum, self.preprocessing = inner.checksum, inner.preprocessing + MARK

    def encode(self, items: Sequence[Item], *, tokens: bool = False) -> Encoded:
        """Vectors of items, in their order."""
        found = self.inner.encode(items, tokens=True)
        if tokens or found.offsets is None:
            return found
        rows, columns = np.arange(len(items)), tuple(map(str, range(self.width)))
        whole = Modality("items", "sequence", rows, found.values, found.offsets, columns)
        return Encoded(pooled(whole), None, found.truncated)

    def means(self, tokens: Dataset) -> Dataset:
        """The pooled vectors of items whose tokens are there already."""
        (found,) = tokens.modalities
        table = replace(
            found, kind="table", values=pooled(found), offsets=None, mapping=None, missing=False
        )
        return replace(tokens, modalities=(table,))

    def preprocess(self, items: Sequence[Item]) -> Inputs:
        """A batch for `module()`."""
        return self.inner.preprocess(items)

    def module(self) -> EncoderModule:
        """A copy of the inner encoder that can be trained."""
        return self.inner.module()


def training_set(
    folder: Path,
    pairs: Pairs,
    vectors: Mapping[str, tuple[str, Encoder, Dataset]],
    label: Label | None = None,
) -> PackedDataset:
    """A data set to train on, of vectors that were computed before: samples that have them all.

    Args:
        folder: to be made; opened if it is there.
        pairs: whose samples are taken.
        vectors: modality -> its items in the pairs, their encoder, and their vectors.
        label: of the samples of `pairs`.
    """
    if is_packed(str(folder)):
        return open_packed(str(folder))
    ids = pairs.ids
    for _, _, dataset in vectors.values():
        ids = np.intersect1d(ids, dataset.ids)
    outcomes = []
    with PackWriter(folder, name=pairs.name, licence=pairs.licence) as writer:
        for name, (item, encoder, dataset) in vectors.items():
            (modality,) = dataset.modalities
            outcomes.append(Outcome(source=_source(name, item, pairs, encoder, modality)))
            writer.modality(name, modality.kind, list(modality.columns))
            place = np.searchsorted(dataset.ids, ids)
            for start in range(0, len(ids), ROWS):
                part = rows_of(modality, place[start : start + ROWS])
                lengths = None if part.offsets is None else np.diff(part.offsets)
                writer.append(name, ids[start : start + ROWS].tolist(), part.values, lengths)
        if label is not None:
            writer.label(label, pairs.ids.tolist())
        record = Record(version=VERSION, pairs=pairs.name, modalities=tuple(outcomes))
        writer.attach(RECORD, record.text())
    return open_packed(str(folder))


def _source(name: str, item: str, pairs: Pairs, encoder: Encoder, modality: Modality) -> Source:
    return Source(
        modality=name,
        items=item,
        data=pairs.fingerprint(),
        encoder=encoder.name,
        weights=encoder.checksum,
        preprocessing=encoder.preprocessing,
        tokens=modality.kind == "sequence",
    )
