"""The end of a training: the best epoch's weights are scored and kept.

`result.json` in the cell's folder holds:

    config      the cell's settings
    scored      "test", or "validation" where the test split has not been touched
    metrics     final metrics of the split scored
    validation  metrics of the validation split ("val/..."), by which a search chooses
    curve       one entry for each epoch
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from raymm.config import CellConfig, to_dict
from raymm.data.dataset import Dataset
from raymm.data.prepare import PreparedData
from raymm.losses.gather import world_size
from raymm.training.card import save_card
from raymm.training.checkpoint import CheckpointStore
from raymm.training.evaluate import embed_split, score_splits
from raymm.training.learner import Learner
from raymm.training.resources import peak_memory_gib
from raymm.training.samples import keep_samples
from raymm.training.sizes import EVALUATION_BATCH
from raymm.training.state import Training
from raymm.training.task import Score


def finish(training: Training, dataset: Dataset, score: Score) -> dict[str, float]:
    """Score the best epoch's weights, once, and keep them as a model that can be used again.

    The validation split is scored in any case, of the weights as they were trained: what is kept of
    them later, in half the space, would not compare with those of other cells.

    Args:
        training: that has ended.
        dataset: that it was trained on.
        score: the split whose metrics are asked for.

    Returns:
        The metrics on rank 0, elsewhere nothing.
    """
    cell, prepared, progress = training.cell, training.prepared, training.progress
    training.learner.load_state_dict(training.best)
    splits: tuple[Score, ...] = ("validation", "test") if score == "test" else ("validation",)
    scores = _scores(
        cell, prepared, training.learner, training.store, splits, training.micro_batches
    )
    if training.rank != 0:
        return {}
    best = progress.curve[progress.best_epoch - 1]
    whole = {
        "loss/train": best["loss/train"],
        "loss/val": best["loss/val"],
        "epoch/best": float(progress.best_epoch),
        "temperature": best["temperature"],
        "sparsity/realised": prepared.sparsity_realised,
        "sparsity/before_dropping": prepared.sparsity_masked,
        "time/train_s": progress.train_s,
        "throughput/samples_per_s": (
            training.samples_per_epoch * len(progress.curve) / max(progress.train_s, 1e-9)
        ),
        "memory/peak_gib": peak_memory_gib(training.device),
        "parameters": float(sum(p.numel() for p in training.learner.model.parameters())),
    }
    metrics = scores[score] | whole
    result: dict[str, Any] = {
        "config": to_dict(cell),
        "scored": score,
        "metrics": metrics,
        "validation": scores["validation"] | whole,
    }
    with training.store.writing("The description of the model"):
        save_card(training.store.folder, cell, prepared, dataset)
    training.store.finish(training.best, {**result, "curve": progress.curve}, half=score == "test")
    return metrics


def told(result: Mapping[str, Any], score: Score) -> dict[str, float] | None:
    """The metrics of a split as a finished training left them; None if it was not scored."""
    if score == "validation":
        known = result.get("validation")
    else:
        known = result["metrics"] if result.get("scored", "test") == "test" else None
    return None if known is None else dict(known)


def score_again(
    cell: CellConfig,
    prepared: PreparedData,
    store: CheckpointStore,
    device: torch.device,
    result: Mapping[str, Any],
    score: Score,
) -> dict[str, float]:
    """Score the weights that a finished training kept on the other split, and write it down.

    On validation only where `finish` has not: of cells that an earlier version has finished.
    """
    learner = Learner(prepared, cell).to(device)
    learner.load_state_dict(store.weights())
    found = _scores(cell, prepared, learner, store, (score,))
    if world_size() > 1 and dist.get_rank() != 0:
        return {}
    # What is not of a split is the same for both: "loss/val", times, sizes.
    scores = found[score]
    split_names = {name.removeprefix("val/") for name in scores}
    whole = {
        name: value
        for name, value in result["metrics"].items()
        if name.removeprefix("val/") not in split_names
    }
    metrics = scores | whole
    changes: dict[str, Any] = (
        {"validation": metrics} if score == "validation" else {"scored": "test", "metrics": metrics}
    )
    store.rewrite({**result, **changes})
    if score == "test":
        store.halve_weights()
    return metrics


def _scores(
    cell: CellConfig,
    prepared: PreparedData,
    learner: Learner,
    store: CheckpointStore,
    splits: tuple[Score, ...],
    parts: int = 1,
) -> dict[Score, dict[str, float]]:
    """Embedding metrics and probe of splits; empty on other ranks than the first."""
    used = ("train", "validation", *(("test",) if "test" in splits else ()))
    rank = dist.get_rank() if world_size() > 1 else 0
    embedded = {
        name: embed_split(
            learner.model,
            getattr(prepared, name),
            batch_size=max(max(cell.train.batch_size, EVALUATION_BATCH) // parts, world_size()),
            rank=rank,
            world_size=world_size(),
        )
        for name in used
    }
    if rank != 0:
        return {}
    scored = score_splits(prepared, embedded, splits)
    if "test" in scored:
        with store.writing("The test split's embeddings"):
            keep_samples(store.folder, prepared, embedded["test"], scored["test"])
    return {
        split: {_named(name, split): value for name, value in each.metrics.items()}
        for split, each in scored.items()
    }


def _named(metric: str, split: Score) -> str:
    return f"val/{metric}" if split == "validation" else metric
