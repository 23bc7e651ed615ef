"""TCGA's tables to a packed data set, against pandas on the whole tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.data.sources import matrix as matrix_module
from raymm.data.sources.preparation import LEFT_OUT, NOTES
from raymm.data.sources.tcga.prepare import TcgaSettings, prepare_tcga
from raymm.errors import ConfigError, DataError
from tests.data.sources.tcga import tables
from tests.data.sources.tcga.tables import GDC, XENA


def frame(dataset: Dataset, name: str) -> pd.DataFrame:
    modality = next(each for each in dataset.modalities if each.name == name)
    index = dataset.ids[modality.rows]
    return pd.DataFrame(modality.values, index, list(modality.columns))


def prepared(folder: Path, **settings: object) -> tuple[Dataset, str]:
    """The data set, and all that was told."""
    to = folder.with_name(f"{folder.name}.packed")
    made = prepare_tcga(str(folder), str(to), TcgaSettings(**settings))  # type: ignore[arg-type]
    told = "\n".join([*made.notes.facts, *made.notes.warnings])
    return load_dataset(str(to)), told


def refusal(folder: Path, **settings: object) -> str:
    """The message, once it is sure that nothing was left behind."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(DataError) as caught:
        prepared(folder, **settings)
    assert sorted(folder.parent.iterdir()) == before
    return str(caught.value)


def replaced(path: Path, old: str, new: str, count: int = 1) -> None:
    packed = path.name.endswith(".gz")
    text = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode()
    assert old in text
    content = text.replace(old, new, count).encode()
    path.write_bytes(gzip.compress(content) if packed else content)


def test_xena_tables_as_pandas_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_module, "BLOCK_BYTES", 1)  # blocks of a few lines
    folder = tmp_path / "xena"
    have = tables.xena(folder)
    dataset, told = prepared(folder, genes=4, sites=3)
    assert [modality.name for modality in dataset.modalities] == list(XENA)
    for name, file in XENA.items():
        expected = pd.read_csv(folder / file, sep="\t", index_col=0, compression="gzip").T
        if name in ("gene", "methylation"):
            best = expected.var().sort_values(ascending=False)
            expected = expected[sorted(best.index[: 4 if name == "gene" else 3])]
        pd.testing.assert_frame_equal(
            frame(dataset, name), expected.sort_index().astype(np.float32), check_names=False
        )
        assert frame(dataset, name).index.tolist() == sorted(have[name])
    assert "40 samples, 8 of them with all of 4 assays (paper: 7,017 with 4)" in told
    assert "these are of 3 tumour types (paper: 32)" in told


def test_the_label_is_the_tumour_type(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    dataset, _ = prepared(folder)
    assert dataset.label is not None
    assert (dataset.label.name, dataset.label.task) == ("tumour_type", "classification")
    named = [dataset.label.classes[code] for code in tables.codes(dataset.label)]
    assert named == [tables.tumour(sample) for sample in dataset.ids]


def test_gdc_tables_aliquots_proteins_turned_and_uncorrected_mirnas_left_out(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "gdc"
    names = tables.gdc(folder)
    dataset, told = prepared(folder)
    assert dataset.ids.tolist() == sorted(names)
    proteins = pd.read_csv(folder / GDC["protein"], sep="\t", index_col=0)
    expected = proteins.drop(columns="TumorType").astype(np.float32)
    expected.index = pd.Index([name[:15] for name in expected.index])
    pd.testing.assert_frame_equal(frame(dataset, "protein"), expected.sort_index())
    assert "rows of TCGA-RPPA-pancan-clean.txt are samples, as it was found; it is turned" in told
    mirnas = pd.read_csv(folder / GDC["mirna"], index_col=0)
    corrected = mirnas[mirnas.Correction == "Corrected"].index.tolist()
    assert frame(dataset, "mirna").columns.tolist() == sorted(corrected)
    assert "mirna: 4 features left out that the table marks as uncorrected" in told
    kept, _ = prepared(folder.rename(tmp_path / "again"), uncorrected=True)
    assert frame(kept, "mirna").shape[1] == 12


def test_a_table_turned_by_its_user_gives_the_same(tmp_path: Path) -> None:
    straight, turned = tmp_path / "straight", tmp_path / "turned"
    tables.xena(straight)
    tables.xena(turned)
    file = turned / XENA["gene"]
    whole = pd.read_csv(file, sep="\t", index_col=0, compression="gzip")
    whole.T.to_csv(file, sep="\t", compression="gzip", na_rep="NA")
    one, _ = prepared(straight, genes=5)
    other, told = prepared(turned, genes=5)
    assert one.fingerprint == other.fingerprint
    assert f"gene: rows of {XENA['gene']} are samples" in told


def test_only_complete_samples(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    have = tables.xena(folder)
    dataset, _ = prepared(folder, complete_only=True)
    complete = sorted(set.intersection(*map(set, have.values())))
    assert dataset.ids.tolist() == complete
    assert dataset.presence().all()
    left_out = (tmp_path / "xena.packed" / LEFT_OUT).read_text()
    assert left_out.count("lacks an assay") == 40 - len(complete)


def test_variance_is_taken_over_the_samples_that_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    have = tables.xena(folder)
    incomplete = next(s for s in have["gene"] if s not in have["protein"])
    whole = pd.read_csv(folder / XENA["gene"], sep="\t", index_col=0, compression="gzip")
    whole.loc["gene000", incomplete] = 1e6
    whole.to_csv(folder / XENA["gene"], sep="\t", compression="gzip")
    complete, _ = prepared(folder, genes=2, complete_only=True)
    assert "gene000" not in frame(complete, "gene")
    holes, _ = prepared(folder.rename(tmp_path / "again"), genes=2)
    assert "gene000" in frame(holes, "gene")


def test_missing_values_are_counted_and_features_with_many_are_no_candidates(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    whole = pd.read_csv(folder / XENA["methylation"], sep="\t", index_col=0, compression="gzip")
    whole.iloc[-1, :10] = np.nan  # the most variable one
    whole.iloc[-2, :2] = np.nan
    whole.iloc[-3, 3] = np.inf
    whole.iloc[0] = np.nan
    whole.to_csv(folder / XENA["methylation"], sep="\t", compression="gzip", na_rep="NA")
    dataset, told = prepared(folder, sites=3)
    assert frame(dataset, "methylation").columns.tolist() == [
        "methylation008",
        "methylation009",
        "methylation010",
    ]
    assert "1 features left out, values missing for over 10 % of the samples" in told
    assert "methylation: 1 features left out without any value" in told
    assert "methylation: 1 values infinite or too large: taken as missing" in told
    assert np.isnan(frame(dataset, "methylation")["methylation010"]).sum() == 2
    assert np.isnan(frame(dataset, "methylation")["methylation009"]).sum() == 1
    strict, _ = prepared(folder.rename(tmp_path / "again"), sites=3, max_missing=0.0)
    assert not np.isnan(frame(strict, "methylation")).any().any()


def test_a_sample_whose_column_is_empty_does_not_have_the_assay(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    whole = pd.read_csv(folder / XENA["mirna"], sep="\t", index_col=0, compression="gzip")
    empty = whole.columns[0]
    whole[empty] = np.nan
    whole.to_csv(folder / XENA["mirna"], sep="\t", compression="gzip")
    dataset, told = prepared(folder)
    assert empty not in frame(dataset, "mirna").index
    assert f"mirna: 1 samples without any value: '{empty}'" in told
    complete, _ = prepared(folder.rename(tmp_path / "again"), complete_only=True)
    assert empty not in complete.ids


def test_duplicates_vials_and_normals_by_the_rule(tmp_path: Path) -> None:
    folder = tmp_path / "gdc"
    names = tables.gdc(folder, count=20)
    path = folder / GDC["gene"]
    whole = pd.read_csv(path, sep="\t", index_col=0)
    sample = names[0]
    whole[tables.aliquot(sample, "B", "A999")] = -1.0
    whole[tables.aliquot(sample, "A", "A999")] = -2.0
    whole[tables.aliquot(f"{sample[:12]}-11")] = -3.0
    whole.to_csv(path, sep="\t")
    dataset, told = prepared(folder)
    assert (frame(dataset, "gene").loc[sample] == -2).all()
    assert "2 vials or aliquots of a sample that has another" in told
    assert "1 not of a tumour" in told
    left_out = pd.read_csv(tmp_path / "gdc.packed" / LEFT_OUT)
    assert sorted(left_out.id) == sorted(
        [
            tables.aliquot(sample),
            tables.aliquot(sample, "B", "A999"),
            tables.aliquot(f"{sample[:12]}-11"),
        ]
    )
    assert "# TCGA" in (tmp_path / "gdc.packed" / NOTES).read_text()
    normal, _ = prepared(folder.rename(tmp_path / "again"), normals=True)
    assert f"{sample[:12]}-11" in normal.ids


def test_logarithms_of_counts_but_not_of_logarithms(tmp_path: Path) -> None:
    folder = tmp_path / "gdc"
    tables.gdc(folder)
    assert "seem to be logarithms already" in refusal(folder, log2=True)
    for file, separator in ((GDC["gene"], "\t"), (GDC["mirna"], ",")):
        whole = pd.read_csv(folder / file, sep=separator, index_col=0)
        numbers = whole.select_dtypes("number").columns
        whole[numbers] = whole[numbers] * 1000 - 4000
        whole.to_csv(folder / file, sep=separator)
    dataset, _ = prepared(folder, log2=True)
    whole = pd.read_csv(folder / GDC["gene"], sep="\t", index_col=0).T
    whole.index = pd.Index([name[:15] for name in whole.index])
    expected = whole.clip(lower=0).add(1).apply(np.log2).sort_index().astype(np.float32)
    pd.testing.assert_frame_equal(frame(dataset, "gene"), expected, check_names=False)


def test_missing_and_extra_assays(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    (folder / XENA["mirna"]).unlink()
    (folder / "mc3.v0.2.8.PUBLIC.xena").write_text("sample\tchr\nTCGA-00-0000-01\t1\n")
    dataset, told = prepared(folder)
    assert [modality.name for modality in dataset.modalities] == ["gene", "protein", "methylation"]
    assert "has no table of 'mirna': prepared without" in told
    assert "Files that are not used: 'mc3.v0.2.8.PUBLIC.xena'" in told
    again = folder.rename(tmp_path / "again")
    two, _ = prepared(again, assays=("protein", "gene"))
    assert [modality.name for modality in two.modalities] == ["gene", "protein"]
    third = again.rename(tmp_path / "third")
    assert "no file that could be 'mirna'" in refusal(third, assays=("gene", "mirna"))


def test_two_files_of_one_assay_have_to_be_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    merged = "jhu-usc.edu_PANCAN_merged_HumanMethylation27_HumanMethylation450.tsv"
    (folder / merged).write_bytes((folder / XENA["methylation"]).read_bytes())
    assert "several files that could be 'methylation'" in refusal(folder)
    dataset, _ = prepared(folder, files={"methylation": merged})
    assert len(dataset.modalities) == 4
    assert "no file 'x'" in refusal(folder.rename(tmp_path / "b"), files={"gene": "x"})


def test_what_stands_against_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    folder.mkdir()
    assert "holds none of TCGA's tables (no files at all)" in refusal(folder)
    tables.xena(folder)
    assert "There is no assay 'rppa'" in refusal(folder, assays=("rppa",))
    replaced(folder / XENA["gene"], "TCGA-", "GTEX-", 100_000)
    message = refusal(folder)
    assert "names no samples: neither its header" in message
    assert "nor its first column ('gene000') holds TCGA barcodes" in message
    tables.xena(folder)
    replaced(folder / XENA["gene"], "gene003\t", "gene003\tx")
    assert "holds what is no number" in refusal(folder)
    tables.xena(folder)
    replaced(folder / XENA["gene"], "gene003\t", "\t")
    assert "features without a name" in refusal(folder)
    tables.xena(folder)
    names = tables.samples(200)[100:]
    tables.table(folder / XENA["mirna"], names, 5, 0, "mirna")
    assert "'mirna' has no sample in common with the other assays" in refusal(folder)


def test_clinical_tables_in_order_of_trust(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    rows = {name: ["01", "Primary Tumor", "some disease"] for name in tables.samples(40)}
    head = ["sample_type_id", "sample_type", "_primary_disease"]
    tables.write_table(folder / tables.PHENOTYPE, ["sample"], head, rows)
    _, told = prepared(folder)
    assert "'cancer type abbreviation'" in told
    assert "_primary_disease" not in told
    (folder / tables.SURVIVAL).unlink()
    again = folder.rename(tmp_path / "again")
    dataset, told = prepared(again)
    assert dataset.label is None
    assert "There is no label: 1 tumour type is known" in told
    # The GDC's, in latin-1 and by patient; it knows all but one.
    follow_up = {
        f"uuid-{name}": [
            name[:12],
            "[Not Available]" if not place else tables.tumour(name),
            "\xe9t\xe9",
        ]
        for place, name in enumerate(tables.samples(40))
    }
    path = again / tables.FOLLOW_UP
    tables.write_table(
        path, ["bcr_patient_uuid"], ["bcr_patient_barcode", "acronym", "x"], follow_up
    )
    path.write_bytes(path.read_text().encode("latin-1"))
    third = again.rename(tmp_path / "third")
    dataset, told = prepared(third)
    assert dataset.label is not None
    assert tables.codes(dataset.label).count(-1) == 1
    assert f"1 samples have no tumour type: '{tables.samples(1)[0]}'" in told


def test_clinical_tables_that_differ_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    quality = {tables.samples(1)[0][:12]: [tables.aliquot(tables.samples(1)[0]), "XXXX"]}
    tables.write_table(
        folder / tables.QUALITY, ["patient_barcode"], ["aliquot_barcode", "cancer type"], quality
    )
    dataset, told = prepared(folder)
    assert "Clinical tables differ on 1 samples' tumour type" in told
    assert dataset.label is not None
    assert dataset.label.classes == tables.TYPES


def test_from_an_address_of_fsspec(tmp_path: Path) -> None:
    folder = tmp_path / "xena"
    tables.xena(folder)
    system = fsspec.filesystem("memory")
    system.put(str(folder), "/tcga-xena", recursive=True)
    prepare_tcga("memory://tcga-xena", str(tmp_path / "remote"))
    prepare_tcga(str(folder), str(tmp_path / "local"))
    remote, local = load_dataset(str(tmp_path / "remote")), load_dataset(str(tmp_path / "local"))
    assert remote.fingerprint == local.fingerprint


@pytest.mark.parametrize("setting", [{"genes": 0}, {"sites": -1}, {"max_missing": 1.5}])
def test_settings_out_of_range(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="is out of range"):
        TcgaSettings(**setting)  # type: ignore[arg-type]
