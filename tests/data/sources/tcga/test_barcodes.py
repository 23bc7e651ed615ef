"""Barcodes, and which column stands for a sample."""

from __future__ import annotations

import itertools

import pytest

from raymm.data.sources.tcga.barcodes import choose, parse


@pytest.mark.parametrize(
    ("text", "sample", "vial"),
    [
        ("TCGA-02-0001-01C-01R-0177-01", "TCGA-02-0001-01", "C"),
        ("TCGA-02-0001-01", "TCGA-02-0001-01", ""),
        ("tcga.a1.a0sb.11b.21r.a034.07", "TCGA-A1-A0SB-11", "B"),
        (" TCGA-A1-A0SB-06A ", "TCGA-A1-A0SB-06", "A"),
    ],
)
def test_a_barcode_is_brought_to_its_sample(text: str, sample: str, vial: str) -> None:
    barcode = parse(text)
    assert barcode is not None
    assert (barcode.sample, barcode.vial) == (sample, vial)


def test_patients_and_strangers() -> None:
    patient = parse("TCGA-02-0001")
    assert patient is not None
    assert (patient.patient, patient.kind) == ("TCGA-02-0001", "")
    for text in (
        "",
        None,
        "sample",
        "TCGA-02",
        "GTEX-1117F-0226",
        "xTCGA-02-0001-01",
        "TCGA-02-00019-01",
    ):
        assert parse(text) is None


def test_the_first_vial_and_of_it_the_highest_plate_stand_for_a_sample() -> None:
    texts = [
        "TCGA-02-0001-01B-01R-A999-07",
        "TCGA-02-0001-01A-01R-A100-07",
        "TCGA-02-0001-01A-01R-A200-07",
        "TCGA-02-0001-01A-01R-A200-07",
        "TCGA-02-0001-02A-01R-A100-07",
        "TCGA-02-0002-11A-01R-A100-07",
        "TCGA-02-0003",
        "gene_id",
    ]
    for order in itertools.permutations(range(len(texts))):
        if order[0] > 2:  # some orders are enough
            continue
        shuffled = [texts[place] for place in order]
        choice = choose(map(parse, shuffled), normals=False)
        assert set(choice.places) == {"TCGA-02-0001-01", "TCGA-02-0001-02"}
        used = choice.places["TCGA-02-0001-01"]
        assert used == shuffled.index("TCGA-02-0001-01A-01R-A200-07")
        reasons = dict(choice.left_out)
        assert reasons["TCGA-02-0002-11A-01R-A100-07"] == "not of a tumour"
        assert reasons["TCGA-02-0003"] == "names a patient, no sample"
        assert "A200" in reasons["TCGA-02-0001-01B-01R-A999-07"]
        assert len(choice.left_out) == 5


def test_normals_can_be_kept() -> None:
    barcodes = [parse("TCGA-02-0002-11A"), parse("TCGA-02-0002-01A")]
    assert set(choose(barcodes, normals=True).places) == {"TCGA-02-0002-11", "TCGA-02-0002-01"}
