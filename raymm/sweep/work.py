"""How much work a cell is beside others."""

from __future__ import annotations

from raymm.config import CellConfig
from raymm.data.dataset import Dataset, Modality


def relative_work(cell: CellConfig, dataset: Dataset) -> float:
    """How much work a cell is beside others of the same data: tokens per epoch, times epochs.

    Unimodal tokens are there with probability 1 - S. EAO passes each modality once more with each
    other one, if both are present. To CBMF a row of a table is one vector. A tenth of a full pass
    stands for what every cell does.
    """
    tokens = sum(_mean_tokens(modality, cell.model.name) for modality in dataset.modalities)
    present, others = 1 - cell.data.sparsity, len(dataset.modalities) - 1
    passes = present + (others * present**2 if cell.model.name == "eao" else 0)
    return cell.train.epochs * tokens * (passes + 0.1)


def _mean_tokens(modality: Modality, model: str) -> float:
    if modality.kind == "table":
        return 1 if model == "cbmf" else modality.width
    return len(modality.values) / max(len(modality.rows), 1)
