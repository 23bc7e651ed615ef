"""The scripts that set up a cluster, with the clouds' own programs replaced: they need an account."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.s3.servers import free_port

CLUSTER = Path(__file__).parent.parent.parent / "cluster"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for programs that are found before the machine's own."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def put(programs: Path, name: str, script: str) -> None:
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


@pytest.fixture
def run(programs: Path) -> Run:
    def start(
        script: str, *arguments: str | Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", **variables}
        command = [CLUSTER / script, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return start


def outputs() -> set[str]:
    block = (CLUSTER / "aws-base.yaml").read_text().split("\nOutputs:")[1]
    return set(re.findall(r"^  (\w+):", block, re.M))


def stack(programs: Path, lacking: str = "") -> None:
    """Amazon's command for a stack with all outputs but one, and for a registry."""
    given = "\n".join(f"{name}\tthe-{name.lower()}" for name in outputs() - {lacking, "Registry"})
    given += "\nRegistry\t1.dkr.ecr.eu-west-1.amazonaws.com"
    put(programs, "aws", f"[ $1 = ecr ] && echo token-for-$4 || cat <<'EOF'\n{given}\nEOF")


def test_filling_in(run: Run, programs: Path) -> None:
    stack(programs)
    said = run("fill.sh", "raymm", CLUSTER / "aws.yaml")
    assert said.returncode == 0, said.stderr
    assert "${" not in said.stdout
    filled = yaml.safe_load(said.stdout)
    validate_config(prepare_config(filled))
    node = filled["available_node_types"]["a10g"]["node_config"]
    assert node["ImageId"] == "the-imageid"
    assert node["SubnetIds"] == ["the-subnetid", "the-othersubnetid"]
    assert re.search(
        rf"/raymm:[0-9a-f]{{12}}(-\d+)?-ray{ray.__version__}$", filled["docker"]["image"]
    )


def test_a_stack_without_what_is_asked_for(run: Run, programs: Path) -> None:
    stack(programs, lacking="ImageId")
    said = run("fill.sh", "raymm", CLUSTER / "aws.yaml")
    assert said.returncode == 1 and "${ImageId}" in said.stderr and not said.stdout


@pytest.fixture
def filled(run: Run, programs: Path, tmp_path: Path) -> Path:
    stack(programs)
    file = tmp_path / "my-aws.yaml"
    file.write_text(run("fill.sh", "raymm", CLUSTER / "aws.yaml").stdout)
    return file


def docker(programs: Path, there: str) -> Path:
    """Docker's command, which writes down what it is asked; images that a pattern matches are there."""
    log = programs / "asked"
    put(programs, "docker", f'echo "$*" >> {log}\n[ $1 = login ] && cat > {log}-password\n'
        '[ "$1 $2" = "manifest inspect" ] || exit 0\n'
        f"case $3 in {there}) ;; *) exit 1 ;; esac")  # fmt: skip
    return log


def test_both_images_are_built_and_pushed(run: Run, programs: Path, filled: Path) -> None:
    log = docker(programs, "none")
    said = run("push.sh", filled)
    assert said.returncode == 0, said.stderr
    asked = log.read_text().splitlines()
    images = set(re.findall(r"1\.dkr\S+/raymm\S*", filled.read_text()))
    assert {line.split()[1] for line in asked if line.startswith("push ")} == images
    builds = [line for line in asked if line.startswith("build ")]
    assert len(images) == len(builds) == 2
    assert all("--platform linux/amd64" in line for line in builds)
    ends = {line.split("/raymm")[1].split(":")[0]: line.split()[-1] for line in builds}
    assert ends == {"": ".", "-mlflow": "cluster/mlflow"}
    assert asked[0].startswith("login --username AWS --password-stdin 1.dkr")
    assert (programs / "asked-password").read_text() == "token-for-eu-west-1\n"


def test_what_the_registry_has_is_not_pushed_again(run: Run, programs: Path, filled: Path) -> None:
    log = docker(programs, "*/raymm:*")
    said = run("push.sh", filled)
    assert said.returncode == 0 and "is there already" in said.stdout
    pushed = [line for line in log.read_text().splitlines() if line.startswith("push ")]
    assert len(pushed) == 1 and "/raymm-mlflow:" in pushed[0]


def test_a_file_without_an_image_is_said(run: Run, programs: Path, tmp_path: Path) -> None:
    docker(programs, "none")
    file = tmp_path / "empty.yaml"
    file.write_text("# 1.dkr/raymm:commented\ncluster_name: raymm\n")
    said = run("push.sh", file)
    assert said.returncode == 1 and "empty.yaml" in said.stderr


def serving(programs: Path) -> None:
    """Ray's command for a dashboard, which takes a moment."""
    (programs / "api").mkdir()
    (programs / "api/version").write_text("{}")
    put(programs, "ray", '[ "$1 $2 $4" = "dashboard --port my-aws.yaml" ] || exit 9\nsleep 1\n'
        f"exec {sys.executable} -m http.server --bind 127.0.0.1 --directory {programs} $3")  # fmt: skip


def test_connecting(run: Run, programs: Path) -> None:
    serving(programs)
    port = str(free_port())
    said = run("connect.sh", "my-aws.yaml", PORT=port)
    assert said.returncode == 0, said.stderr
    found = re.search(rf"^http://127.0.0.1:{port} .* kill -- -(\d+)$", said.stdout)
    assert found is not None, said.stdout
    try:
        again = run("connect.sh", "my-aws.yaml", PORT=port)
        assert again.returncode == 1 and "already" in again.stderr
    finally:
        os.killpg(int(found[1]), signal.SIGTERM)


def test_a_cluster_that_is_not_up(run: Run, programs: Path) -> None:
    put(programs, "ray", "echo Head node of cluster raymm not found; exit 1")
    said = run("connect.sh", "my-aws.yaml", PORT=str(free_port()))
    assert said.returncode == 1
    assert "Head node of cluster raymm not found" in said.stderr and "ray up" in said.stderr
