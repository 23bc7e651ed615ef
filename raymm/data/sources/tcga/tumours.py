"""Which tumour a sample is of, from the clinical tables that go with the assays."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from raymm.data.problems import some
from raymm.data.sources.preparation import Notes
from raymm.data.sources.stream import Source
from raymm.data.sources.tcga.barcodes import parse
from raymm.errors import DataError

SHORT = ("cancer type abbreviation", "acronym", "cancer type", "tumortype", "type")
"""Columns with abbreviations such as BRCA, the better known first."""
LONG = ("_primary_disease",)
"""Columns with words such as breast invasive carcinoma: used where no abbreviation is to be had."""
IDS = (
    "sample",
    "sampleid",
    "aliquot_barcode",
    "bcr_patient_barcode",
    "_patient",
    "patient_barcode",
)
UNKNOWN = frozenset({"", "na", "nan", "[not available]", "[unknown]", "n/a", "null"})


@dataclass(frozen=True)
class Tumours:
    """Tumour types by sample and by patient.

    Attributes:
        where: the table they were read from.
        column: of it.
        known: sample or patient -> type.
    """

    where: str
    column: str
    known: Mapping[str, str]

    def of(self, sample: str) -> str | None:
        """The type of a sample: its own, or else its patient's."""
        return self.known.get(sample) or self.known.get(sample.rsplit("-", 1)[0])


def read_tumours(source: Source) -> list[Tumours]:
    """What a clinical table says; nothing if it has no column of tumour types.

    Raises:
        DataError: it cannot be read as a table.
    """
    content = source.content()
    if not content.endswith((b"\n", b"\r")):
        raise DataError(
            f"{source.where} ends inside a line: it seems to be cut. Copy or download it again; if it "
            "is whole, end its last line."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # the GDC's table of follow-ups is
    tabs = "\t" in text.partition("\n")[0]
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep="\t" if tabs else ",",
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
            dtype=str,
            keep_default_na=False,
        )
    except (ValueError, pd.errors.ParserError, csv.Error) as error:
        raise DataError(
            f"{source.where} cannot be read as a table: {error}. Copy or download it again."
        ) from error
    columns = {str(name).strip().strip('"').lower(): str(name) for name in table.columns}
    held = [columns[name] for name in IDS if name in columns]
    if not held:
        return []
    return [
        Tumours(source.where, name, _known(table, held, columns[name]))
        for name in (*SHORT, *LONG)
        if name in columns
    ]


def _known(table: pd.DataFrame, ids: Sequence[str], column: str) -> dict[str, str]:
    known: dict[str, str] = {}
    types = [str(value).strip().strip('"') for value in table[column]]
    for names in (
        table[name] for name in reversed(ids)
    ):  # a sample's own entry comes last, and counts
        for text, kind in zip(names, types, strict=True):
            barcode = parse(str(text).strip().strip('"'))
            if barcode is not None and kind.lower() not in UNKNOWN:
                known[barcode.sample if barcode.kind else barcode.patient] = kind
    return known


def tumour_types(samples: Sequence[str], tables: Sequence[Tumours], notes: Notes) -> dict[str, str]:
    """The tumour type of each sample that has one.

    Abbreviations come before words. Where the best table knows nothing of a sample, the next one
    of the same vocabulary is asked; where they differ, the first counts.

    Args:
        samples: all of the data set.
        tables: what the clinical tables and the table of proteins say.
        notes: told of the source, of differences and of samples without a type.
    """
    order = (*SHORT, *LONG)
    tables = sorted(tables, key=lambda table: order.index(table.column))
    short = [table for table in tables if table.column in SHORT and table.known]
    used = short or [table for table in tables if table.known]
    found: dict[str, str] = {}
    disagreed = []
    asked: Counter[str] = Counter()
    for sample in samples:
        for table in used:
            kind = table.of(sample)
            if kind is None:
                continue
            if found.setdefault(sample, kind) == kind:
                asked[f"'{table.column}' of {table.where}"] += 1
            else:
                disagreed.append(sample)
    for source, count in asked.items():
        notes.say(f"Tumour types: {source} knows {count:,} of {len(samples):,} samples.")
    if disagreed:
        notes.warn(
            f"Clinical tables differ on {len(set(disagreed)):,} samples' tumour type; the first "
            f"that is named above counts: {some(sorted(set(disagreed)))}."
        )
    lacking = [sample for sample in samples if sample not in found]
    if lacking:
        notes.warn(f"{len(lacking):,} samples have no tumour type: {some(lacking)}.")
        notes.leave_out("labels", [(sample, "no tumour type is known") for sample in lacking])
    return found
