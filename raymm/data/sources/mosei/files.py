"""Which file of a folder is which computational sequence."""

from __future__ import annotations

import re
from collections.abc import Mapping

from raymm.data.problems import some
from raymm.data.sources.place import Place
from raymm.data.sources.preparation import Notes
from raymm.errors import DataError, nearest

MODALITIES = {
    "glove_vectors": r"glove_vectors\.|TimestampedWordVectors|^glove\.",
    "COVAREP": r"COVAREP",
    "FACET": r"FACET",
    "OpenFace": r"OpenFace",
}
"""Modality -> what its file's name holds; the names are those of the paper's own data."""
LABELS = "Labels"
LABEL_FILES = r"labels"


def recognise(place: Place, named: Mapping[str, str], notes: Notes) -> dict[str, str]:
    """Modality (or Labels) -> file name."""
    patterns = {**MODALITIES, LABELS: LABEL_FILES}
    for name in named:
        if name not in patterns:
            raise DataError(f"There is no modality '{name}': {nearest(name, patterns)}")
    sequences = [file for file in place.files if file.lower().endswith((".csd", ".h5", ".hdf5"))]
    files = {}
    for name, pattern in patterns.items():
        found = [file for file in sequences if re.search(pattern, file, re.IGNORECASE)]
        if name in named:
            found = [named[name]]
        if len(found) > 1:
            raise DataError(
                f"{place.address} holds several files that could be '{name}': {some(found)}. Name "
                f"one with --files {name} FILE, or leave one in the folder."
            )
        if found:
            files[name] = found[0]
    if not files.keys() - {LABELS}:
        held = some(place.files) or "no files at all"
        raise DataError(
            f"{place.address} holds none of CMU-MOSEI's files ({held}). docs/data.md says which "
            "names are known; name others with --files MODALITY FILE."
        )
    missing = [name for name in patterns if name not in files]
    if missing:
        notes.warn(f"{place.address} has no file of {some(missing)}: prepared without.")
    others = [file for file in place.files if file not in files.values()]
    if others:
        notes.say(f"Files that are not used: {some(others, 20)}.")
    return files
