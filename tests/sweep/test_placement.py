"""Models go to the larger kind of GPU only if the estimate says that they do not fit the other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raymm.errors import ConfigError
from raymm.sweep.estimate import SLACK, estimate
from raymm.sweep.grid import GridSettings
from raymm.sweep.placement import by_gpu
from raymm.sweep.prices import GPU_MEMORY_GIB
from raymm.sweep.runner import _grid_jobs
from tests.sweep.small import with_sequence

SETTINGS = GridSettings(
    models=("zorro", "eao"), sparsities=(0.0,), seeds=(0,), width=512, depth=5, heads=8,
    head_size=64, batch_size=1024, gpu="A10G", precision="fp32",
)  # fmt: skip


def sweep(tmp_path: Path, **changes: Any) -> Any:
    settings = dataclasses.replace(SETTINGS, **changes)
    dataset = with_sequence(length=40)
    return SimpleNamespace(
        settings=settings, dataset=dataset, cells=settings.expand(dataset), storage=str(tmp_path)
    )


def memory(one: Any, cell: Any) -> float:
    return SLACK * estimate(cell.config, one.dataset, one.settings.workers, gpu=True).memory_gib


def test_what_does_not_fit_goes_to_the_larger_gpu(tmp_path: Path) -> None:
    one = sweep(tmp_path, larger_gpu="H100")
    needs = {cell.config.model.name: memory(one, cell) for cell in one.cells}
    limit = GPU_MEMORY_GIB["A10G"]
    assert min(needs.values()) < limit < max(needs.values()), needs  # or this shows nothing
    placed = by_gpu(one, one.cells)
    for gpu, cells in placed.items():
        for cell in cells:
            assert (gpu == "A10G") == (needs[cell.config.model.name] <= limit)
    (jobs,) = _grid_jobs(one, one.cells)
    assert {job.pool.gpu for job in jobs} == {"A10G", "H100"}
    assert [job.expected for job in jobs] == [1, 1]
    limited = sweep(tmp_path, larger_gpu="H100", max_concurrent=1)
    assert [len(jobs) for jobs in _grid_jobs(limited, one.cells)] == [1, 1]


def test_a_share_of_a_gpu_has_a_share_of_its_memory(tmp_path: Path) -> None:
    one = sweep(tmp_path, larger_gpu="H200", gpus_per_worker=0.1, workers_per_cell=1)
    assert list(by_gpu(one, one.cells)) == ["H200"]


def test_without_a_larger_one_all_go_to_the_gpu_asked_for(tmp_path: Path) -> None:
    one = sweep(tmp_path)
    assert by_gpu(one, one.cells) == {"A10G": one.cells}


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    for changes, said in (
        ({"larger_gpu": "T4"}, "Give the larger kind"),
        ({"larger_gpu": "H1OO"}, "did you mean 'H100'"),
        ({"larger_gpu": "A100", "gpu": "any"}, "--gpu = any: how much memory"),
    ):
        one = sweep(tmp_path, **changes)
        with pytest.raises(ConfigError, match=said):
            by_gpu(one, one.cells)
    with pytest.raises(ConfigError, match="which is not given"):
        sweep(tmp_path, larger_gpu="A100", gpu=None)
