"""One modality of a packed data set while it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raymm.data.dataset import Kind
from raymm.data.fingerprint import ModalityDigest
from raymm.data.mapped import MappedFile
from raymm.data.packed_format import ModalityEntry
from raymm.data.problems import some
from raymm.errors import DataError


class Spool:
    """Values of a modality, put down as they come and made into one Arrow batch at the end.

    A batch's head says how much follows, which nobody knows before all has come, so the values are
    written twice; no more than a part is in memory at a time.
    """

    def __init__(self, path: Path, name: str, kind: Kind, columns: Sequence[str]) -> None:
        """Begin.

        Args:
            path: file for the values while they come.
            name: of the modality.
            kind: of the modality.
            columns: names of the columns of a table, or of a sequence's components.
        """
        self.name, self.kind, self.columns = name, kind, tuple(columns)
        self._path, self._file = path, path.open("wb")
        self._digest = ModalityDigest(name, kind, columns)
        self._ids: list[NDArray[np.str_]] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._vectors, self._missing = 0, False

    def append(
        self, ids: NDArray[np.str_], values: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> None:
        """Add rows; see `PackWriter.append`."""
        self._check(ids, values, lengths)
        if len(ids):
            self._file.write(np.ascontiguousarray(values, dtype="<f4").data)
            self._digest.add(values)
            self._ids.append(ids)
            self._lengths.append(lengths)
            self._vectors += len(values)
            self._missing = self._missing or bool(np.isnan(values).any())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def ids(self) -> NDArray[np.str_]:
        """Samples that have the modality, ascending."""
        return np.concatenate(self._ids) if self._ids else np.array([], np.str_)

    def finish(
        self, ids: NDArray[np.str_], folder: Path
    ) -> tuple[ModalityEntry, NDArray[np.int64]]:
        """Make the Arrow file, and say what it holds and which samples have the modality.

        Args:
            ids: (samples,) of the whole set, ascending.
            folder: the file comes to stand in, as its entry says.

        Raises:
            DataError: nothing was added.
        """
        self._file.close()
        if not self._vectors:
            raise DataError(f"The modality '{self.name}' has no rows. Leave it out.")
        rows = np.searchsorted(ids, self.ids()).astype(np.int64)
        offsets = None
        if self.kind == "sequence":
            offsets = np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))])
        entry = ModalityEntry(
            name=self.name,
            kind=self.kind,
            columns=self.columns,
            rows=len(rows),
            vectors=self._vectors,
            missing=self._missing,
            digest=self._digest.finish(offsets),
        )
        write_batch(self._batch(entry, rows, offsets), folder / entry.path)
        self._path.unlink()
        return entry, rows

    def _batch(
        self, entry: ModalityEntry, rows: NDArray[np.int64], offsets: NDArray[np.int64] | None
    ) -> pa.RecordBatch:
        """All rows; the values are mapped from where they were put down."""
        width, buffer = len(self.columns), MappedFile(self._path).buffer()
        flat = pa.Array.from_buffers(pa.float32(), self._vectors * width, [None, buffer])
        values = pa.FixedSizeListArray.from_arrays(flat, width)
        if offsets is not None:
            values = pa.LargeListArray.from_arrays(pa.array(offsets), values)
        return pa.RecordBatch.from_arrays([pa.array(rows), values], schema=entry.schema())

    def _check(
        self, ids: NDArray[np.str_], values: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> None:
        where = f"The modality '{self.name}'"
        sequences = len(ids) if self.kind == "sequence" else 0
        if len(lengths) != sequences or (lengths < 1).any():
            raise DataError(
                f"{where} is a {self.kind} and was given {len(lengths):,} lengths for {len(ids):,} "
                f"samples. Give {sequences:,}, each 1 or more."
            )
        shape = (int(lengths.sum()) if sequences else len(ids), len(self.columns))
        if values.dtype != np.float32 or values.shape != shape:
            raise DataError(
                f"{where} was given {values.dtype} values of shape {values.shape} for {len(ids):,} "
                f"samples. Give float32 of shape {shape}."
            )
        if np.isinf(values).any():
            raise DataError(
                f"{where} holds infinite values ({int(np.isinf(values).sum()):,}), in the rows of "
                f"{some(ids, 2)}. Replace them by numbers, or by NaN if they are missing."
            )
        before = np.concatenate([self._ids[-1][-1:], ids]) if self._ids else ids
        wrong = np.flatnonzero(before[1:] <= before[:-1])
        if len(wrong):
            raise DataError(
                f"{where} was given the sample '{before[wrong[0] + 1]}' after '{before[wrong[0]]}'."
                " Give each sample once, in ascending order of their ids as texts (`sorted(ids)`)."
            )


def write_batch(batch: pa.RecordBatch, path: Path) -> None:
    """Write an Arrow file of one uncompressed batch."""
    options = pa.ipc.IpcWriteOptions(allow_64bit=True)  # more than 2^31 values
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema, options=options) as writer,
    ):
        writer.write_batch(batch)
