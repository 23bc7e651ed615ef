"""Checkpoints of a cell: safetensors and JSON only, local or on any fsspec address.

What is kept: while a cell trains, its last two checkpoints, each with the weights of the last epoch and
of the best one; when it is finished, the best weights alone, in half the space once the test split is
scored; of a cell that is discarded, nothing.

A cell's folder holds `epoch_00007/` with one safetensors file for each group of tensors, and a
`state.json` written last, which lists the files with their SHA-256. A folder whose list does not match is
not a checkpoint: what was cut off or damaged is passed over and the one before is taken.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from raymm.errors import StorageError
from raymm.storage.address import is_local, open_address, words
from raymm.training.sizes import KEPT

TensorGroups = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What is needed to go on after `epoch` finished epochs."""

    epoch: int
    groups: TensorGroups
    state: Mapping[str, Any]


def in_half_space(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as float16, which keeps 11 bits: each changes by at most 1 part in 2,048.

    A tensor with a value that float16 cannot hold (beyond 65,504), and single numbers, stay as they
    are. Loading them into a model makes them float32 again.
    """
    most = torch.finfo(torch.float16).max
    return {
        name: tensor.half()
        if tensor.is_floating_point() and tensor.dim() > 0 and bool((tensor.abs() <= most).all())
        else tensor
        for name, tensor in weights.items()
    }


def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def _name(path: str) -> str:
    """The last part of a path; some file systems end those of folders with a slash."""
    return path.rstrip("/").rsplit("/", 1)[-1]


class CheckpointStore:
    """The checkpoints and the final weights of one cell.

    Args:
        folder: local path or fsspec address (s3://...) that belongs to the cell alone.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.fs, self.root = open_address(folder)
        self._whole: list[str] = []

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove all but the last `KEPT` that this store has written or read.

        Whatever else is there was cut off or damaged: by its name alone it could take the place of a
        whole one.

        Raises:
            StorageError: it cannot be written. Older checkpoints stay as they are.
        """
        folder = f"{self.root}/epoch_{checkpoint.epoch:05d}"
        with self.writing(f"The checkpoint of epoch {checkpoint.epoch}", folder):
            self.fs.makedirs(folder, exist_ok=True)
            digests = {}
            for name, tensors in checkpoint.groups.items():
                content = _packed(tensors)
                self.fs.pipe_file(f"{folder}/{name}.safetensors", content)
                digests[name] = hashlib.sha256(content).hexdigest()
            state = {"epoch": checkpoint.epoch, "files": digests, "state": dict(checkpoint.state)}
            self.fs.pipe_file(f"{folder}/state.json", json.dumps(state).encode())
        others = (name for name in self._whole if name != _name(folder))
        self._whole = [*others, _name(folder)][-KEPT:]
        for path in self._folders():
            if _name(path) not in self._whole:
                self.fs.rm(path, recursive=True)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None.

        Raises:
            StorageError: the store is away.

        Warns:
            UserWarning: there are checkpoints, but none is whole.
        """
        folders = self._folders()
        for folder in reversed(folders):
            found = self._read(folder)
            if found is not None:
                self._whole = [_name(folder)]
                return found
        self._whole = []
        if folders:
            warnings.warn(
                f"None of the {len(folders)} checkpoint(s) in {self.root} is whole: the cell is "
                "trained from its first epoch. Look at the storage if this happens again.",
                stacklevel=2,
            )
        return None

    def result(self) -> dict[str, Any] | None:
        """What `finish` left, or None where the cell is not finished.

        Raises:
            OSError: the storage cannot be read now.
        """
        try:
            found = json.loads(self.fs.cat_file(f"{self.root}/result.json"))
        except (FileNotFoundError, ValueError):
            return None
        whole = isinstance(found, dict) and {"metrics", "curve"} <= found.keys()
        return found if whole else None

    def finish(
        self, weights: Mapping[str, Tensor], result: Mapping[str, Any], *, half: bool = False
    ) -> None:
        """Leave the final weights and the result; the checkpoints are no longer needed.

        Args:
            half: keep the weights in half the space, see `in_half_space`.

        Raises:
            StorageError: they cannot be written. The checkpoints stay as they are.
        """
        with self.writing("The final weights"):
            self.fs.makedirs(self.root, exist_ok=True)
            self._replace("model.safetensors", _packed(in_half_space(weights) if half else weights))
        self.rewrite(result)
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoints, of which a finished cell needs none."""
        for folder in self._folders():
            self.fs.rm(folder, recursive=True)

    def rewrite(self, result: Mapping[str, Any]) -> None:
        """Put another result in the place of what `finish` left.

        Raises:
            StorageError: it cannot be written. What was there stays.
        """
        with self.writing("The result"):
            self._replace("result.json", json.dumps(dict(result), indent=1).encode())

    def halve_weights(self) -> None:
        """Keep the final weights in half the space from now on."""
        with self.writing("The final weights"):
            self._replace("model.safetensors", _packed(in_half_space(self.weights())))

    def weights(self) -> dict[str, Tensor]:
        """The final weights that `finish` left."""
        return load(self.fs.cat_file(f"{self.root}/model.safetensors"))

    def discard(self) -> None:
        """Leave nothing of the cell."""
        if self.fs.exists(self.root):
            self.fs.rm(self.root, recursive=True)

    def _replace(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all; object stores do nothing else."""
        if not is_local(self.fs):
            self.fs.pipe_file(f"{self.root}/{name}", content)
            return
        aside = f"{self.root}/.{name}.partial"
        try:
            self.fs.pipe_file(aside, content)
        except OSError:
            self._remove(aside)
            raise
        self.fs.mv(aside, f"{self.root}/{name}")

    @contextmanager
    def writing(self, what: str, folder: str | None = None) -> Iterator[None]:
        """Say what could not be written and where; leave nothing half written in `folder`.

        Raises:
            StorageError: a write within failed.
        """
        try:
            yield
        except OSError as error:
            if folder is not None:
                self._remove(folder)
            raise StorageError(
                f"{what} could not be written to {folder or self.root}: {words(error)}. "
                "Make space there, or give another --storage. What was written before is whole: "
                "the same command goes on from there."
            ) from error

    def _remove(self, path: str) -> None:
        with suppress(OSError):
            self.fs.rm(path, recursive=True)

    def _folders(self) -> list[str]:
        if not self.fs.isdir(self.root):
            return []
        found = (str(path) for path in self.fs.ls(self.root, detail=False))
        return sorted(path for path in found if _name(path).startswith("epoch_"))

    def _read(self, folder: str) -> Checkpoint | None:
        """A folder's checkpoint; None where it is not whole, or its disk cannot read it."""
        try:
            state = json.loads(self.fs.cat_file(f"{folder}/state.json"))
            digests = {str(name): str(digest) for name, digest in state["files"].items()}
            contents = {name: self.fs.cat_file(f"{folder}/{name}.safetensors") for name in digests}
            epoch, rest = int(state["epoch"]), dict(state["state"])
        except StorageError:
            raise  # a store that is away may well hold it: whoever asked asks again
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        if not found or found != digests:
            return None
        return Checkpoint(epoch, {name: load(each) for name, each in contents.items()}, rest)
