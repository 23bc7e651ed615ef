"""Writing packed data sets, part by part, so that they may be larger than memory.

with PackWriter("clips.packed", name="clips") as writer:
    writer.modality("text", "sequence", columns)
    for ids, vectors, lengths in source:
        writer.append("text", ids, vectors, lengths)
    writer.label(label, label_ids)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raymm.data.dataset import Kind, Label
from raymm.data.fingerprint import fingerprint_of
from raymm.data.pack_folder import FolderInMaking, told
from raymm.data.packed_format import (
    MANIFEST,
    SAMPLES,
    VERSION,
    FileEntry,
    LabelEntry,
    ModalityEntry,
    PackedManifest,
)
from raymm.data.spool import Spool, write_batch
from raymm.errors import DataError, nearest


class PackWriter:
    """Writes a packed data set; use it as a context manager.

    Everything is written into a hidden folder beside the one to be made, which takes its name when
    all is on disk; after an error nothing is left. The disk must hold the largest modality twice
    meanwhile. For an address such as s3:// the folder is a temporary one, uploaded in the end: by its
    manifest, which comes last, a set is known.
    """

    def __init__(self, to: str | Path, *, name: str, licence: str = "") -> None:
        """Begin.

        Args:
            to: folder to be made, or its address.
            name: of the data set.
            licence: under which it may be used.

        Raises:
            DataError: the folder is there already, or none can be made beside it.
            StorageError: the address cannot be used.
        """
        self.to, self.name, self.licence = str(to), name, licence
        self._made = FolderInMaking(self.to)
        self._aside = self._made.path
        with told(self.to):
            (self._aside / "modalities").mkdir()
        self._spools: dict[str, Spool] = {}
        self._samples: list[NDArray[np.str_]] = []
        self._labels: list[tuple[Label, NDArray[np.str_]]] = []
        self._default: str | None = None

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                with told(self.to):
                    self._finish()
        finally:
            for spool in self._spools.values():
                spool.close()
            self._made.discard()

    def modality(self, name: str, kind: Kind, columns: Sequence[str]) -> None:
        """Begin a modality; they are kept in the order in which they are begun.

        Args:
            name: also of its file.
            kind: "table" or "sequence".
            columns: names of the columns of a table, or of a sequence's components.

        Raises:
            DataError: the name is taken or cannot name a file, or there are no columns.
        """
        if not columns:
            raise DataError(f"The modality '{name}' has no columns. Leave it out.")
        if name in self._spools or Path(name).name != name or name.startswith("."):
            raise DataError(
                f"The modality '{name}' cannot be packed: it is there already, or its name cannot "
                "name a file. Rename it."
            )
        with told(self.to):
            path = self._aside / "modalities" / f"{name}.values"
            self._spools[name] = Spool(path, name, kind, columns)

    def samples(self, ids: Sequence[str]) -> None:
        """Note samples, such as those that may have no modality at all."""
        self._samples.append(np.array(ids, dtype=np.str_))

    def append(
        self,
        modality: str,
        ids: Sequence[str],
        values: NDArray[np.float32],
        lengths: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        """Add rows of a modality, one sample or many.

        Args:
            modality: its name.
            ids: (n,) samples, ascending as texts over all calls.
            values: (n, columns) for a table, (vectors, width) for sequences; NaN is missing.
            lengths: (n,) vectors of each sequence, 1 or more; None for a table.

        Raises:
            DataError: the modality is unknown, ids are out of order, shapes do not fit, a value is
                infinite, or the disk is full.
        """
        if modality not in self._spools:
            raise DataError(
                f"No modality '{modality}' was begun: {nearest(modality, self._spools)}"
            )
        counts = np.array([] if lengths is None else lengths, dtype=np.int64)
        with told(self.to):
            self._spools[modality].append(np.array(ids, dtype=np.str_), values, counts)

    def label(self, label: Label, ids: Sequence[str], *, default: bool = False) -> None:
        """Add a label. A single one is the default; of several one has to be chosen for use.

        Args:
            label: values in the order of `ids`.
            ids: (n,) samples; others are unlabelled.
            default: whether it is used where none is chosen.
        """
        if default:
            self._default = label.name
        self._labels.append((label, np.array(ids, dtype=np.str_)))

    def attach(self, name: str, text: str) -> None:
        """Put a text into the folder, for people to read.

        Args:
            name: of the file.
            text: its content.

        Raises:
            DataError: it cannot be written.
        """
        with told(self.to):
            (self._aside / name).write_text(text, encoding="utf-8")

    def _finish(self) -> None:
        if not self._spools:
            raise DataError(f"No modality was written to {self.to}. Add one.")
        known = [*self._samples, *(spool.ids() for spool in self._spools.values())]
        ids = np.unique(np.concatenate(known))
        labels = [aligned(label, own, ids) for label, own in self._labels]
        checksum = self._write_samples(ids, labels)
        written = [spool.finish(ids, self._aside) for spool in self._spools.values()]
        manifest = self._manifest(ids, labels, written, checksum)
        text = json.dumps(dataclasses.asdict(manifest), indent=1)
        (self._aside / MANIFEST).write_text(text, encoding="utf-8")
        self._made.appear()

    def _manifest(
        self,
        ids: NDArray[np.str_],
        labels: Sequence[Label],
        written: Sequence[tuple[ModalityEntry, NDArray[np.int64]]],
        checksum: str,
    ) -> PackedManifest:
        chosen = [label for label in labels if label.name == self._default]
        default = chosen[0] if chosen else labels[0] if len(labels) == 1 else None
        entries = [entry for entry, _ in written]
        digests = [(rows, entry.digest) for entry, rows in written]
        return PackedManifest(
            version=VERSION,
            name=self.name,
            licence=self.licence,
            fingerprint=fingerprint_of(ids, digests, default),
            label=None if default is None else default.name,
            labels=tuple(
                LabelEntry(name=label.name, task=label.task, classes=label.classes)
                for label in labels
            ),
            modalities=tuple(entries),
            samples_sha256=checksum,
            files=tuple(
                FileEntry(path=path.relative_to(self._aside).as_posix(), size=path.stat().st_size)
                for path in sorted(self._aside.rglob("*"))
                if path.is_file()
            ),
        )

    def _write_samples(self, ids: NDArray[np.str_], labels: Sequence[Label]) -> str:
        """Write ids and labels, and return the file's checksum."""
        path = self._aside / SAMPLES
        columns = [pa.array(ids.tolist(), pa.large_string())]
        columns += [pa.array(label.values) for label in labels]
        names = ["id", *(label.name for label in labels)]
        write_batch(pa.RecordBatch.from_arrays(columns, names), path)
        return hashlib.sha256(path.read_bytes()).hexdigest()


def aligned(label: Label, own: NDArray[np.str_], ids: NDArray[np.str_]) -> Label:
    """The label in the order of all samples; those that it does not know are unlabelled."""
    inside = np.isin(own, ids)
    nothing = -1 if label.task == "classification" else np.nan
    values = np.full(len(ids), nothing, dtype=label.values.dtype)
    values[np.searchsorted(ids, own[inside])] = label.values[inside]
    return dataclasses.replace(label, values=values)
