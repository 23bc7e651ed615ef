"""What a saved model says of itself: `model.json`, and `scaling.safetensors` beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from safetensors.torch import save
from torch import Tensor

from raymm.config import CellConfig, from_dict, to_dict
from raymm.data.dataset import Dataset, ModalitySpec, Task
from raymm.data.packed import PackedDataset
from raymm.data.prepared import PreparedData
from raymm.encoders.record import RECORD, Source, read_record
from raymm.errors import DataError, RaymmError
from raymm.science import SCIENCE_VERSION
from raymm.storage.address import open_address

CARD, SCALING = "model.json", "scaling.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """What a model is, without its weights.

    Attributes:
        config: of the cell that trained it.
        specs: its modalities, in order.
        columns: names of each modality's columns, or of its vectors' components.
        label: name of the label its data set had; None if it had none, and then `task` is None too.
        classes: class names in code order; empty for regression.
        dataset, fingerprint: the data set it was trained on.
        sources: modality -> what its vectors were made of, where they are an encoder's.
        science_version: of the program that trained it.
    """

    config: CellConfig
    specs: tuple[ModalitySpec, ...]
    columns: tuple[tuple[str, ...], ...]
    label: str | None
    task: Task | None
    classes: tuple[str, ...]
    dataset: str
    fingerprint: str
    sources: Mapping[str, Source]
    science_version: int = SCIENCE_VERSION

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(spec.name for spec in self.specs)


def save_card(folder: str, cell: CellConfig, prepared: PreparedData, dataset: Dataset) -> None:
    """Leave in a cell's folder what its weights need to be used again; before `result.json` is.

    Args:
        folder: local path or fsspec address.
        prepared: what the cell was trained on.
        dataset: that it was made of.
    """
    fs, root = open_address(folder)
    fs.makedirs(root, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for index, column in enumerate(prepared.train.columns):
        if column.scaling is not None:
            parts = {"shift": column.scaling.shift, "factor": column.scaling.factor}
            parts["bias"] = column.scaling.bias
            tensors |= {f"{index}.{name}": part.contiguous() for name, part in parts.items()}
    fs.pipe_file(f"{root}/{SCALING}", save(tensors))
    card = {
        "science_version": SCIENCE_VERSION,
        "dataset": prepared.name,
        "fingerprint": prepared.fingerprint,
        "config": to_dict(cell),
        "modalities": [
            {**asdict(spec), "columns": list(modality.columns)}
            for spec, modality in zip(prepared.specs, dataset.modalities, strict=True)
        ],
        "sources": {name: asdict(source) for name, source in _sources(dataset).items()},
        "label": prepared.label,
        "task": prepared.task,
        "classes": list(prepared.classes),
    }
    fs.pipe_file(f"{root}/{CARD}", json.dumps(card, indent=1).encode())


def _sources(dataset: Dataset) -> dict[str, Source]:
    """What a cache of embeddings says its modalities were made of; nothing of other data sets."""
    if not isinstance(dataset, PackedDataset):
        return {}
    fs, root = open_address(dataset.address)
    if not fs.isfile(f"{root}/{RECORD}"):
        return {}
    record = read_record(fs.cat_file(f"{root}/{RECORD}").decode(), dataset.address)
    used = {modality.name for modality in dataset.modalities}
    found = {outcome.source.modality: outcome.source for outcome in record.modalities}
    return {name: source for name, source in found.items() if name in used}


def read_card(folder: str, card: Mapping[str, Any]) -> ModelCard:
    """A card from its JSON.

    Args:
        folder: where it lay, for messages.
        card: the JSON's content.

    Raises:
        DataError: another science version has written it, or its settings are unknown.
        KeyError: something is missing.
    """
    version = card["science_version"]
    if version != SCIENCE_VERSION:
        raise DataError(
            f"The model in {folder} was trained with science version {version} of the program, "
            f"this is version {SCIENCE_VERSION}: its weights may mean something else here. Train "
            "it again, or use the version that trained it."
        )
    try:
        config = from_dict(CellConfig, card["config"], "model.json")
    except RaymmError as error:
        raise DataError(f"The settings of the model in {folder} cannot be read: {error}") from error
    modalities: Sequence[Mapping[str, Any]] = card["modalities"]
    return ModelCard(
        config=config,
        specs=tuple(
            ModalitySpec(**{name: value for name, value in each.items() if name != "columns"})
            for each in modalities
        ),
        columns=tuple(tuple(each["columns"]) for each in modalities),
        label=card["label"],
        task=card["task"],
        classes=tuple(card["classes"]),
        dataset=card["dataset"],
        fingerprint=card["fingerprint"],
        sources={name: Source(**each) for name, each in card["sources"].items()},
        science_version=version,
    )
