"""The embedding cache, made over a cluster with Ray Data: what `raymm embed` runs.

Blocks of items go to actors that hold an encoder each, on GPUs where the cluster has any; each writes
its blocks where the cache is to be, so what was computed is kept whatever happens to the run.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.data

from raymm.data.sources.pairs.pairs import Item, Pairs
from raymm.encoders.assemble import assemble, existing
from raymm.encoders.base import Encoder
from raymm.encoders.blocks import BlockFolder, compute
from raymm.encoders.load import load_encoder
from raymm.encoders.record import Record
from raymm.encoders.work import Work, assigned, divided
from raymm.errors import ConfigError, DataError, RaymmError
from raymm.storage.folders import Fetched, fetched


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """How the work is spread."""

    tokens: bool = False
    """Token sequences instead of pooled vectors."""
    pooling: str = "auto"
    """How tokens become one vector: the model's own way, mean, cls or pooler."""
    cpus_per_worker: float = 1
    """CPUs of a worker, beside its GPU where there are any."""
    workers: int | None = None
    """Workers at most; None is as many as the cluster holds."""

    def __post_init__(self) -> None:
        if self.cpus_per_worker <= 0 or (self.workers is not None and self.workers < 1):
            raise ConfigError(
                f"cpus_per_worker = {self.cpus_per_worker}, workers = {self.workers}: give a positive "
                "number of CPUs, and 1 worker or more."
            )


@dataclass(frozen=True)
class Embedded:
    """What a run came to.

    Attributes:
        record: what the cache is made of.
        computed: different items that were encoded by this run.
        kept: different items that an earlier run had encoded.
    """

    record: Record
    computed: int
    kept: int


Progress = Callable[[str, int, int], None]
"""Told a modality, how many of its different items are done, and of how many."""


def embed(
    pairs: Pairs,
    encoders: Sequence[tuple[str, str]],
    to: str,
    settings: EmbedSettings | None = None,
    progress: Progress = lambda modality, done, total: None,
    connect: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Embedded:
    """Embed pairs into a packed data set, over Ray.

    Args:
        pairs: any set of pairs; files must be where the cluster's machines see them, or at an address,
            of which each machine makes a copy.
        encoders: (modality, name of an encoder); a modality of "" stands for all that it can encode.
        to: folder that all machines see, or an address such as s3://bucket/folder.
        settings: how the work is spread.
        progress: see `Progress`.
        connect: to the cluster, if there is anything to compute; nothing, if this process is.

    Raises:
        DataError: something else is at `to` (other weights: both checksums are named), or too many
            images do not decode.
        ConfigError: an encoder is unknown or fits no modality.
    """
    chosen = settings or EmbedSettings()
    loaded = [(modality, _on_driver(name, chosen)) for modality, name in encoders]
    plan = assigned(pairs, loaded)
    works = divided(pairs, plan, to, tokens=chosen.tokens)
    total = sum(len(work.firsts) for work in works)
    record = existing(to, [work.source for work in works])
    if record is not None:
        return Embedded(record, computed=0, kept=total)
    todo = [(work, missing) for work in works if (missing := work.missing())]
    left = sum(_items(missing) for _, missing in todo)
    with connect() if todo else nullcontext():
        for work, missing in todo:
            _compute(pairs, work, missing, chosen, progress)
    return Embedded(assemble(pairs, works, to), computed=left, kept=total - left)


def _origin(pairs: Pairs) -> tuple[str, Path] | None:
    """Address of the pairs, and where this machine has its copy; None if they are of this machine."""
    return None if pairs.copy is None else (pairs.copy.address, pairs.copy.path)


def _items(blocks: Mapping[int, slice]) -> int:
    return sum(place.stop - place.start for place in blocks.values())


def _on_driver(name: str, settings: EmbedSettings) -> Encoder:
    """The encoder, for its checksum; it computes nothing here, so no GPU is taken."""
    return load_encoder(name, pooling=settings.pooling, device="cpu")


def _compute(
    pairs: Pairs,
    work: Work,
    missing: Mapping[int, slice],
    settings: EmbedSettings,
    progress: Progress,
) -> None:
    """Compute the blocks that are missing."""
    total = len(work.firsts)
    done = total - _items(missing)
    progress(work.source.modality, done, total)
    rows = [{"number": n, "items": work.of_block(place)} for n, place in missing.items()]
    with _without_its_output():
        blocks = ray.data.from_items(rows, override_num_blocks=len(rows))
        encoded = blocks.map_batches(
            EncodeBlocks,
            fn_constructor_args=(work.source.encoder, settings.pooling, work.source.weights,
                                 work.folder.address, settings.tokens, _origin(pairs)),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=_workers(settings, len(rows))),
            **_resources(settings),
        )  # fmt: skip
        for row in encoded.iter_rows():
            if row["mistake"]:
                raise DataError(row["mistake"])
            done += int(row["items"])
            progress(work.source.modality, done, total)


@contextmanager
def _without_its_output() -> Iterator[None]:
    """Ray Data without bars, which the caller has, and without errors told twice: they are raised."""
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    shown, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        context.enable_progress_bars = shown
        log.setLevel(level)


def _resources(settings: EmbedSettings) -> dict[str, Any]:
    """What a worker holds: a GPU where there is one."""
    cpus = {"num_cpus": settings.cpus_per_worker}
    return {**cpus, "num_gpus": 1} if _gpus() else cpus


def _workers(settings: EmbedSettings, blocks: int) -> int:
    held = int(_amount("CPU") // settings.cpus_per_worker)
    if not held:
        raise ConfigError(
            f"A worker needs {settings.cpus_per_worker:g} CPUs, but the cluster has "
            f"{_amount('CPU'):g}. Lower --cpus-per-worker."
        )
    return min(settings.workers or blocks, _gpus() or held, held, blocks)


def _gpus() -> int:
    return int(_amount("GPU"))


def _amount(resource: str) -> float:
    """How much of a resource the cluster has."""
    resources: Any = ray.cluster_resources  # Ray leaves it untyped
    return float(resources().get(resource, 0))


class EncodeBlocks:
    """A worker: holds an encoder, and writes the blocks it is given."""

    def __init__(
        self,
        name: str,
        pooling: str,
        weights: str,
        folder: str,
        tokens: bool,
        origin: tuple[str, Path] | None,
    ) -> None:
        """Note what is to be done; the encoder is loaded with the first block.

        Args:
            name: of the encoder.
            pooling: of the encoder.
            weights: their checksum.
            folder: of the blocks.
            tokens: token sequences instead of pooled vectors.
            origin: address that images were copied from, and where the driver has its copy.
        """
        self._name, self._pooling, self._weights = name, pooling, weights
        self._folder, self._tokens = BlockFolder(folder), tokens
        self._encoder: Encoder | None = None
        self._origin = origin
        self._copy: Fetched | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Encode the block of a batch and write it.

        Returns:
            How many items it has, and what was wrong: Ray tells only the text of what is raised.
        """
        try:
            items = [self._here(item) for block in batch["items"] for item in block]
            encoder = self._encoder = self._encoder or self._loaded()
            block = compute(encoder, items, tokens=self._tokens)
            self._folder.write(int(batch["number"][0]), block)
        except RaymmError as error:
            return {"items": [0], "mistake": [str(error)]}
        return {"items": [len(items)], "mistake": [""]}

    def _here(self, item: Item) -> Item:
        """The item as this machine has it.

        Raises:
            StorageError: the copy cannot be made.
        """
        if self._origin is None or not isinstance(item, Path):
            return item
        address, driver = self._origin
        self._copy = self._copy or fetched(address)
        return self._copy.path / item.relative_to(driver)

    def _loaded(self) -> Encoder:
        encoder = load_encoder(self._name, pooling=self._pooling)
        if encoder.checksum != self._weights:
            raise DataError(
                f"'{self._name}' has the weights {encoder.checksum} on {platform.node()} and "
                f"{self._weights} where the run was started. Give all machines the same."
            )
        return encoder
