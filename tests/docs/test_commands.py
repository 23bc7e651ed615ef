"""Every command of README and the pages is run, on small data in the place of what it is meant for.

What would train for minutes is run as its plan, which reads all that the training would. What needs
more than this machine (a cluster's address, a bucket, pretrained encoders, benchmark data) is read by the
program's own command line here, and run by the tests that `ELSEWHERE` names.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tyro

from raymm import command
from raymm.cli import main
from raymm.command_operations import run_operations
from raymm.report.write import write_report
from raymm.sweep.cells import CellResult
from raymm.sweep.environment import environment
from raymm.sweep.grid import GridSettings
from raymm.sweep.opening import open_record
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep
from tests.docs.pages import ROOT, commands, mentioned, page
from tests.docs.test_data import downloads
from tests.docs.test_pages import RAYMM, SCRIPTS, only_parsed
from tests.showcase.test_show import train

PAGES = ("README.md", "models.md", "metrics.md", "reproduce.md", "errors.md", "search.md",
         "add-a-model.md", "python.md")  # fmt: skip
"""data.md, whose commands follow one another, and cluster.md have tests of their own."""
ELSEWHERE = {
    "raymm embed": "tests/encoders/test_packaged.py",
    "raymm evaluate": "tests/test_cli_evaluate.py",
    "python -m benchmarks": "benchmarks",
    "my_models:GatedMean": "tests/docs/test_add_a_model.py",
    "--from-search": "tests/sweep/search/test_best_file.py",
    "--address": "tests/cluster",
    "s3://": "tests/storage",
}
"""What a command has in it, and the tests that run such commands for real."""
SMALL = GridSettings(
    models=("mca",), sparsities=(0.0, 0.5), seeds=(0,), modalities=("mor", "zer"), epochs=1, width=8,
    depth=1, head_size=8, fusion_tokens=1, warmup_steps=1, name="NAME",
)  # fmt: skip
KEPT = "results/README.md"
DATA = ("check", "pack", "prepare")


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is meant: downloads, and finished sweeps: NAME as MLflow has it, A and B."""
    folder = tmp_path_factory.mktemp("person")
    downloads(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("NAME", "A", "B"):
            models = ("eao",) if name == "B" else ("mca",)
            sweep = prepare_sweep(dataclasses.replace(SMALL, name=name, models=models))
            claim_places(sweep)
            with sweep.ledger:
                finish(sweep, report=name != "NAME")
    return folder


def finish(sweep: Sweep, *, report: bool) -> None:
    """Train a sweep here, and leave what a sweep leaves."""
    results: list[CellResult]
    if sweep.finished:
        open_record(sweep)
        results = list(sweep.finished.values())
    else:
        results = train(sweep)
    if report:
        write_report(
            results, sweep.folder, name=sweep.name, command="python sweeps/sparsity_grid.py",
            settings={"epochs": 1}, environment=environment(), storage=sweep.storage,
            fingerprints={sweep.dataset.name: sweep.dataset.fingerprint},
        )  # fmt: skip
    sweep.ledger.close_sweep("FINISHED")
    assert sweep.ledger.settle(20)


def runs(path: str) -> command.Run[Any]:
    """What a script of sweeps/ calls, here in this process, which has loaded everything already."""
    known = {
        "sweeps/sparsity_grid.py": command.run_grid,
        "sweeps/fusion_operations.py": run_operations,
    }
    if path in known:
        return known[path]
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: command.Run[Any] = module.run
    return run


def elsewhere(line: str) -> bool:
    return any(word in line for word in ELSEWHERE)


def to_run(of: str) -> list[str]:
    return [each for each in commands(of) if not elsewhere(each) and not each.startswith("make ")]


@pytest.mark.parametrize(("of", "line"), [(of, each) for of in PAGES for each in to_run(of)])
def test_a_command_does_what_it_says(
    of: str, line: str, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(where)
    key = next(folder.name for folder in (where / "storage").iterdir())
    words = [key if word == "KEY" else word for word in shlex.split(line)]
    if words[:2] == ["raymm", "doctor"]:
        assert main(words[1:]) in (0, 1)  # what is open on a machine is the machine's
    elif words[0] == "raymm":
        assert main(words[1:]) == 0
    else:
        plan = words[2:] if "--plan" in words else [*words[2:], "--plan"]
        path = words[1]
        assert command.main(SCRIPTS[path], path, runs(path), plan) == 0


@pytest.mark.parametrize(
    ("of", "command"), [(of, each) for of in PAGES for each in commands(of) if elsewhere(each)]
)
def test_a_command_that_is_run_elsewhere_is_one_that_the_program_takes(
    of: str, command: str
) -> None:
    words = shlex.split(command)
    if words[:2] == ["python", "-m"]:
        assert (ROOT / Path(*words[2].split("."))).with_suffix(".py").exists()
    else:
        read(words)


def read(words: list[str]) -> None:
    """Read a command line as the program does, without doing anything."""
    if words[0] == "python":
        tyro.cli(SCRIPTS[words[1]], args=words[2:])
    else:
        tyro.cli(only_parsed(RAYMM[words[1]]), args=words[2:])


def test_tests_that_run_commands_elsewhere_exist() -> None:
    assert [place for place in ELSEWHERE.values() if not (ROOT / place).exists()] == []


@pytest.mark.parametrize(
    ("of", "said"), [(of, each) for of in (*PAGES, "data.md", KEPT) for each in mentioned(of)]
)
def test_what_a_sentence_says_to_type_exists(of: str, said: str) -> None:
    words = shlex.split(said)
    if words[0] == "make":
        assert target(words[1])
    elif words[:2] == ["raymm", "data"]:
        assert words[2] in DATA
    else:
        taken = parameters(words[1])
        options = [word for word in words[2:] if word.startswith("--")]
        assert [word for word in options if word[2:].replace("-", "_") not in taken] == []


def parameters(command: str) -> set[str]:
    """What a script of sweeps/, or a command of raymm, can be given."""
    if command in SCRIPTS:
        return set(SCRIPTS[command].__dataclass_fields__)
    return set(inspect.signature(RAYMM[command]).parameters)


def target(name: str) -> bool:
    said = subprocess.run(
        ["make", "--dry-run", "--always-make", name], capture_output=True, cwd=ROOT, check=False
    )
    return said.returncode == 0


def test_every_target_of_make_in_the_readme_is_one() -> None:
    asked = {
        word
        for command in commands("README.md")
        if command.startswith("make ")
        for word in shlex.split(command)[1:]
        if "=" not in word
    }
    assert {"sweep", "test"} <= asked
    assert [name for name in sorted(asked) if not target(name)] == []


def test_what_the_readme_links_to_is_there() -> None:
    told = page("README.md")
    linked = re.findall(r"\]\(((?:docs|results|raymm|benchmarks)/[^)#]+)\)", told)
    assert [path for path in linked if not (ROOT / path).exists()] == []
