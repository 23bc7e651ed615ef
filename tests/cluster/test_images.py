"""The images' files, the compose file, and what a submitted job takes along."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray._private.runtime_env import packaging

ROOT = Path(__file__).parent.parent.parent
CLUSTER = ROOT / "cluster"
MOST_MIB = 20
"""What is uploaded goes to every node."""


@pytest.mark.parametrize("name", ["Dockerfile", "mlflow/Dockerfile"])
def test_hadolint_has_nothing_to_say(name: str) -> None:
    command = [str(Path(sys.executable).parent / "hadolint"), str(CLUSTER / name)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_shellcheck_has_nothing_to_say() -> None:
    scripts = [str(file) for file in sorted(CLUSTER.rglob("*.sh"))]
    assert len(scripts) >= 5
    command = [str(Path(sys.executable).parent / "shellcheck"), "--severity=warning", *scripts]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert found is not None
    return found[1]


def test_the_image_has_the_ray_and_the_packages_that_are_tested() -> None:
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{ray.__version__}-py311-gpu\n" in dockerfile
    assert pinned("ray") == ray.__version__
    assert "-c constraints.txt" in dockerfile
    assert f"google-api-python-client=={pinned('google-api-python-client')}\n" in dockerfile


def test_docker_is_sent_what_the_image_is_built_from() -> None:
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY --chown=\S+ (.+) \S+$", dockerfile, re.M)
    wanted = {source for line in copied for source in line.split()}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == wanted
    assert not [source for source in wanted if not (ROOT / source).exists()]


def test_the_server_is_the_mlflow_that_is_tested() -> None:
    for name in ("Dockerfile", "compose.yaml", "kubernetes.yaml"):
        assert pinned("mlflow") in (CLUSTER / "mlflow" / name).read_text(), name


def test_the_servers_that_are_tested_are_those_of_the_image() -> None:
    tested = (ROOT / "tests/cluster/servers.txt").read_text().splitlines()
    pins = {line for line in tested if not line.startswith("#")}
    dockerfile = (CLUSTER / "mlflow/Dockerfile").read_text()
    assert pins == {each.strip("'") for each in re.findall(r"\S+==[^\s']+'?", dockerfile)}
    assert f"boto3=={pinned('boto3')}" in pins


@pytest.mark.parametrize("misspelt", [False, True])
def test_compose_takes_it(misspelt: bool, tmp_path: Path) -> None:
    content = (CLUSTER / "mlflow/compose.yaml").read_text()
    file = tmp_path / "compose.yaml"
    file.write_text(content.replace("healthcheck:", "healthchek:") if misspelt else content)
    program = str(Path(sys.executable).parent / "check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", str(file)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert (said.returncode, "healthchek" in said.stdout) == (misspelt, misspelt), said.stdout


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CLUSTER / "mlflow/compose.yaml").read_text())
    return loaded


def test_the_server_is_closed_and_its_secrets_are_asked_for() -> None:
    services = compose()["services"]
    assert services["mlflow"]["ports"] == ["${LISTEN:-127.0.0.1}:5000:5000"]
    assert "ports" not in services["database"]
    for service in services.values():
        for name, value in service["environment"].items():
            if "PASSWORD" in name or "SECRET" in name:
                assert value.startswith("${") and ":?" in value, name
    assert "basic-auth" in (CLUSTER / "mlflow/server.sh").read_text()


def test_what_a_job_takes_along_is_small_and_whole(tmp_path: Path) -> None:
    made = tmp_path / "package.zip"
    packaging.create_package(str(ROOT), made, include_gitignore=True, excludes=[])
    names = zipfile.ZipFile(made).namelist()
    assert not any(name.startswith(".") and "/" in name for name in names)  # environments, caches
    tops = {name.split("/")[0] for name in names}
    assert {"raymm", "sweeps", "cluster", "pyproject.toml"} <= tops
    assert not tops & {".git", ".venv", "tests", "benchmarks", "results", "mlruns", "storage"}
    assert "cluster/prices.toml" in names and "sweeps/sparsity_grid.py" in names
    assert made.stat().st_size < MOST_MIB * 2**20


def test_filled_in_files_and_passwords_stay_out_of_git_and_of_jobs() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "/my-*.yaml"} <= set(ignored)
