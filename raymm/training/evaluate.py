"""Embeddings of whole splits, and the final metrics of a trained model.

Shapes: K embeddings, n samples, d components.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from raymm.data.loader import ordered_batches
from raymm.data.prepare import PreparedData, Split
from raymm.losses.gather import gather_embeddings
from raymm.metrics.evaluate import embedding_metrics
from raymm.metrics.probes import probe_metrics
from raymm.models.base import FusionModel
from raymm.models.embeddings import Embeddings


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


def final_metrics(
    prepared: PreparedData, embedded: Mapping[str, SplitEmbeddings]
) -> dict[str, float]:
    """Geometry, retrieval and probe metrics of the test split.

    Args:
        embedded: "train", "validation" and "test".
    """
    names = [spec.name for spec in prepared.specs]
    test = embedded["test"]
    metrics = embedding_metrics(test.embeddings, test.fusion, names)
    if prepared.task is not None:
        probed = [
            (embedded[name].fusion.numpy(), getattr(prepared, name).labels)
            for name in ("train", "validation", "test")
        ]
        classes = len(prepared.classes)
        # A BLAS that starts a thread for each core makes small fits many times slower.
        with threadpool_limits(torch.get_num_threads()):
            metrics |= probe_metrics(prepared.task, classes, probed[0], probed[1], probed[2])
    return metrics
