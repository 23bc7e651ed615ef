"""Small folders of tables for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def features(ids: list[str], columns: int = 3, seed: int = 0) -> pd.DataFrame:
    """A table of noise, index = sample id."""
    values = np.random.default_rng(seed).normal(size=(len(ids), columns)).astype(np.float32)
    names = [f"c{column}" for column in range(columns)]
    return pd.DataFrame(values, index=pd.Index(ids, name="id"), columns=names)


def ids(count: int) -> list[str]:
    return [f"s{number:03d}" for number in range(count)]


def write(folder: Path, **tables: pd.DataFrame) -> str:
    """Write each table as Parquet with its index, and return the folder's address."""
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    return str(folder)


def two_views(folder: Path, count: int = 40) -> str:
    """Two tables with holes and a label of two classes."""
    names = ids(count)
    labels = pd.DataFrame({"kind": ["a", "b"] * (count // 2)}, index=pd.Index(names, name="id"))
    return write(
        folder, audio=features(names[5:], 3), video=features(names[:-5], 4, seed=1), labels=labels
    )


def write_sequences(path: Path, rows: dict[str, list[list[float]] | None]) -> None:
    """A table with one column of lists of vectors."""
    values = pa.array(list(rows.values()), type=pa.list_(pa.list_(pa.float32())))
    pq.write_table(pa.table({"id": list(rows), "values": values}), path)
