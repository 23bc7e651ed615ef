"""Tiny tables in the layouts of UCSC Xena and the GDC. The numbers are made up."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raymm.data.dataset import Label

XENA = {
    "gene": "EB++AdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.xena.gz",
    "protein": "TCGA-RPPA-pancan-clean.xena.gz",
    "methylation": "jhu-usc.edu_PANCAN_HumanMethylation450.betaValue_whitelisted.tsv."
    "synapse_download_5096262.xena.gz",
    "mirna": "pancanMiRs_EBadjOnProtocolPlatformWithoutRepsWithUnCorrectMiRs_08_04_16.xena.gz",
}
GDC = {
    "gene": "EBPlusPlusAdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.tsv",
    "protein": "TCGA-RPPA-pancan-clean.txt",
    "methylation": "jhu-usc.edu_PANCAN_HumanMethylation450.betaValue_whitelisted.tsv",
    "mirna": "pancanMiRs_EBadjOnProtocolPlatformWithoutRepsWithUnCorrectMiRs_08_04_16.csv",
}
SURVIVAL = "Survival_SupplementalTable_S1_20171025_xena_sp"
PHENOTYPE = "TCGA_phenotype_denseDataOnlyDownload.tsv.gz"
QUALITY = "merged_sample_quality_annotations.tsv"
FOLLOW_UP = "clinical_PANCAN_patient_with_followup.tsv"
TYPES = ("BRCA", "LUAD", "OV")


def samples(count: int, kind: str = "01") -> list[str]:
    """Sample barcodes."""
    return [f"TCGA-{number % 7:02d}-{number:04d}-{kind}" for number in range(count)]


def tumour(sample: str) -> str:
    """The type that the made-up clinical tables give to a sample."""
    return TYPES[int(sample.split("-")[2]) % len(TYPES)]


def aliquot(sample: str, vial: str = "A", plate: str = "A123") -> str:
    """A whole barcode."""
    return f"{sample}{vial}-11R-{plate}-07"


def values(features: int, columns: int, seed: int = 0) -> NDArray[np.float64]:
    """Numbers whose spread grows with the feature's place."""
    noise = np.random.default_rng(seed).normal(size=(features, columns))
    return np.round(5 + noise * np.linspace(0.1, 2, features)[:, None], 4)


def write_table(
    path: Path,
    corner: Sequence[str],
    head: Sequence[str],
    rows: Mapping[str, Sequence[object]],
    delimiter: str = "\t",
) -> None:
    """A table as text, gzipped if its name says so; None is written as NA."""
    lines = [delimiter.join([*corner, *head])]
    for name, cells in rows.items():
        texts = ["NA" if cell is None else str(cell) for cell in cells]
        lines.append(delimiter.join([name, *texts]))
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def table(path: Path, names: Sequence[str], features: int, seed: int, feature: str) -> None:
    """Features in rows, samples in columns."""
    numbers = values(features, len(names), seed)
    rows = {f"{feature}{row:03d}": numbers[row].tolist() for row in range(features)}
    write_table(path, ["sample"], names, rows)


def xena(folder: Path, count: int = 40, features: int = 12) -> dict[str, list[str]]:
    """All four assays and the survival table, as Xena has them; each assay lacks other samples.

    Returns:
        Modality -> its samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = samples(count)
    have = {
        name: [sample for place, sample in enumerate(names) if place % 5 != skipped]
        for skipped, name in enumerate(XENA)
    }
    for seed, (name, file) in enumerate(XENA.items()):
        table(folder / file, have[name], features, seed, name)
    rows = {sample: [sample[:12], tumour(sample), 1] for sample in names}
    head = ["_PATIENT", "cancer type abbreviation", "OS"]
    write_table(folder / SURVIVAL, ["sample"], head, rows)
    return have


def gdc(folder: Path, count: int = 40, features: int = 12) -> list[str]:
    """The same as the GDC has them: aliquots, proteins with samples in rows, miRNAs with commas.

    Returns:
        The samples; all have all assays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = samples(count)
    aliquots = [aliquot(sample) for sample in names]
    for seed, name in enumerate(("gene", "methylation")):
        corner = "gene_id" if name == "gene" else "Composite Element REF"
        numbers = values(features, count, seed)
        rows = {f"{name}{row:03d}|{row}": numbers[row].tolist() for row in range(features)}
        write_table(folder / GDC[name], [corner], aliquots, rows)
    numbers = values(features, count, 2)
    marks = ["Corrected", "Uncorrected", "Corrected"]
    mirna = {f"hsa-{row:03d}": [marks[row % 3], *numbers[row].tolist()] for row in range(features)}
    write_table(folder / GDC["mirna"], ["Genes", "Correction"], aliquots, mirna, ",")
    numbers = values(features, count, 3)
    proteins = {
        barcode: [tumour(sample), *numbers[:, place].tolist()]
        for place, (sample, barcode) in enumerate(zip(names, aliquots, strict=True))
    }
    head = ["TumorType", *(f"P{row:03d}" for row in range(features))]
    write_table(folder / GDC["protein"], ["SampleID"], head, proteins)
    quality = {sample[:12]: [aliquot(sample), tumour(sample), "RNA"] for sample in names}
    head = ["aliquot_barcode", "cancer type", "platform"]
    write_table(folder / QUALITY, ["patient_barcode"], head, quality)
    return names


def codes(label: Label) -> list[int]:
    """Class of each sample."""
    return [int(code) for code in label.values]
