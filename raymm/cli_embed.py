"""The command `raymm embed --dataset ... --encoder ... --out DIR`: frozen embeddings, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raymm.data.sources.pairs.load import LayoutName
from raymm.data.sources.pairs.pairs import Pairs
from raymm.sweep.operations import named_encoder

SplitName = Literal["train", "validation", "test"]


def embed(
    encoder: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ENCODER ...")],
    out: str,
    dataset: str = "emoji",
    layout: LayoutName = "auto",
    columns: tuple[str, ...] = (),
    first_caption: bool = False,
    splits: tuple[SplitName, ...] = (),
    caption_pairs: float | None = None,
    tokens: bool = False,
    pooling: str = "auto",
    address: str | None = None,
    cpus_per_worker: float = 1,
    workers: int | None = None,
) -> int:
    """Compute the vectors of frozen encoders once, as a data set that every sweep can use.

    The work is spread with Ray Data. The same command again computes nothing; one that was stopped
    goes on. Then: `python sweeps/sparsity_grid.py --dataset OUT --models cbmf ...`.

    Args:
        encoder: minilm, paraphrase-minilm-l3, efficientnet-lite0, a folder that save_pretrained wrote,
            or an id on the Hugging Face hub. Each encodes the modalities of its domain; MODALITY=NAME
            chooses one, as in text_a=minilm text_b=bert-base-uncased.
        out: folder to be made, or an address such as s3://bucket/folder.
        dataset: "emoji", or a folder of pairs in one of the layouts, or a Parquet table.
        layout: how the folder is laid out; auto looks at its files.
        columns: of a Parquet table, as image=photo text=caption label=kind id=# group=image_id.
        first_caption: only the first of an image's captions.
        splits: of the set's official splits, only these. Sweeps divide what is embedded by sample
            id, so leave out what a model is to be evaluated on later: --splits train.
        caption_pairs: make text-text pairs first: captions whose MiniLM vectors have a cosine above
            this (the CBMF paper: 0.7), each caption's nearest.
        tokens: token sequences instead of one vector for each item.
        pooling: auto (the encoder's own), mean, cls or pooler.
        address: of a running Ray cluster; without it one is started here.
        cpus_per_worker: CPUs of a worker, beside its GPU where there are any.
        workers: at most; as many as the cluster holds, if not given.
    """
    from raymm.data.sources.pairs.load import load_pairs  # what follows loads Ray and torch
    from raymm.data.sources.pairs.table import parse_columns
    from raymm.encoders.cache import EmbedSettings
    from raymm.encoders.cache import embed as embed_over_ray

    settings = EmbedSettings(
        tokens=tokens, pooling=pooling, cpus_per_worker=cpus_per_worker, workers=workers
    )
    chosen = parse_columns(columns) if columns else None
    errors, console = Console(stderr=True, soft_wrap=True), Console(soft_wrap=True)
    pairs = load_pairs(dataset, layout=layout, columns=chosen, first_only=first_caption)
    pairs = _of_splits(pairs, splits, errors)
    if caption_pairs is not None:
        pairs = _text_pairs(pairs, caption_pairs, errors)
    for warning in pairs.warnings:
        errors.print(f"[yellow]warning[/yellow] {warning}", highlight=False)
    named = [named_encoder(each) for each in encoder]
    with _bars(errors) as progress:
        done = embed_over_ray(
            pairs, named, out, settings, progress, lambda: _connected_quietly(address)
        )
    for outcome in done.record.modalities:
        source = outcome.source
        text = f"{source.modality}: {source.encoder}, weights {source.weights[:12]}"
        console.print("; ".join([text, *outcome.remarks()]), highlight=False)
    console.print(
        f"Embedded {pairs.name} to {out}: {len(pairs.ids):,} samples; {done.computed:,} different "
        f"items computed, {done.kept:,} were there already",
        highlight=False,
    )
    return 0


def _of_splits(pairs: Pairs, splits: tuple[SplitName, ...], console: Console) -> Pairs:
    """The samples of the official splits that are asked for; a warning if one is held out.

    Raises:
        DataError: the set has no such split.
    """
    if splits:
        for name in splits:
            pairs.split(name)  # refuses one that is not there
        assert pairs.splits is not None
        return pairs.chosen(np.isin(pairs.splits, splits))
    held_out = pairs.held_out()
    count = len(pairs.split(held_out).ids) if held_out else 0
    if 0 < count < len(pairs.ids):
        console.print(
            f"[yellow]warning[/yellow] {pairs.name} has an official {held_out} split of {count:,} "
            "samples, which is embedded with the others: a sweep over them divides them by sample id, "
            "and trains on some of it. If `raymm evaluate` is to score on it, embed with --splits train",
            highlight=False,
        )
    return pairs


@contextmanager
def _connected_quietly(address: str | None) -> Iterator[None]:
    """Connected, without a line of Ray's core for each pool of Ray Data's own making."""
    from raymm.training.cluster import connected

    level = "RAY_BACKEND_LOG_LEVEL"
    before = os.environ.get(level)
    os.environ.setdefault(level, "fatal")
    try:
        with connected(address):
            yield
    finally:
        if before is None:
            del os.environ[level]


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each modality; nothing when it is piped."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bars:
        tasks = {}

        def progress(modality: str, done: int, total: int) -> None:
            if modality not in tasks:
                tasks[modality] = bars.add_task(f"embedding {modality}", total=total)
            bars.update(tasks[modality], completed=done)

        yield progress


def _text_pairs(captions: Pairs, threshold: float, console: Console) -> Pairs:
    """Text-text pairs of captions that MiniLM finds near."""
    from raymm.data.sources.pairs.near import caption_pairs
    from raymm.encoders.blocks import vectors_of
    from raymm.encoders.load import load_encoder

    items = captions.of("text")
    with _bars(console) as progress:
        count = len(items.values)
        vectors = vectors_of(
            load_encoder("minilm"), items.values, lambda done: progress("captions", done, count)
        )
        return caption_pairs(
            captions, vectors, threshold=threshold,
            progress=lambda done: progress("for pairs", done, count),
        )  # fmt: skip
