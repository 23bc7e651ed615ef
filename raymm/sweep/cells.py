"""Cells: what a sweep is made of, their identity, and what comes of them. Imports no Ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from raymm.config import CellConfig, to_dict
from raymm.models.custom import is_custom, source_digest
from raymm.science import SCIENCE_VERSION

Status = Literal["finished", "failed", "stopped"]


def cell_key(cell: CellConfig, fingerprint: str) -> str:
    """Hash of all that decides a cell's result: names its run, its checkpoints and its folder.

    The data set counts by its fingerprint, not by its address; a model of one's own also by the text
    of its module. The number of workers does not count.

    Raises:
        ConfigError: there is no such module.
    """
    decides = to_dict(cell)
    del decides["data"]["dataset"]
    if is_custom(cell.model.name):
        decides["model"]["source"] = source_digest(cell.model.name)
    text = json.dumps([decides, fingerprint, SCIENCE_VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Cell:
    """A cell of a sweep and its identity."""

    key: str
    config: CellConfig

    @property
    def title(self) -> str:
        """Short name for people: "mca S=0.4 seed=1"; CBMF's says which operation if not add."""
        config = self.config
        operation = config.model.fusion_operation
        name = config.model.name if operation == "add" else f"{config.model.name} {operation}"
        return f"{name} S={config.data.sparsity:g} seed={config.train.seed}"


@dataclass(frozen=True)
class CellResult:
    """What came of one cell.

    Attributes:
        dataset: name of the data set.
        key: the cell key.
        reason: why it failed or was stopped; empty when finished.
        metrics: final metrics under their stable names; empty unless finished.
        curve: one mapping per epoch: "epoch", "loss/train", "loss/val", ...
        micro_batches: parts that its steps were cut into in the end, for want of memory.
    """

    cell: CellConfig
    dataset: str
    key: str
    status: Status
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    micro_batches: int = 1

    def scored(self, split: Literal["validation", "test"]) -> bool:
        """Whether it is finished, and has the metrics of a split."""
        of_validation = {name for name in self.metrics if name.startswith("val/")}
        if split == "validation":
            return self.status == "finished" and bool(of_validation)
        # Those of the test split have the same names without the prefix.
        lacking = {name.removeprefix("val/") for name in of_validation} - self.metrics.keys()
        return self.status == "finished" and not lacking
