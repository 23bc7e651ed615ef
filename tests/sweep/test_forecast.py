"""The plan: states of cells, what like cells took, room, cost, and how all that is shown."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from rich.console import Console

from raymm.config import to_dict
from raymm.errors import DataError, SweepError
from raymm.sweep.calibrate import calibration
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.drivers import BEAT_TIME
from raymm.sweep.forecast import forecast
from raymm.sweep.grid import GridSettings
from raymm.sweep.opening import open_record
from raymm.sweep.placement import by_gpu
from raymm.sweep.plan import Sweep, prepare_sweep
from raymm.sweep.plan_view import show_plan
from raymm.sweep.prices import read_prices
from raymm.sweep.recorded import Recorded
from raymm.sweep.states import cell_states
from raymm.sweep.tags import ACCELERATOR
from raymm.tracking import RunRecord
from tests.sweep.ledgers import lose
from tests.sweep.small import dataset, with_sequence

METRICS = {"uniformity/fusion": -1.0, "time/train_s": 10.0, "memory/peak_gib": 0.75}


def sweep(uri: str, **settings: Any) -> Sweep:
    """The smallest grid over the built-in data."""
    few = {"models": ("mca",), "sparsities": (0.0,), "seeds": (0, 1, 2, 3, 4), "name": "trial"}
    return prepare_sweep(GridSettings(**{**few, "plan": True, "tracking_uri": uri, **settings}))


def finish(sweep: Sweep, cell: Cell) -> None:
    sweep.ledger.start(cell)
    result = CellResult(cell.config, "digits", cell.key, "finished", metrics=METRICS)
    sweep.ledger.end(result)


def plan(sweep: Sweep) -> str:
    console = Console(width=80)
    with console.capture() as shown:
        show_plan(sweep, console)
    assert all(len(line) <= 80 for line in shown.get().splitlines())
    return " ".join(shown.get().split())


def test_cells_in_every_state_and_the_time_of_those_that_are_left(uri: str, tmp_path: Path) -> None:
    before = sweep(uri)
    (tmp_path / "results").mkdir()
    done, failed, running, resumable, new = before.cells
    before = dataclasses.replace(before, folder=tmp_path / "results")
    with before.ledger as ledger:
        open_record(before)
        finish(before, done)
        ledger.start(failed)
        ledger.end(CellResult(failed.config, "digits", failed.key, "failed", "why"))
        ledger.start(running)
        assert ledger.flush(10)
        (tmp_path / "storage" / resumable.key / "epoch_00002").mkdir(parents=True)
        (tmp_path / "storage" / new.key).mkdir()

        (tmp_path / "results").rmdir()
        now = sweep(uri)
        assert cell_states(now) == {
            done.key: "finished", failed.key: "failed", running.key: "running",
            resumable.key: "resumable", new.key: "new",
        }  # fmt: skip
        files = sorted(tmp_path.rglob("*"))
        text = plan(now)
        assert sorted(tmp_path.rglob("*")) == files
    assert "1 finished, 1 to resume, 1 with another driver, 1 failed before, 1 new" in text
    assert "mca 4 of 5" in text, text
    assert "0.75 GiB 10 s 40 s" in text, text
    assert "by the time like cells have taken" in text
    assert "cost" not in text  # this machine costs nothing


def test_what_is_not_recorded_is_estimated_or_offered_to_be_measured(uri: str) -> None:
    text = plan(sweep(uri, models=("zorro", "mca")))
    assert "* estimated" in text
    assert "no cell like those of zorro, mca is recorded" in text
    assert "--calibrate" in text


def test_what_cannot_be_placed_is_refused_after_the_plan_is_shown(uri: str) -> None:
    console = Console(width=80)
    with console.capture() as shown, pytest.raises(SweepError, match="No cell can be placed"):
        show_plan(sweep(uri, gpu="T4", width=2048, batch_size=4096, depth=24), console)
    text = " ".join(shown.get().split())
    assert "a T4 has 14.6 GiB" in text and "NO" in text.split()
    assert "at a time no cell can be placed" in text
    assert "g4dn.xlarge is 0.526 USD an hour" in text and "to be checked" in text


PRICES = """
currency = "EUR"
region = "here"
date = "2030-01"
source = "made up"
instance = [
    {name = "one", gpu = "A10G", gpus = 1, cpus = 8, on_demand = 1.0, spot = 0.5},
    {name = "four", gpu = "A10G", gpus = 4, cpus = 48, on_demand = 5.0, spot = 2.0},
    {name = "eight", gpu = "A100-40G", gpus = 8, cpus = 96, on_demand = 24.0, spot = 16.0},
]
"""
TWO_KINDS: dict[str, Any] = {
    "models": ("zorro", "eao"), "sparsities": (0.0,), "width": 512, "depth": 5, "heads": 8,
    "head_size": 64, "batch_size": 4096, "precision": "fp32", "workers_per_cell": 4,
    "gpu": "A10G", "larger_gpu": "A100", "seeds": (0, 1, 2, 3, 4),
}  # fmt: skip


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(PRICES)
    monkeypatch.setattr("raymm.sweep.forecast.read_prices", lambda: read_prices(file))


@pytest.fixture
def on_two_kinds(uri: str, tmp_path: Path) -> Sweep:
    """Five cells of each of two models; one of each has been trained, on the GPU it is placed on."""
    few = {"name": "trial", "tracking_uri": uri, **TWO_KINDS}

    def prepared() -> Sweep:
        return prepare_sweep(GridSettings(plan=True, **few), with_sequence(40, samples=100))

    before = dataclasses.replace(prepared(), folder=tmp_path)
    placed = by_gpu(before, before.cells)
    models = {gpu: {cell.config.model.name for cell in cells} for gpu, cells in placed.items()}
    assert models == {"A10G": {"zorro"}, "A100": {"eao"}}  # or this shows nothing
    took = {"A10G": 10.0, "A100": 40.0}
    with before.ledger as ledger:
        open_record(before)
        for gpu, cells in placed.items():
            ledger.start(cells[0], {ACCELERATOR: str(gpu)})
            metrics = {**METRICS, "time/train_s": took[str(gpu)]}
            ledger.end(CellResult(cells[0].config, "long", cells[0].key, "finished", "", metrics))
        assert ledger.flush(10)
    return prepared()


@pytest.mark.usefixtures("prices")
def test_hours_are_those_of_each_kind_of_gpu_and_cost_what_its_machines_cost(
    on_two_kinds: Sweep,
) -> None:
    found = forecast(on_two_kinds)
    assert [(share.gpu, share.open) for share in found.shares] == [("A100", 4), ("A10G", 4)]
    assert [share.seconds for share in found.shares] == pytest.approx([160, 40])
    assert found.worker_hours == pytest.approx(4 * 200 / 3600)
    # A cell of four workers has a machine of four A10G, or half of one with eight A100.
    assert found.cost(spot=False) == pytest.approx((40 * 5.0 + 160 * 12.0) / 3600)
    assert found.cost(spot=True) == pytest.approx((40 * 2.0 + 160 * 8.0) / 3600)
    assert [kind.gpus for kind in found.kinds] == [["A100"], ["A10G"]]

    console = Console(width=80)
    with console.capture() as shown, pytest.raises(SweepError, match="No cell can be placed"):
        show_plan(on_two_kinds, console)
    text = " ".join(shown.get().split())
    assert "0.59 EUR on demand, 0.38 spot, on eight and four fully used" in text, text
    assert "0.22 GPU-hours (0.18 A100, 0.044 A10G)" in text, text
    assert re.search(r"eao 4 of 5 .* A100 zorro 4 of 5 .* yes", text), text


@pytest.mark.usefixtures("prices")
def test_kinds_of_gpus_are_at_work_side_by_side_unless_cells_are_limited(
    on_two_kinds: Sweep,
) -> None:
    found = forecast(on_two_kinds)
    assert found.wall_s is None  # there is no such GPU here
    groups = {"A100": 1, "A10G": 3}
    shares = [dataclasses.replace(s, groups=groups[str(s.gpu)]) for s in found.shares]
    both = dataclasses.replace(found, shares=shares)
    assert both.wall_s == pytest.approx(20 + 160)
    assert dataclasses.replace(both, in_turn=True).wall_s == pytest.approx(20 + 160 + 40 / 3)
    unknown = dataclasses.replace(shares[1], seconds=None)
    both = dataclasses.replace(both, shares=[shares[0], unknown])
    assert both.seconds is both.wall_s is both.cost(spot=False) is None
    done = dataclasses.replace(unknown, open=0, seconds=0.0)
    both = dataclasses.replace(both, shares=[shares[0], done])
    assert both.cost(spot=False) == pytest.approx(160 * 12.0 / 3600)


def run(cell: Cell, wall_s: float, **changed: Any) -> RunRecord:
    from raymm.sweep.tags import params

    tags = {"raymm.dataset": "small", "raymm.accelerator": "CPU", "raymm.workers": "1"}
    given = {
        "run_id": "r", "name": "n", "status": "FINISHED", "deleted": False, "started_ms": 1000,
        "ended_ms": int(1000 + wall_s * 1000), "tags": tags, "params": params(to_dict(cell.config)),
        "metrics": METRICS,
    }  # fmt: skip
    return RunRecord(**{**given, **changed})


def test_time_is_that_of_like_cells_scaled_by_the_work(uri: str) -> None:
    settings = GridSettings(models=("mca", "eao"), sparsities=(0.0, 0.5), seeds=(0,), epochs=4)
    cells = {(c.config.model.name, c.config.data.sparsity): c for c in settings.expand(dataset())}
    mca = cells["mca", 0.0]
    known = Recorded([run(mca, 12.0)], dataset(), "CPU", 1)
    assert known.of(mca.config).seconds == pytest.approx(12)
    assert known.of(mca.config).memory_gib == 0.75
    longer = dataclasses.replace(mca.config, train=dataclasses.replace(mca.config.train, epochs=8))
    assert known.of(longer).seconds == pytest.approx(22)
    half = known.of(cells["mca", 0.5].config).seconds
    assert half is not None and 2 + 5 <= half < 2 + 6
    assert known.of(cells["eao", 0.0].config).seconds is None
    interrupted = Recorded([run(mca, 10_000.0)], dataset(), "CPU", 1).of(mca.config).seconds
    assert interrupted is not None and interrupted <= 10 + 60
    for elsewhere in (("A10G", 1), ("CPU", 2)):
        assert Recorded([run(mca, 12.0)], dataset(), *elsewhere).of(mca.config).cells == 0


def test_sparsities_that_cannot_be_trained_on_are_named_with_how_to_leave_them_out(
    uri: str,
) -> None:
    with pytest.raises(DataError) as refused:
        sweep(uri, sparsities=(0.0, 0.9999, 0.4, 0.999))
    said = str(refused.value)
    assert said.startswith("Of the sparsities, 0.999, 0.9999 cannot be trained on")
    assert said.endswith("leave them out with --sparsities 0 0.4")
    with pytest.raises(DataError, match=r"^(?!Of the).*sparsity 0\.9999"):
        sweep(uri, sparsities=(0.9999,))


def test_a_calibration_is_a_small_sweep_of_its_own() -> None:
    settings = GridSettings(sparsities=(0.4, 0.2), seeds=(3, 1), calibrate=True, width=64)
    small = calibration(settings, "mine")
    assert (small.sparsities, small.seeds, small.epochs) == ((0.2,), (1,), 2)
    assert (small.name, small.models, small.width) == ("mine-calibration", settings.models, 64)
    assert not small.calibrate and not small.plan


@pytest.mark.parametrize(
    ("sparsities", "kept"), [((0.4,), (0.4,)), ((0.4, 0.2), (0.2, 0.4)), ((0.8, 0, 0.4), (0, 0.8))]
)
def test_models_that_may_be_on_either_kind_of_gpu_are_calibrated_at_both_ends(
    sparsities: tuple[float, ...], kept: tuple[float, ...]
) -> None:
    settings = GridSettings(sparsities=sparsities, gpu="A10G", larger_gpu="A100", calibrate=True)
    assert calibration(settings, "mine").sparsities == kept


def test_a_ledger_is_read_by_a_plan_and_not_made(tmp_path: Path, uri: str) -> None:
    before = (tmp_path / "mlflow.db").read_bytes()
    plan(sweep(uri))
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert len(MlflowClient(uri).search_experiments()) >= 2


@pytest.mark.parametrize(("silent_s", "state"), [(0.0, "running"), (3600.0, "new")])
def test_a_cell_of_a_driver_elsewhere_is_running_unless_that_one_has_been_silent_for_long(
    uri: str, tmp_path: Path, silent_s: float, state: str
) -> None:
    (tmp_path / "results").mkdir()
    before = dataclasses.replace(sweep(uri, seeds=(0,)), folder=tmp_path / "results")
    open_record(before)
    (cell,) = before.cells
    before.ledger.start(cell)
    assert before.ledger.flush(10)
    driver = lose(before.ledger, uri)
    before.ledger.store.describe(driver, {BEAT_TIME: f"{time.time() - silent_s:.0f}"})
    assert cell_states(sweep(uri, seeds=(0,))) == {cell.key: state}
