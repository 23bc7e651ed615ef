"""What a cell keeps of its test split, sample by sample: `samples.parquet` in the cell's folder.

Sums over the test split say how good a model is; whether a difference holds for other samples too,
for which combinations of modalities it holds, and how embeddings lie, needs the samples. A row each:

    id                  sample id
    has/<modality>      whether it has the modality, after the mask
    label               class code (-1: none) or target (nan: none)
    rank/<modality>     rank of its fusion embedding, queried by the modality (nan: it lacks that)
    probe/loss          its term of the probe's loss (nan: it has none)
    probe/said          the probe's log-probabilities, a list; or its prediction, for regression
    map/<modality>      principal components of its L2-normalised embedding, a list; also map/fusion

Lists are missing where a sample is not among those whose embeddings are kept. The file's metadata
names modalities, task and classes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raymm.data.hashing import uniforms
from raymm.errors import DataError
from raymm.storage.address import open_address

if TYPE_CHECKING:  # reports read samples without loading torch
    from raymm.data.prepared import PreparedData
    from raymm.training.evaluate import SplitEmbeddings, SplitScores

FILE = "samples.parquet"
MAPPED = 200
"""Samples whose embeddings are kept; the same of every cell that has them, chosen by their ids."""
COMPONENTS = 16
"""Principal components kept of an embedding. The first two are a map; the rest serve other maps."""
MOST_SCORES = 4_000_000
"""Log-probabilities kept, samples x classes (16 MB); of a larger test split none are."""
METADATA = b"raymm"


def keep_samples(
    folder: str, prepared: PreparedData, test: SplitEmbeddings, scores: SplitScores
) -> None:
    """Write `samples.parquet` into a cell's folder; before `result.json`, which says "finished".

    Args:
        folder: local path or fsspec address.
        test: the test split, embedded.
        scores: what `score_splits` said of it.
    """
    split, names = prepared.test, [spec.name for spec in prepared.specs]
    columns: dict[str, Any] = {"id": split.ids.tolist()}
    for index, name in enumerate(names):
        columns[f"has/{name}"] = split.presence[:, index]
    if split.labels is not None:
        columns["label"] = split.labels
    for index, name in enumerate(names):
        columns[f"rank/{name}"] = scores.ranks[index].astype(np.float32)
    if scores.probe is not None:
        columns["probe/loss"] = scores.probe.loss.astype(np.float32)
        said = scores.probe.said.astype(np.float32)
        if said.ndim == 1:
            columns["probe/said"] = said
        elif said.size <= MOST_SCORES:
            columns["probe/said"] = _lists(said)
    columns |= _map(split.ids, names, test)
    about = {"modalities": names, "task": prepared.task, "classes": list(prepared.classes)}
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about).encode()})
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    fs, root = open_address(folder)
    fs.makedirs(root, exist_ok=True)
    fs.pipe_file(f"{root}/{FILE}", content.getvalue())


def read_samples(folder: str) -> pd.DataFrame | None:
    """What `keep_samples` wrote, with `attrs` "modalities", "task" and "classes"; None if nothing.

    Raises:
        DataError: the file is damaged.
    """
    fs, root = open_address(folder)
    try:
        content = fs.cat_file(f"{root}/{FILE}")
    except FileNotFoundError:
        return None
    try:
        table = pq.read_table(io.BytesIO(content))
        about: Mapping[str, Any] = json.loads((table.schema.metadata or {})[METADATA])
    except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{folder}/{FILE} cannot be read: {error}. The file is damaged: remove it, and the "
            "report leaves this cell out of what it says of samples."
        ) from error
    frame: pd.DataFrame = table.to_pandas()
    frame.attrs.update(about)
    return frame


def _map(ids: NDArray[np.str_], names: list[str], test: SplitEmbeddings) -> dict[str, pa.ListArray]:
    """Principal components of the embeddings of `MAPPED` samples, as columns."""
    place = uniforms(ids, "map")
    chosen = np.argsort(place, kind="stable")[:MAPPED]
    vectors = {"fusion": test.fusion[chosen].numpy()}
    exists = {"fusion": np.ones(len(chosen), dtype=bool)}
    for index, name in enumerate(names):
        vectors[name] = test.embeddings.vectors[index, chosen].numpy()
        exists[name] = test.embeddings.present[index, chosen].numpy()
    units = {name: _unit(rows) for name, rows in vectors.items()}
    cloud = np.concatenate([units[name][exists[name]] for name in units])
    centre = cloud.mean(axis=0)
    axes = _principal_axes(cloud - centre)
    columns = {}
    for name, rows in units.items():
        full = np.full((len(ids), axes.shape[1]), np.nan, dtype=np.float32)
        known = chosen[exists[name]]
        full[known] = (rows[exists[name]] - centre) @ axes
        columns[f"map/{name}"] = _lists(full)
    return columns


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(length > 0, length, 1)
    return unit


def _principal_axes(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, COMPONENTS or fewer) directions of most variance, each with a sign of its own for good."""
    variance, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, np.argsort(variance)[::-1][:COMPONENTS]]
    largest = np.abs(axes).argmax(axis=0)
    signed: NDArray[np.float64] = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    return signed


def _lists(rows: NDArray[np.float32]) -> pa.ListArray:
    """Rows as lists; one that is nan throughout is missing."""
    missing = np.isnan(rows).all(axis=1)
    ends = np.cumsum(np.where(missing, 0, rows.shape[1]))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    values = pa.array(rows[~missing].astype(np.float32).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(missing))
