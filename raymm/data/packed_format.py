"""The format of a packed data set: a folder of Arrow files, and `packed.json` that describes them.

- `packed.json`: names, kinds, columns and labels; the fingerprint; every file with its size.
- `samples.arrow`: a column of sample ids, ascending, then one for each label.
- `modalities/<name>.arrow`: one uncompressed record batch with a row for each sample that has the
  modality: the sample's number and its values, a vector or a list of vectors.

Any Arrow library reads them. `raymm.data.pack` writes them, `raymm.data.packed` maps them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raymm.config import from_dict
from raymm.data.dataset import Kind, Task
from raymm.errors import ConfigError, DataError

MANIFEST = "packed.json"
SAMPLES = "samples.arrow"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file of the set, by its path inside the folder."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class LabelEntry:
    """A label of the set."""

    name: str
    task: Task
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModalityEntry:
    """A modality of the set.

    Attributes:
        rows: samples that have it.
        vectors: rows of a table, vectors of all sequences together.
        missing: whether any value is NaN.
        digest: see `raymm.data.fingerprint.modality_digest`.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    rows: int
    vectors: int
    missing: bool
    digest: str

    @property
    def path(self) -> str:
        """Path of its file inside the folder."""
        return f"modalities/{self.name}.arrow"

    def schema(self) -> pa.Schema:
        """What its file holds."""
        vector = pa.list_(pa.float32(), len(self.columns))
        values = vector if self.kind == "table" else pa.large_list(vector)
        return pa.schema({"sample": pa.int64(), "values": values})


@dataclass(frozen=True, kw_only=True)
class PackedManifest:
    """What `packed.json` says.

    Attributes:
        version: of the format.
        fingerprint: of the whole set with its default label.
        label: the default one; None if there is none, or none is preferred.
        samples_sha256: checksum of the file of ids and labels.
    """

    version: int
    name: str
    licence: str
    fingerprint: str
    label: str | None
    labels: tuple[LabelEntry, ...]
    modalities: tuple[ModalityEntry, ...]
    samples_sha256: str
    files: tuple[FileEntry, ...]

    @property
    def needed(self) -> tuple[str, ...]:
        """Paths of the files without which the set cannot be opened."""
        return (SAMPLES, *(entry.path for entry in self.modalities))


def parse_manifest(content: bytes, where: str) -> PackedManifest:
    """What the manifest of a packed folder says.

    Args:
        content: of the file.
        where: it lies, for messages.

    Raises:
        DataError: it is damaged, or of another version.
    """
    try:
        manifest = from_dict(PackedManifest, json.loads(content))
    except (ValueError, TypeError, AttributeError, ConfigError) as error:
        raise _unreadable(where, error) from error
    if manifest.version != VERSION:
        raise DataError(
            f"{where} is of format {manifest.version}, this raymm reads {VERSION}. Pack it again."
        )
    return manifest


def read_manifest(folder: Path) -> PackedManifest:
    """What a packed folder says of itself, once all its files have the sizes it names.

    Raises:
        DataError: it cannot be read, or a file is missing or of another size.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), error) from error
    manifest = parse_manifest(content, str(path))
    listed = {file.path: file.size for file in manifest.files}
    for needed in manifest.needed:
        file = folder / needed
        size = file.stat().st_size if file.is_file() else None
        if size is None or size != listed.get(needed):
            state = "is missing" if size is None else f"has {size:,} bytes"
            raise DataError(
                f"{file} {state}, the set was packed with {listed.get(needed, 0):,}. Copy the "
                "folder again, or pack it again."
            )
    return manifest


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where} cannot be read: {error}. The packed set is damaged, or of another version of "
        "raymm: pack it again."
    )
