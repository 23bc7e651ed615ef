"""How much work a cell is beside others."""

from __future__ import annotations

from raymm.config import CellConfig
from raymm.data.dataset import Dataset, Modality


def relative_work(cell: CellConfig, dataset: Dataset) -> float:
    """How much work a cell is beside others of the same data: tokens per epoch, times epochs.

    Unimodal tokens are there with probability 1 - S. EAO passes each modality once more with each
    other one, if both are present. A tenth of a full pass stands for what every cell does.
    """
    tokens = sum(_mean_tokens(modality) for modality in dataset.modalities)
    present, others = 1 - cell.data.sparsity, len(dataset.modalities) - 1
    passes = present + (others * present**2 if cell.model.name == "eao" else 0)
    return cell.train.epochs * tokens * (passes + 0.1)


def _mean_tokens(modality: Modality) -> float:
    if modality.kind == "table":
        return modality.width
    return len(modality.values) / max(len(modality.rows), 1)
