"""From a folder of TCGA's pan-cancer tables to a packed data set (SMDF 4.1.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raymm.data.dataset import Label
from raymm.data.pack_writer import PackWriter
from raymm.data.problems import some
from raymm.data.sources.place import Place, open_place
from raymm.data.sources.preparation import Meter, NoMeter, Notes, Prepared
from raymm.data.sources.stream import Source
from raymm.data.sources.tcga.assay import Assay, open_assay
from raymm.data.sources.tcga.features import Values, read_assay
from raymm.data.sources.tcga.files import ASSAYS, EXPECTED, Files, recognise
from raymm.data.sources.tcga.tumours import Tumours, read_tumours, tumour_types
from raymm.errors import ConfigError, DataError

PAPER_SAMPLES, PAPER_CLASSES = 7017, 32
LABEL = "tumour_type"
MOST_VARIABLE = ("gene", "methylation")
COUNTS = ("gene", "mirna")
LICENCE = "TCGA open-access data; cite the TCGA Research Network, https://www.cancer.gov/tcga"


@dataclass(frozen=True, kw_only=True)
class TcgaSettings:
    """How TCGA's tables become a data set. The defaults are the paper's, but for `complete_only`."""

    genes: int = 800
    """Most variable genes to keep."""
    sites: int = 800
    """Most variable methylation sites to keep."""
    max_missing: float = 0.1
    """Genes and sites that lack more than this share of values are left out; 0 is the paper's."""
    complete_only: bool = False
    """Leave out samples that lack an assay, as the paper does; else they are kept with their holes."""
    normals: bool = False
    """Keep samples that are not of a tumour."""
    log2: bool = False
    """Take log2(x + 1) of genes and miRNAs, which the GDC gives as counts and Xena as logarithms."""
    uncorrected: bool = False
    """Keep miRNAs that the GDC's table marks as uncorrected (743 instead of the paper's 662)."""
    assays: tuple[str, ...] = ()
    """Assays to read; all that are there if none is named."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Assay -> file name, where a file has another name than the known ones."""

    def __post_init__(self) -> None:
        for name in ("genes", "sites"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is out of range. Give 1 or more."
                )
        if not 0 <= self.max_missing <= 1:
            raise ConfigError(f"max_missing = {self.max_missing} is out of range. Give 0 to 1.")


def prepare_tcga(
    address: str, to: str, settings: TcgaSettings | None = None, meter: Meter | None = None
) -> Prepared:
    """Read the tables of a folder, join them by sample and write a packed data set.

    Args:
        address: local folder, or an s3:// or https:// address.
        to: folder to be made.
        settings: what to keep.
        meter: shows progress.

    Raises:
        DataError: a table cannot be read or is not what it should be, the tables have no sample in
            common, or the data set cannot be written.
    """
    settings, meter, notes = settings or TcgaSettings(), meter or NoMeter(), Notes()
    place = open_place(address, EXPECTED)
    files = recognise(place, settings.files, settings.assays)
    with PackWriter(to, name="tcga", licence=LICENCE) as writer:
        assays, tumours = _opened(place, files, settings, meter, notes)
        read = _joined(assays, settings, meter, notes)
        samples = sorted({sample for values in read.values() for sample in values.samples})
        types = tumour_types(samples, tumours, notes)
        for name, values in read.items():
            writer.modality(name, "table", values.features)
            writer.append(name, values.samples, values.values)
        label = _label(samples, types, notes)
        if label is not None:
            writer.label(label, samples)
        _compare(read, samples, types, notes)
        for file, text in notes.files("TCGA").items():
            writer.attach(file, text)
    return Prepared(to, len(samples), {name: len(v.samples) for name, v in read.items()}, notes)


def _opened(
    place: Place, files: Files, settings: TcgaSettings, meter: Meter, notes: Notes
) -> tuple[list[Assay], list[Tumours]]:
    """The assays, with what is to be kept of each, and all that is said of tumours."""
    missing = [name for name in ASSAYS if name not in files.assays]
    if missing and not settings.assays:
        notes.warn(f"{place.address} has no table of {some(missing)}: prepared without.")
    if files.others:
        notes.say(f"Files that are not used: {some(files.others, 20)}.")
    keep = {"gene": settings.genes, "methylation": settings.sites}
    tumours = [table for name in files.clinical for table in read_tumours(Source(place, name))]
    assays = []
    for name, file in files.assays.items():
        assay, own = open_assay(name, Source(place, file), meter, notes, normals=settings.normals)
        tumours += own
        chosen = name in MOST_VARIABLE
        assays.append(
            Assay(
                name,
                assay.matrix,
                assay.turned,
                assay.places,
                keep=keep.get(name),
                most_missing=settings.max_missing if chosen else 1.0,
                logarithm=settings.log2 and name in COUNTS,
                uncorrected=settings.uncorrected,
            )
        )
    return assays, tumours


def _joined(
    assays: Sequence[Assay], settings: TcgaSettings, meter: Meter, notes: Notes
) -> dict[str, Values]:
    """The assays' values; only of samples that have all of them where that is asked for.

    Which features vary most is decided on the samples that are kept.
    """
    own = {assay.name: set(assay.places) for assay in assays}
    union, common = set.union(*own.values()), set.intersection(*own.values())
    _tell_join(own, union, common, notes)
    if settings.complete_only and not common:
        raise DataError(f"No sample has all of {some(list(own))}. Leave out --complete-only.")
    wanted = common if settings.complete_only else union
    read = {assay.name: read_assay(assay.for_samples(wanted), meter, notes) for assay in assays}
    if settings.complete_only:
        complete = set.intersection(*(set(values.samples) for values in read.values()))
        if not complete:
            raise DataError("No sample has a value in every assay. Leave out --complete-only.")
        read = {name: _restricted(values, complete) for name, values in read.items()}
        dropped = sorted(union - complete)
        notes.leave_out("join", [(sample, "lacks an assay") for sample in dropped])
    return read


def _tell_join(
    own: Mapping[str, set[str]], union: set[str], common: set[str], notes: Notes
) -> None:
    counts = ", ".join(f"{name} {len(ids):,}" for name, ids in own.items())
    notes.say(f"Samples: {counts}; {len(union):,} in any assay, {len(common):,} in all of them.")
    for name, ids in own.items():
        others = set().union(*(other for key, other in own.items() if key != name))
        alone = sorted(ids - others)
        if len(own) > 1 and len(alone) == len(ids):
            raise DataError(
                f"'{name}' has no sample in common with the other assays: it has {some(alone, 2)}, "
                f"they have {some(sorted(others), 2)}. Are the tables of one study?"
            )
        if len(own) > 1 and alone:
            notes.say(f"Samples that only {name} has: {len(alone):,} ({some(alone, 3)}).")


def _restricted(values: Values, wanted: set[str]) -> Values:
    rows = [row for row, sample in enumerate(values.samples) if sample in wanted]
    return Values([values.samples[row] for row in rows], values.features, values.values[rows])


def _label(samples: Sequence[str], types: Mapping[str, str], notes: Notes) -> Label | None:
    classes = sorted(set(types.values()))
    if len(classes) < 2:
        notes.warn(
            f"There is no label: {len(classes)} tumour type is known. Put Xena's "
            "Survival_SupplementalTable_S1_20171025_xena_sp or the GDC's "
            "merged_sample_quality_annotations.tsv into the folder."
        )
        return None
    code = {name: number for number, name in enumerate(classes)}
    values = np.array([code[types[s]] if s in types else -1 for s in samples], np.int64)
    return Label(LABEL, "classification", values, tuple(classes))


def _compare(
    read: Mapping[str, Values], samples: Sequence[str], types: Mapping[str, str], notes: Notes
) -> None:
    """N and classes beside the paper's."""
    complete = set.intersection(*(set(values.samples) for values in read.values()))
    classes = {types[sample] for sample in complete if sample in types}
    notes.say(
        f"{len(samples):,} samples, {len(complete):,} of them with all of {len(read)} assays (paper: "
        f"{PAPER_SAMPLES:,} with 4); these are of {len(classes):,} tumour types (paper: "
        f"{PAPER_CLASSES})."
    )
