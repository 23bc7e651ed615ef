"""`cluster/kuberay/prepare.sh`: manifests with names in them, images, secrets.

The commands of the clouds, of Docker and of Kubernetes are stand-ins that write down how they are called:
the real ones need an account and a cluster.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config

ROOT = Path(__file__).parent.parent.parent
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
GOOGLE = "us-central1-docker.pkg.dev/project/raymm"
ROLE = "arn:aws:iam::123456789012:role/raymm"
STAND_IN = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>"$CALLS/calls.txt"
case "$(basename "$0") $*" in
    'docker manifest inspect '* | 'aws ecr describe-repositories '*) exit 1 ;;
    'docker login '*) cat >/dev/null ;;
    'kubectl get secret '*) [ -e "$CALLS/secret-$3" ] ;;
    'kubectl create secret generic '*) cat "${5#--from-env-file=}" >"$CALLS/secret-$4" ;;
esac
"""


@dataclass(frozen=True)
class Place:
    """A folder to prepare in, and what the stand-ins were asked for."""

    folder: Path

    def prepare(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(ROOT / "cluster/kuberay/prepare.sh"), *arguments],
            cwd=self.folder,
            env={"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "CALLS": str(self.folder)},
            capture_output=True,
            text=True,
        )

    def calls(self) -> list[str]:
        return (self.folder / "calls.txt").read_text().splitlines()

    def documents(self, name: str) -> list[dict[str, Any]]:
        return [each for each in yaml.safe_load_all((self.folder / name).read_text()) if each]

    def of_kind(self, kind: str, name: str = "my-kuberay.yaml") -> list[dict[str, Any]]:
        return [each for each in self.documents(name) if each["kind"] == kind]

    def secrets(self) -> dict[str, dict[str, str]]:
        return {
            file.name.removeprefix("secret-"): dict(
                line.split("=", 1) for line in file.read_text().splitlines()
            )
            for file in self.folder.glob("secret-*")
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "bin").mkdir()
    for name in ("aws", "docker", "gcloud", "kubectl"):
        (tmp_path / "bin" / name).write_text(STAND_IN)
        (tmp_path / "bin" / name).chmod(0o755)
    return Place(tmp_path)


def prepared(place: Place, *arguments: str) -> str:
    said = place.prepare(*arguments)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout + said.stderr


def images(content: Any) -> set[str]:
    """All images in a manifest."""
    if isinstance(content, Mapping):
        own = {content["image"]} if "image" in content else set()
        return own.union(*(images(each) for each in content.values()))
    if isinstance(content, Sequence) and not isinstance(content, str):
        return set().union(*(images(each) for each in content))
    return set()


@pytest.mark.parametrize(("registry", "access"), [(ECR, ROLE), (GOOGLE, "keys"), ("a.b/c", "")])
def test_nothing_is_left_to_fill_in(registry: str, access: str, place: Place) -> None:
    if access == "keys":
        access = str(place.folder / "keys")
        Path(access).write_text("AWS_ACCESS_KEY_ID=me\nAWS_SECRET_ACCESS_KEY=canary\n")
    prepared(place, registry, "my-bucket", access)
    for name in ("my-kuberay.yaml", "my-rayjob.yaml"):
        assert not re.search(
            r"REGISTRY|BUCKET|ROLE|SOURCE|canary", (place.folder / name).read_text()
        )
    for each in place.documents("my-kuberay.yaml"):
        if not each["apiVersion"].startswith("ray.io/"):
            kubernetes_validate.validate(each, "1.30", strict=True)
    accounts = [each["metadata"].get("annotations") for each in place.of_kind("ServiceAccount")]
    role = {"eks.amazonaws.com/role-arn": access} if access == ROLE else None
    assert accounts == [role, role]
    keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "canary"}
    assert place.secrets().get("raymm-storage") == (keys if "keys" in access else None)
    (job,) = place.documents("my-rayjob.yaml")
    assert "--storage s3://my-bucket/cells" in job["spec"]["entrypoint"]


def test_the_images_that_are_named_are_pushed(place: Place) -> None:
    prepared(place, f"{ECR}/team", "my-bucket", ROLE)
    named = images(place.documents("my-kuberay.yaml")) | images(place.documents("my-rayjob.yaml"))
    pushed = {call.split()[-1] for call in place.calls() if call.startswith("docker push")}
    assert pushed == {name for name in named if name.startswith(ECR)}
    assert {re.sub(r":.*-", ":*-", name) for name in pushed} == {
        f"{ECR}/team/raymm:*-ray2.60.0",
        f"{ECR}/team/raymm-mlflow:*-mlflow3.17.2",
    }
    made = [call for call in place.calls() if "create-repository" in call]
    assert [call.split()[-1] for call in made] == ["team/raymm", "team/raymm-mlflow"]
    assert all("--region eu-central-1" in call for call in made)


def test_secrets_are_made_once_and_are_on_no_command_line(place: Place) -> None:
    said = prepared(place, ECR, "my-bucket", ROLE)
    first = place.secrets()
    assert first.keys() == {"mlflow", "raymm-mlflow"}
    values = [value for each in first.values() for value in each.values() if value != "admin"]
    assert len(set(values)) == 3 and all(len(value) == 48 for value in values)
    said += prepared(place, ECR, "my-bucket", ROLE)  # as after a change of the code
    assert place.secrets() == first
    files = [place.folder / name for name in ("calls.txt", "my-kuberay.yaml", "my-rayjob.yaml")]
    everything = said + "".join(file.read_text() for file in files)
    assert not [value for value in values if value in everything]


def test_the_pods_find_what_they_ask_of_the_secrets(place: Place) -> None:
    prepared(place, ECR, "my-bucket", ROLE)
    secrets, asked = place.secrets(), []
    for kind in ("StatefulSet", "Deployment"):
        (found,) = place.of_kind(kind)
        for container in found["spec"]["template"]["spec"]["containers"]:
            asked += [
                each["valueFrom"]["secretKeyRef"]
                for each in container["env"]
                if "valueFrom" in each
            ]
    assert len(asked) == 3
    assert all(each["key"] in secrets[each["name"]] for each in asked)
    assert {"POSTGRES_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"} == secrets["mlflow"].keys()


def test_on_google_machines_are_googles(place: Place) -> None:
    prepared(place, GOOGLE, "my-bucket")
    (cluster,) = place.of_kind("RayCluster")
    cluster["metadata"]["namespace"] = "default"
    types = autoscaling_config._derive_autoscaling_config_from_ray_cr(cluster)[
        "available_node_types"
    ]
    assert types.keys() == {"headgroup", "l4", "l4-x4", "a100-x8"}
    assert (
        types["l4-x4"]["resources"] | {"GPU": 4, "accelerator_type:L4": 1}
        == types["l4-x4"]["resources"]
    )
    selectors = {
        group["groupName"]: group["template"]["spec"]["nodeSelector"][
            "cloud.google.com/gke-accelerator"
        ]
        for group in cluster["spec"]["workerGroupSpecs"]
    }
    assert selectors == {"l4": "nvidia-l4", "l4-x4": "nvidia-l4", "a100-x8": "nvidia-tesla-a100"}
    (job,) = place.documents("my-rayjob.yaml")
    assert "--gpu L4 --larger-gpu A100" in job["spec"]["entrypoint"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((ECR,), "BUCKET is missing"),
        ((ECR, "my-bucket", "no-such-file"), "neither a role .* nor a file"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is(
    arguments: tuple[str, ...], why: str, place: Place
) -> None:
    said = place.prepare(*arguments)
    assert said.returncode != 0 and re.search(why, said.stderr)
    assert not (place.folder / "my-kuberay.yaml").exists()
    assert not (place.folder / "calls.txt").exists()
