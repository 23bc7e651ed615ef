"""Every command of docs/data.md, on tiny files in the layout that it is meant for."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raymm.cli import main
from tests.data.sources import folders as tables_of_their_own
from tests.data.sources import test_physionet2012
from tests.data.sources.huggingface import folders
from tests.data.sources.mosei import files
from tests.data.sources.pairs import layouts
from tests.data.sources.tcga import tables

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "data.md"


def commands() -> dict[str, list[str]]:
    """Section -> its commands: indented lines that begin with raymm or python.

    Those with s3:// are run by tests/s3, where there are servers.
    """
    found: dict[str, list[str]] = {}
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith(("    raymm ", "    python ")) and "s3://" not in line:
            found.setdefault(section, []).append(line.strip())
    return found


def downloads(folder: Path) -> None:
    """What the page's commands begin with."""
    study = folder / "my-study"
    study.mkdir()
    names = tables_of_their_own.ids(60)
    outcome = [str(number % 2) for number in range(60)]
    for name, seed in (("expression", 0), ("proteins", 1)):
        tables_of_their_own.features(names, 4, seed).to_csv(study / f"{name}.csv")
    lines = ["id,outcome", *(f"{n},{o}" for n, o in zip(names, outcome, strict=True))]
    (study / "labels.csv").write_text("\n".join(lines) + "\n")
    tables.xena(folder / "tcga", 200)
    files.aligned(folder / "final_aligned", 60)
    folders.save(folder / "tcga_dataset", folders.tcga(200))
    clips = folders.mosei(60)
    for name, width in (("FACET", 35), ("OpenFace", 713)):
        noise = np.random.default_rng(width)
        column = [{"data": folders.vectors(noise, 1 + row % 3, width)} for row in range(60)]
        clips = clips.append_column(name, folders.column(column))
    folders.save(folder / "cmu.dataset", clips)
    test_physionet2012.layout(folder / "challenge-2012", "zip", 60)
    captioned(folder / "coco", 90)


def captioned(folder: Path, count: int) -> None:
    """Images with five captions each, in the layout of COCO."""
    for first, part in ((0, "train2017"), (count, "val2017")):
        ids = range(first, first + count)
        images = [{"id": n, "file_name": f"{n:012d}.jpg"} for n in ids]
        captions = [
            {"id": 10 * n + m, "image_id": n, "caption": f"caption {m} of {n}"}
            for n in ids
            for m in range(5)
        ]
        for number, each in enumerate(images):
            layouts.image(folder / part / str(each["file_name"]), number)
        said = json.dumps({"images": images, "annotations": captions})
        layouts.write(folder / "annotations" / f"captions_{part}.json", said)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    downloads(folder)
    return folder


def run(command: str) -> tuple[int, str]:
    words = shlex.split(command)
    if words[0] == "raymm" and words[1] != "embed":  # which starts a Ray of its own
        return main(words[1:]), ""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = ["-m", "raymm.cli"] if words[0] == "raymm" else [str(ROOT / words[1])]
    arguments = words[1:] if words[0] == "raymm" else words[2:]
    command_line = [sys.executable, *program, *arguments]
    said = subprocess.run(
        command_line, capture_output=True, text=True, check=False, env=environment
    )
    return said.returncode, said.stdout + said.stderr


def sections() -> list[object]:
    """Names of the sections; the one that embeds starts a Ray of its own, which takes long."""
    slow = {"Images and texts": pytest.mark.slow}
    return [pytest.param(name, marks=slow.get(name, ())) for name in commands()]


@pytest.mark.parametrize("section", sections())
def test_the_commands_of_a_section_work_one_after_the_other(
    section: str, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(where)
    asked = [command for command in commands()[section] if "https://" not in command]
    assert any("--plan" in command for command in asked)
    for command in asked:
        status, said = run(command)
        assert status == 0, f"{command}\n{said}"


def test_every_way_to_prepare_is_on_the_page() -> None:
    text = PAGE.read_text()
    for source in ("tcga", "mosei", "physionet2012", "huggingface"):
        assert f"raymm data prepare {source} --from" in text
