"""GPUs by name, and what machines with them cost (cluster/prices.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raymm.errors import ConfigError
from raymm.training.placing import workers_that_fit

SECONDS_AN_HOUR = 3600.0
ACCELERATOR_TYPE = "accelerator_type:"
"""How Ray's resources begin that say which kind of GPU a node has."""
Node = Mapping[str, float]
"""Resources of a node, by Ray's names."""
PRICES_FILE = Path(__file__).parent.parent.parent / "cluster" / "prices.toml"
GPU_MEMORY_GIB = {
    "T4": 14.6, "V100": 15.8, "P100": 15.9, "A10G": 22.0, "L4": 22.0, "A100": 39.4,
    "A100-40G": 39.4, "L40S": 44.4, "A100-80G": 79.2, "H100": 79.2, "H200": 139.8,
}  # fmt: skip
"""Memory that a GPU has for a program, by the names that Ray gives them: a 24 GB card has 22 GiB. What
Ray calls A100 may be either; the smaller counts."""


def is_of_kind(gpu: str, asked: str) -> bool:
    """Whether a GPU is of the kind that was asked for: A100 asks for either size of it."""
    return gpu == asked or gpu.startswith(f"{asked}-")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The workers of a cell.

    Attributes:
        workers: how many.
        gpu: kind of their GPUs, or "any"; None for CPUs.
        gpus, cpus: of each; GPUs count where a kind is asked for.
    """

    workers: int
    gpu: str | None
    gpus: float
    cpus: float

    @property
    def needs(self) -> dict[str, float]:
        """Resources of one worker, by Ray's names, but for the kind of its GPU."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpu else {})


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A kind of machine; prices by the hour."""

    name: str
    gpu: str
    gpus: int
    cpus: int
    on_demand: float
    spot: float

    def offers(self, gpu: str | None) -> bool:
        """Whether it has GPUs of a kind; A100 asks for either; None for a machine without."""
        if gpu is None:
            return self.gpus == 0
        return self.gpus > 0 and is_of_kind(self.gpu, gpu)

    def holds(self, group: Group) -> int:
        """How many workers of a group it holds."""
        if not self.offers(group.gpu):
            return 0
        return workers_that_fit([{"CPU": self.cpus, "GPU": self.gpus}], group.needs)


@dataclass(frozen=True)
class Rate:
    """What a cell's training costs on machines of one kind, fully used.

    Attributes:
        cells: that a machine trains at a time; below 1 where a cell takes several machines.
    """

    machine: Instance
    cells: float

    def of(self, seconds: float, *, spot: bool = False) -> float:
        """The cost of a cell that is trained for so long, by all its workers."""
        price = self.machine.spot if spot else self.machine.on_demand
        return seconds / SECONDS_AN_HOUR * price / self.cells


@dataclass(frozen=True)
class Prices:
    """What machines cost, and how much that is to be relied on."""

    currency: str
    note: str
    instances: tuple[Instance, ...]

    def rate(self, group: Group, nodes: Sequence[Node] | None = None) -> Rate | None:
        """The price of a cell where it is least on demand: on a machine that holds all its workers if
        there is one, for that is where they are placed; else on as many as they take.

        Args:
            nodes: resources of each kind of node that a cluster has or may start; None if that is not
                known. If the list has none of them, any machine that it has will do.

        Returns:
            None if no machine of the list holds a worker, or none can be told from "any" GPU.
        """
        own = [(self.machine_of(node), node) for node in nodes or ()]
        held = [(m, _on(node, group)) for m, node in own if m is not None]
        if not any(workers for _, workers in held):
            held = [(m, m.holds(group)) for m in self.instances]
        whole = [Rate(m, workers // group.workers) for m, workers in held]
        in_parts = [Rate(m, workers / group.workers) for m, workers in held]
        possible = [r for r in whole if r.cells] or [r for r in in_parts if r.cells]
        return min(possible, key=lambda rate: rate.of(1.0), default=None)

    def machine_of(self, node: Node) -> Instance | None:
        """The cheapest machine with a node's GPUs, as many and no more, and at least its CPUs; None if
        the list has none, or the node does not say what kind its GPUs are.
        """
        gpus, cpus, gpu = node.get("GPU", 0.0), node.get("CPU", 0.0), _kind(node)
        if gpus and gpu is None:
            return None
        alike = [m for m in self.instances if m.offers(gpu) and m.gpus == gpus and m.cpus >= cpus]
        return min(alike, key=lambda machine: machine.on_demand, default=None)


def _kind(node: Node) -> str | None:
    """The kind of a node's GPUs; None without any, or where it is not said."""
    kinds = [name for name in node if name.startswith(ACCELERATOR_TYPE) and node.get("GPU")]
    return kinds[0].removeprefix(ACCELERATOR_TYPE) if kinds else None


def _on(node: Node, group: Group) -> int:
    """How many workers of a group a node holds."""
    kind = _kind(node) or ""
    asked = group.gpu is None or group.gpu == "any" or is_of_kind(kind, group.gpu)
    return workers_that_fit([node], group.needs) if asked else 0


def read_prices(file: Path = PRICES_FILE) -> Prices | None:
    """The price list; None where there is none (raymm is not run from its checkout).

    Raises:
        ConfigError: the file is not a price list.
    """
    if not file.exists():
        return None
    try:
        content = tomllib.loads(file.read_text())
        instances = tuple(Instance(**each) for each in content["instance"])
        note = f"{content['source']} ({content['region']}, {content['date']})"
        return Prices(content["currency"], note, instances)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} is not a price list: {error}. Give name, gpu, gpus, cpus, on_demand and spot "
            "for each [[instance]], and currency, region, date and source above them."
        ) from error
