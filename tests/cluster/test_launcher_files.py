"""The files for Ray's cluster launcher, against Ray's own schema, and what must never be in them."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from raymm.training.growth import node_types

CLUSTER = Path(__file__).parent.parent.parent / "cluster"
FILES = ("aws.yaml", "gcp.yaml")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def text(name: str) -> str:
    return (CLUSTER / name).read_text()


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text(name))
    return loaded


def workers(name: str) -> dict[str, Any]:
    types: dict[str, Any] = config(name)["available_node_types"]
    return {kind: content for kind, content in types.items() if kind != "head"}


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_it(name: str) -> None:
    validate_config(prepare_config(config(name)))


def test_rays_schema_would_refuse_an_unknown_key() -> None:
    with pytest.raises(Exception, match="idle_minutes"):
        validate_config(prepare_config({**config("aws.yaml"), "idle_minutes": 3}))


@pytest.mark.parametrize("name", FILES)
def test_workers_come_from_zero_and_go(name: str) -> None:
    assert config(name)["idle_timeout_minutes"] <= 10
    assert all(each["min_workers"] == 0 for each in workers(name).values())
    assert config(name)["max_workers"] == sum(
        each["max_workers"] for each in workers(name).values()
    )


def test_on_aws_the_head_is_on_demand_and_workers_are_spot() -> None:
    types = config("aws.yaml")["available_node_types"]
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    for each in workers("aws.yaml").values():
        assert each["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_on_google_cloud_the_head_is_on_demand_and_workers_are_spot() -> None:
    types = config("gcp.yaml")["available_node_types"]
    assert "scheduling" not in types["head"]["node_config"]
    for each in workers("gcp.yaml").values():
        assert each["node_config"]["scheduling"]["provisioningModel"] == "SPOT"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_open_and_no_keys_are_in_it(name: str) -> None:
    said = text(name)
    assert "0.0.0.0" not in said
    assert not re.search(r"AKIA|aws_secret|password:|private_key", said, re.I)
    head = " ".join(config(name)["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head


def test_on_aws_no_security_group_is_left_to_ray() -> None:
    # Ray's own admits the whole world to port 22.
    for each in config("aws.yaml")["available_node_types"].values():
        assert each["node_config"]["SecurityGroupIds"]
        assert each["node_config"]["IamInstanceProfile"]["Name"].startswith("raymm-")


def test_the_base_admits_its_own_machines_only() -> None:
    assert "CidrIp" not in text("aws-base.yaml")


@pytest.mark.parametrize("name", FILES)
def test_a_node_type_says_which_gpu_it_will_have(name: str) -> None:
    # A type of which no node is there is known to the autoscaler by these alone.
    for each in workers(name).values():
        kinds = [key for key in each["resources"] if key.startswith("accelerator_type:")]
        assert len(kinds) == 1
        assert each["resources"]["GPU"] >= 1


def test_machines_are_as_the_price_list_has_them() -> None:
    prices = tomllib.loads(text("prices.toml"))
    machines = {each["name"]: each for each in prices["instance"]}
    for each in workers("aws.yaml").values():
        machine = machines[each["node_config"]["InstanceType"]]
        resources = each["resources"]
        kind = next(key.split(":")[1] for key in resources if key.startswith("accelerator_type:"))
        assert (resources["CPU"], resources["GPU"]) == (machine["cpus"], machine["gpus"])
        assert machine["gpu"].startswith(kind)


@pytest.mark.parametrize("name", FILES)
def test_the_image_is_pinned_to_the_ray_that_is_tested(name: str) -> None:
    assert config(name)["docker"]["image"].endswith(f"-ray{ray.__version__}")


def test_raymm_reads_the_node_types_as_ray_does() -> None:
    found = {each.name: each for each in node_types(config("aws.yaml"))}
    assert {name: each.most for name, each in found.items()} == {
        "a10g": 8, "a10g-x4": 4, "a100-x8": 1,
    }  # fmt: skip
    assert found["a100-x8"].resources["GPU"] == 8


def outputs() -> set[str]:
    block = text("aws-base.yaml").split("\nOutputs:")[1]
    return set(re.findall(r"^  (\w+):", block, re.M))


def test_what_is_to_be_filled_in_is_what_the_base_gives() -> None:
    settings = "\n".join(line for line in text("aws.yaml").splitlines() if line.strip()[:1] != "#")
    assert set(PLACEHOLDER.findall(settings)) <= outputs()


@pytest.mark.parametrize("lacking", ["", "ImageId"])
def test_filling_in(lacking: str, tmp_path: Path) -> None:
    given = "\n".join(f"{name}\tthe-{name.lower()}" for name in outputs() - {lacking})
    aws = tmp_path / "aws"  # stands for Amazon's command, which needs an account
    aws.write_text(f"#!/bin/sh\ncat <<'EOF'\n{given}\nEOF\n")
    aws.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    command = ["bash", str(CLUSTER / "fill.sh"), "raymm", str(CLUSTER / "aws.yaml")]
    said = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True)
    if lacking:
        assert said.returncode == 1 and "${ImageId}" in said.stderr and not said.stdout
        return
    filled = yaml.safe_load(said.stdout)
    validate_config(prepare_config(filled))
    node = filled["available_node_types"]["a10g"]["node_config"]
    assert node["ImageId"] == "the-imageid" and node["SubnetIds"] == ["the-subnetid"]
