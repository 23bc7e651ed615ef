"""What is checked before a sweep starts: names, results folder, storage, room."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raymm.errors import ConfigError, DataError, SweepError
from raymm.sweep.grid import GridSettings
from raymm.sweep.places import check_folder, check_storage, claim_folder, sweep_name
from raymm.sweep.plan import claim_places, prepare_sweep, print_plan
from raymm.training.placing import room_for
from tests.sweep.small import dataset


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def named(**settings: Any) -> str:
    grid = GridSettings(**settings)
    return sweep_name(grid, dataset(), grid.expand(dataset()))


def test_a_sweep_is_named_by_its_settings_unless_it_is_given_a_name() -> None:
    assert named() == named(max_concurrent=1, storage="elsewhere") == "small-default"
    assert named(preset="paper") == "small-paper"
    assert named(epochs=3) == named(epochs=3, storage="elsewhere") != named(epochs=4)
    assert named(epochs=3).startswith("small-")
    assert named(epochs=3, name="mine") == "mine"


@pytest.mark.parametrize(
    ("given", "made"),
    [("o'neil 50%", "o-neil-50-default"), ("../up", "up-default"), ("??", "data-default")],
)
def test_a_data_sets_odd_name_makes_a_plain_folder(given: str, made: str) -> None:
    odd = dataclasses.replace(dataset(), name=given)
    assert sweep_name(GridSettings(), odd, GridSettings().expand(odd)) == made


def claim(folder: Path, **settings: Any) -> None:
    grid = GridSettings(**settings)
    cells = grid.expand(dataset())
    check_folder(folder, grid, cells)
    claim_folder(folder, "trial", grid, cells)


def test_the_same_sweep_goes_on_and_a_larger_one_extends_it(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    claim(folder, seeds=(0,))
    claim(folder, seeds=(0,), max_concurrent=1)
    claim(folder, seeds=(0, 1))
    assert len(json.loads((folder / "sweep.json").read_text())["cells"]) == 40


@pytest.mark.parametrize(
    ("other", "said"),
    [({"epochs": 3}, "epochs is None there, 3 here"), ({"seeds": (0,)}, "seeds is [0, 1] there")],
)
def test_another_sweeps_folder_is_left_as_it_is(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "results"
    claim(folder)
    before = (folder / "sweep.json").read_bytes()
    with pytest.raises(SweepError) as refused:
        claim(folder, **other)
    assert said in str(refused.value)
    assert "--name" in str(refused.value)
    assert (folder / "sweep.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"cells": 3, "settings": {}}'])
def test_a_damaged_or_foreign_folder_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SweepError, match="not a sweep's results"):
        claim(tmp_path)
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(SweepError, match="cannot be read"):
        claim(tmp_path)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(SweepError, match=r"--storage .*file/x cannot be written"):
        check_storage(f"{file}/x")
    with pytest.raises(SweepError, match="--storage nosuch://x"):
        check_storage("nosuch://x")
    grid = GridSettings()
    with pytest.raises(SweepError, match=r"cannot be written.*--results-dir"):
        claim_folder(file / "x", "trial", grid, grid.expand(dataset()))


def test_a_checked_storage_is_left_empty(tmp_path: Path) -> None:
    check_storage(f"{tmp_path}/new/storage")
    assert list((tmp_path / "new/storage").iterdir()) == []


def test_a_plan_says_what_and_where_and_leaves_nothing_behind(tmp_path: Path) -> None:
    console = Console(width=80, record=True, quiet=True)
    console.quiet = False
    sweep = prepare_sweep(GridSettings(seeds=(0,), storage="s3://bucket/x"))
    with console.capture() as shown:
        print_plan(sweep, console)
    text = " ".join(shown.get().split())
    assert "20: mca, zorro, eao, cbmf x sparsity 0, 0.2, 0.4, 0.6, 0.8 x seed 0" in text
    assert "0 finished, 20 to train" in text
    assert f"results/{sweep.name}" in text
    assert "s3://bucket/x" in text
    assert list(tmp_path.iterdir()) == []


def test_claiming_makes_the_places(tmp_path: Path) -> None:
    sweep = prepare_sweep(GridSettings(name="mine"))
    claim_places(sweep)
    assert (tmp_path / "results/mine/sweep.json").exists()
    assert sweep.storage == str(tmp_path / "storage")
    assert prepare_sweep(GridSettings(name="mine")).missing == sweep.missing
    with pytest.raises(SweepError, match="another sweep"):
        prepare_sweep(GridSettings(name="mine", seeds=(7,)))


def test_what_this_machine_cannot_hold_is_refused_before_anything_starts() -> None:
    with pytest.raises(SweepError, match=r"4096 worker.*--workers-per-cell"):
        prepare_sweep(GridSettings(workers_per_cell=4096, batch_size=5000))
    with pytest.raises(ConfigError):
        prepare_sweep(GridSettings(sparsities=(1.5,)))


def test_a_plan_is_shown_where_the_sweep_does_not_fit() -> None:
    settings = GridSettings(workers_per_cell=4096, batch_size=5000)
    with pytest.raises(SweepError) as refused:
        prepare_sweep(settings)
    console = Console(width=80)
    with console.capture() as shown:
        print_plan(prepare_sweep(dataclasses.replace(settings, plan=True)), console)
    text = " ".join(shown.get().split())
    assert f"at a time does not fit on this machine. {refused.value}" in text


def test_what_would_stop_each_cell_is_found_first() -> None:
    """At the second of two sparsities three samples are left to train on."""
    with pytest.raises(DataError, match=r"No sample of the train split has .*sparsity 0\.999"):
        prepare_sweep(GridSettings(sparsities=(0.0, 0.999)))
    prepare_sweep(GridSettings(sparsities=(0.0,)))


def test_workers_fit_node_by_node_or_into_what_a_cluster_may_grow_to() -> None:
    head: dict[str, float] = {"CPU": 3}
    gpus: dict[str, float] = {"CPU": 8, "GPU": 2, "accelerator_type:A10G": 1}
    assert room_for(1, [head, head], {"CPU": 2}).groups == 2
    assert room_for(1, [head, gpus], {"CPU": 1, "GPU": 1}).groups == 2
    assert room_for(1, [head, gpus], {"GPU": 1, "accelerator_type:A100": 0.001}).groups == 0
    assert room_for(1, [head], {"CPU": 1, "GPU": 1}, [({"CPU": 64, "GPU": 8}, 1)]).groups == 8
    assert room_for(1, [head], {"CPU": 8, "GPU": 1}, [({"CPU": 12, "GPU": 4}, 3)]).groups == 3
    assert room_for(1, [gpus], {"CPU": 1}).groups == 8


def test_what_one_kind_of_node_has_is_no_room_for_another() -> None:
    a10g, a100 = {"CPU": 8, "GPU": 1, "accelerator_type:A10G": 1}, {"CPU": 96, "GPU": 8}
    needs = {"CPU": 1, "GPU": 1, "accelerator_type:A10G": 0.001}
    assert room_for(1, [], needs, [(a10g, 4), (a100, 1)]).groups == 4
