"""Tiny folders in the layout of `datasets.Dataset.save_to_disk`, written with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa


def save(folder: Path, table: pa.Table, shards: int = 1) -> str:
    """Arrow streams, `state.json` and `dataset_info.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    step = -(-table.num_rows // shards)
    names = []
    for shard in range(shards):
        name = f"data-{shard:05d}-of-{shards:05d}.arrow"
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as out,
        ):
            out.write_table(table.slice(shard * step, step), max_chunksize=7)
        names.append({"filename": name})
    (folder / "state.json").write_text(json.dumps({"_data_files": names, "_split": "train"}))
    (folder / "dataset_info.json").write_text("{}")
    return str(folder)


def tcga(count: int = 30) -> pa.Table:
    """As the paper's notebook makes it: tables, an id, one-hot labels of 33 types, a target."""
    noise = np.random.default_rng(0)
    widths = {"gene": 8, "protein": 6, "methylation": 7, "mirna": 5}
    columns: dict[str, object] = {
        name: [{"values": noise.normal(size=width).tolist()} for _ in range(count)]
        for name, width in widths.items()
    }
    columns["tcga_index"] = [f"{number:02d}_{number:04d}_01A" for number in range(count)]
    columns["Labels"] = [
        {"data": [float(place == number % 5) for place in range(33)]} for number in range(count)
    ]
    columns["ttd"] = [float(number) if number % 2 else None for number in range(count)]
    return pa.table(columns)


def mosei(count: int = 20, missing: bool = False) -> pa.Table:
    """As the paper's script makes it: sequences and the seven scores; None is a dropped modality."""
    noise = np.random.default_rng(1)
    columns: dict[str, object] = {
        name: [
            {
                "data": None
                if missing and noise.random() < 0.3
                else vectors(noise, 1 + number % 4, width)
            }
            for number in range(count)
        ]
        for name, width in {"COVAREP": 74, "glove_vectors": 300}.items()
    }
    columns["Labels"] = [noise.uniform(-3, 3, size=(1, 7)).tolist() for _ in range(count)]
    return pa.table(columns)


def vectors(noise: np.random.Generator, length: int, width: int) -> list[list[float]]:
    rows: list[list[float]] = noise.normal(size=(length, width)).tolist()
    return rows


def column(rows: Sequence[object]) -> pa.Array:
    """Rows as `datasets` stores them."""
    return pa.array(rows)
