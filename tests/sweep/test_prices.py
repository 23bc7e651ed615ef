"""What a cell costs an hour, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from raymm.errors import ConfigError
from raymm.sweep.prices import Group, Instance, Prices, read_prices
from raymm.training.growth import node_types

ROOT = Path(__file__).parent.parent.parent
ONE = Instance(name="one", gpu="A10G", gpus=1, cpus=8, on_demand=1.0, spot=0.5)
FOUR = Instance(name="four", gpu="A10G", gpus=4, cpus=48, on_demand=5.0, spot=2.0)
EIGHT = Instance(name="eight", gpu="A100-40G", gpus=8, cpus=96, on_demand=24.0, spot=16.0)
PLAIN = Instance(name="plain", gpu="none", gpus=0, cpus=8, on_demand=0.4, spot=0.1)
PRICES = Prices("EUR", "made up", (ONE, FOUR, EIGHT, PLAIN))
NODE_OF_ONE = {"CPU": 7.0, "GPU": 1.0, "accelerator_type:A10G": 1.0}  # Kubernetes keeps a CPU
NODE_OF_FOUR = {"CPU": 48.0, "GPU": 4.0, "accelerator_type:A10G": 1.0}
NODE_OF_NONE = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:L4": 1.0}
NODE_OF_WHAT = {"CPU": 8.0, "GPU": 1.0}


def group(workers: int = 1, gpu: str | None = "A10G", gpus: float = 1, cpus: float = 1) -> Group:
    return Group(workers=workers, gpu=gpu, gpus=gpus, cpus=cpus)


@pytest.mark.parametrize(
    ("asked", "machine", "on_demand", "spot"),
    [
        (group(), "one", 1.0, 0.5),
        (group(4), "four", 5.0, 2.0),  # not 4 x 1.0: on four of "one" no cell is placed
        (group(2), "four", 5.0 / 2, 2.0 / 2),
        (group(3), "four", 5.0, 2.0),  # the fourth GPU stands idle
        (group(8), "one", 8.0, 4.0),  # none holds all: on several, where they are cheapest
        (group(4, "A100"), "eight", 12.0, 8.0),
        (group(gpus=0.25), "one", 1.0 / 4, 0.5 / 4),
        (group(gpus=0.3), "one", 1.0 / 3, 0.5 / 3),  # a tenth of each GPU is left
        (group(cpus=9), "four", 5.0 / 4, 2.0 / 4),  # 5 by the CPUs, 4 by the GPUs
        (group(cpus=13), "four", 5.0 / 3, 2.0 / 3),  # the CPUs run out first
        (group(gpu=None, cpus=2), "plain", 0.4 / 4, 0.1 / 4),
        (group(3, gpu=None, cpus=2), "plain", 0.4, 0.1),
    ],
)
def test_a_cell_costs_its_part_of_the_machine_it_fits_on_whole(
    asked: Group, machine: str, on_demand: float, spot: float
) -> None:
    rate = PRICES.rate(asked)
    assert rate is not None and rate.machine.name == machine
    assert rate.of(3600) == pytest.approx(on_demand)
    assert rate.of(3600, spot=True) == pytest.approx(spot)
    assert rate.of(900) == pytest.approx(on_demand / 4)


@pytest.mark.parametrize(
    ("nodes", "asked", "machine", "on_demand"),
    [
        ([NODE_OF_FOUR], group(), "four", 5.0 / 4),  # "one" would be cheaper, and cannot be had
        ([NODE_OF_ONE, NODE_OF_FOUR], group(), "one", 1.0),
        ([NODE_OF_ONE], group(4), "one", 4.0),  # "four" would hold it, and cannot be had
        ([NODE_OF_ONE], group(cpus=8), "one", 1.0),  # its node has but 7: any of the list
        ([NODE_OF_NONE, NODE_OF_WHAT], group(), "one", 1.0),
        ([NODE_OF_FOUR], group(gpu="any"), "four", 5.0 / 4),
        ([NODE_OF_ONE], group(gpu=None), "one", 1.0 / 7),  # CPUs of machines that have GPUs too
        ([{"CPU": 0.0}, {"CPU": 6.0}], group(gpu=None, cpus=3), "plain", 0.4 / 2),
    ],
)
def test_machines_are_those_that_a_cluster_has_or_may_start(
    nodes: list[dict[str, float]], asked: Group, machine: str, on_demand: float
) -> None:
    rate = PRICES.rate(asked, nodes)
    assert rate is not None and rate.machine.name == machine
    assert rate.of(3600) == pytest.approx(on_demand)


def test_what_has_no_price_has_none() -> None:
    assert PRICES.rate(group(gpu="H100")) is None
    assert PRICES.rate(group(cpus=49)) is None
    assert PRICES.rate(group(gpu="any")) is None  # any of them, at any price
    assert PRICES.rate(group(gpu="any"), [NODE_OF_WHAT]) is None


@pytest.mark.parametrize(
    ("asked", "machine", "cells"),
    [
        (group(4), "g5.12xlarge", 1),
        (group(1), "g5.2xlarge", 1),  # g5.xlarge is cheaper, and not in the file
        (group(1, gpus=0.25), "g5.2xlarge", 4),
        (group(4, "A100"), "p4d.24xlarge", 2),
    ],
)
def test_cells_on_the_shipped_cluster_cost_what_its_machines_cost(
    asked: Group, machine: str, cells: int
) -> None:
    prices = read_prices()
    types = node_types(yaml.safe_load((ROOT / "cluster/aws.yaml").read_text()))
    assert prices is not None
    rate = prices.rate(asked, [kind.resources for kind in types])
    assert rate is not None and (rate.machine.name, rate.cells) == (machine, cells)


@pytest.mark.parametrize("file", ["aws.yaml", "gcp.yaml"])
def test_machines_of_the_shipped_clusters_are_found_by_what_their_nodes_have(file: str) -> None:
    prices = read_prices()
    config = yaml.safe_load((ROOT / "cluster" / file).read_text())
    assert prices is not None
    for kind in node_types(config):
        own = config["available_node_types"][kind.name]["node_config"]
        found = prices.machine_of(kind.resources)
        assert found is not None, kind
        assert found.name == own.get("InstanceType", own.get("machineType"))


def test_the_price_list_is_read_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    prices = read_prices()
    assert prices is not None and "to be checked" in prices.note
    for gpu in ("A10G", "A100", "T4", "L4", "V100", "H100", None):
        assert prices.rate(group(gpu=gpu)) is not None, gpu
    file = tmp_path / "prices.toml"
    file.write_text("instance = 3")
    with pytest.raises(ConfigError, match="is not a price list"):
        read_prices(file)
    assert read_prices(tmp_path / "none.toml") is None


def test_workers_fill_a_machine_by_what_runs_out_first() -> None:
    machine = Instance(name="x", gpu="A10G", gpus=4, cpus=6, on_demand=1, spot=1)
    assert [machine.holds(group(cpus=cpus)) for cpus in (1, 2, 7)] == [4, 3, 0]
    assert machine.holds(group(gpus=0.25, cpus=0.1)) == 16
    assert machine.holds(group(gpu=None)) == machine.holds(group(gpu="T4")) == 0
