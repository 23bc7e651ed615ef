"""Pairs as raw inputs: what an encoder takes, for models that run their encoders in every step.

    dataset = raw_dataset(load_pairs("emoji"), {"image": encoder, "text": other})

Pixels and token ids are made once; a batch gathers them and the model sees them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Modality
from raymm.data.fingerprint import fingerprint_of, modality_digest
from raymm.data.sources.pairs.pairs import Item, Items, Pairs, Picture
from raymm.data.sources.pairs.pictures import decode_all, refuse_many_unreadable
from raymm.encoders.base import Encoder
from raymm.encoders.record import remarks
from raymm.errors import ConfigError, DataError

AT_ONCE = 256
"""Items prepared together: what is prepared is small beside what it is prepared from."""


def raw_dataset(
    pairs: Pairs,
    encoders: Mapping[str, Encoder],
    *,
    label: str | None = None,
    tell: Callable[[str], None] = lambda remark: None,
) -> Dataset:
    """A data set of raw modalities, in the encoders' order. All of it is held in memory.

    Args:
        pairs: any set of pairs.
        encoders: modality of the pairs -> the encoder that is to take it.
        label: one of the pairs' labels; None is the only one, or none.
        tell: is told of texts that were cut, and of images that do not decode: their samples lack
            the modality.

    Raises:
        ConfigError: an encoder is of another domain than its modality.
        DataError: a modality or label is unknown, or too many images do not decode.
    """
    modalities = tuple(
        _modality(pairs, pairs.of(name), encoder, tell) for name, encoder in encoders.items()
    )
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


@dataclass(frozen=True)
class _Prepared:
    """What the items of a modality became.

    Attributes:
        values: (n, 3, height, width) uint8 pixels, or (all tokens, 1) int64 token ids.
        offsets: (n + 1,) first token of each text; None for pixels.
        failed: places of the items that do not decode, ascending.
        truncated: texts that were cut.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64] | None
    failed: NDArray[np.int64]
    truncated: int


def _modality(
    pairs: Pairs, items: Items, encoder: Encoder, tell: Callable[[str], None]
) -> Modality:
    if items.domain != encoder.domain:
        raise ConfigError(
            f"'{items.name}' holds {items.domain}s, and the encoder {encoder.name} takes "
            f"{encoder.domain}s. Give it another encoder."
        )
    if not len(items.values):
        raise DataError(f"No sample has '{items.name}'. Leave it out.")
    made = (_pixels if items.domain == "image" else _tokens)(items.values, encoder)
    lost = pairs.ids[items.rows[made.failed]].tolist()
    refuse_many_unreadable(lost, len(items.values), f"{pairs.name}, modality '{items.name}'")
    for remark in remarks(made.truncated, lost):
        tell(f"{items.name}: {encoder.name}; {remark}")
    return Modality(
        name=items.name,
        kind="table" if made.offsets is None else "sequence",
        rows=np.delete(items.rows, made.failed),
        values=made.values,
        offsets=made.offsets,
        columns=("red", "green", "blue") if made.offsets is None else ("token",),
        missing=False,
        raw=True,
    )


def _pixels(values: Sequence[Item], encoder: Encoder) -> _Prepared:
    made: list[NDArray[Any]] = []
    failed: list[int] = []
    for start, part in _parts(values):
        decoded = decode_all(cast(Sequence[Picture], part))
        failed += [start + place for place in decoded.failed]
        if decoded.pictures:
            made.append(encoder.preprocess(decoded.pictures).values.numpy())
    pixels = np.concatenate(made) if made else np.zeros((0, 3, 1, 1), np.uint8)
    return _Prepared(pixels, None, np.array(failed, dtype=np.int64), 0)


def _tokens(values: Sequence[Item], encoder: Encoder) -> _Prepared:
    ids: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.int64]] = []
    cut = 0
    for _, part in _parts(values):
        inputs = encoder.preprocess(part)
        assert inputs.mask is not None
        real = inputs.mask.numpy().astype(np.bool_)
        ids.append(inputs.values.numpy()[real])
        lengths.append(real.sum(1))
        cut += inputs.truncated
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return _Prepared(np.concatenate(ids)[:, None], offsets, np.zeros(0, np.int64), cut)


def _parts(values: Sequence[Item]) -> list[tuple[int, Sequence[Item]]]:
    """Some items at a time, with the place of the first."""
    return [(start, values[start : start + AT_ONCE]) for start in range(0, len(values), AT_ONCE)]
