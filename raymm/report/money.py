"""What a sweep's training cost in money, where machines have a price (cluster/prices.toml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raymm.sweep.prices import PRICES_FILE, SECONDS_AN_HOUR, Group, read_prices
from raymm.sweep.settings import PRESETS

NONE = {"None", "CPU", "", None}
"""How records say that no GPU was asked for, and no cluster."""


@dataclass(frozen=True)
class Rate:
    """What an hour of a cell's training costs.

    Attributes:
        on_demand, spot: of all its workers, on machines that are fully used.
        machine: they are reckoned on.
        note: how much the prices are to be relied on.
    """

    on_demand: float
    spot: float
    currency: str
    machine: str
    note: str

    def of(self, seconds: float) -> float:
        """Cost on demand of seconds of training."""
        return self.on_demand * seconds / SECONDS_AN_HOUR


@dataclass(frozen=True)
class NoRate:
    """Why training has no price."""

    why: str


def rate_of(settings: Mapping[str, object], file: Path = PRICES_FILE) -> Rate | NoRate:
    """The price of training under a sweep's settings, as its report keeps them.

    Raises:
        ConfigError: the price list is damaged.
    """
    if "gpu" not in settings:
        return NoRate(
            "Which machines the cells were trained on is not recorded with these settings."
        )
    gpu = None if settings["gpu"] in NONE else str(settings["gpu"])
    if gpu is None and "address" not in settings:
        return NoRate("The cells were trained on CPUs; of which machines is not recorded.")
    if gpu is None and settings["address"] in NONE:
        return NoRate("The cells were trained on the CPUs of one machine, which has no price here.")
    if settings.get("larger_gpu") not in NONE:
        return NoRate(
            f"Cells were trained on {gpu} or {settings['larger_gpu']}; which on which the ledger "
            "knows: `raymm status` reckons with it."
        )
    prices = read_prices(file)
    if prices is None:
        return NoRate("No price is known: cluster/prices.toml is not here.")
    cpus = float(str(settings.get("cpus_per_worker") or 1))
    gpus = float(str(settings.get("gpus_per_worker") or 1))
    workers = int(str(settings.get("workers_per_cell") or _preset_workers(settings)))
    rate = prices.rate(Group(workers=workers, gpu=gpu, gpus=gpus, cpus=cpus))
    if rate is None:
        return NoRate(
            f"No price is known: cluster/prices.toml has no machine with {gpu or 'CPUs'}."
        )
    return Rate(
        rate.of(SECONDS_AN_HOUR),
        rate.of(SECONDS_AN_HOUR, spot=True),
        prices.currency,
        rate.machine.name,
        prices.note,
    )


def _preset_workers(settings: Mapping[str, object]) -> object:
    return PRESETS[str(settings.get("preset") or "laptop")]["workers_per_cell"]
