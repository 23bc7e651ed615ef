"""What cannot be placed is refused before anything starts, and before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Nvidia
from rich.console import Console

from raymm.command import run_grid
from raymm.errors import SweepError
from raymm.sweep.estimate import estimate
from raymm.sweep.forecast import forecast
from raymm.sweep.grid import GridSettings
from raymm.sweep.plan import Sweep, prepare_sweep
from raymm.sweep.prices import GPU_MEMORY_GIB
from raymm.sweep.room import cells_at_a_time, check_memory

FEW: dict[str, Any] = {"models": ("mca",), "sparsities": (0.0,), "seeds": (0,)}
HUGE: dict[str, Any] = {"width": 4096, "depth": 24}


def planned(**settings: Any) -> Sweep:
    return prepare_sweep(GridSettings(**{**FEW, "plan": True, **settings}))


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine as Ray would find it: whether its GPUs can be shared out is arithmetic."""
    monkeypatch.setattr(Nvidia, "get_current_node_num_accelerators", staticmethod(lambda: 4))
    kind = staticmethod(lambda: "A10G")
    monkeypatch.setattr(Nvidia, "get_current_node_accelerator_type", kind)
    monkeypatch.setattr("raymm.sweep.room.joblib.cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("settings", "fit"),
    [
        ({}, 4),
        ({"cpus_per_worker": 3}, 2),  # the CPUs run out first
        ({"workers_per_cell": 2}, 2),
        ({"gpus_per_worker": 0.25, "cpus_per_worker": 0.5}, 16),
        ({"max_concurrent": 3}, 3),
    ],
)
@pytest.mark.usefixtures("four_gpus", "here")
def test_cells_on_own_gpus_take_cpus_too(settings: dict[str, Any], fit: int) -> None:
    sweep = planned(gpu="A10G", **settings)
    assert cells_at_a_time(sweep, sweep.cells) == fit


@pytest.mark.usefixtures("four_gpus", "here")
def test_cells_on_own_gpus_cost_what_such_a_machine_costs() -> None:
    found = forecast(planned(gpu="A10G"))
    (share,) = found.shares
    assert share.groups == 4 and share.rate is not None
    assert (share.rate.machine.name, share.rate.cells) == ("g5.12xlarge", 4)


@pytest.mark.parametrize("settings", [{"cpus_per_worker": 9}, {"gpu": "H100"}])
@pytest.mark.usefixtures("four_gpus")
def test_what_own_gpus_or_cpus_cannot_hold_is_refused_with_nothing_written(
    here: Path, settings: dict[str, Any]
) -> None:
    said = r"has 4 \(kind: A10G\) and 8 CPU"
    with pytest.raises(SweepError, match=said):
        run_grid(GridSettings(**{**FEW, "gpu": "A10G", **settings}), "", Console(quiet=True))
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("four_gpus")
def test_parameters_that_do_not_fit_a_gpu_are_refused_with_nothing_written(here: Path) -> None:
    settings = GridSettings(**FEW, **HUGE, gpu="A10G")
    with pytest.raises(SweepError, match=r"No cell like mca S=0 seed=0 can be placed.*A10G"):
        run_grid(settings, "", Console(quiet=True))
    assert list(here.iterdir()) == []
    plan = forecast(planned(**HUGE, gpu="A10G"))
    assert [plan.fits(kind) for kind in plan.kinds] == ["no"]
    assert "can be placed" in plan.refusal and plan.at_once == 4


@pytest.mark.usefixtures("four_gpus", "here")
def test_a_step_that_does_not_fit_in_one_piece_is_no_reason_to_refuse() -> None:
    sweep = planned(gpu="A10G", width=512, depth=5, heads=8, head_size=64, batch_size=1900)
    need = estimate(sweep.cells[0].config, sweep.dataset, 1, gpu=True)
    assert need.least_gib < GPU_MEMORY_GIB["A10G"] < need.memory_gib, need  # or this shows nothing
    check_memory(sweep, sweep.cells)
    plan = forecast(sweep)
    assert [plan.fits(kind) for kind in plan.kinds] == ["in parts"] and not plan.refusal


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
