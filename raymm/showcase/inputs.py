"""The data of a sweep and the masks put into them, as MLflow's data sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from raymm.config import CellConfig
from raymm.data.dataset import Dataset
from raymm.storage.address import without_credentials
from raymm.sweep.cells import CellResult
from raymm.tracking_artifacts import Input

DECIDES = (
    "modalities", "sparsity", "mask_seed", "split_seed", "validation_fraction", "test_fraction",
)  # fmt: skip
"""Settings that, with the data, decide which sample lacks what, and which split it is in."""


def data_input(dataset: Dataset, address: str) -> Input:
    """The data set itself."""
    kinds = {
        each.name: f"{each.kind} of {each.width}, {len(each.rows):,} samples"
        for each in dataset.modalities
    }
    return Input(
        name=dataset.name,
        digest=dataset.fingerprint,
        source=without_credentials(address),
        columns=kinds,
        profile={"samples": len(dataset.ids), "fingerprint": dataset.fingerprint},
        context="data",
    )


def mask_input(dataset: Dataset, config: CellConfig, realised: float | None) -> Input:
    """The manifest of a mask: all that decides it, from which it can be drawn again.

    Args:
        config: of a cell that has it.
        realised: share of modalities that are missing in the samples that are left.
    """
    manifest = {name: getattr(config.data, name) for name in DECIDES}
    text = json.dumps([manifest, dataset.fingerprint], sort_keys=True)
    return Input(
        name=f"{dataset.name} S={config.data.sparsity:g}",
        digest=hashlib.sha256(text.encode()).hexdigest(),
        source=without_credentials(config.data.dataset),
        columns={each.name: each.kind for each in dataset.modalities},
        profile={
            **{name: value for name, value in manifest.items() if name != "modalities"},
            "fingerprint": dataset.fingerprint,
            "sparsity/realised": realised,
        },
    )


def masks(dataset: Dataset, results: Iterable[CellResult]) -> dict[float, Input]:
    """The mask of each sparsity that finished cells have."""
    found: dict[float, Input] = {}
    for result in results:
        sparsity = result.cell.data.sparsity
        if result.status == "finished" and sparsity not in found:
            realised = result.metrics.get("sparsity/realised")
            found[sparsity] = mask_input(dataset, result.cell, realised)
    return found
