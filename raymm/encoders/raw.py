"""Pairs as raw inputs: what an encoder takes, for models that run their encoders in every step.

    dataset = raw_dataset(load_pairs("emoji"), {"image": encoder, "text": other})

Pixels and token ids are made once; a batch gathers them and the model sees them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Modality
from raymm.data.fingerprint import fingerprint_of, modality_digest
from raymm.data.sources.pairs.pairs import Item, Items, Pairs
from raymm.encoders.base import Encoder
from raymm.errors import ConfigError, DataError

AT_ONCE = 256
"""Items prepared together: what is prepared is small beside what it is prepared from."""


def raw_dataset(
    pairs: Pairs, encoders: Mapping[str, Encoder], *, label: str | None = None
) -> Dataset:
    """A data set of raw modalities, in the encoders' order. All of it is held in memory.

    Args:
        pairs: any set of pairs.
        encoders: modality of the pairs -> the encoder that is to take it.
        label: one of the pairs' labels; None is the only one, or none.

    Raises:
        ConfigError: an encoder is of another domain than its modality.
        DataError: a modality or label is unknown, or an image does not decode.
    """
    modalities = tuple(_modality(pairs.of(name), encoder) for name, encoder in encoders.items())
    chosen = pairs.label(label) if label else pairs.labels[0] if len(pairs.labels) == 1 else None
    digests = [(each.rows, modality_digest(each)) for each in modalities]
    return Dataset(
        name=pairs.name,
        ids=pairs.ids,
        modalities=modalities,
        label=chosen,
        fingerprint=fingerprint_of(pairs.ids, digests, chosen),
        licence=pairs.licence,
    )


def _modality(items: Items, encoder: Encoder) -> Modality:
    if items.domain != encoder.domain:
        raise ConfigError(
            f"'{items.name}' holds {items.domain}s, and the encoder {encoder.name} takes "
            f"{encoder.domain}s. Give it another encoder."
        )
    if not len(items.values):
        raise DataError(f"No sample has '{items.name}'. Leave it out.")
    values, offsets = (_pixels if items.domain == "image" else _tokens)(items.values, encoder)
    return Modality(
        name=items.name,
        kind="table" if offsets is None else "sequence",
        rows=items.rows,
        values=values,
        offsets=offsets,
        columns=("red", "green", "blue") if offsets is None else ("token",),
        missing=False,
        raw=True,
    )


def _pixels(values: Sequence[Item], encoder: Encoder) -> tuple[NDArray[Any], None]:
    """(n, 3, height, width) uint8."""
    parts = [encoder.preprocess(part).values.numpy() for part in _parts(values)]
    return np.concatenate(parts), None


def _tokens(values: Sequence[Item], encoder: Encoder) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Token ids of all texts one after another, (total, 1) int64, and where each begins."""
    ids: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.int64]] = []
    for part in _parts(values):
        inputs = encoder.preprocess(part)
        assert inputs.mask is not None
        real = inputs.mask.numpy().astype(np.bool_)
        ids.append(inputs.values.numpy()[real])
        lengths.append(real.sum(1))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return np.concatenate(ids)[:, None], offsets


def _parts(values: Sequence[Item]) -> list[Sequence[Item]]:
    return [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
