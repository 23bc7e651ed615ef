"""The cells of the sweep over fusion operations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.config import ATTENTION_OPERATIONS, FUSION_OPERATIONS
from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.prepare import prepare
from raymm.errors import ConfigError
from raymm.sweep.operations import ConvirtSettings, OperationSettings, fraction_for


def tokens(samples: int = 500, kind: str = "sequence") -> Dataset:
    rows = np.arange(samples)
    values = np.random.default_rng(0).normal(size=(2 * samples, 3)).astype(np.float32)
    offsets = np.arange(samples + 1) * 2
    sequence = Modality("image", "sequence", rows, values, offsets, ("0", "1", "2"))
    table = Modality("image", "table", rows, values[:samples], None, ("0", "1", "2"))
    text = Modality("text", "sequence", rows, values, offsets, ("0", "1", "2"))
    ids = np.array([f"{row:04}" for row in rows])
    label = Label("kind", "classification", rows % 2, ("a", "b"))
    return Dataset("pairs", ids, (sequence if kind == "sequence" else table, text), label, "f")


def test_every_operation_is_a_cell_and_they_differ_in_nothing_else() -> None:
    cells = OperationSettings(seeds=(0, 1)).expand(tokens())
    assert len({cell.key for cell in cells}) == len(cells) == 10
    operations = [cell.config.model.fusion_operation for cell in cells]
    assert {operations.count(each) for each in FUSION_OPERATIONS} == {2}
    assert {cell.config.data for cell in cells} == {cells[0].config.data}
    assert {cell.config.model.name for cell in cells} == {"cbmf"}
    pooling = {c.config.model.fusion_operation: c.config.model.pool_tokens for c in cells}
    assert {cell.config.model.encoders for cell in cells} == {()}  # they have run before
    assert {each for each in pooling if not pooling[each]} == set(ATTENTION_OPERATIONS)
    assert "cbmf dot_attention S=0 seed=1" in {cell.title for cell in cells}


@pytest.mark.parametrize("count", [50, 200])
def test_just_so_many_pairs_are_held_out(count: int) -> None:
    dataset = tokens()
    cell = OperationSettings(held_out=count, operations=("add",)).expand(dataset)[0]
    prepared = prepare(dataset, cell.config.data)
    assert prepared.test.size == count
    other = OperationSettings(held_out=count, operations=("add",), split_seed=3).expand(dataset)[0]
    assert prepare(dataset, other.config.data).test.size == count


def test_groups_are_held_out_whole() -> None:
    plain = tokens()
    grouped = replace(plain, ids=np.array([f"{row // 5:04}#{row % 5}" for row in range(500)]))
    cell = OperationSettings(held_out=52, operations=("add",)).expand(grouped)[0]
    assert prepare(grouped, cell.config.data).test.size == 55


def test_two_hundred_are_held_out_unless_asked_otherwise() -> None:
    cells = OperationSettings().expand(tokens())
    assert prepare(tokens(), cells[0].config.data).test.size == 200
    cells = OperationSettings(test_fraction=0.3).expand(tokens())
    assert cells[0].config.data.test_fraction == 0.3


def test_settings_given_go_before_the_sweeps_own() -> None:
    own = OperationSettings().expand(tokens())[0].config
    given = OperationSettings(epochs=3, width=64, learning_rate=0.01).expand(tokens())[0].config
    assert (given.train.epochs, given.model.width, given.train.learning_rate) == (3, 64, 0.01)
    assert own.train.epochs == 500 and own.train.patience > 0
    assert given.train.batch_size == own.train.batch_size
    hard = OperationSettings(soft_targets=False).expand(tokens())[0].config
    assert (own.loss.cbmf_targets, hard.loss.cbmf_targets) == ("soft", "hard")


def test_attention_over_pooled_vectors_is_refused_and_the_others_are_not() -> None:
    dataset = tokens(kind="table")
    with pytest.raises(ConfigError, match=r"dot_attention, additive_attention .* \(image\)"):
        OperationSettings().expand(dataset)
    assert len(OperationSettings(operations=("add", "multiply")).expand(dataset)) == 2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'add'"):
        OperationSettings(operations=("ad",))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="both say how many"):
        OperationSettings(held_out=50, test_fraction=0.1)
    with pytest.raises(ConfigError, match="held-out 1 "):
        OperationSettings(held_out=1)
    with pytest.raises(ConfigError, match="leaves too few"):
        fraction_for(tokens(), 250, 0)
    with pytest.raises(ConfigError, match="compares cbmf and convirt"):
        OperationSettings(models=("mca",))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="each only once"):
        OperationSettings(models=("cbmf", "cbmf"))


def test_more_than_two_modalities_are_refused_before_anything_is_trained() -> None:
    two = tokens()
    third = replace(two.modalities[1], name="sound")
    with pytest.raises(ConfigError, match=r"has 3: image, text, sound"):
        OperationSettings().expand(replace(two, modalities=(*two.modalities, third)))


def test_convirt_has_the_splits_of_cbmf_and_its_own_step() -> None:
    raw = replace(tokens(), modalities=tuple(replace(m, raw=True) for m in tokens().modalities))
    (cell,) = ConvirtSettings(encoder=("image=vit", "minilm")).expand(raw)
    assert cell.config.model.encoders == ("vit", "minilm")
    cbmf = OperationSettings(operations=("add",)).expand(tokens())[0].config
    assert cell.config.data == cbmf.data
    assert cell.config.train.learning_rate < cbmf.train.learning_rate
