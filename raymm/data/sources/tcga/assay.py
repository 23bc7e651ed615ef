"""One assay's table: which way it lies, which of its samples are taken, and its features' values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raymm.data.problems import some
from raymm.data.sources.matrix import Matrix, open_matrix
from raymm.data.sources.preparation import Meter, Notes
from raymm.data.sources.stream import Source
from raymm.data.sources.tcga.barcodes import choose, parse
from raymm.data.sources.tcga.tumours import Tumours
from raymm.errors import DataError


@dataclass(frozen=True)
class Assay:
    """A table that was opened, and how it is to be read.

    Attributes:
        name: modality.
        turned: whether its rows are samples, not features.
        places: sample -> its column, or its row where `turned`.
        keep: most variable features to keep; None for all.
        most_missing: share of a feature's values that may be missing, where only some are kept.
        logarithm: whether log2(x + 1) is taken.
        uncorrected: whether features that the table marks as uncorrected are kept.
    """

    name: str
    matrix: Matrix
    turned: bool
    places: dict[str, int]
    keep: int | None = None
    most_missing: float = 1.0
    logarithm: bool = False
    uncorrected: bool = False

    def for_samples(self, wanted: set[str]) -> Assay:
        """The same with some of its samples."""
        return replace(self, places={s: p for s, p in self.places.items() if s in wanted})


def open_assay(
    name: str, source: Source, meter: Meter, notes: Notes, *, normals: bool
) -> tuple[Assay, list[Tumours]]:
    """Look at a table's samples: its header's, or its first column's.

    Args:
        name: modality.
        source: the file.
        meter: shows the reading of a first column.
        notes: told which way the table lies, and of samples that are not taken.
        normals: whether samples that are not of a tumour are kept.

    Returns:
        The assay, and the tumour types that stand in it.

    Raises:
        DataError: it cannot be read, or names no samples.
    """
    matrix = open_matrix(source)
    barcodes = [parse(cell) for cell in matrix.columns]
    turned = sum(barcode is not None for barcode in barcodes) * 2 < len(barcodes)
    tumours = []
    if turned:
        if parse(matrix.first_row) is None:
            raise DataError(
                f"{source.where} names no samples: neither its header ({some(matrix.columns, 3)}) "
                f"nor its first column ('{matrix.first_row[:40]}') holds TCGA barcodes. Put them "
                "into one of the two."
            )
        names, types = _first_column(matrix, meter)
        barcodes = [parse(cell) for cell in names]
        strange = [str(cell) for cell, barcode in zip(names, barcodes, strict=True) if not barcode]
        notes.leave_out(source.name, [(cell, "is no TCGA barcode") for cell in strange])
        notes.say(f"{name}: rows of {source.name} are samples, as it was found; it is turned.")
        if types:
            known = {
                b.sample: t for b, t in zip(barcodes, types, strict=True) if b and b.kind and t
            }
            tumours.append(Tumours(source.where, "tumortype", known))
    else:
        notes.say(f"{name}: columns of {source.name} are samples.")
    choice = choose(barcodes, normals=normals)
    if not choice.places:
        raise DataError(
            f"{source.where} has no sample to be used: {_reasons(choice.left_out)}. Barcodes name "
            "samples, such as TCGA-02-0001-01."
        )
    notes.leave_out(source.name, choice.left_out)
    if choice.left_out:
        notes.say(f"{name}: {_reasons(choice.left_out)}.")
    return Assay(name, matrix, turned, choice.places), tumours


def _reasons(left_out: Sequence[tuple[str, str]]) -> str:
    again = "stands for the same sample"
    counts = {
        "vials or aliquots of a sample that has another": [n for n, r in left_out if again in r],
        "not of a tumour": [name for name, reason in left_out if reason.startswith("not of")],
        "of patients, not of samples": [name for name, r in left_out if r.startswith("names a")],
    }
    words = [f"{len(names):,} {what} ({some(names, 2)})" for what, names in counts.items() if names]
    return "left out are " + ", ".join(words) if words else "none of its names is a barcode"


def _first_column(matrix: Matrix, meter: Meter) -> tuple[list[str | None], list[str]]:
    """Names of all rows, and the tumour types beside them where there are any."""
    places = [place for place, name in enumerate(matrix.columns) if name.lower() == "tumortype"]
    progress = meter.begin(f"{matrix.source.name}: samples", matrix.source.size())
    names: list[str | None] = []
    types: list[str] = []
    for rows in matrix.read([], places[:1], progress):
        names += rows.names
        types += [text or "" for texts in rows.texts for text in texts]
    return names, types
