"""The Arrow files of a folder that `datasets.Dataset.save_to_disk` wrote, mapped and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from raymm.data.problems import some
from raymm.errors import DataError, RaymmError
from raymm.storage.address import last_part, open_address, words

STATE, SPLITS = "state.json", "dataset_dict.json"


def is_huggingface(address: str) -> bool:
    """Whether a folder, here or at an address such as s3://, was written by `datasets`."""
    try:
        system, root = open_address(address)
        names = {last_part(str(path)) for path in system.ls(root, detail=False)}
        return bool(names & {STATE, SPLITS})
    except (RaymmError, OSError):  # whoever reads it as a folder of tables next says what is wrong
        return False


def mapped_batches(address: str) -> tuple[pa.RecordBatch, ...]:
    """Map a folder's files; a folder of several splits is read as one set, in the splits' order.

    Raises:
        DataError: a file is missing, cut or damaged, or there are no rows.
    """
    folder = Path(address)
    parts = [folder]
    if (folder / SPLITS).is_file():
        parts = [folder / name for name in _json(folder / SPLITS).get("splits", [])]
    batches = [batch for part in parts for file in _files(part) for batch in _batches(file)]
    batches = [batch for batch in batches if batch.num_rows]
    if not batches:
        raise DataError(f"{address} has no rows. Save the data set again.")
    strange = [batch for batch in batches if not batch.schema.equals(batches[0].schema)]
    if strange:
        raise DataError(
            f"{address} holds rows of two kinds: {some(batches[0].schema.names)} and "
            f"{some(strange[0].schema.names)}. Save the data set again."
        )
    return tuple(batches)


def _files(folder: Path) -> list[Path]:
    """The files that `state.json` names, in its order."""
    state = _json(folder / STATE)
    names = [entry.get("filename", "") for entry in state.get("_data_files") or []]
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise DataError(f"{folder / STATE} names no files. Save the data set again.")
    if state.get("_indices_files"):
        raise DataError(f"{folder} keeps its order in a file of its own: save it flattened.")
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing. Copy the folder again.")
    return [folder / name for name in names]


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {words(error)}. Copy the folder again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not what `datasets` writes. Copy the folder again.")
    return content


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as file:
            stream = file.read(6) != b"ARROW1"
            file.seek(0)
            if stream:
                _check_end(file, path)
            reader = pa.ipc.open_stream(file) if stream else pa.ipc.open_file(file)
            batches = (
                list(reader)
                if stream
                else [reader.get_batch(number) for number in range(reader.num_record_batches)]
            )
        for batch in batches:
            batch.validate(full=True)
            for entry in batch.schema:
                _check_names(entry)
            yield batch
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read: {words(error)}. It is cut or damaged: copy it again."
        ) from error


def _check_names(entry: pa.Field) -> None:
    """A damaged name is found when it is asked for, as a UnicodeDecodeError."""
    inside = entry.type.num_fields
    if not isinstance(entry.name, str):
        raise ValueError("a column's name is no text")
    for place in range(inside):
        _check_names(entry.type.field(place))


def _check_end(file: pa.MemoryMappedFile, path: Path) -> None:
    """A stream that ends without its mark would be read as a shorter one."""
    size = file.size()
    file.seek(max(0, size - 8))
    if file.read() != b"\xff\xff\xff\xff\0\0\0\0":
        raise OSError("the end of the stream is missing")
    file.seek(0)
