"""Token vectors to one vector, and which way is a model's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from raymm.errors import ConfigError, nearest

Pooling = Literal["auto", "mean", "cls", "pooler"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
MAP_SIDE = 4
"""Side to which a feature map is averaged before its places are taken for tokens: 4 x 4 = 16."""


@dataclass(frozen=True)
class Pooled:
    """How vectors are pooled.

    Attributes:
        way: "mean" over the tokens, the "cls" (first) token, or what the model's "pooler" makes.
        unit: whether they are scaled to length 1, as some sentence encoders do.
    """

    way: Pooling
    unit: bool = False

    def __str__(self) -> str:
        return f"{self.way}{', unit length' if self.unit else ''}"


def check_pooling(pooling: str) -> Pooling:
    """The setting, if it is one.

    Raises:
        ConfigError: it is not.
    """
    for known in POOLINGS:
        if pooling == known:
            return known
    raise ConfigError(f"pooling = '{pooling}': {nearest(pooling, POOLINGS)}")


def sentence_pooling(folder: Path) -> Pooled | None:
    """The pooling of a sentence encoder: what the sentence-transformers files beside it say.

    Raises:
        ConfigError: it pools in a way that is not known here.
    """
    config = folder / "1_Pooling" / "config.json"
    if not config.is_file():
        return None
    said = json.loads(config.read_text(encoding="utf-8"))
    ways = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    on = [key for key, value in said.items() if key.startswith("pooling_mode_") and value is True]
    if len(on) != 1 or on[0] not in ways:
        raise ConfigError(
            f"{config} pools by {', '.join(on) or 'nothing'}; known here: {', '.join(ways)}. Give "
            "`--pooling mean` or `--pooling cls`."
        )
    modules = folder / "modules.json"
    listed = json.loads(modules.read_text(encoding="utf-8")) if modules.is_file() else []
    unit = any(str(module.get("type", "")).endswith("Normalize") for module in listed)
    return Pooled("mean" if ways[on[0]] == "mean" else "cls", unit)


def mean_of(tokens: Tensor, present: Tensor) -> Tensor:
    """Mean over the tokens that are there.

    Args:
        tokens: (n, length, width).
        present: (n, length) bool; each row has one at least.
    """
    weights = present.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1)


def map_tokens(features: Tensor) -> Tensor:
    """Places of a feature map, (n, width, height, width of map), as (n, places, width) tokens.

    A larger map is averaged to `MAP_SIDE` x `MAP_SIDE` places first.
    """
    if max(features.shape[2:]) > MAP_SIDE:
        features = torch.nn.functional.adaptive_avg_pool2d(features, MAP_SIDE)
    return features.flatten(2).transpose(1, 2)
