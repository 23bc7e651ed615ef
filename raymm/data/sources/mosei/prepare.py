"""From a folder of aligned computational sequences to a packed data set (SMDF 4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Label
from raymm.data.pack import PackWriter
from raymm.data.problems import some
from raymm.data.sources.intake import Intake, Writer
from raymm.data.sources.mosei.csd import Csd, open_csd
from raymm.data.sources.place import Place, open_place
from raymm.data.sources.preparation import Meter, NoMeter, Notes, Prepared
from raymm.data.sources.stream import Source
from raymm.errors import ConfigError, DataError, nearest

MODALITIES = {
    "glove_vectors": r"glove_vectors\.|TimestampedWordVectors|^glove\.",
    "COVAREP": r"COVAREP",
    "FACET": r"FACET",
    "OpenFace": r"OpenFace",
}
"""Modality -> what its file's name holds; the names are those of the paper's own data."""
LABELS = "Labels"
LABEL_FILES = r"labels"
LENGTHS = {"glove_vectors": 50, "COVAREP": 1500, "FACET": 450, "OpenFace": 450}
WIDTHS = {"glove_vectors": 300, "COVAREP": 74, "FACET": 35, "OpenFace": 713}
"""The paper's longest sequences, and the width of their vectors."""
PAPER_SAMPLES = 23248
TARGETS = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
"""What the seven numbers of a segment's labels mean, in their order."""
DEFAULT_LABEL = "sentiment_01"
STRONGEST = 3.0
"""Sentiment runs from -3 to 3, emotions from 0 to 3."""


@dataclass(frozen=True, kw_only=True)
class MoseiSettings:
    """How CMU-MOSEI's files become a data set. The defaults are the paper's."""

    max_length: Mapping[str, int] = field(default_factory=dict)
    """Modality -> most vectors of a sequence, where not the paper's (50, 1500, 450, 450)."""
    complete_only: bool = False
    """Leave out segments that lack a modality or the labels; else they are kept with their holes."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Modality (or Labels) -> file name, where a file has another name than the known ones."""

    def __post_init__(self) -> None:
        for name, length in self.max_length.items():
            if name not in LENGTHS:
                raise ConfigError(f"max_length has no modality '{name}': {nearest(name, LENGTHS)}")
            if length < 1:
                raise ConfigError(
                    f"max_length of {name} = {length} is out of range. Give 1 or more."
                )


def prepare_mosei(
    address: str, to: str, settings: MoseiSettings | None = None, meter: Meter | None = None
) -> Prepared:
    """Read the computational sequences of a folder and write a packed data set.

    Args:
        address: local folder, or an address that fsspec knows.
        to: folder to be made.
        settings: lengths, and what to keep.
        meter: shows progress.

    Raises:
        DataError: a file cannot be read, is not aligned to the labels' segments, has no segment in
            common with them, or the data set cannot be written.
    """
    settings, meter, notes = settings or MoseiSettings(), meter or NoMeter(), Notes()
    place = open_place(address)
    files = _files(place, settings.files, notes)
    with ExitStack() as stack, PackWriter(to, name="mosei") as writer:
        opened = {
            name: stack.enter_context(open_csd(Source(place, file))) for name, file in files.items()
        }
        labels = opened.pop(LABELS, None)
        if labels is not None:
            _check_aligned(labels)
        kept = _kept(opened, labels, settings, notes)
        if settings.complete_only:
            kept -= _without_values(opened, kept, settings, meter, notes)
        intakes = {
            name: _take(csd, name, settings, kept, writer, meter, notes)
            for name, csd in opened.items()
        }
        samples = sorted(set().union(*(intake.ids for intake in intakes.values())))
        if labels is not None:
            _write_labels(labels, samples, writer, notes)
        notes.say(f"{len(samples):,} segments (paper: {PAPER_SAMPLES:,}).")
        for file, text in notes.files("CMU-MOSEI").items():
            writer.attach(file, text)
    counts = {name: intake.counts.samples for name, intake in intakes.items()}
    return Prepared(to, len(samples), counts, notes)


def _files(place: Place, named: Mapping[str, str], notes: Notes) -> dict[str, str]:
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


def _check_aligned(labels: Csd) -> None:
    first = labels.keys[:50]
    if any(len(labels.read(key)) > 1 for key in first) or not any("[" in key for key in first):
        raise DataError(
            f"{labels.where} is not aligned: its keys are videos ({some(first, 2)}), not segments "
            "such as 'video[3]'. Align the files with the CMU Multimodal SDK first "
            "(examples/mmdatasdk_examples/full_examples/process_mosei.py) and give the folder "
            "final_aligned that it writes."
        )


def _kept(
    opened: Mapping[str, Csd], labels: Csd | None, settings: MoseiSettings, notes: Notes
) -> set[str]:
    """The segments that are used, and what is told of the others."""
    own = {name: set(csd.keys) for name, csd in opened.items()}
    union, common = set.union(*own.values()), set.intersection(*own.values())
    counts = ", ".join(f"{name} {len(keys):,}" for name, keys in own.items())
    notes.say(f"Segments: {counts}; {len(union):,} in any file, {len(common):,} in all of them.")
    for name, keys in own.items():
        others = set().union(*(other for key, other in own.items() if key != name))
        if others and not keys & others:
            raise DataError(
                f"'{name}' has no segment in common with the others: it has {some(sorted(keys), 2)}, "
                f"they have {some(sorted(others), 2)}. Are all of them aligned?"
            )
    if settings.complete_only and not common:
        raise DataError(f"No segment is in all of {some(list(own))}. Leave out --complete-only.")
    if labels is None:
        return common if settings.complete_only else union
    labelled = set(labels.keys)
    if not labelled & union:
        raise DataError(
            f"{labels.where} has no segment of the others: it has {some(labels.keys, 2)}, they have "
            f"{some(sorted(union), 2)}. Are all of them aligned?"
        )
    strangers, without = sorted(labelled - union), sorted(union - labelled)
    if strangers:
        notes.warn(f"{len(strangers):,} labelled segments have no modality: {some(strangers)}.")
        notes.leave_out(LABELS, [(key, "has no modality") for key in strangers])
    if without:
        notes.warn(f"{len(without):,} segments have no labels: {some(without)}.")
        notes.leave_out(LABELS, [(key, "has no labels") for key in without])
    if settings.complete_only:
        complete = common & labelled
        notes.leave_out(
            "join", [(k, "lacks a modality or labels") for k in sorted(union - complete)]
        )
        return complete
    return union


def _without_values(
    opened: Mapping[str, Csd],
    kept: set[str],
    settings: MoseiSettings,
    meter: Meter,
    notes: Notes,
) -> set[str]:
    """The segments that lack every value of some modality, found before anything is written."""
    found = set()
    for name, csd in opened.items():
        progress = meter.begin(f"{name}: looking", len(kept))
        for key in sorted(kept):
            values = csd.read(key)[: _length(name, settings)]
            if not np.isfinite(values).any():
                found.add(key)
                notes.leave_out(name, [(key, "has no value at all")])
            progress(1)
    if found:
        notes.say(f"{len(found):,} segments left out without any value in a modality.")
    return found


def _length(name: str, settings: MoseiSettings) -> int:
    return settings.max_length.get(name, LENGTHS[name])


def _take(
    csd: Csd,
    name: str,
    settings: MoseiSettings,
    kept: set[str],
    writer: Writer,
    meter: Meter,
    notes: Notes,
) -> Intake:
    """Write one modality."""
    width = csd.width()
    if width != WIDTHS[name]:
        notes.warn(f"{name}: vectors have {width:,} components, the paper's {WIDTHS[name]:,}.")
    columns = [str(component) for component in range(width)]
    intake = Intake(writer, name, "sequence", columns, max_length=_length(name, settings))
    keys = [key for key in csd.keys if key in kept]
    progress = meter.begin(name, len(keys))
    for key in keys:
        intake.add(key, csd.read(key), csd.where)
        progress(1)
    intake.finish(notes)
    return intake


def _write_labels(labels: Csd, samples: Sequence[str], writer: Writer, notes: Notes) -> None:
    labelled = set(labels.keys)
    known = [key for key in samples if key in labelled]
    rows = [labels.read(key) for key in known]
    strange = [key for key, row in zip(known, rows, strict=True) if row.shape != (1, len(TARGETS))]
    if strange:
        raise DataError(
            f"{labels.where} has labels of another shape than (1, {len(TARGETS)}) for "
            f"{len(strange):,} segments: {some(strange)}. The seven are {', '.join(TARGETS)}."
        )
    write_targets(np.concatenate(rows).astype(np.float32), known, writer, notes)


def write_targets(
    values: NDArray[np.float32], ids: Sequence[str], writer: Writer, notes: Notes
) -> None:
    """Sentiment as it is and scaled to 0 to 1, and the emotions.

    Args:
        values: (samples, 7), in the order of `TARGETS`.
        ids: of the samples.
        writer: where they go.
        notes: told of what is out of range.
    """
    values = np.where(np.isfinite(values), values, np.float32(np.nan))
    unknown = int(np.isnan(values[:, 0]).sum())
    if unknown:
        notes.warn(f"{unknown:,} segments have a sentiment that is no number: unlabelled.")
    beyond = int((np.abs(values[:, 0]) > STRONGEST).sum())
    if beyond:
        notes.warn(f"{beyond:,} segments have a sentiment beyond -3 to 3; it is kept as it is.")
    scaled = (values[:, 0] + STRONGEST) / (2 * STRONGEST)
    writer.label(Label(DEFAULT_LABEL, "regression", scaled, ()), ids, default=True)
    for column, target in enumerate(TARGETS):
        writer.label(Label(target, "regression", values[:, column].copy(), ()), ids)
