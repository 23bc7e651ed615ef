"""For tests on machines without GPUs: nodes that say they have some. Run in each of Ray's processes.

Ray deals out what a node says it has, so placement and autoscaling are real. Only where a worker would
take its GPU does it take the CPU instead; and it writes down on which kind of node it trains what.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

WHERE = "RAYMM_TEST_WHERE"
"""Variable: folder for a file for each cell, with the kinds of nodes it was trained on."""


def gpus() -> None:
    """A setup hook of Ray's for worker processes."""
    import torch

    from raymm.training import group, loop

    group._own_gpu = lambda: torch.device("cpu")
    real: Callable[..., dict[str, float]] = loop.train_cell

    def train_cell(*args: Any, storage: str, **options: Any) -> dict[str, float]:
        with (Path(os.environ[WHERE]) / storage.rsplit("/", 1)[-1]).open("a") as file:
            file.write(f"{os.environ['RAY_NODE_TYPE_NAME']}\n")
        return real(*args, storage=storage, **options)

    loop.train_cell = train_cell
