"""Embeddings of whole splits, and the final metrics of a trained model.

Shapes: K embeddings, n samples, d components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from raymm.data.loader import ordered_batches
from raymm.data.prepare import PreparedData, Split
from raymm.losses.gather import gather_embeddings
from raymm.metrics.evaluate import measure
from raymm.metrics.probes import Probe, fit_probes
from raymm.models.base import FusionModel
from raymm.models.embeddings import Embeddings
from raymm.training.task import Score


@dataclass(frozen=True)
class SplitEmbeddings:
    """A split seen through a model: its embeddings, and the fusion embedding of each sample (n, d)."""

    embeddings: Embeddings
    fusion: Tensor


@torch.no_grad()
def embed_split(
    model: FusionModel, split: Split, *, batch_size: int, rank: int, world_size: int
) -> SplitEmbeddings:
    """Embed a split, shared out over the ranks, in the split's order, on every rank's host.

    The device is the model's. Ranks exchange embeddings once a batch.
    """
    device = next(model.parameters()).device
    vectors, present, fusion = [], [], []
    batches = ordered_batches(split, batch_size=batch_size, rank=rank, world_size=world_size)
    for number, (_, batch) in enumerate(batches):
        everyone = _in_order(gather_embeddings(model(batch.to(device))), world_size)
        count = min(batch_size, split.size - number * batch_size)
        vectors.append(everyone.vectors[:, :count].float().cpu())
        present.append(everyone.present[:, :count].cpu())
        fusion.append(model.fusion(everyone)[:count].float().cpu())
    embeddings = Embeddings(torch.cat(vectors, 1), torch.cat(present, 1))
    return SplitEmbeddings(embeddings, torch.cat(fusion))


def _in_order(gathered: Embeddings, world_size: int) -> Embeddings:
    """From rank by rank to the order of the global batch, of which rank r has places r, r + W, ..."""
    count, places, width = gathered.vectors.shape
    vectors = gathered.vectors.view(count, world_size, -1, width).transpose(1, 2)
    present = gathered.present.view(count, world_size, -1).transpose(1, 2)
    return Embeddings(vectors.reshape(count, places, width), present.reshape(count, places))


@dataclass(frozen=True)
class SplitScores:
    """What a split says of a trained model: in all, and sample by sample.

    Attributes:
        metrics: geometry, retrieval and probe metrics under their stable names.
        ranks: (M, n) rank of each sample's fusion embedding, queried by each of its
            modalities; nan where it lacks that.
        probe: what the linear probe says of each; None without a label.
    """

    metrics: dict[str, float]
    ranks: NDArray[np.float64]
    probe: Probe | None


def final_metrics(
    prepared: PreparedData,
    embedded: Mapping[str, SplitEmbeddings],
    *,
    split: Score = "test",
) -> dict[str, float]:
    """The metrics of `score_splits`, of one split."""
    return score_splits(prepared, embedded, (split,))[split].metrics


def score_splits(
    prepared: PreparedData, embedded: Mapping[str, SplitEmbeddings], splits: Sequence[Score]
) -> dict[Score, SplitScores]:
    """Geometry, retrieval and probe metrics of splits.

    Args:
        embedded: "train", "validation" and the splits to score.
        splits: which those are; the probe is the same for all, its penalty chosen on validation.
    """
    names = [spec.name for spec in prepared.specs]
    measured = {
        split: measure(embedded[split].embeddings, embedded[split].fusion, names)
        for split in splits
    }
    probes: Mapping[str, Probe] = {}
    if prepared.task is not None:
        probed = {
            name: (embedded[name].fusion.numpy(), getattr(prepared, name).labels)
            for name in ("train", "validation", *splits)
        }
        # A BLAS that starts a thread for each core makes small fits many times slower.
        with threadpool_limits(torch.get_num_threads()):
            probes = fit_probes(
                prepared.task,
                len(prepared.classes),
                probed["train"],
                probed["validation"],
                {split: probed[split] for split in splits},
            )
    found: dict[Score, SplitScores] = {}
    for split, seen in measured.items():
        probe = probes.get(split)
        metrics = seen.metrics | (probe.metrics if probe else {})
        found[split] = SplitScores(metrics, seen.ranks.numpy(), probe)
    return found
