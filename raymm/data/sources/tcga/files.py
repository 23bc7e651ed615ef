"""Which file of a folder is which table: the names that UCSC Xena, Synapse and the GDC use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from raymm.data.problems import some
from raymm.data.sources.place import Place
from raymm.errors import DataError, nearest

ASSAYS = {
    "gene": r"geneexp|rnaseqv2|rsem|hiseqv2|htseq|gene_?expression",
    "protein": r"rppa",
    "methylation": r"methylation",
    "mirna": r"mirna|pancanmirs",
}
"""Modality -> what its file's name holds; names and order are those of the paper's own data."""
CLINICAL = r"phenotype|survival|clinical|quality_annotations|cdr"
NO_TABLE = r"sample_information|probemap|probe_?map|manifest|readme"
TABLE = re.compile(r"(\.(tsv|txt|csv|xena)|^[^.]*|xena_sp)(\.gz)?$", re.IGNORECASE)
EXPECTED = (
    "EB++AdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.xena.gz",
    "TCGA-RPPA-pancan-clean.xena.gz",
    "jhu-usc.edu_PANCAN_HumanMethylation450.betaValue_whitelisted.tsv.synapse_download_5096262"
    ".xena.gz",
    "pancanMiRs_EBadjOnProtocolPlatformWithoutRepsWithUnCorrectMiRs_08_04_16.xena.gz",
    "Survival_SupplementalTable_S1_20171025_xena_sp",
    "TCGA_phenotype_denseDataOnlyDownload.tsv.gz",
    "EBPlusPlusAdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.tsv",
    "TCGA-RPPA-pancan-clean.txt",
    "jhu-usc.edu_PANCAN_HumanMethylation450.betaValue_whitelisted.tsv",
    "pancanMiRs_EBadjOnProtocolPlatformWithoutRepsWithUnCorrectMiRs_08_04_16.csv",
    "merged_sample_quality_annotations.tsv",
    "clinical_PANCAN_patient_with_followup.tsv",
)
"""Names to look for where a web server lists nothing."""


@dataclass(frozen=True)
class Files:
    """What a folder holds.

    Attributes:
        assays: modality -> file name, in the order of `ASSAYS`.
        clinical: files that may say which tumour a sample is of.
        others: files that are not used.
    """

    assays: Mapping[str, str]
    clinical: tuple[str, ...]
    others: tuple[str, ...]


def recognise(place: Place, named: Mapping[str, str], wanted: Sequence[str]) -> Files:
    """Tell the files of a folder.

    Args:
        place: the folder.
        named: modality -> file name, where the user says so.
        wanted: modalities; empty means all that are there.

    Raises:
        DataError: a modality is unknown, is wanted and not there, or two files could be it.
    """
    for name in (*named, *wanted):
        if name not in ASSAYS:
            raise DataError(f"There is no assay '{name}': {nearest(name, ASSAYS)}")
    for file in named.values():
        if file not in place.files:
            raise DataError(f"{place.address} has no file '{file}': {nearest(file, place.files)}")
    tables = [
        file for file in place.files if TABLE.search(unquote(file)) and not _holds(file, NO_TABLE)
    ]
    assays = {}
    for name, pattern in ASSAYS.items():
        if wanted and name not in wanted:
            continue
        clinical = [file for file in tables if _holds(file, CLINICAL)]
        found = [file for file in tables if _holds(file, pattern) and file not in clinical]
        if name in named:
            assays[name] = named[name]
        elif len(found) > 1:
            raise DataError(
                f"{place.address} holds several files that could be '{name}': {some(found)}. Name "
                f"one with --files {name} FILE, or leave one in the folder."
            )
        elif found:
            assays[name] = found[0]
        elif wanted:
            raise DataError(
                f"{place.address} holds no file that could be '{name}' ({_held(place)}). Name it "
                f"with --files {name} FILE, or leave '{name}' out of --assays."
            )
    if not assays:
        raise DataError(
            f"{place.address} holds none of TCGA's tables ({_held(place)}). docs/data.md says which "
            "file names are known; name others with --files ASSAY FILE."
        )
    used = set(assays.values())
    clinical = [file for file in tables if _holds(file, CLINICAL) and file not in used]
    others = [file for file in place.files if file not in used and file not in clinical]
    return Files(assays, tuple(clinical), tuple(others))


def _holds(file: str, pattern: str) -> bool:
    return re.search(pattern, unquote(file), re.IGNORECASE) is not None


def _held(place: Place) -> str:
    return some(place.files) or "no files at all"
