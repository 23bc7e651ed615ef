"""A world of coloured squares and their names, with tiny encoders of both, and a model trained on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from raymm.config import CellConfig, DataConfig, FusionOperation, ModelConfig, TrainConfig
from raymm.data.sources.pairs.build import Column, build, classes, scores
from raymm.data.sources.pairs.pairs import Domain, Item, Pairs
from raymm.encoders.base import Encoded, Encoder, EncoderModule, Inputs
from raymm.encoders.embed import embed_pairs
from raymm.tasks.model import TaskModel
from raymm.training.loop import train_cell
from raymm.training.saved import load_model

COLOURS = {
    "red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 50, 210), "yellow": (230, 220, 40),
    "white": (240, 240, 240), "black": (15, 15, 15), "purple": (150, 40, 170), "cyan": (40, 210, 220),
}  # fmt: skip
NAMES = tuple(COLOURS)
PLACES = 4
"""Tokens of an image: the means of its quarters."""


class TinyEncoder(Encoder):
    """An encoder without a network: words by their hash, images by the colours of their quarters."""

    def __init__(self, domain: Domain, salt: str = "") -> None:
        self.domain, self.name, self.salt = domain, f"tiny-{domain}{salt}", salt
        self.width = 24 if domain == "text" else 3
        self.checksum, self.preprocessing = hashlib.sha256(self.name.encode()).hexdigest(), "none"
        self.encoded = 0

    def encode(self, items: Sequence[Item], *, tokens: bool = False) -> Encoded:
        self.encoded += len(items)
        parts = [self._tokens(item) for item in items]
        if not tokens:
            return Encoded(np.stack([part.mean(axis=0) for part in parts]), None)
        offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
        return Encoded(np.concatenate(parts), offsets)

    def _tokens(self, item: Item) -> NDArray[np.float32]:
        if self.domain == "text":
            words = [word.strip(".,") for word in cast(str, item).split()] + ["</s>"]
            return np.stack([_word(self.salt + word, self.width) for word in words])
        picture = cast(NDArray[np.uint8], item)
        quarters = [half for side in np.split(picture, 2) for half in np.split(side, 2, axis=1)]
        return np.stack([q.reshape(-1, 3).mean(axis=0) / 255 for q in quarters]).astype(np.float32)

    def preprocess(self, items: Sequence[Item]) -> Inputs:
        raise NotImplementedError("the tests of tasks run encoders, they do not train them")

    def module(self) -> EncoderModule:
        raise NotImplementedError("the tests of tasks run encoders, they do not train them")


def _word(word: str, width: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).normal(size=width).astype(np.float32)


def squares(count: int, seed: int = 0, splits: Sequence[str] | None = None) -> Pairs:
    """Noisy squares with the names of their colours."""
    rng = np.random.default_rng(seed)
    colours = [NAMES[code] for code in rng.integers(0, len(NAMES), count)]
    pictures = [
        np.clip(np.array(COLOURS[name]) + rng.normal(0, 12, (4, 4, 3)), 0, 255).astype(np.uint8)
        for name in colours
    ]
    return build(
        f"squares-{seed}",
        [f"{number:04}" for number in range(count)],
        {"image": Column("image", pictures), "text": Column("text", colours)},
        labels=[classes("colour", colours, NAMES)],
        splits=splits,
    )


def sentences(count: int, graded: bool) -> Pairs:
    """Two texts each, with 0 to 5 of five words in common; or, of classes, all or none."""
    rng = np.random.default_rng(1)
    shared = rng.integers(0, 6, count) if graded else rng.integers(0, 2, count) * 5
    words = np.array([f"word{number}" for number in range(400)])
    one = [rng.choice(words, 5, replace=False) for _ in range(count)]
    other = [[*a[:n], *rng.choice(words, 5 - n)] for a, n in zip(one, shared, strict=True)]
    splits = [("train", "validation", "test")[number % 3] for number in range(count)]
    label = (
        scores("score", [float(n) for n in shared])
        if graded
        else classes("same", [str(n // 5) for n in shared], ("0", "1"))
    )
    return build(
        "sentences",
        [f"{number:04}" for number in range(count)],
        {
            "text_a": Column("text", [" ".join(a) for a in one]),
            "text_b": Column("text", [" ".join(b) for b in other]),
        },
        labels=[label],
        splits=splits,
    )


def trained_model(
    folder: Path, pairs: Pairs, encoders: dict[str, Encoder], operation: FusionOperation
) -> TaskModel:
    """CBMF on the pairs' embeddings: of tokens where the operation is an attention."""
    tokens = "attention" in operation
    dataset = embed_pairs(pairs, encoders, folder / "data", tokens=tokens)
    cell = CellConfig(
        data=DataConfig(dataset=str(folder / "data"), validation_fraction=0.1, test_fraction=0.2),
        model=ModelConfig(name="cbmf", width=16, fusion_operation=operation, projection_width=32),
        train=TrainConfig(epochs=12, batch_size=64, warmup_steps=5, learning_rate=5e-3),
    )
    storage = folder / "cell"
    train_cell(
        cell,
        dataset,
        storage=str(storage),
        device=torch.device("cpu"),
        on_epoch=lambda report: True,
    )
    return TaskModel(load_model(str(storage)), encoders, str(folder / "cache"), "CBMF")
