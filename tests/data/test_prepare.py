from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from raymm.config import DataConfig
from raymm.data import sparsity, splits
from raymm.data.batch import Batch
from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.prepare import PreparedData, Split, prepare
from raymm.errors import DataError

COUNT = 120
CONFIG = DataConfig(sparsity=0.3)


def dataset(count: int = COUNT) -> Dataset:
    """A table with gaps, a constant and an empty column, a sequence, and a table without holes."""
    noise = np.random.default_rng(0)
    ids = np.array([f"s{number:04d}" for number in range(count)])
    rows = np.flatnonzero(noise.random(count) < 0.8)
    values = noise.normal(5, 3, size=(len(rows), 4)).astype(np.float32)
    values[:, 1] = 0.1
    values[:, 2] = np.nan
    values[noise.random(len(rows)) < 0.2, 3] = np.nan
    table = Modality("table", "table", rows, values, None, ("a", "b", "c", "d"))
    lengths = noise.integers(1, 30, size=count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    vectors = noise.normal(-2, 7, size=(offsets[-1], 3)).astype(np.float32)
    vectors[5, 1] = np.nan
    text = Modality("text", "sequence", np.arange(count), vectors, offsets, ("0", "1", "2"))
    full = noise.normal(size=(count, 2)).astype(np.float32)
    other = Modality("other", "table", np.arange(count), full, None, ("x", "y"))
    label = Label("y", "regression", noise.normal(size=count).astype(np.float32), ())
    return Dataset("made", ids, (table, text, other), label, "print")


DATA = dataset()
PREPARED = prepare(DATA, CONFIG)


def train_values(modality: Modality, index: int) -> NDArray[np.float32]:
    """Values of a modality in the masked train split, gathered sample by sample."""
    left = sparsity.apply(DATA, CONFIG.sparsity, CONFIG.mask_seed)
    assigned = splits.assign(DATA.ids, seed=0, validation_fraction=0.15, test_fraction=0.15)
    kept = []
    for row, sample in enumerate(modality.rows):
        if left[sample, index] and assigned[sample] == splits.TRAIN:
            offsets = modality.offsets
            part = slice(row, row + 1) if offsets is None else slice(offsets[row], offsets[row + 1])
            kept.append(modality.values[part])
    return np.concatenate(kept)


def expected(sample: str, index: int) -> NDArray[np.float32] | None:
    """Standardised values of one sample's modality, the slow way; None where it is absent."""
    modality = DATA.modalities[index]
    position = DATA.ids.tolist().index(sample)
    if not sparsity.apply(DATA, CONFIG.sparsity, CONFIG.mask_seed)[position, index]:
        return None
    row = modality.rows.tolist().index(position)
    offsets = modality.offsets
    part = slice(row, row + 1) if offsets is None else slice(offsets[row], offsets[row + 1])
    seen = train_values(modality, index)
    empty = np.isnan(seen).all(axis=0)
    scaler = StandardScaler().fit(np.where(empty, 0, seen))
    scaled: NDArray[np.float32] = scaler.transform(np.where(empty, np.nan, modality.values[part]))
    return np.nan_to_num(scaled) if modality.kind == "sequence" else scaled


def held(batch: Batch) -> dict[tuple[int, int], NDArray[np.float32]]:
    """What a batch holds: (position, modality) -> (vectors, width), padding cut off."""
    found = {}
    for block in batch.blocks:
        for row, position in enumerate(block.samples.tolist()):
            values = block.values[row].numpy()
            if values.ndim == 1:
                values = values[None, :]
            if block.lengths is not None:
                assert not values[int(block.lengths[row]) :].any()
                values = values[: int(block.lengths[row])]
            assert (position, block.modality) not in found
            found[position, block.modality] = values
    return found


def check_batch(split: Split, positions: list[int]) -> None:
    batch = split.batch(np.array(positions, dtype=np.int64))
    found = held(batch)
    assert batch.size == len(positions)
    for place, position in enumerate(positions):
        for index in range(len(DATA.modalities)):
            wanted = expected(str(split.ids[position]), index) if position >= 0 else None
            assert batch.presence[place, index] == (wanted is not None)
            assert ((place, index) in found) == (wanted is not None)
            if wanted is not None:
                np.testing.assert_allclose(found[place, index], wanted, atol=1e-5)


def table(split: Split, index: int) -> torch.Tensor:
    """All rows of a table that the samples of a split have, standardised, (rows, columns)."""
    blocks = split.batch(np.arange(split.size)).blocks
    return next(block.values for block in blocks if block.modality == index)


def test_every_sample_of_every_split_against_the_slow_way() -> None:
    for split in (PREPARED.train, PREPARED.validation, PREPARED.test):
        check_batch(split, list(range(split.size)))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-1, PREPARED.train.size - 1), min_size=1, max_size=12))
def test_any_batch_against_the_slow_way(positions: list[int]) -> None:
    check_batch(PREPARED.train, positions)


def test_blocks_keep_their_promises() -> None:
    batch = PREPARED.train.batch(np.arange(PREPARED.train.size))
    tables = [block for block in batch.blocks if block.values.ndim == 2]
    sequences = [block for block in batch.blocks if block.values.ndim == 3]
    assert [block.modality for block in tables] == [0, 2]
    assert [block.modality for block in batch.blocks] == [0, *[1] * len(sequences), 2]
    for block in batch.blocks:
        assert block.values.dtype == torch.float32 and block.samples.dtype == torch.int64
        if block.lengths is not None:
            assert block.lengths.dtype == torch.int64
            assert int(block.lengths.max()) == block.length > int(block.lengths.min())
            assert int(block.lengths.sum()) >= 0.9 * block.size * block.length


def test_padding_only_still_has_a_block_for_each_modality() -> None:
    batch = PREPARED.train.batch(np.array([-1, -1]))
    assert not batch.presence.any() and batch.presence.shape == (2, 3)
    assert [tuple(block.values.shape) for block in batch.blocks] == [(0, 4), (0, 1, 3), (0, 2)]


def test_splits_and_labels_belong_together() -> None:
    whole = [PREPARED.train, PREPARED.validation, PREPARED.test]
    everyone = np.concatenate([split.ids for split in whole])
    left = sparsity.apply(DATA, CONFIG.sparsity, CONFIG.mask_seed).any(axis=1)
    assert sorted(everyone.tolist()) == DATA.ids[left].tolist()
    assert DATA.label is not None
    of = dict(zip(DATA.ids.tolist(), DATA.label.values.tolist(), strict=True))
    for split in whole:
        assert split.labels is not None
        assert split.labels.tolist() == [of[sample] for sample in split.ids.tolist()]
        assert split.presence.any(axis=1).all()


def test_what_it_says_of_the_data() -> None:
    natural = DATA.presence()
    left = sparsity.apply(DATA, CONFIG.sparsity, CONFIG.mask_seed)
    assert PREPARED.sparsity_natural == pytest.approx(1 - natural.mean())
    assert PREPARED.sparsity_masked == pytest.approx(1 - left.mean())
    assert PREPARED.sparsity_realised == pytest.approx(1 - left[left.any(axis=1)].mean())
    assert PREPARED.samples_dropped == (~left.any(axis=1)).sum() > 0
    assert (PREPARED.label, PREPARED.task, PREPARED.classes) == ("y", "regression", ())
    table, text, other = PREPARED.specs
    assert (table.width, table.max_length, table.has_missing) == (4, 4, True)
    assert (text.kind, text.width, text.max_length, text.has_missing) == ("sequence", 3, 29, False)
    assert not other.has_missing


def test_the_other_splits_do_not_touch_the_scale() -> None:
    assigned = splits.assign(DATA.ids, seed=0, validation_fraction=0.15, test_fraction=0.15)
    other = DATA.modalities[2]
    values = np.where((assigned == splits.TRAIN)[:, None], other.values, 1e6).astype(np.float32)
    changed = dataclasses.replace(other, values=values)
    data = dataclasses.replace(DATA, modalities=(*DATA.modalities[:2], changed))
    torch.testing.assert_close(
        table(prepare(data, CONFIG).train, 2), table(PREPARED.train, 2), rtol=0, atol=0
    )


def test_a_column_that_nobody_trains_on_counts_as_missing() -> None:
    assigned = splits.assign(DATA.ids, seed=0, validation_fraction=0.15, test_fraction=0.15)
    other = DATA.modalities[2]
    values = other.values.copy()
    values[assigned == splits.TRAIN, 0] = np.nan
    data = dataclasses.replace(
        DATA, modalities=(*DATA.modalities[:2], dataclasses.replace(other, values=values))
    )
    prepared = prepare(data, CONFIG)
    for split in (prepared.train, prepared.validation, prepared.test):
        missing = torch.isnan(table(split, 2))
        assert missing.all(dim=0).tolist() == [True, False]
        assert not missing[:, 1].any()
    assert prepared.specs[2].has_missing


def test_a_higher_sparsity_keeps_samples_in_their_split() -> None:
    def places(data: PreparedData) -> dict[str, int]:
        whole = (data.train, data.validation, data.test)
        return {str(one): place for place, split in enumerate(whole) for one in split.ids}

    low, high = places(PREPARED), places(prepare(DATA, DataConfig(sparsity=0.6)))
    assert high.items() <= low.items() and len(high) < len(low)


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"The test split is empty: .* of 120 .* sparsity 0\.3.*Use"
    ):
        prepare(DATA, dataclasses.replace(CONFIG, test_fraction=1e-9))


def test_a_modality_that_nobody_trains_on_is_an_error() -> None:
    assigned = splits.assign(DATA.ids, seed=0, validation_fraction=0.15, test_fraction=0.15)
    tested = np.flatnonzero(assigned == splits.TEST)[:4]
    few = dataclasses.replace(
        DATA.modalities[2], rows=tested, values=np.eye(4, 2, dtype=np.float32)
    )
    data = dataclasses.replace(DATA, modalities=(*DATA.modalities[:2], few))
    with pytest.raises(
        DataError, match=r"train split has the modality 'other' at sparsity 0\.3: 4 of 120"
    ):
        prepare(data, CONFIG)


def test_nothing_is_copied_and_cells_of_a_condition_share_the_scale() -> None:
    again = prepare(DATA, dataclasses.replace(CONFIG, validation_fraction=0.15))
    other = prepare(DATA, dataclasses.replace(CONFIG, mask_seed=1))
    for index, modality in enumerate(DATA.modalities):
        for split in (PREPARED.train, PREPARED.validation, PREPARED.test):
            assert split.columns[index].values is modality.values
        scaling = PREPARED.train.columns[index].scaling
        assert again.test.columns[index].scaling is scaling
        assert other.test.columns[index].scaling is not scaling


def test_read_only_arrays_of_another_process_serve_as_well() -> None:
    """As Ray's object store hands them out: pickled with the arrays' bytes beside the pickle."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(DATA, protocol=5, buffer_callback=buffers.append)
    received = pickle.loads(content, buffers=[bytes(buffer) for buffer in buffers])
    assert not received.modalities[0].values.flags.writeable
    assert len(content) < 20_000
    split = prepare(received, CONFIG).train
    positions = np.arange(split.size)
    wanted, found = held(PREPARED.train.batch(positions)), held(split.batch(positions))
    assert wanted.keys() == found.keys()
    for place, values in wanted.items():
        np.testing.assert_array_equal(found[place], values)
