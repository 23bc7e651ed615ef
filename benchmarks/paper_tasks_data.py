"""The data of `benchmarks.paper_tasks`: tables of images, of captions and of sentence pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from raymm.data.dataset import Dataset, Label
from raymm.data.pack_writer import PackWriter
from raymm.data.packed import PackedDataset, is_packed, open_packed
from raymm.data.sources.pairs.build import Column, build
from raymm.data.sources.pairs.near import caption_pairs
from raymm.data.sources.pairs.pairs import Item, Pairs
from raymm.data.sources.pairs.table import Columns, read_table
from raymm.encoders.base import Encoder
from raymm.encoders.load import load_encoder
from raymm.encoders.record import RECORD, VERSION, Outcome, Record, Source
from raymm.tasks.model import Track, item_vectors
from raymm.tasks.rows import pooled, rows_of

Vectors = dict[str, tuple[Encoder, Dataset]]
ROWS = 1024
"""Samples written at a time."""
THRESHOLD = 0.7
"""Cosine above which two captions are a pair (CBMF, IV B)."""


def classified_images(folder: Path, ids: str) -> Pairs:
    """Images with their classes; the caption is the first name of the class ("goldfish").

    Args:
        ids: column of the ids; "#" numbers the rows.
    """
    columns = Columns(image="image", text=("label_name",), label="label_name", id=ids)
    pairs = read_table(folder, columns)
    (text,) = (items for items in pairs.items if items.domain == "text")
    first = replace(text, values=[str(name).split(",")[0] for name in text.values])
    return replace(pairs, items=(pairs.of("image"), first))


def first_of_each_split(pairs: Pairs, count: int) -> Pairs:
    """So many samples of each split, the first by id."""
    assert pairs.splits is not None
    kept = np.zeros(len(pairs.ids), dtype=np.bool_)
    for name in np.unique(pairs.splits):
        kept[np.flatnonzero(pairs.splits == name)[:count]] = True
    return pairs.chosen(kept)


def captions(folders: Mapping[Path, str], count: int) -> Pairs:
    """Captions, five or so of each photo, of several sets together.

    Args:
        folders: folder of each set -> its column that names the photo.
        count: captions of each photo, the first.
    """
    ids: list[str] = []
    groups: list[str] = []
    values: list[Item] = []
    for folder, group in folders.items():
        read = read_table(folder, Columns(image=None, text=("caption",), group=group))
        (text,) = read.items
        own = [f"{folder.name}-{each}" for each in read.ids[text.rows]]
        ids += own
        groups += [each.split("#")[0] for each in own]
        values += text.values
    every = build("captions", ids, {"text": Column("text", values)}, groups=groups)
    return every.chosen(np.array([int(each.rpartition("#")[2]) < count for each in every.ids]))


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


def image_training_set(tiny: Pairs, work: Path, track: Track) -> PackedDataset:
    """Tiny ImageNet's train split with its names, as tokens."""
    place = work / "tiny_imagenet-tokens"
    if is_packed(str(place)):
        return open_packed(str(place))
    train, label = tiny.split("train"), tiny.labels[0].name
    made = _vectors(tiny, {"image": "efficientnet-lite0", "text": "minilm"}, work, track)
    return training_set(place, train, made, train.label(label))


def text_training_set(source: Pairs, work: Path, track: Track) -> PackedDataset:
    """Pairs of captions that MiniLM finds near: one seen by MiniLM, the other by paraphrase-L3."""
    place = work / "captions-tokens"
    if is_packed(str(place)):
        return open_packed(str(place))
    minilm = load_encoder("minilm")
    seen = item_vectors(source, "text", minilm, str(work / "embeddings"), True, track)
    near = caption_pairs(source, pooled(seen.modalities[0]), threshold=THRESHOLD)
    encoders = {"text_a": "minilm", "text_b": "paraphrase-minilm-l3"}
    return training_set(place, near, _vectors(near, encoders, work, track))


def _vectors(pairs: Pairs, encoders: Mapping[str, str], work: Path, track: Track) -> Vectors:
    made: Vectors = {}
    for item, name in encoders.items():
        encoder = load_encoder(name)
        made[item] = (
            encoder,
            item_vectors(pairs, item, encoder, str(work / "embeddings"), True, track),
        )
    return made


def training_set(
    folder: Path,
    pairs: Pairs,
    vectors: Mapping[str, tuple[Encoder, Dataset]],
    label: Label | None = None,
) -> PackedDataset:
    """A data set to train on, of vectors that were computed before: samples that have them all.

    Args:
        folder: to be made; opened if it is there.
        pairs: whose samples are taken.
        vectors: modality of the pairs -> its encoder, and the tokens it has made.
        label: of the samples of `pairs`.
    """
    if is_packed(str(folder)):
        return open_packed(str(folder))
    ids = pairs.ids
    for _, dataset in vectors.values():
        ids = np.intersect1d(ids, dataset.ids)
    outcomes = []
    with PackWriter(folder, name=pairs.name, licence=pairs.licence) as writer:
        for name, (encoder, dataset) in vectors.items():
            (modality,) = dataset.modalities
            outcomes.append(Outcome(source=_source(name, pairs, encoder)))
            writer.modality(name, modality.kind, list(modality.columns))
            place = np.searchsorted(dataset.ids, ids)
            for start in range(0, len(ids), ROWS):
                part = rows_of(modality, place[start : start + ROWS])
                assert part.offsets is not None
                lengths = np.diff(part.offsets)
                writer.append(name, ids[start : start + ROWS].tolist(), part.values, lengths)
        if label is not None:
            writer.label(label, pairs.ids.tolist())
        record = Record(version=VERSION, pairs=pairs.name, modalities=tuple(outcomes))
        writer.attach(RECORD, record.text())
    return open_packed(str(folder))


def _source(name: str, pairs: Pairs, encoder: Encoder) -> Source:
    return Source(
        modality=name,
        items=name,
        data=pairs.fingerprint(),
        encoder=encoder.name,
        weights=encoder.checksum,
        preprocessing=encoder.preprocessing,
        tokens=True,
    )
