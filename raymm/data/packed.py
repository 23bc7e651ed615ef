"""Opening a packed data set: its values stay in their files and are mapped into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.fetched import holds_manifest, local_copy
from raymm.data.fingerprint import fingerprint_of, modality_digest
from raymm.data.mapped import RESIDENT_BYTES, MappedFile
from raymm.data.packed_format import (
    MANIFEST,
    SAMPLES,
    ModalityEntry,
    PackedManifest,
    read_manifest,
)
from raymm.data.problems import some
from raymm.errors import DataError, nearest
from raymm.storage.address import is_remote
from raymm.storage.cache import Copy


@dataclass(frozen=True)
class PackedDataset(Dataset):
    """A data set whose values lie in mapped files. Pickled, it is its address: workers map it too.

    Attributes:
        address: absolute path of the folder, which every node must see; or a remote address, of
            which each node makes its own copy.
        digests: of the modalities, as they were packed.
        folder: where it lies on this machine.
        copy: what keeps that folder from being removed, if it is a copy.
    """

    address: str = ""
    digests: tuple[str, ...] = ()
    folder: Path = Path()
    copy: Copy | None = None

    def damaged(self) -> tuple[str, ...]:
        """Names of the modalities that do not hold what was packed. Reads every value."""
        pairs = zip(self.modalities, self.digests, strict=True)
        return tuple(each.name for each, digest in pairs if modality_digest(each) != digest)

    def __reduce__(self) -> tuple[Any, ...]:
        names = tuple(modality.name for modality in self.modalities)
        label = None if self.label is None else self.label.name
        return _reopened, (self.address, names, label, self.fingerprint)


def _reopened(
    address: str, names: tuple[str, ...], label: str | None, fingerprint: str
) -> PackedDataset:
    dataset = open_packed(address, names, label)
    if dataset.fingerprint != fingerprint:
        raise DataError(
            f"{address} holds another data set ({dataset.fingerprint[:12]}) than it did when it "
            f"was opened first ({fingerprint[:12]}). Leave packed sets alone while they are in "
            "use, and see that all machines have the same."
        )
    return dataset


def is_packed(address: str) -> bool:
    """Whether a folder, here or at an address such as s3://, holds a packed data set."""
    if is_remote(address):
        return holds_manifest(address)
    return (Path(address) / MANIFEST).is_file()


def open_packed(
    address: str, modalities: Sequence[str] = (), label: str | None = None
) -> PackedDataset:
    """Open a packed data set: its ids and labels are read, its values only when they are used.

    Args:
        address: folder, or an address such as s3://, which is copied to this machine first.
        modalities: modalities used, in this order; empty means all as they were packed. Samples
            that have none of them are left out.
        label: one of the labels; None means the default.

    Raises:
        DataError: something is missing, damaged, or of another size than it was written with.
        StorageError: the address cannot be used, or this machine has no room for a copy.
    """
    copy = local_copy(address, _check_copy) if is_remote(address) else None
    folder = copy.folder if copy else Path(address).resolve()
    manifest = read_manifest(folder)
    known = {entry.name: entry for entry in manifest.modalities}
    for name in modalities:
        if name not in known:
            raise DataError(f"{address} has no modality '{name}': {nearest(name, known)}")
    if len(set(modalities)) < len(modalities):
        raise DataError(f"The modalities {some(modalities)} name one twice. Name each one once.")
    entries = [known[name] for name in modalities] or list(manifest.modalities)
    ids, labels = _samples(folder, manifest)
    chosen = _chosen(labels, label or manifest.label, address)
    sizes = [(folder / entry.path).stat().st_size for entry in entries]
    share = RESIDENT_BYTES if sum(sizes) <= RESIDENT_BYTES else RESIDENT_BYTES // len(entries)
    found = [_modality(folder, entry, len(ids), share) for entry in entries]
    if len(entries) < len(known):
        ids, found, chosen = restricted(ids, found, chosen)
    digests = [(each.rows, entry.digest) for each, entry in zip(found, entries, strict=True)]
    return PackedDataset(
        name=manifest.name,
        ids=ids,
        modalities=tuple(found),
        label=chosen,
        fingerprint=fingerprint_of(ids, digests, chosen),
        licence=manifest.licence,
        address=address if copy else str(folder),
        digests=tuple(entry.digest for entry in entries),
        folder=folder,
        copy=copy,
    )


def _check_copy(folder: Path) -> None:
    """Refuse a copy whose bytes are not those that were packed."""
    manifest = read_manifest(folder)
    ids, _ = _samples(folder, manifest)
    for entry in manifest.modalities:
        if modality_digest(_modality(folder, entry, len(ids))) != entry.digest:
            raise DataError(f"the values of '{entry.name}' are not those that were packed")


def _batch(buffer: pa.Buffer, path: Path) -> pa.RecordBatch:
    """The single record batch of an Arrow file, its structure checked; values are not looked at."""
    try:
        reader = pa.ipc.open_file(buffer)
        if reader.num_record_batches != 1:
            raise pa.ArrowInvalid(f"it has {reader.num_record_batches} record batches, not 1")
        batch = reader.get_batch(0)
        batch.validate()
    except (pa.ArrowException, OSError, ValueError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path} is damaged: {words}. Copy or pack the set again.") from error
    return batch


def _samples(folder: Path, manifest: PackedManifest) -> tuple[NDArray[np.str_], list[Label]]:
    path = folder / SAMPLES
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.samples_sha256:
        raise DataError(f"{path} is damaged: its checksum is wrong. Copy or pack the set again.")
    batch = _batch(pa.py_buffer(content), path)
    ids = np.array(batch.column(0).to_pylist(), dtype=np.str_)
    if batch.num_columns != 1 + len(manifest.labels):
        raise DataError(f"{path} and {MANIFEST} disagree on the labels. Pack the set again.")
    labels = [
        Label(entry.name, entry.task, batch.column(1 + place).to_numpy().copy(), entry.classes)
        for place, entry in enumerate(manifest.labels)
    ]
    return ids, labels


def _chosen(labels: Sequence[Label], wanted: str | None, address: str) -> Label | None:
    if wanted is None:
        if labels:
            raise DataError(
                f"{address} has several labels: {some([each.name for each in labels])}. Choose one "
                f"with --label, such as `--label {labels[0].name}`."
            )
        return None
    for label in labels:
        if label.name == wanted:
            return label
    known = nearest(wanted, [each.name for each in labels])
    raise DataError(f"{address} was packed without the label '{wanted}': {known}")


def _modality(
    folder: Path, entry: ModalityEntry, samples: int, resident: int = RESIDENT_BYTES
) -> Modality:
    path = folder / entry.path
    mapping = MappedFile(path, resident)
    batch = _batch(mapping.buffer(), path)
    if not batch.schema.equals(entry.schema()) or batch.num_rows != entry.rows:
        raise DataError(f"{path} is not what {MANIFEST} says. Copy or pack the set again.")
    values, offsets = batch.column("values"), None
    if entry.kind == "sequence":
        offsets = values.offsets.to_numpy().copy()
        values = values.values
    rows = batch.column("sample").to_numpy().copy()
    if len(values) != entry.vectors or not _in_order(rows, offsets, samples, entry.vectors):
        raise DataError(f"{path} is damaged: its rows are out of order. Copy or pack it again.")
    return Modality(
        name=entry.name,
        kind=entry.kind,
        rows=rows,
        values=values.values.to_numpy().reshape(entry.vectors, len(entry.columns)),
        offsets=offsets,
        columns=entry.columns,
        missing=entry.missing,
        mapping=mapping,
    )


def _in_order(
    rows: NDArray[np.int64], offsets: NDArray[np.int64] | None, samples: int, vectors: int
) -> bool:
    """Whether rows name samples in order, and offsets cut the vectors into sequences."""
    ascending = bool((np.diff(rows) > 0).all()) and rows[0] >= 0 and rows[-1] < samples
    if offsets is None:
        return ascending and len(rows) == vectors
    whole = offsets[0] == 0 and offsets[-1] == vectors and bool((np.diff(offsets) > 0).all())
    return ascending and whole


def restricted(
    ids: NDArray[np.str_], modalities: Sequence[Modality], label: Label | None
) -> tuple[NDArray[np.str_], list[Modality], Label | None]:
    """Only the samples that have one of the modalities, and the classes that they are of.

    Args:
        ids: (samples,) of the set.
        modalities: those that are used.
        label: of the samples.
    """
    kept = np.zeros(len(ids), dtype=np.bool_)
    for modality in modalities:
        kept[modality.rows] = True
    place = np.cumsum(kept) - 1
    left = [replace(modality, rows=place[modality.rows]) for modality in modalities]
    if label is None:
        return ids[kept], left, None
    values = label.values[kept]
    if label.task == "classification":
        used = np.unique(values[values >= 0])
        codes = np.where(values >= 0, np.searchsorted(used, values), -1)
        classes = tuple(label.classes[int(code)] for code in used)
        return ids[kept], left, Label(label.name, label.task, codes.astype(np.int64), classes)
    return ids[kept], left, replace(label, values=values)
