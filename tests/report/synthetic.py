"""Made-up but plausible results, so that reports can be made and looked at without training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from raymm.config import CellConfig, DataConfig, ModelConfig, ModelName, TrainConfig
from raymm.sweep.cells import CellResult

SPARSITIES = (0.0, 0.2, 0.4, 0.6, 0.8)
_STRENGTH: dict[str, float] = {"mca": 0.03, "zorro": 0.0, "eao": -0.01}


def result(
    model: ModelName = "mca",
    sparsity: float = 0.0,
    seed: int = 0,
    *,
    dataset: str = "digits",
    metrics: dict[str, float] | None = None,
    curve: tuple[dict[str, float], ...] = (),
) -> CellResult:
    """A finished cell with the metrics given."""
    cell = CellConfig(
        data=DataConfig(dataset=dataset, sparsity=sparsity),
        model=ModelConfig(name=model),
        train=TrainConfig(seed=seed),
    )
    key = f"{dataset}-{model}-{sparsity:g}-{seed}"
    return CellResult(cell, dataset, key, "finished", metrics=metrics or {}, curve=curve)


def failed(model: ModelName, sparsity: float, seed: int, reason: str) -> CellResult:
    """A failed cell."""
    finished = result(model, sparsity, seed)
    return CellResult(finished.cell, "digits", finished.key, "failed", reason)


def sweep(
    seeds: Sequence[int] = (0, 1),
    *,
    sparsities: Sequence[float] = SPARSITIES,
    models: Sequence[ModelName] = ("mca", "zorro", "eao"),
    dataset: str = "digits",
    task: str = "classification",
) -> list[CellResult]:
    """A whole grid of cells whose numbers fall with sparsity and scatter with the seed."""
    return [
        result(
            model,
            sparsity,
            seed,
            dataset=dataset,
            metrics=_metrics(model, sparsity, seed, task),
            curve=_curve(model, sparsity, seed),
        )
        for model in models
        for sparsity in sparsities
        for seed in seeds
    ]


def _generator(model: str, sparsity: float, seed: int) -> np.random.Generator:
    return np.random.default_rng([*model.encode(), round(100 * sparsity), seed])


def _metrics(model: str, sparsity: float, seed: int, task: str) -> dict[str, float]:
    noise = _generator(model, sparsity, seed).normal(size=40)
    strength = _STRENGTH.get(model, 0.01)
    auprc = 0.97 - 0.35 * sparsity**2 + strength + 0.01 * noise[0]
    rank = 2 + 12 * sparsity**2 - 40 * strength + 0.4 * noise[1]
    metrics = {
        "uniformity/fusion": -3.4 + sparsity - 6 * strength + 0.05 * noise[2],
        "uniformity/unimodal_mean": -3.1 + 0.8 * sparsity - 5 * strength + 0.05 * noise[3],
        "alignment/mean": 0.7 - 0.1 * sparsity + 3 * strength + 0.02 * noise[4],
        "rank/median_mean": max(1.0, rank),
        "retrieval/gallery_size": round(300 * (1 - sparsity**4)),
        "loss/train": 2.0 - sparsity,
        "loss/val": 2.3 - sparsity,
        "sparsity/realised": 0.9 * sparsity,
        "time/train_s": 8 - 5 * sparsity,
        "throughput/samples_per_s": 2000 + 4000 * sparsity,
        "memory/peak_gib": 0.8,
    }
    for place, k in enumerate((1, 5, 10)):
        recall = (
            (0.35, 0.7, 0.85)[place] * (1 - 0.5 * sparsity) + strength + 0.01 * noise[5 + place]
        )
        metrics[f"recall/at_{k}_mean"] = recall
    for place, modality in enumerate(("fou", "fac", "kar", "zer")):
        metrics[f"uniformity/{modality}"] = -3.0 + 0.1 * noise[10 + place]
        metrics[f"alignment/{modality}"] = 0.7 + 0.02 * noise[20 + place]
        metrics[f"rank/median_{modality}"] = max(1.0, rank + noise[30 + place])
    if task == "classification":
        metrics |= {"probe/auprc": auprc, "probe/accuracy": auprc - 0.03}
        metrics["probe/loss"] = 0.15 + 1.3 * sparsity**2 - 2 * strength + 0.03 * noise[8]
    else:
        metrics |= {"probe/pearson": auprc - 0.4, "probe/loss": 0.6 + 0.3 * sparsity}
    return {name: float(value) for name, value in metrics.items()}


def _curve(model: str, sparsity: float, seed: int) -> tuple[dict[str, float], ...]:
    noise = _generator(model, sparsity, seed + 100).normal(size=(12, 2))
    floor = 1.8 - 1.2 * sparsity - 4 * _STRENGTH.get(model, 0.0)
    return tuple(
        {
            "epoch": float(epoch),
            "loss/train": float(floor + 3 * np.exp(-epoch / 3) + 0.02 * noise[epoch - 1, 0]),
            "loss/val": float(floor + 0.25 + 2.8 * np.exp(-epoch / 3) + 0.04 * noise[epoch - 1, 1]),
        }
        for epoch in range(1, 13)
    )


def kept(results: Sequence[CellResult], count: int = 60) -> dict[str, pd.DataFrame]:
    """What the cells keep of a made-up test split, in line with how good they are."""
    return {result.key: _samples(result, count) for result in results if result.metrics}


def _samples(result: CellResult, count: int) -> pd.DataFrame:
    model, sparsity = result.cell.model.name, result.cell.data.sparsity
    common = np.random.default_rng(7)  # the same samples, masks and difficulties for all cells
    label = np.arange(count) % 4
    hardness, mask = common.normal(size=(count, 1)), common.random((count, 2))
    generator = _generator(model, sparsity, result.cell.train.seed + 50)
    skill = 2 * result.metrics.get("probe/auprc", 0.7)
    scores = generator.normal(size=(count, 4)) + 0.5 * hardness
    scores[np.arange(count), label] += 2 * skill - hardness[:, 0]
    said = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    has = mask >= sparsity
    has[~has.any(axis=1), 0] = True
    frame = pd.DataFrame({"id": [f"s{number:04d}" for number in range(count)]})
    for place, name in enumerate(("fou", "kar")):
        frame[f"has/{name}"] = has[:, place]
    frame["label"] = label
    for place, name in enumerate(("fou", "kar")):
        ranks = np.maximum(1, np.round(6 + 4 * hardness[:, 0] - 3 * skill + generator.normal()))
        frame[f"rank/{name}"] = np.where(has[:, place], ranks, np.nan)
    frame["probe/loss"] = -said[np.arange(count), label]
    frame["probe/said"] = list(said)
    centres = np.random.default_rng(8).normal(size=(4, 6))
    for name in ("fusion", "fou", "kar"):
        cloud = centres[label] * skill + generator.normal(size=(count, 6)) + len(name)
        frame[f"map/{name}"] = list(cloud)
    frame.attrs = {
        "modalities": ["fou", "kar"], "task": "classification", "classes": ["0", "1", "2", "3"],
    }  # fmt: skip
    return frame
