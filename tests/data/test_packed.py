from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raymm.cli import main
from raymm.config import DataConfig
from raymm.data import dataset as datasets
from raymm.data import mapped, packed
from raymm.data.dataset import Dataset
from raymm.data.fingerprint import fingerprint
from raymm.data.pack import pack
from raymm.data.packed import PackedDataset, open_packed
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.errors import DataError
from tests.data.sources import folders
from tests.data.test_prepare import DATA, held

MADE = dataclasses.replace(DATA, fingerprint=fingerprint(DATA.ids, DATA.modalities, DATA.label))
CONFIG = DataConfig(sparsity=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The data set of the tests of `prepare`, packed a few rows at a time."""
    to = tmp_path_factory.mktemp("sets") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "PART_ELEMENTS", 50)
        pack(MADE, str(to))
    assert [path.name for path in to.parent.iterdir()] == ["made"]
    return str(to)


def same(one: Dataset, other: Dataset) -> None:
    assert (one.name, one.licence, one.fingerprint) == (
        other.name,
        other.licence,
        other.fingerprint,
    )
    np.testing.assert_array_equal(one.ids, other.ids)
    for ours, theirs in zip(one.modalities, other.modalities, strict=True):
        assert (ours.name, ours.kind, ours.columns) == (theirs.name, theirs.kind, theirs.columns)
        assert ours.has_missing == theirs.has_missing
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_array_equal(ours.offsets, theirs.offsets)
    if one.label is None or other.label is None:
        assert one.label is other.label
        return
    assert dataclasses.replace(one.label, values=other.label.values) == other.label
    np.testing.assert_array_equal(one.label.values, other.label.values)


def test_a_packed_set_is_the_set_that_was_packed(folder: str) -> None:
    opened = load_dataset(folder)
    same(opened, MADE)
    assert opened.fingerprint == fingerprint(opened.ids, opened.modalities, opened.label)
    for modality in opened.modalities:
        values = np.asarray(modality.values)
        assert modality.mapping is not None
        assert not values.flags.writeable and not values.flags.owndata


def test_batches_are_the_same_to_the_bit(folder: str) -> None:
    ours, theirs = prepare(load_dataset(folder), CONFIG), prepare(MADE, CONFIG)
    assert ours.specs == theirs.specs
    for name in ("train", "validation", "test"):
        split, other = getattr(ours, name), getattr(theirs, name)
        positions = np.random.default_rng(0).permutation(split.size)
        found, wanted = held(split.batch(positions)), held(other.batch(positions))
        assert found.keys() == wanted.keys()
        for place, values in wanted.items():
            np.testing.assert_array_equal(found[place], values)


def test_a_set_larger_than_may_stay_mapped_gives_the_same(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(mapped, "SWEEP_BYTES", 100)
    test_batches_are_the_same_to_the_bit(folder)
    table = open_packed(folder).modalities[0]
    assert table.mapping is not None
    index = np.array([[3, 0], [1, 3]])
    np.testing.assert_array_equal(
        table.mapping.gather(table.values, index), np.array(table.values)[index]
    )


def test_a_large_table_that_shrinks_while_in_use_is_an_error(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "RESIDENT_BYTES", 100)
    table = open_packed(str(copied(folder, tmp_path / "set"))).modalities[0]
    assert table.kind == "table"
    assert table.mapping is not None
    with table.mapping.path.open("r+b") as file:
        file.truncate(10)
    with pytest.raises(DataError, match="was cut while it was in use"):
        table.mapping.gather(table.values, np.array([0]))


def test_a_file_that_shrinks_while_in_use_is_an_error(folder: str, tmp_path: Path) -> None:
    split = prepare(open_packed(str(copied(folder, tmp_path / "set"))), CONFIG).train
    with (tmp_path / "set" / "modalities" / "text.arrow").open("r+b") as file:
        file.truncate(2000)
    text = split.columns[1]
    with pytest.raises(DataError, match=r"text\.arrow was cut while it was in use"):
        text.blocks(1, np.arange(split.size))


def test_other_arrow_programs_read_it(folder: str) -> None:
    with pa.memory_map(f"{folder}/modalities/text.arrow") as source:
        table = pa.ipc.open_file(source).read_all().to_pylist()
    text = MADE.modalities[1]
    assert text.offsets is not None
    assert [row["sample"] for row in table] == text.rows.tolist()
    np.testing.assert_array_equal(
        np.array(table[3]["values"], np.float32), text.values[text.offsets[3] : text.offsets[4]]
    )


def test_some_modalities_are_those_of_the_source(tmp_path: Path) -> None:
    address = folders.two_views(tmp_path)
    kinds = ["only without audio"] * 5 + ["a", "b"] * 17
    lines = [f"{name},{kind}" for name, kind in zip(folders.ids(39), kinds, strict=True)]
    (tmp_path / "labels.parquet").unlink()
    (tmp_path / "labels.csv").write_text("\n".join(["id,kind", *lines]))
    assert main(["data", "pack", address, "--to", str(tmp_path / "packed")]) == 0
    for names in ((), ("audio",), ("video", "audio"), ("video",)):
        ours, theirs = (
            load_dataset(str(tmp_path / "packed"), names),
            load_dataset(address, names),
        )
        same(ours, dataclasses.replace(theirs, name=ours.name))
    with pytest.raises(DataError, match=r"no modality 'vidio': did you mean 'video'"):
        load_dataset(str(tmp_path / "packed"), ("vidio",))
    with pytest.raises(DataError, match=r"packed without the label 'x'.*Known: kind"):
        load_dataset(str(tmp_path / "packed"), label="x")


def test_pickled_it_is_its_address(folder: str, tmp_path: Path) -> None:
    opened = load_dataset(folder, ("other", "text"))
    assert isinstance(opened, PackedDataset) and Path(opened.address).is_absolute()
    prepare(opened, CONFIG)
    content = pickle.dumps(opened)
    assert len(content) < 1000
    same(pickle.loads(content), opened)
    Path(folder).rename(tmp_path / "elsewhere")
    try:
        text, other = MADE.modalities[1:]
        changed = dataclasses.replace(other, values=other.values + np.float32(1))
        pack(dataclasses.replace(MADE, modalities=(text, changed)), folder)
        with pytest.raises(DataError, match=r"holds another data set .* than it did"):
            pickle.loads(content)
    finally:
        Path(folder).rename(tmp_path / "wrong")
        (tmp_path / "elsewhere").rename(folder)


def copied(folder: str, to: Path) -> Path:
    pack(open_packed(folder), str(to))
    return to


@pytest.mark.parametrize(
    "file", ["samples.arrow", "modalities/text.arrow", "modalities/table.arrow"]
)
def test_a_shorter_or_missing_file_is_noticed(folder: str, tmp_path: Path, file: str) -> None:
    path = copied(folder, tmp_path / "set") / file
    content = path.read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"{path.name} has {size:,} bytes, .*Copy"):
            load_dataset(str(tmp_path / "set"))
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name} is missing"):
        load_dataset(str(tmp_path / "set"))


def test_any_cut_of_the_manifest_is_noticed(folder: str, tmp_path: Path) -> None:
    path = copied(folder, tmp_path / "set") / "packed.json"
    content = path.read_text()
    for size in range(0, len(content) - 1, 97):
        path.write_text(content[:size])
        with pytest.raises(DataError, match=r"packed\.json cannot be read"):
            load_dataset(str(tmp_path / "set"))
    path.write_text(content.replace('"version": 1', '"version": 7'))
    with pytest.raises(DataError, match="is of format 7, this raymm reads 1"):
        load_dataset(str(tmp_path / "set"))
    path.write_text(content.replace('"kind": "table"', '"kind": "sequence"'))
    with pytest.raises(DataError, match=r"table\.arrow is not what packed\.json says"):
        load_dataset(str(tmp_path / "set"))


@pytest.mark.parametrize("file", ["samples.arrow", "modalities/text.arrow"])
def test_flipped_bytes_are_noticed_or_harmless(folder: str, tmp_path: Path, file: str) -> None:
    path = copied(folder, tmp_path / "set") / file
    content = path.read_bytes()
    noise = np.random.default_rng(0)
    places = np.concatenate([noise.integers(0, 900, 150), noise.integers(0, len(content), 150)])
    noticed = 0
    for place in places.tolist():
        damaged = bytearray(content)
        damaged[place] ^= int(noise.integers(1, 256))
        path.write_bytes(damaged)
        try:
            opened = open_packed(str(tmp_path / "set"))
        except DataError:
            noticed += 1
            continue
        if opened.damaged():
            noticed += 1
        else:
            same(opened, MADE)
    assert noticed > 100


def test_check_reads_every_value(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    address = copied(folder, tmp_path / "set")
    assert main(["data", "check", str(address)]) == 0
    assert MADE.fingerprint in capsys.readouterr().out
    path = address / "modalities" / "other.arrow"
    content = bytearray(path.read_bytes())
    content[content.index(MADE.modalities[2].values.tobytes()) + 6] ^= 1
    path.write_bytes(content)
    assert main(["data", "check", str(address)]) == 1
    assert "the values of 'other' are not those that were packed" in capsys.readouterr().out
