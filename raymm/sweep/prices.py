"""GPUs by name, and what machines with them cost (cluster/prices.toml)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from raymm.errors import ConfigError

PRICES_FILE = Path(__file__).parent.parent.parent / "cluster" / "prices.toml"
GPU_MEMORY_GIB = {
    "T4": 14.6, "V100": 15.8, "P100": 15.9, "A10G": 22.0, "L4": 22.0, "A100": 39.4,
    "A100-40G": 39.4, "L40S": 44.4, "A100-80G": 79.2, "H100": 79.2, "H200": 139.8,
}  # fmt: skip
"""Memory that a GPU has for a program, by the names that Ray gives them: a 24 GB card has 22 GiB. What
Ray calls A100 may be either; the smaller counts."""


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
        return self.gpus > 0 and (gpu in ("any", self.gpu) or self.gpu.startswith(f"{gpu}-"))

    def holds(self, gpu: str | None, gpus: float, cpus: float) -> int:
        """How many workers it holds that take so many GPUs of a kind and CPUs each."""
        if not self.offers(gpu):
            return 0
        by_cpu = int(self.cpus / cpus)
        return by_cpu if gpu is None else min(by_cpu, int(self.gpus / gpus))


@dataclass(frozen=True)
class Prices:
    """What machines cost, and how much that is to be relied on."""

    currency: str
    note: str
    instances: tuple[Instance, ...]

    def cheapest(self, gpu: str | None, gpus: float, cpus: float) -> Instance | None:
        """The machine on which a worker costs least on demand; None if none holds one."""
        holding = [each for each in self.instances if each.holds(gpu, gpus, cpus)]
        cost = {each.name: each.on_demand / each.holds(gpu, gpus, cpus) for each in holding}
        return min(holding, key=lambda each: cost[each.name], default=None)


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
