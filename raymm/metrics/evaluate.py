"""The geometry and retrieval metrics of a split, under their stable names.

Shapes: K embeddings, n samples, M modalities, d components.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raymm.metrics.geometry import alignment, uniformity
from raymm.metrics.retrieval import median_rank, ranks, recall_at
from raymm.models.embeddings import Embeddings

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class Measured:
    """Metrics of a split, and the ranks they are read off.

    Attributes:
        metrics: under their stable names.
        ranks: (M, n) rank of each sample's fusion embedding, queried by one of its modalities; nan
            where the sample lacks it.
    """

    metrics: dict[str, float]
    ranks: Tensor


def embedding_metrics(
    embeddings: Embeddings, fusion: Tensor, modality_names: Sequence[str]
) -> dict[str, float]:
    """The metrics of `measure`."""
    return measure(embeddings, fusion, modality_names).metrics


def measure(embeddings: Embeddings, fusion: Tensor, modality_names: Sequence[str]) -> Measured:
    """Uniformity, alignment, median rank and recall of unimodal and fusion embeddings.

    Only the samples that have a modality count for it: as embeddings in its uniformity, as pairs
    in its alignment, as queries in its ranks. The gallery is the fusion embedding of every sample
    of the split. A mean is over the modalities for which the metric exists (SMDF 5.1 and 5.2).

    Args:
        embeddings: of the whole split; the first M of the K are the unimodal ones.
        fusion: (n, d) fusion embedding of each sample.
        modality_names: the M names, in the embeddings' order.

    Returns:
        With the metrics "uniformity/fusion" and "retrieval/gallery_size"; for each modality
        "uniformity/<modality>", "alignment/<modality>", "rank/median_<modality>" and
        "recall/at_1_<modality>" (also 5 and 10); their means as "uniformity/unimodal_mean",
        "alignment/mean", "rank/median_mean" and "recall/at_1_mean". nan where a metric does not
        exist: no sample has the modality, or just one has (uniformity).

    Raises:
        TrainingError: an embedding of a present sample is not finite.
    """
    positions = torch.full((len(modality_names), len(fusion)), math.nan, dtype=torch.float64)
    by_modality: dict[str, dict[str, float]] = {}
    for index, name in enumerate(modality_names):
        samples = embeddings.present[index].nonzero()[:, 0]
        queries = embeddings.vectors[index, samples]
        found = ranks(queries, fusion, samples)
        positions[index, samples] = found
        by_modality[name] = _unimodal(queries, fusion[samples], found)
    metrics = {
        "uniformity/fusion": uniformity(fusion),
        "retrieval/gallery_size": float(len(fusion)),
    }
    metrics |= _named(by_modality, "uniformity/{}", "unimodal_mean")
    metrics |= _named(by_modality, "alignment/{}", "mean")
    metrics |= _named(by_modality, "rank/median_{}", "mean")
    for k in RECALLS:
        metrics |= _named(by_modality, f"recall/at_{k}_{{}}", "mean")
    return Measured(metrics, positions)


def _unimodal(queries: Tensor, targets: Tensor, positions: Tensor) -> dict[str, float]:
    """Metrics of one modality, keyed by their names' patterns."""
    metrics = {
        "uniformity/{}": uniformity(queries),
        "alignment/{}": alignment(queries, targets),
        "rank/median_{}": median_rank(positions),
    }
    return metrics | {f"recall/at_{k}_{{}}": recall_at(positions, k) for k in RECALLS}


def _named(
    by_modality: Mapping[str, Mapping[str, float]], pattern: str, mean_name: str
) -> dict[str, float]:
    values = {pattern.format(name): found[pattern] for name, found in by_modality.items()}
    existing = [value for value in values.values() if not math.isnan(value)]
    mean = math.fsum(existing) / len(existing) if existing else math.nan
    return {pattern.format(mean_name): mean} | values
