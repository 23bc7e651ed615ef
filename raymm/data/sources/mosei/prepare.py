"""From a folder of aligned computational sequences to a packed data set (SMDF 4.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from raymm.data.pack_writer import PackWriter
from raymm.data.problems import some
from raymm.data.sources.intake import Intake, Writer
from raymm.data.sources.mosei.csd import Csd, open_csd
from raymm.data.sources.mosei.files import LABELS, recognise
from raymm.data.sources.mosei.targets import TARGETS, write_targets
from raymm.data.sources.place import open_place
from raymm.data.sources.preparation import Meter, NoMeter, Notes, Prepared
from raymm.data.sources.stream import Source
from raymm.errors import ConfigError, DataError, nearest

LENGTHS = {"glove_vectors": 50, "COVAREP": 1500, "FACET": 450, "OpenFace": 450}
WIDTHS = {"glove_vectors": 300, "COVAREP": 74, "FACET": 35, "OpenFace": 713}
"""The paper's longest sequences, and the width of their vectors."""
PAPER_SAMPLES = 23248


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
    files = recognise(place, settings.files, notes)
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
