"""A trained model with the frozen encoders before it: from texts and images to embeddings.

Shapes: n items, d components of the model's embeddings, w of an encoder's vectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Modality
from raymm.data.sources.pairs.build import Column, build
from raymm.data.sources.pairs.pairs import Domain, Items, Pairs
from raymm.encoders.base import Encoder
from raymm.encoders.embed import embed_pairs
from raymm.encoders.raw import raw_dataset
from raymm.encoders.record import RECORD, read_record
from raymm.errors import ConfigError, DataError
from raymm.models.cbmf import CBMF
from raymm.models.convirt import ConVIRT
from raymm.storage.address import joined
from raymm.tasks.rows import pooled
from raymm.training.saved import SavedModel

Vectors = NDArray[np.float32]
AT_ONCE = 512
"""Items held as pixels, where a model runs its encoders itself: 75 MiB at 224 x 224."""
Track: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows progress: a title and a total -> a context whose value is told how much more is done."""


def untracked(title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Shows no progress."""
    return nullcontext(lambda done: None)


def untold(remark: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class TaskModel:
    """A trained model and the encoders whose vectors it was trained on.

    A model that runs its encoders itself, as ConVIRT does, is given pixels and token ids; `encoders` are
    then the pretrained ones that it began with.

    Attributes:
        saved: the model.
        encoders: modality of the model -> its encoder.
        cache: folder of encoders' vectors, so that each is computed once.
        name: for tables, as "CBMF-add".
        track: shows progress.
        tell: is told what was odd of a set: texts that were cut, images that do not decode.
    """

    saved: SavedModel
    encoders: Mapping[str, Encoder]
    cache: str
    name: str
    track: Track = field(default=untracked)
    tell: Callable[[str], None] = field(default=untold)

    def modalities(self, domain: Domain) -> tuple[str, ...]:
        """The model's modalities of a domain, "text" or "image".

        Raises:
            ConfigError: it has none.
        """
        found = [name for name in self.saved.card.names if self.encoders[name].domain == domain]
        if not found:
            raise ConfigError(
                f"The model in {self.saved.folder} has no {domain} encoder: it was trained on "
                f"{', '.join(self.saved.card.names)}. This task needs one."
            )
        return tuple(found)

    def vectors(self, pairs: Pairs, item: str, modality: str) -> Dataset:
        """What an encoder makes of the items of a set: a data set of that one modality.

        Args:
            pairs: any set of pairs.
            item: its modality that is encoded.
            modality: the model's, which names the encoder and whether tokens are wanted.
        """
        found = item_vectors(
            pairs,
            item,
            self.encoders[modality],
            self.cache,
            self._tokens(modality),
            self.track,
            self.tell,
        )
        (seen,) = found.modalities
        return replace(found, modalities=(replace(seen, name=modality),))

    def embedded(self, pairs: Pairs, item: str, domain: Domain) -> Embedding:
        """Items of a set seen through all the model's encoders of their domain, and through it."""
        seen = {name: self.vectors(pairs, item, name) for name in self.modalities(domain)}
        parts = list(seen.values())
        if self.runs_encoders:
            return Embedding(
                ids=parts[0].ids,
                model=self._from_items(_of(pairs, parts[0].ids, item), item, domain),
                alone={name: pooled(part.modalities[0]) for name, part in seen.items()},
            )
        # What is lost, an image that does not decode, is lost to all encoders of images alike.
        joined = Dataset(
            pairs.name, parts[0].ids, tuple(each.modalities[0] for each in parts), None, ""
        )
        return Embedding(
            ids=joined.ids,
            model=self.saved.embed_dataset(joined).fusion,
            alone={name: pooled(part.modalities[0]) for name, part in seen.items()},
        )

    def embedded_texts(self, texts: Sequence[str]) -> Vectors:
        """A few texts through the model, (n, d): computed here and now."""
        if self.runs_encoders:
            numbered = [f"{number:06}" for number in range(len(texts))]
            given = build("texts", numbered, {"text": Column("text", list(texts))})
            return self._from_items(given, "text", "text")
        rows = np.arange(len(texts), dtype=np.int64)
        modalities = []
        for name in self.modalities("text"):
            tokens = self._tokens(name)
            made = self.encoders[name].encode(texts, tokens=tokens)
            kind = "sequence" if tokens else "table"
            columns = tuple(map(str, range(made.values.shape[1])))
            modalities.append(
                Modality(name, kind, rows, made.values, made.offsets, columns)  # type: ignore[arg-type]
            )
        ids = np.array([str(row) for row in rows])
        texts_seen = Dataset("texts", ids, tuple(modalities), None, "")
        return self.saved.embed_dataset(texts_seen).fusion

    @property
    def runs_encoders(self) -> bool:
        """Whether the model takes pixels and token ids, not encoders' vectors."""
        return bool(self.saved.card.config.model.encoders)

    def own_features(
        self, pairs: Pairs, item: str, modality: str
    ) -> tuple[NDArray[np.str_], Vectors]:
        """What a model's own encoder, as it was trained, makes of the items of a set.

        Args:
            pairs: any set of pairs.
            item: its modality that is encoded.
            modality: the model's, which names the encoder.

        Returns:
            (n,) ids of the samples that could be read, and (n, w) pooled vectors.
        """
        model = self.saved.model
        assert isinstance(model, CBMF | ConVIRT) and model.encoders is not None
        readable = _of(pairs, self.vectors(pairs, item, modality).ids, item)
        index = self.saved.card.names.index(modality)
        found = np.zeros((len(readable.ids), model.encoders.widths[index]), np.float32)
        for first, part in self._raw_parts(readable, item, (modality,)):
            batch = self.saved.split_of(part).batch(np.arange(len(part.ids)))
            with torch.no_grad():
                for block in (each for each in batch.blocks if each.size):
                    found[first + block.samples.numpy()] = model.encoders(block).numpy()
        return readable.ids, found

    def _from_items(self, pairs: Pairs, item: str, domain: Domain) -> Vectors:
        """Items through a model that runs its encoders itself, some at a time: (n, d)."""
        parts = self._raw_parts(pairs, item, self.modalities(domain))
        return np.concatenate([self.saved.embed_dataset(part).fusion for _, part in parts])

    def _raw_parts(
        self, pairs: Pairs, item: str, names: Sequence[str]
    ) -> Iterator[tuple[int, Dataset]]:
        """Items as pixels or token ids, some at a time, with the place of the first."""
        with self.track(f"{self.name}: {pairs.name} {item}", len(pairs.ids)) as advance:
            for start in range(0, len(pairs.ids), AT_ONCE):
                place = np.arange(len(pairs.ids))
                part = pairs.chosen((place >= start) & (place < start + AT_ONCE))
                raw = [raw_dataset(part, {item: self.encoders[name]}) for name in names]
                modalities = tuple(
                    replace(each.modalities[0], name=name)
                    for each, name in zip(raw, names, strict=True)
                )
                yield start, Dataset(part.name, part.ids, modalities, None, "")
                advance(len(part.ids))

    def _tokens(self, modality: str) -> bool:
        specs = {spec.name: spec for spec in self.saved.card.specs}
        return specs[modality].kind == "sequence" and not specs[modality].raw


@dataclass(frozen=True)
class Embedding:
    """Items seen through a model and through its encoders alone.

    Attributes:
        ids: (n,) samples that have the item.
        model: (n, d) fusion embeddings of the model.
        alone: modality -> (n, w) pooled vectors of its encoder.
    """

    ids: NDArray[np.str_]
    model: Vectors
    alone: Mapping[str, Vectors]


def item_vectors(
    pairs: Pairs,
    item: str,
    encoder: Encoder,
    cache: str,
    tokens: bool,
    track: Track = untracked,
    tell: Callable[[str], None] = untold,
) -> Dataset:
    """What an encoder makes of one modality of a set, computed once: samples that could be read.

    Args:
        pairs: any set of pairs.
        item: its modality that is encoded.
        encoder: of that modality's domain.
        cache: folder of such vectors.
        tokens: token sequences instead of pooled vectors.
        track: shows progress.
        tell: is told what was odd.
    """
    alone = replace(pairs, items=(pairs.of(item),), labels=())
    parts = (pairs.name, item, encoder.name, "tokens" if tokens else "pooled")
    name = "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)
    folder = joined(cache, f"{name}-{alone.fingerprint()[:8]}-{encoder.checksum[:8]}")
    with track(f"{encoder.name}: {pairs.name} {item}", len(pairs.of(item).values)) as advance:
        found = embed_pairs(alone, {item: encoder}, folder, tokens=tokens, progress=advance)
    for outcome in read_record((found.folder / RECORD).read_text(), folder).modalities:
        for remark in outcome.remarks():
            tell(f"{pairs.name}, {item}, {encoder.name}: {remark}.")
    (seen,) = found.modalities
    rows = np.arange(len(seen.rows), dtype=np.int64)  # without images that do not decode
    return Dataset(found.name, found.ids[seen.rows], (replace(seen, rows=rows),), None, "")


def _of(pairs: Pairs, ids: NDArray[np.str_], item: str) -> Pairs:
    """Some samples of a set with one of its modalities and nothing else."""
    chosen = pairs.chosen(np.isin(pairs.ids, ids))
    return replace(chosen, items=(chosen.of(item),), labels=())


def check_trained_on(saved: SavedModel, dataset: Dataset) -> None:
    """See that a data set is the one a model was trained on, so that its splits are the same.

    Raises:
        DataError: it is another.
    """
    if dataset.fingerprint != saved.card.fingerprint:
        raise DataError(
            f"The model in {saved.folder} was trained on {saved.card.dataset} with fingerprint "
            f"{saved.card.fingerprint[:12]}, and this is {dataset.name} with "
            f"{dataset.fingerprint[:12]}. Give the data set that it was trained on."
        )


def only(pairs: Pairs, domain: Domain) -> Items:
    """The one modality of a set that is of a domain.

    Raises:
        ConfigError: it has none of it, or several.
    """
    found = [items for items in pairs.items if items.domain == domain]
    if len(found) != 1:
        names = ", ".join(f"{items.name} ({items.domain})" for items in pairs.items)
        raise ConfigError(f"{pairs.name} should have one modality of {domain}s, and has {names}.")
    return found[0]
