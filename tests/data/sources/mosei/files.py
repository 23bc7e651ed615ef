"""Tiny computational sequences, laid out as the CMU Multimodal SDK writes them. Numbers are made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

ALIGNED = {
    "glove_vectors": "glove_vectors.csd",
    "COVAREP": "COVAREP.csd",
    "FACET": "FACET 4.2.csd",
    "OpenFace": "OpenFace_2.csd",
}
LABELS = "All Labels.csd"
WIDTHS = {"glove_vectors": 300, "COVAREP": 74, "FACET": 35, "OpenFace": 713}


def write_csd(path: Path, root: str, data: Mapping[str, NDArray[np.generic]]) -> None:
    """A file in the layout of mmsdk's write_CSD."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root)
        inside = group.create_group("data")
        for key, features in data.items():
            segment = inside.create_group(key)
            segment.create_dataset("features", data=features)
            starts = np.arange(len(features), dtype=float)
            segment.create_dataset("intervals", data=np.stack([starts, starts + 1], axis=1))
        metadata = group.create_group("metadata")
        for name in ("root name", "computational sequence version"):
            text = metadata.create_dataset(name, (1,), dtype=h5py.special_dtype(vlen=str))
            text[0] = json.dumps(root)


def keys(count: int) -> list[str]:
    """Segments of videos."""
    return [f"vid{number // 3:02d}[{number % 3}]" for number in range(count)]


def sequences(name: str, count: int, longest: int = 6) -> dict[str, NDArray[np.float32]]:
    """Some vectors for each segment."""
    noise = np.random.default_rng(len(name))
    return {
        key: noise.normal(size=(1 + place % longest, WIDTHS[name])).astype(np.float32)
        for place, key in enumerate(keys(count))
    }


def targets(count: int) -> dict[str, NDArray[np.float32]]:
    """The seven scores of each segment: sentiment from -3 to 3, emotions from 0 to 3."""
    noise = np.random.default_rng(7)
    return {
        key: np.concatenate([noise.uniform(-3, 3, 1), noise.uniform(0, 3, 6)])[None].astype("f4")
        for key in keys(count)
    }


def aligned(folder: Path, count: int = 12) -> None:
    """All five files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in ALIGNED.items():
        write_csd(folder / file, name, sequences(name, count))
    write_csd(folder / LABELS, "All Labels", targets(count))
