"""What CBMF's frozen encoders save: `python -m benchmarks.cbmf`.

The built-in emoji pairs, EfficientNet-Lite0 and MiniLM, CBMF with `add`. One epoch over the same
samples takes how long

- on cached embeddings (ours),
- with the frozen encoders in the loop: the same model, the features computed again in every step,
- for ConVIRT, which trains the encoders?

And cells that differ only in learning rate, temperature and seed: one after the other, or together as one
batched model (`benchmarks/batched_cells.py`), on the built-in digits.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.batched_cells import features_of, learners, one_by_one, together
from raymm.config import CellConfig, DataConfig, LossConfig, ModelConfig, ModelName, TrainConfig
from raymm.data.dataset import Dataset
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.data.sources.pairs.load import load_pairs
from raymm.encoders.embed import embed_pairs
from raymm.encoders.load import load_encoder
from raymm.encoders.raw import raw_dataset
from raymm.training.loop import train_cell

ENCODERS = {"image": "efficientnet-lite0", "text": "minilm"}
MOST_DIFFERENCE = 1e-4
"""Losses of cells trained together and one by one may differ by this, as a share."""


def epoch_s(dataset: Dataset, name: ModelName, encoders: tuple[str, ...], epochs: int) -> float:
    """Seconds of an epoch of training, the mean of some."""
    train = TrainConfig(epochs=epochs, batch_size=32, learning_rate=1e-4)
    cell = CellConfig(model=ModelConfig(name=name, width=256, encoders=encoders), train=train)
    with tempfile.TemporaryDirectory() as folder:
        metrics = train_cell(
            cell,
            dataset,
            storage=folder,
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            on_epoch=lambda report: True,
        )
    return metrics["time/train_s"] / epochs


def frozen_or_not(samples: int, repeats: int) -> list[dict[str, object]]:
    """Cached embeddings against encoders in the loop, frozen and trained: medians, taken in turns."""
    every = load_pairs("emoji")
    step = max(1, len(every.ids) // samples)
    pairs = every.chosen(np.arange(len(every.ids)) % step == 0)
    loaded = {modality: load_encoder(name) for modality, name in ENCODERS.items()}
    with tempfile.TemporaryDirectory() as folder:
        cached = embed_pairs(pairs, loaded, Path(folder, "cache"), label="category")
        raw = raw_dataset(pairs, loaded, label="category")
        in_loop = tuple(ENCODERS.values())
        runs: dict[str, Callable[[], float]] = {
            "cached": lambda: epoch_s(cached, "cbmf", (), 20),
            "in the loop": lambda: epoch_s(raw, "cbmf", in_loop, 1),
            "ConVIRT": lambda: epoch_s(raw, "convirt", in_loop, 1),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                seconds[name].append(run())
    ours = statistics.median(seconds["cached"])
    rows: list[dict[str, object]] = []
    for name in ("in the loop", "ConVIRT"):
        theirs = statistics.median(seconds[name])
        ratios = [b / a for a, b in zip(seconds["cached"], seconds[name], strict=True)]
        against = "CBMF, encoders in the loop" if name == "in the loop" else name
        rows.append(row("CBMF, cached embeddings", against, ours, theirs, ratios))
    return rows


def one_model_of_many(width: int, epochs: int, repeats: int) -> dict[str, object]:
    """16 cells together against one by one."""
    cell = CellConfig(model=ModelConfig(name="cbmf", width=width))
    train = replace(cell.train, epochs=epochs, batch_size=128, warmup_steps=5)
    cells = [
        replace(
            cell,
            loss=LossConfig(temperature=temperature),
            train=replace(train, learning_rate=rate, seed=seed),
        )
        for rate, temperature, seed in product((1e-3, 4e-3), (0.07, 0.2), range(4))
    ]
    data = prepare(load_dataset("digits"), DataConfig())
    features = features_of(data, torch.float32)
    ours, theirs, difference = [], [], 0.0
    for _ in range(repeats):
        batched, fast = timed(
            lambda: together(cells, learners(cells, data, torch.float32), features)
        )
        plain, slow = timed(
            lambda: one_by_one(cells, learners(cells, data, torch.float32), features)
        )
        apart = (torch.tensor(batched) - torch.tensor(plain)).abs() / torch.tensor(plain)
        difference = max(difference, float(apart.max()))
        ours.append(fast / epochs)
        theirs.append(slow / epochs)
    if difference > MOST_DIFFERENCE:
        raise SystemExit(
            f"Trained together the losses are others: they differ by {difference:.1e}."
        )
    found = row(
        f"{len(cells)} cells of width {width}, together",
        "one by one",
        statistics.median(ours),
        statistics.median(theirs),
        [b / a for a, b in zip(ours, theirs, strict=True)],
    )
    return {**found, "losses differ by": f"{difference:.0e}"}


def timed(run: Callable[[], list[list[float]]]) -> tuple[list[list[float]], float]:
    """What a run gives, and its seconds."""
    started = time.perf_counter()
    given = run()
    return given, time.perf_counter() - started


def row(
    ours: str, theirs: str, our_s: float, their_s: float, ratios: Sequence[float]
) -> dict[str, object]:
    """A row of the table; the ratio is the median of those of paired runs."""
    return {
        "ours": ours,
        "against": theirs,
        "ours, epochs/s": 1 / our_s,
        "theirs, epochs/s": 1 / their_s,
        "times as fast": statistics.median(ratios),
        "losses differ by": "-",
    }


def main(
    samples: int = 190,
    widths: tuple[int, ...] = (32, 256),
    epochs: int = 4,
    repeats: int = 3,
    threads: int = 1,
    out: Path | None = None,
) -> None:
    """Measure what frozen encoders and batched cells save.

    Args:
        samples: pairs used, about.
        widths: of the cells that are trained together.
        epochs: of the cells that are trained together.
        repeats: paired runs of each.
        threads: of torch; a worker has one.
        out: JSON file for the figures.
    """
    torch.set_num_threads(threads)
    rows = frozen_or_not(samples, repeats)
    rows += [one_model_of_many(width, epochs, repeats) for width in widths]
    table = Table(*rows[0])
    for each in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in each.values()))
    Console().print(table)
    if out:
        out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
