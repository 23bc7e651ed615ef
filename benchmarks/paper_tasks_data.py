"""The data of `benchmarks.paper_tasks`: tables of images, of captions and of sentence pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from raymm.data.dataset import Dataset
from raymm.data.packed import PackedDataset, is_packed, open_packed
from raymm.data.sources.pairs.near import caption_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.table import Columns, read_table
from raymm.encoders.base import Encoder
from raymm.encoders.load import load_encoder
from raymm.tasks.means import TokenMeans, training_set
from raymm.tasks.model import Track, item_vectors
from raymm.tasks.rows import pooled

THRESHOLD = 0.7
"""Cosine above which two captions are a pair (CBMF, IV B)."""


def classified_images(folder: Path) -> Pairs:
    """Images with their classes; the caption is the first name of the class ("goldfish")."""
    pairs = read_table(folder, Columns(image="image", text=("label_name",), label="label_name"))
    (text,) = (items for items in pairs.items if items.domain == "text")
    first = replace(text, values=[str(name).split(",")[0] for name in text.values])
    return replace(pairs, items=(pairs.of("image"), first))


def captions(folder: Path) -> Pairs:
    """Captions, five or so of each photo."""
    return read_table(folder, Columns(image=None, text=("caption",), group="image_id"))


def sentences(folder: Path, label: str) -> Pairs:
    """Two sentences with a score or a class."""
    return read_table(folder, Columns(image=None, text=("sentence1", "sentence2"), label=label))


def labelled_in_part(pairs: Pairs, count: int) -> Pairs:
    """The same with so many labelled samples of each class in the train split, the first by id.

    The others stay, unlabelled, so that their images need not be encoded again.
    """
    (label,) = pairs.labels
    assert pairs.splits is not None
    codes = np.asarray(label.values, dtype=np.int64).copy()
    for code in range(len(label.classes)):
        codes[np.flatnonzero((label.values == code) & (pairs.splits == "train"))[count:]] = -1
    return replace(pairs, labels=(replace(label, values=codes),))


def image_training_set(tiny: Pairs, work: Path, tokens: bool, track: Track) -> PackedDataset:
    """Tiny ImageNet's train split with its names, as tokens or as their means."""
    place = work / f"tiny_imagenet-{'tokens' if tokens else 'means'}"
    if is_packed(str(place)):
        return open_packed(str(place))
    encoders = {"image": "efficientnet-lite0", "text": "minilm"}
    train = tiny.split("train")
    label = tiny.labels[0].name
    made = _vectors(tiny, encoders, work, tokens, track)
    return training_set(place, train, made, train.label(label))


def text_training_set(source: Pairs, work: Path, tokens: bool, track: Track) -> PackedDataset:
    """Pairs of captions that MiniLM finds near: one seen by MiniLM, the other by paraphrase-L3."""
    place = work / f"captions-{'tokens' if tokens else 'means'}"
    if is_packed(str(place)):
        return open_packed(str(place))
    minilm = load_encoder("minilm")
    seen = item_vectors(source, "text", minilm, work / "embeddings", True, track)
    near = caption_pairs(source, pooled(seen.modalities[0]), threshold=THRESHOLD)
    encoders = {"text_a": "minilm", "text_b": "paraphrase-minilm-l3"}
    return training_set(place, near, _vectors(near, encoders, work, tokens, track))


def _vectors(
    pairs: Pairs, encoders: Mapping[str, str], work: Path, tokens: bool, track: Track
) -> dict[str, tuple[str, Encoder, Dataset]]:
    made: dict[str, tuple[str, Encoder, Dataset]] = {}
    for item, name in encoders.items():
        encoder = load_encoder(name)
        used = encoder if tokens else TokenMeans(encoder)
        made[item] = (
            item,
            used,
            item_vectors(pairs, item, used, work / "embeddings", tokens, track),
        )
    return made
