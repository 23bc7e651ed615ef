"""A finished cell's model as MLflow keeps it: its own files, and how to ask it."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pandas as pd

from raymm import __version__
from raymm.serving import FUSION, OF, column_names
from raymm.storage.address import open_address
from raymm.tracking_artifacts import Packed
from raymm.training.card import CARD, SCALING
from raymm.training.saved import WEIGHTS, SavedModel, load_model

LOADER = "raymm.serving"
FILES = (WEIGHTS, SCALING, CARD, "result.json")
LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn", "safetensors", "fsspec")


def packed_model(folder: str, name: str) -> Packed:
    """The model in a cell's folder, to be kept under a name.

    Raises:
        DataError: there is no finished model.
    """
    saved = load_model(folder)
    fs, root = open_address(folder)
    card = saved.card
    columns = [
        (column, "double" if spec.kind == "table" else "sequence")
        for spec, names in zip(card.specs, card.columns, strict=True)
        for column in column_names(spec, names)
    ]
    return Packed(
        name=name,
        files={file: fs.cat_file(f"{root}/{file}") for file in FILES},
        loader=LOADER,
        columns=columns,
        example=_example(saved),
        parameter=(OF, FUSION),
        width=card.config.model.width,
        requirements=[f"raymm=={__version__}"]
        + [f"{each}=={importlib.metadata.version(each)}" for each in LIBRARIES],
    )


def _example(saved: SavedModel) -> pd.DataFrame:
    """Two samples of average values, the second of which lacks the last modality."""
    rows: dict[str, object] = {}
    last = saved.card.specs[-1].name
    for spec, names, scaling in zip(
        saved.card.specs, saved.card.columns, saved.scalings, strict=True
    ):
        mean = np.zeros(spec.width) if scaling is None else scaling.shift.double().numpy()
        if spec.kind == "table":
            for column, value in zip(column_names(spec, names), mean, strict=True):
                rows[column] = [float(value), np.nan if spec.name == last else float(value)]
        else:
            vectors = [mean.tolist()]
            rows[spec.name] = [vectors, None if spec.name == last else vectors]
    return pd.DataFrame(rows)
