"""Checkpoints of a cell: safetensors and JSON only, local or on any fsspec address.

A cell's folder holds `epoch_00007/` with one safetensors file for each group of tensors, and a
`state.json` written last, which lists the files with their SHA-256. A folder whose list does not match is
not a checkpoint: what was cut off or damaged is passed over and the one before is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
from safetensors.torch import load, save
from torch import Tensor

KEPT = 2
"""Checkpoints that are kept: the newest, and the one to fall back to."""

TensorGroups = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What is needed to go on after `epoch` finished epochs."""

    epoch: int
    groups: TensorGroups
    state: Mapping[str, Any]


class CheckpointStore:
    """The checkpoints and the final weights of one cell.

    Args:
        folder: local path or fsspec address (s3://...) that belongs to the cell alone.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.fs, self.root = fsspec.url_to_fs(folder)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove those older than the last `KEPT`."""
        folder = f"{self.root}/epoch_{checkpoint.epoch:05d}"
        self.fs.makedirs(folder, exist_ok=True)
        digests = {}
        for name, tensors in checkpoint.groups.items():
            content = save({key: tensor.contiguous() for key, tensor in tensors.items()})
            self.fs.pipe_file(f"{folder}/{name}.safetensors", content)
            digests[name] = hashlib.sha256(content).hexdigest()
        state = {"epoch": checkpoint.epoch, "files": digests, "state": dict(checkpoint.state)}
        self.fs.pipe_file(f"{folder}/state.json", json.dumps(state).encode())
        for old in self._folders()[:-KEPT]:
            self.fs.rm(old, recursive=True)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None."""
        for folder in reversed(self._folders()):
            found = self._read(folder)
            if found is not None:
                return found
        return None

    def result(self) -> dict[str, Any] | None:
        """What `finish` left, or None where the cell is not finished."""
        try:
            return dict(json.loads(self.fs.cat_file(f"{self.root}/result.json")))
        except (FileNotFoundError, ValueError):
            return None

    def finish(self, weights: Mapping[str, Tensor], result: Mapping[str, Any]) -> None:
        """Leave the final weights and the result; the checkpoints are no longer needed."""
        self.fs.makedirs(self.root, exist_ok=True)
        content = save({key: tensor.contiguous() for key, tensor in weights.items()})
        self.fs.pipe_file(f"{self.root}/model.safetensors", content)
        self.rewrite(result)
        for folder in self._folders():
            self.fs.rm(folder, recursive=True)

    def rewrite(self, result: Mapping[str, Any]) -> None:
        """Put another result in the place of what `finish` left."""
        text = json.dumps(dict(result), indent=1)
        self.fs.pipe_file(f"{self.root}/result.json", text.encode())

    def weights(self) -> dict[str, Tensor]:
        """The final weights that `finish` left."""
        return load(self.fs.cat_file(f"{self.root}/model.safetensors"))

    def discard(self) -> None:
        """Leave nothing of the cell."""
        if self.fs.exists(self.root):
            self.fs.rm(self.root, recursive=True)

    def _folders(self) -> list[str]:
        if not self.fs.isdir(self.root):
            return []
        self.fs.invalidate_cache()
        found = (str(path) for path in self.fs.ls(self.root, detail=False))
        return sorted(
            path for path in found if path.rstrip("/").rsplit("/", 1)[-1].startswith("epoch_")
        )

    def _read(self, folder: str) -> Checkpoint | None:
        try:
            state = json.loads(self.fs.cat_file(f"{folder}/state.json"))
            contents = {
                name: self.fs.cat_file(f"{folder}/{name}.safetensors") for name in state["files"]
            }
        except (FileNotFoundError, ValueError, KeyError):
            return None
        for name, digest in state["files"].items():
            if hashlib.sha256(contents[name]).hexdigest() != digest:
                return None
        groups = {name: load(content) for name, content in contents.items()}
        return Checkpoint(state["epoch"], groups, state["state"])
