"""Embeddings of a cell's test samples laid out in the plane: principal components, or UMAP."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Method = Literal["PCA", "UMAP"]
FUSION = "fusion"


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of the plane.

    Attributes:
        points: (n, 2).
        kinds: (n,) "fusion" or the modality of each.
        labels: (n,) class code or target of its sample; nan without.
    """

    points: NDArray[np.float64]
    kinds: NDArray[np.str_]
    labels: NDArray[np.float64]


def embedding_map(
    samples: pd.DataFrame, *, fusion_only: bool, method: Method
) -> EmbeddingMap | None:
    """Lay a cell's embeddings out.

    Distances are between L2-normalised embeddings, of which the cell keeps the first principal
    components.

    Args:
        samples: as of `raymm.training.samples.read_samples`.
        fusion_only: the fusion embeddings alone; else the unimodal ones with them.

    Returns:
        The map; None if fewer than five embeddings were kept.
    """
    names = [FUSION, *([] if fusion_only else samples.attrs["modalities"])]
    clouds, kinds, labels = [], [], []
    for name in names:
        if f"map/{name}" not in samples:
            continue
        kept = samples[samples[f"map/{name}"].notna()]
        if len(kept):
            clouds.append(np.stack(kept[f"map/{name}"].to_list()).astype(np.float64))
            kinds += [name] * len(kept)
            unknown = np.full(len(kept), np.nan)
            labels.append(kept["label"].to_numpy(np.float64) if "label" in kept else unknown)
    if sum(map(len, clouds)) < 5:
        return None
    cloud = np.concatenate(clouds)
    points = _principal(cloud) if method == "PCA" else _umap(cloud)
    return EmbeddingMap(points, np.array(kinds), np.concatenate(labels))


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    spec = importlib.util.find_spec("umap")
    return spec is not None and spec.origin is not None  # a folder of that name is no package


def _principal(cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two directions of most variance; of a plane's width always two columns."""
    centred = cloud - cloud.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(cloud), 2))
    count = min(2, len(size))
    points[:, :count] = left[:, :count] * size[:count]
    # A sign of its own for good: the largest coordinate is positive.
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    return points


def _umap(cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    neighbours = min(15, len(cloud) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import, of TensorFlow, which nothing here needs
        import umap

        reducer = umap.UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1)
        points: NDArray[np.float64] = np.asarray(reducer.fit_transform(cloud), dtype=np.float64)
    return points
