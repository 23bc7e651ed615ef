"""Sequences from end to end: cut at a length, ragged on disk and in training, hardly padded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from raymm.config import DataConfig
from raymm.data.dataset import Dataset
from raymm.data.loader import train_batches
from raymm.data.pack import pack
from raymm.data.pack_writer import PackWriter
from raymm.data.prepare import prepare
from raymm.data.prepared import Split
from raymm.data.sources import load_dataset
from raymm.data.sources.folder import survey_folder
from raymm.errors import DataError
from tests.data.sources import folders

LONGEST = {"words": 50, "sound": 1500, "face": 450}


def talk(count: int) -> NDArray[np.float64]:
    """Seconds that people speak in one go: skewed, most are 3 to 12, some a minute."""
    return np.random.default_rng(0).lognormal(np.log(7), 0.7, size=count)


def clips(folder: Path, count: int = 1200) -> str:
    """A packed set with lengths as of CMU-MOSEI's clips: words, sound at 100 Hz, faces at 30 Hz."""
    seconds = talk(count)
    ids = [f"{number:05d}" for number in range(count)]
    with PackWriter(folder / "clips", name="clips") as writer:
        for (name, longest), rate in zip(LONGEST.items(), (2.6, 100, 30), strict=True):
            lengths = np.clip(seconds * rate, 1, longest).astype(np.int64)
            writer.modality(name, "sequence", ["0", "1"])
            values = np.random.default_rng(1).normal(size=(int(lengths.sum()), 2))
            writer.append(name, ids, values.astype(np.float32), lengths)
    return str(folder / "clips")


def padding(split: Split, batch_size: int) -> float:
    """Share of the tokens of an epoch's batches that is padding."""
    computed = real = 0
    for batch in train_batches(split, batch_size=batch_size, seed=0, epoch=0, rank=0, world_size=1):
        for block in batch.blocks:
            computed += block.size * block.length
            full = block.size * block.length
            real += full if block.lengths is None else int(block.lengths.sum())
    return 1 - real / computed


@pytest.mark.parametrize("batch_size", [8, 32, 256])
def test_at_most_a_tenth_of_the_tokens_is_padding(tmp_path: Path, batch_size: int) -> None:
    split = prepare(load_dataset(clips(tmp_path)), DataConfig(sparsity=0.2)).train
    assert padding(split, batch_size) <= 0.1
    # The lengths are such that padding to the longest of each batch would waste far more.
    lengths = np.clip(talk(1200) * 100, 1, 1500)
    batches = lengths[: 1200 // batch_size * batch_size].reshape(-1, batch_size)
    assert 1 - batches.sum() / (batches.max(axis=1) * batch_size).sum() > 0.25


def study(folder: Path, toml: str) -> str:
    """Sequences of 1 to 9 vectors, and a table."""
    folder.mkdir()
    names = folders.ids(30)
    rows = {
        name: [[float(step), float(place)] for step in range(1 + place % 9)]
        for place, name in enumerate(names)
    }
    folders.write_sequences(folder / "notes.parquet", rows)  # type: ignore[arg-type]
    (folder / "dataset.toml").write_text(toml)
    return folders.write(folder, vitals=folders.features(names))


def lengths_of(dataset: Dataset) -> NDArray[np.int64]:
    offsets = next(each for each in dataset.modalities if each.name == "notes").offsets
    assert offsets is not None
    return np.diff(offsets)


def test_dataset_toml_cuts_sequences_and_the_survey_says_how_many(tmp_path: Path) -> None:
    whole = load_dataset(study(tmp_path / "whole", ""))
    address = study(tmp_path / "cut", "[max_length]\nnotes = 4\n")
    cut = load_dataset(address)
    assert lengths_of(cut).tolist() == np.minimum(lengths_of(whole), 4).tolist()
    notes = next(each for each in cut.modalities if each.name == "notes")
    assert notes.offsets is not None
    for row in range(30):
        vectors = notes.values[notes.offsets[row] : notes.offsets[row + 1]]
        assert vectors[:, 0].tolist() == list(range(len(vectors)))
    assert cut.fingerprint != whole.fingerprint
    found = [problem.message for problem in survey_folder(address).problems]
    over = int((lengths_of(whole) > 4).sum())
    assert any(f"{over} of 30 sequences are cut to their first 4 vectors" in text for text in found)
    assert not [text for text in (p.message for p in survey_folder(str(tmp_path / "whole")).problems)
                if "cut" in text]  # fmt: skip
    pack(cut, str(tmp_path / "packed"))
    assert load_dataset(str(tmp_path / "packed")).fingerprint == cut.fingerprint


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("notes = 0", "should be 1 or more"),
        ("notes = true", "should be 1 or more"),
        ('notes = "4"', "should be 1 or more"),
        ("note = 4", "did you mean 'notes'"),
        ("vitals = 4", "is for sequences"),
    ],
)
def test_lengths_that_cannot_be(tmp_path: Path, entry: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        load_dataset(study(tmp_path / "study", f"[max_length]\n{entry}\n"))


ORDER = """
import sys
from raymm.config import DataConfig
from raymm.data.loader import train_batches
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
split = prepare(load_dataset(sys.argv[1]), DataConfig()).train
batches = train_batches(split, batch_size=8, seed=3, epoch=int(sys.argv[2]), rank=0, world_size=1)
print([float(batch.blocks[0].values.sum()) for batch in batches])
"""


def order_elsewhere(address: str, epoch: int) -> str:
    """What another process takes."""
    command = [sys.executable, "-c", ORDER, address, str(epoch)]
    environment = {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def order(split: Split, epoch: int) -> str:
    batches = train_batches(split, batch_size=8, seed=3, epoch=epoch, rank=0, world_size=1)
    return str([float(batch.blocks[0].values.sum()) for batch in batches])


def test_the_order_of_a_mapped_set_is_global_seeded_and_outlives_the_process(
    tmp_path: Path,
) -> None:
    address = clips(tmp_path, 200)
    split = prepare(load_dataset(address), DataConfig()).train
    assert order_elsewhere(address, 1) == order(split, 1) != order(split, 0)
    options = {"batch_size": 8, "seed": 3, "world_size": 1, "rank": 0}
    seen = np.zeros(split.size, np.int64)
    spread = []
    taken: list[NDArray[np.int64]] = []
    recorded = Split(split.ids, split.presence, None, split.columns)

    def noted(positions: NDArray[np.int64]) -> object:
        taken.append(positions)
        return Split.batch(recorded, positions)

    object.__setattr__(recorded, "batch", noted)
    for _ in train_batches(recorded, epoch=0, **options):
        seen[taken[-1]] += 1
        spread.append(np.ptp(taken[-1]))
    assert seen.max() == 1
    assert seen.sum() == split.size // 8 * 8
    # Batches come from all over the set, not from a window of it.
    assert np.mean(spread) > 0.6 * split.size
