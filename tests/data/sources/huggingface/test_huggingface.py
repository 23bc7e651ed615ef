"""Folders that `datasets` wrote: read as they are, and packed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raymm.data.check import check_dataset, usable
from raymm.data.dataset import Dataset, Modality
from raymm.data.sources import load_dataset
from raymm.data.sources.huggingface import prepare as module
from raymm.data.sources.huggingface.prepare import HuggingFaceSettings, prepare_huggingface
from raymm.errors import ConfigError, DataError
from tests.data.sources.huggingface import folders


def modality(dataset: Dataset, name: str) -> Modality:
    return next(each for each in dataset.modalities if each.name == name)


def refusal(address: str) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(address)
    return str(caught.value)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_paper_s_tcga_set_as_it_is(tmp_path: Path, shards: int) -> None:
    table = folders.tcga()
    dataset = load_dataset(folders.save(tmp_path / "tcga", table, shards))
    assert dataset.ids.tolist() == table["tcga_index"].to_pylist()
    for name in ("gene", "protein", "methylation", "mirna"):
        expected = [row["values"] for row in table[name].to_pylist()]
        assert np.array_equal(modality(dataset, name).values, np.array(expected, np.float32))
    assert dataset.label is not None
    assert dataset.label.classes == ("ACC", "BLCA", "BRCA", "CESC", "CHOL")
    assert dataset.label.values.tolist() == [number % 5 for number in range(30)]
    other = load_dataset(str(tmp_path / "tcga"), ("mirna", "gene"), "ttd")
    assert [each.name for each in other.modalities] == ["mirna", "gene"]
    assert other.label is not None
    assert np.isnan(other.label.values).sum() == 15


def test_the_paper_s_mosei_set_with_modalities_dropped(tmp_path: Path) -> None:
    table = folders.mosei(missing=True)
    dataset = load_dataset(folders.save(tmp_path / "cmu", table))
    for name in ("COVAREP", "glove_vectors"):
        column = modality(dataset, name)
        assert column.offsets is not None
        present = [row["data"] for row in table[name].to_pylist() if row["data"] is not None]
        assert 0 < len(present) < 20
        assert np.array_equal(column.values, np.concatenate(present).astype(np.float32))
        assert np.diff(column.offsets).tolist() == [len(rows) for rows in present]
    assert dataset.label is not None
    scores = {f"{n:02d}": row[0][0] for n, row in enumerate(table["Labels"].to_pylist())}
    expected = [(scores[sample] + 3) / 6 for sample in dataset.ids]
    assert np.allclose(dataset.label.values, expected)


@pytest.mark.parametrize("make", [folders.tcga, folders.mosei])
def test_packed_it_is_the_same_data_set(tmp_path: Path, make: object) -> None:
    address = folders.save(tmp_path / "saved", make())  # type: ignore[operator]
    made = prepare_huggingface(address, str(tmp_path / "packed"))
    packed = load_dataset(str(tmp_path / "packed"))
    assert packed.fingerprint == load_dataset(address).fingerprint
    assert made.samples == len(packed.ids)
    assert usable(check_dataset(address))


def test_rows_out_of_order_and_an_id_column_of_choice(tmp_path: Path) -> None:
    table = folders.tcga()
    order = np.random.default_rng(3).permutation(30)
    one = load_dataset(folders.save(tmp_path / "one", table))
    other = load_dataset(folders.save(tmp_path / "other", table.take(order), 2))
    assert one.fingerprint == other.fingerprint
    named = table.rename_columns(
        ["subject" if name == "tcga_index" else name for name in table.column_names]
    )
    address = folders.save(tmp_path / "named", named)
    prepare_huggingface(address, str(tmp_path / "p"), HuggingFaceSettings(id="subject"))
    assert load_dataset(str(tmp_path / "p")).ids.tolist() == one.ids.tolist()
    assert load_dataset(address).ids[0] == "00"


def test_the_padding_of_the_paper_s_code_is_a_missing_value(tmp_path: Path) -> None:
    table = folders.tcga()
    rows = table["protein"].to_pylist()
    rows[3]["values"][2] = -10000.0
    rows[4] = None
    table = table.set_column(table.column_names.index("protein"), "protein", pa.array(rows))
    address = folders.save(tmp_path / "saved", table)
    made = prepare_huggingface(address, str(tmp_path / "packed"))
    assert "protein: 1 (0.57 %) values are -10000.0: taken as missing." in made.notes.facts
    proteins = modality(load_dataset(address), "protein")
    assert np.argwhere(np.isnan(proteins.values)).tolist() == [[3, 2]]
    assert 4 not in proteins.rows


def test_sequences_are_cut(tmp_path: Path) -> None:
    address = folders.save(tmp_path / "saved", folders.mosei())
    settings = HuggingFaceSettings(max_length={"COVAREP": 2})
    made = prepare_huggingface(address, str(tmp_path / "packed"), settings)
    offsets = modality(load_dataset(str(tmp_path / "packed")), "COVAREP").offsets
    assert offsets is not None
    assert np.diff(offsets).max() == 2
    assert any("COVAREP: 10 sequences were cut to their first 2" in f for f in made.notes.facts)
    with pytest.raises(ConfigError, match="no modality 'covarep'"):
        prepare_huggingface(
            address, str(tmp_path / "x"), HuggingFaceSettings(max_length={"covarep": 2})
        )


def test_splits_are_read_as_one_set(tmp_path: Path) -> None:
    table = folders.tcga()
    folders.save(tmp_path / "both" / "train", table.slice(0, 20))
    folders.save(tmp_path / "both" / "test", table.slice(20))
    (tmp_path / "both" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    whole = load_dataset(folders.save(tmp_path / "whole", table))
    assert load_dataset(str(tmp_path / "both")).fingerprint == whole.fingerprint


def test_cut_and_damaged_files_are_told(tmp_path: Path) -> None:
    address = folders.save(tmp_path / "saved", folders.tcga())
    file = tmp_path / "saved" / "data-00000-of-00001.arrow"
    whole = file.read_bytes()
    for cut in (0, 5, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert "It is cut or damaged: copy it again" in refusal(address)
    file.unlink()
    assert "is missing. Copy the folder again" in refusal(address)
    state = tmp_path / "saved" / "state.json"
    state.write_text("{")
    assert "state.json cannot be read" in refusal(address)
    state.write_text(json.dumps({"_data_files": [{"filename": "../secret.arrow"}]}))
    assert "names no files" in refusal(address)


def test_what_is_no_modality_is_told(tmp_path: Path) -> None:
    good = folders.tcga()
    texts = good.append_column("note", pa.array([{"values": ["a"]}] * 30))
    assert "column 'note' is of type" in refusal(folders.save(tmp_path / "a", texts))
    odd = good.append_column("x", pa.array([{"left": 1, "right": 2}] * 30))
    assert "holds 'left' and 'right'" in refusal(folders.save(tmp_path / "b", odd))
    none = good.select(["tcga_index", "Labels"])
    assert "has no column of {values: ...}" in refusal(folders.save(tmp_path / "c", none))
    ragged = good.append_column("r", pa.array([{"data": [[1.0], [1.0, 2.0]]}] * 30))
    assert "has vectors of the widths" in refusal(folders.save(tmp_path / "d", ragged))
    uneven = good.append_column("u", pa.array([{"values": [1.0] * (1 + n % 2)} for n in range(30)]))
    assert "It should be numbers of shape (vectors, 1)" in refusal(
        folders.save(tmp_path / "e", uneven)
    )
    twice = good.set_column(0, "tcga_index2", good["tcga_index"]).drop_columns(["tcga_index"])
    twice = twice.append_column("id", pa.array(["same"] * 30))
    assert "does not name the samples: 0 have no name, 29 one that another has" in refusal(
        folders.save(tmp_path / "f", twice)
    )
    empty = good.slice(0, 0)
    assert "has no rows" in refusal(folders.save(tmp_path / "g", empty))


def test_what_is_too_large_for_memory_is_to_be_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = folders.save(tmp_path / "saved", folders.tcga())
    monkeypatch.setattr(module, "MOST_IN_MEMORY", 1000)
    assert "raymm data prepare huggingface --from" in refusal(address)


def test_columns_of_single_values_are_labels(tmp_path: Path) -> None:
    table = folders.tcga().drop_columns(["Labels", "ttd"])
    table = table.append_column("site", pa.array(["a", "b", None] * 10))
    table = table.append_column("stage", pa.array([1, 2, 3] * 10))
    table = table.append_column("note", pa.array([f"text {number}" for number in range(30)]))
    order = np.random.default_rng(0).permutation(30)
    address = folders.save(tmp_path / "saved", table.take(order))
    site = load_dataset(address, (), "site").label
    assert site is not None
    assert (site.classes, site.values.tolist()) == (("a", "b"), [0, 1, -1] * 10)
    stage = load_dataset(address, (), "stage").label
    assert stage is not None
    assert (stage.task, stage.values.tolist()) == ("classification", [0, 1, 2] * 10)


def test_a_folder_at_an_address_is_the_same_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    folder = folders.save(tmp_path / "tcga", folders.tcga(), 3)
    local, address = load_dataset(folder), f"file://{folder}"
    assert load_dataset(address).fingerprint == local.fingerprint
    assert load_dataset(address).name == local.name == "tcga"
    assert usable(check_dataset(address))
    prepare_huggingface(address, str(tmp_path / "packed"))
    packed = load_dataset(str(tmp_path / "packed"))
    assert (packed.name, packed.ids.tolist()) == ("tcga", local.ids.tolist())


def test_too_large_a_folder_is_refused_before_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    monkeypatch.setattr(module, "MOST_IN_MEMORY", 10)
    folder = folders.save(tmp_path / "tcga", folders.tcga())
    assert "too much for memory" in refusal(f"file://{folder}")
    assert not (tmp_path / "copies").exists()
