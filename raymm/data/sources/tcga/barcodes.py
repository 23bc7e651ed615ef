"""TCGA barcodes, and which column stands for a sample where several do.

    TCGA-02-0001-01C-01R-0177-01
    TCGA-02-0001                    patient
                 01                 kind of sample: 01 to 09 tumour, 10 to 19 normal, 20 and up control
    TCGA-02-0001-01                 sample
                   C                vial

Xena's tables name samples, the GDC's aliquots (the whole barcode). Both are brought to the sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

PATTERN = re.compile(
    r"(TCGA[-.]\w{2}[-.]\w{4})(?:[-.](\d{2})([A-Z])?(?:[-.][-.\w]*)?)?", re.IGNORECASE | re.ASCII
)
FIRST_NORMAL = 10


@dataclass(frozen=True)
class Barcode:
    """A barcode taken apart.

    Attributes:
        text: as it stood in the table.
        patient: such as TCGA-02-0001.
        kind: of sample, such as 01; empty if the barcode names a patient only.
        vial: a letter; empty if the barcode names none.
    """

    text: str
    patient: str
    kind: str
    vial: str

    @property
    def sample(self) -> str:
        """Such as TCGA-02-0001-01."""
        return f"{self.patient}-{self.kind}"

    @property
    def tumour(self) -> bool:
        """Whether the sample is of a tumour."""
        return int(self.kind) < FIRST_NORMAL


def parse(text: str | None) -> Barcode | None:
    """A barcode, with - or . between its parts; None if it is none."""
    found = PATTERN.fullmatch((text or "").strip())
    if found is None:
        return None
    patient = found[1].upper().replace(".", "-")
    return Barcode(found[0], patient, found[2] or "", (found[3] or "").upper())


@dataclass(frozen=True)
class Choice:
    """Which columns (or rows) of a table are read.

    Attributes:
        places: sample -> its column (or row).
        left_out: (barcode, reason) of each other one.
    """

    places: dict[str, int]
    left_out: tuple[tuple[str, str], ...]


def choose(barcodes: Iterable[Barcode | None], *, normals: bool) -> Choice:
    """One column for each sample.

    Of several vials the first by letter is taken; of its aliquots the last by barcode, which is the
    one of the highest plate (the rule of the Broad Institute's Firehose); of columns with one and
    the same barcode the first.

    Args:
        barcodes: of the columns; None for a column that has none and is passed over.
        normals: whether samples that are not of a tumour are kept.
    """
    groups: dict[str, list[tuple[int, Barcode]]] = {}
    left_out = []
    for place, barcode in enumerate(barcodes):
        if barcode is None:
            continue
        if not barcode.kind:
            left_out.append((barcode.text, "names a patient, no sample"))
        elif not (barcode.tumour or normals):
            left_out.append((barcode.text, "not of a tumour"))
        else:
            groups.setdefault(barcode.sample, []).append((place, barcode))
    places = {}
    for sample, group in groups.items():
        vial = min(barcode.vial for _, barcode in group)
        # max() gives the first of equals.
        places[sample], used = max(
            (entry for entry in group if entry[1].vial == vial), key=lambda entry: entry[1].text
        )
        reason = f"{used.text} stands for the same sample"
        left_out += [(barcode.text, reason) for place, barcode in group if place != places[sample]]
    return Choice(places, tuple(left_out))
