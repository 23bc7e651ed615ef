"""Cells of a finished sweep scored at other sparsities of the test split, as tasks on a Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from raymm.data.dataset import Dataset
from raymm.errors import RaymmError

CPUS = 1


@dataclass(frozen=True)
class CellScores:
    """What came of a cell: metrics by test sparsity, or why there are none."""

    key: str
    scores: Mapping[float, Mapping[str, float]]
    reason: str = ""


def score_cells(
    folders: Mapping[str, str],
    dataset: Dataset,
    sparsities: Sequence[float],
    advance: Callable[[], None] = lambda: None,
) -> list[CellScores]:
    """Score cells on the connected Ray, as many at a time as it has CPUs.

    Args:
        folders: of the cells, by cell key; seen by all machines of the cluster.
        dataset: what they were trained on.
        sparsities: of the test split.
        advance: called when a cell is done.

    Returns:
        In the cells' order. One that cannot be scored says why and takes no other with it.
    """
    held = ray.put(dataset)
    pending: dict[Any, str] = {
        _task.remote(key, folder, held, tuple(sparsities)): key for key, folder in folders.items()
    }
    found: dict[str, CellScores] = {}
    while pending:
        (done, *_), _ = ray.wait(list(pending))
        key = pending.pop(done)
        try:
            found[key] = ray.get(done)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()
            found[key] = CellScores(key, {}, f"{type(error).__name__}: {(reason or ['lost'])[-1]}")
        advance()
    return [found[key] for key in folders]


@ray.remote(num_cpus=CPUS, max_retries=2)
def _task(key: str, folder: str, dataset: Dataset, sparsities: tuple[float, ...]) -> CellScores:
    """A cell, on some machine of the cluster."""
    import torch

    from raymm.training.cross_sparsity import cross_sparsity

    torch.set_num_threads(CPUS)
    os.environ["OMP_NUM_THREADS"] = str(CPUS)
    try:
        return CellScores(key, cross_sparsity(folder, dataset, sparsities))
    except (RaymmError, RuntimeError, OSError) as error:
        return CellScores(key, {}, f"{type(error).__name__}: {error}")
