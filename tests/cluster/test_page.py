"""What docs/cluster.md and the manifests tell people to type is what the program takes."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from pathlib import Path

import pytest
import tyro
import yaml
from cfnlint.decode import cfn_yaml

from raymm.cli_doctor import doctor
from raymm.sweep.grid import GridSettings
from raymm.sweep.prices import read_prices

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/cluster.md").read_text()
SWEEP = "python sweeps/sparsity_grid.py"
MADE = re.compile(r'make sweep ARGS="([^"]*)"')


def sweeps() -> list[str]:
    """Arguments of each sweep on the page and in the job's manifest."""
    job = yaml.safe_load((ROOT / "cluster/kuberay/rayjob.yaml").read_text())
    typed = [*PAGE.splitlines(), job["spec"]["entrypoint"].rstrip('"')]
    found = [line.split(SWEEP, 1)[1].replace("...", "x") for line in typed if SWEEP in line]
    return found + MADE.findall(PAGE)


@pytest.mark.parametrize("arguments", sweeps())
def test_a_sweep_is_one_that_the_program_takes(arguments: str) -> None:
    assert tyro.cli(GridSettings, args=shlex.split(arguments)).AXES


def test_there_are_as_many_as_ways_to_run_one() -> None:
    assert len(sweeps()) >= 5


@pytest.mark.parametrize(
    "line", [line.strip() for line in PAGE.splitlines() if "raymm doctor --" in line]
)
def test_the_doctor_takes_what_is_asked(line: str) -> None:
    words = shlex.split(line.replace("...", "x"), comments=True)
    given = {word for word in words[words.index("doctor") :] if word.startswith("--")}
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(doctor).parameters}
    assert given and given <= known


def test_files_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"(?<![\w/])(cluster/[\w./-]+\.\w+)", PAGE))
    named |= set(re.findall(r"\]\(\.\./([\w./-]+)\)", PAGE))
    assert named and not [name for name in named if not (ROOT / name).exists()]


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("    ")]


def test_each_way_takes_at_most_six_commands() -> None:
    for section in PAGE.split("\n## ")[1:5]:
        assert 1 <= len(commands(section)) <= 6, section.splitlines()[0]


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_readme_has_the_same_commands_and_costs() -> None:
    short = section((ROOT / "README.md").read_text(), "On a cluster")
    ways = ("AWS", "Kubernetes", "One machine with several GPUs")
    assert commands(short) == [line for way in ways for line in commands(section(PAGE, way))]
    costs = re.findall(r"^\|.*\|$", section(PAGE, "What it costs"), re.M)
    assert costs and re.findall(r"^\|.*\|$", short, re.M) == costs


def test_the_stack_is_given_all_that_it_asks_for() -> None:
    asks = cfn_yaml.load(str(ROOT / "cluster/aws-base.yaml"))["Parameters"]
    first = commands(section(PAGE, "AWS"))[0]
    given = set(re.findall(r"(\w+)=", first.split("--parameter-overrides")[1]))
    assert given == {name for name, each in asks.items() if "Default" not in each}
    assert "RouteTables=" in PAGE and "RouteTables" in asks


def test_what_is_typed_as_a_program_is_one() -> None:
    typed = [line.split()[0] for line in commands(PAGE) if line.split()[0].startswith("cluster/")]
    assert {"cluster/fill.sh", "cluster/push.sh", "cluster/connect.sh"} <= set(typed)
    assert not [name for name in typed if not os.access(ROOT / name, os.X_OK)]


def test_costs_are_those_of_the_price_list() -> None:
    prices = read_prices()
    assert prices is not None
    found = 0
    for row in re.findall(r"^\|.*\|$", section(PAGE, "What it costs"), re.M):
        machine = next((m for m in prices.instances if f"`{m.name}`" in row), None)
        if machine is None:
            continue
        found += 1
        on_demand, spot = (float(re.findall(r"\d+", cell)[0]) for cell in row.split("|")[2:4])
        assert on_demand == pytest.approx(24 * machine.on_demand, rel=0.02), row
        assert spot == pytest.approx(24 * machine.spot, rel=0.03), row
    assert found == 3
