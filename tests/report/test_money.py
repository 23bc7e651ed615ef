"""What training cost, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.report.money import NoRate, Rate, rate_of

PRICES = """
currency = "EUR"
region = "here"
date = "2030-01"
source = "made up"
[[instance]]
name = "one"
gpu = "A10G"
gpus = 1
cpus = 4
on_demand = 1.0
spot = 0.5
[[instance]]
name = "four"
gpu = "A10G"
gpus = 4
cpus = 48
on_demand = 5.0
spot = 2.0
[[instance]]
name = "plain"
gpu = ""
gpus = 0
cpus = 8
on_demand = 0.4
spot = 0.1
"""


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    file = tmp_path / "prices.toml"
    file.write_text(PRICES)
    return file


def test_a_cell_costs_its_part_of_the_machine_that_holds_all_its_workers(prices: Path) -> None:
    settings = {"gpu": "A10G", "gpus_per_worker": 1, "cpus_per_worker": 1, "workers_per_cell": 2}
    rate = rate_of(settings, prices)
    assert isinstance(rate, Rate)
    assert (rate.machine, rate.on_demand, rate.spot) == ("four", 5.0 / 2, 2.0 / 2)
    assert rate.of(1800) == pytest.approx(1.25) and "made up" in rate.note
    quarter = rate_of(settings | {"gpus_per_worker": 0.25}, prices)
    assert isinstance(quarter, Rate) and quarter.on_demand == pytest.approx(2 / 4)


def test_workers_are_the_presets_where_they_are_not_given(prices: Path) -> None:
    rate = rate_of({"gpu": "A10G", "preset": "paper", "workers_per_cell": None}, prices)
    assert isinstance(rate, Rate) and rate.on_demand == 5.0


def test_a_cluster_of_cpus_has_a_price_and_a_laptop_has_none(prices: Path) -> None:
    rate = rate_of({"gpu": None, "address": "auto", "cpus_per_worker": 2}, prices)
    assert isinstance(rate, Rate) and rate.on_demand == pytest.approx(0.1)
    for settings, said in (
        ({"gpu": None, "address": None}, "CPUs of one machine"),
        ({"gpu": "CPU"}, "of which machines is not recorded"),
        ({}, "is not recorded"),
        ({"gpu": "H100"}, "no machine with H100"),
        ({"gpu": "A10G", "larger_gpu": "A100"}, "A10G or A100; which on which"),
    ):
        found = rate_of(settings, prices)
        assert isinstance(found, NoRate) and said in found.why
    gone = rate_of({"gpu": "A10G"}, prices.with_name("none.toml"))
    assert isinstance(gone, NoRate) and "is not here" in gone.why
