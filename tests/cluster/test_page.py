"""What docs/cluster.md and the manifests tell people to type is what the program takes."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
import tyro
import yaml

from raymm.cli_doctor import doctor
from raymm.sweep.grid import GridSettings

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/cluster.md").read_text()
SWEEP = "python sweeps/sparsity_grid.py"


def sweeps() -> list[str]:
    """Arguments of each sweep on the page and in the job's manifest."""
    job = yaml.safe_load((ROOT / "cluster/kuberay/rayjob.yaml").read_text())
    typed = [*PAGE.splitlines(), job["spec"]["entrypoint"].rstrip('"')]
    return [line.split(SWEEP, 1)[1].replace("...", "x") for line in typed if SWEEP in line]


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


def test_each_way_takes_at_most_six_commands() -> None:
    for section in PAGE.split("\n## ")[1:5]:
        commands = [line for line in section.splitlines() if line.startswith("    ")]
        assert 1 <= len(commands) <= 6, section.splitlines()[0]
