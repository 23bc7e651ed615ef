"""Cells scored as tasks on a Ray; one that cannot be takes no other with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raymm.config import CellConfig, DataConfig, ModelConfig, TrainConfig
from raymm.data.sources import load_dataset
from raymm.errors import ConfigError
from raymm.sweep.cross_settings import CrossSettings
from raymm.sweep.cross_sparsity import score_cells
from raymm.training.cross_sparsity import read_scores
from raymm.training.loop import train_cell


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_cells_are_scored_and_a_lost_one_says_why(tmp_path: Path) -> None:
    digits = load_dataset("digits", modalities=("zer", "mor"))
    folders = {}
    for seed in (0, 1):
        cell = CellConfig(
            data=DataConfig(sparsity=0.4, modalities=("zer", "mor")),
            model=ModelConfig(name="zorro", width=8, depth=1, heads=1, head_size=8),
            train=TrainConfig(epochs=1, batch_size=128, warmup_steps=2, seed=seed),
        )
        folders[f"cell{seed}"] = str(tmp_path / f"cell{seed}")
        train_cell(
            cell,
            digits,
            storage=folders[f"cell{seed}"],
            device=torch.device("cpu"),
            on_epoch=lambda report: True,
        )
    folders["lost"] = str(tmp_path / "lost")
    done: list[int] = []
    found = score_cells(folders, digits, (0.0, 0.4), lambda: done.append(1))
    assert [each.key for each in found] == list(folders) and len(done) == 3
    *scored, lost = found
    assert lost.scores == {} and "no finished model" in lost.reason
    for each in scored:
        assert set(each.scores) == {0.0, 0.4} and not each.reason
        assert read_scores(folders[each.key]) == each.scores


@pytest.mark.parametrize("sparsities", [(1.0,), (-0.1,), (0.2, 0.2)])
def test_strange_sparsities_are_refused(sparsities: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="--test-sparsities"):
        CrossSettings(name="grid", test_sparsities=sparsities)
