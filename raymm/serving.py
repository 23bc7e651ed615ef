"""A trained model behind one wide table, as MLflow's models are asked: holes are NaN.

`mlflow.pyfunc.load_model` imports this module and calls `_load_pyfunc`. Nothing is unpickled.

A table's columns are named "modality.column", a sequence is one column with the modality's name, each
value a list of vectors. What a sample lacks is NaN or None; a modality's columns may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from raymm.data.dataset import ModalitySpec
from raymm.embedder import Embedder, load
from raymm.errors import DataError, nearest

FUSION = "fusion"
OF = "of"
"""The parameter that says which embedding is asked for: "fusion", or that of a modality."""


def column_names(spec: ModalitySpec, columns: tuple[str, ...]) -> list[str]:
    """What a modality's columns are called in the wide table."""
    return [f"{spec.name}.{each}" for each in columns] if spec.kind == "table" else [spec.name]


class Served:
    """An embedder that takes a wide table."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def predict(self, table: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Embeddings, (n, d), with the table's index.

        Args:
            table: a row for each sample.
            params: {"of": "fusion"} or {"of": <modality>}; rows of samples that lack it are NaN.

        Raises:
            DataError: a modality lacks some of its columns, a sample has no modality, or there is
                no such embedding.
        """
        card = self.embedder.model.card
        tables: dict[str, pd.DataFrame | pd.Series] = {}
        for spec, columns in zip(card.specs, card.columns, strict=True):
            names = column_names(spec, columns)
            there = dict(zip(names, columns, strict=spec.kind == "table"))
            held = [name for name in names if name in table.columns]
            if held and spec.kind == "table":
                tables[spec.name] = table[held].rename(columns=there).reset_index(drop=True)
            elif held:
                vectors = [_vectors(value) for value in table[spec.name]]
                tables[spec.name] = pd.Series(vectors, dtype=object)
        found = self.embedder.transform(tables)
        of = str((params or {}).get(OF, FUSION))
        if of != FUSION and of not in found.parts:
            raise DataError(f"No embedding '{of}': {nearest(of, (FUSION, *found.parts))}")
        asked = found.fusion if of == FUSION else found.parts[of]
        return asked.reindex(range(len(table))).set_axis(table.index)


def _vectors(value: object) -> object:
    """(vectors, width) of a sequence from lists or arrays of arrays; None where it is missing."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return np.array([np.asarray(each, dtype=np.float32) for each in value])  # type: ignore[attr-defined]


def _load_pyfunc(path: str) -> Served:
    """What `mlflow.pyfunc` calls, with the folder of the model's files."""
    return Served(load(path))
