"""The files for Ray's cluster launcher, against Ray's own schema, and what must never be in them."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from cfnlint.decode import cfn_yaml
from ray.autoscaler._private.command_runner import DockerCommandRunner
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.mlflow.on_head import SERVER_FILE, fetch_passwords
from raymm.training.growth import node_types

CLUSTER = Path(__file__).parent.parent.parent / "cluster"
FILES = ("aws.yaml", "gcp.yaml")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def text(name: str) -> str:
    return (CLUSTER / name).read_text()


def settings(name: str) -> str:
    """A file without its comments."""
    return re.sub(r"(^|\s)#.*", "", text(name))


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
    said = settings(name)
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
    # `Source` is the checkout's, not the stack's.
    assert set(PLACEHOLDER.findall(settings("aws.yaml"))) - {"Source"} == outputs()


def test_no_more_is_run_on_a_node_than_is_written_here() -> None:
    # What a file leaves out Ray fills in from its own defaults: `pip install` among them.
    for name in FILES:
        made, given = prepare_config(config(name)), config(name)
        assert made["setup_commands"] == made["worker_setup_commands"] == []
        assert made["head_setup_commands"] == given["head_setup_commands"]


class Recorder:
    """Runs nothing, and keeps what Ray would have run."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def check_call(self, command: list[str], *_: object, **__: object) -> None:
        self.commands.append(" ".join(command))

    def check_output(self, command: list[str], *_: object, **__: object) -> bytes:
        return b"/home/ray"


def test_the_server_is_started_outside_the_container_and_the_rest_inside() -> None:
    ran = Recorder()
    kind: Any = DockerCommandRunner  # Ray leaves it untyped
    runner = kind(
        config("aws.yaml")["docker"], log_prefix="", node_id="i-1", provider=None,
        auth_config=config("aws.yaml")["auth"], cluster_name="raymm", process_runner=ran,
        use_internal_ip=True,
    )  # fmt: skip
    for command in config("aws.yaml")["head_setup_commands"]:
        runner.run(command, run_env="auto")
    passwords, server, wait = ran.commands
    assert "docker exec" in passwords and "docker exec" in wait
    assert "docker run" in server and "docker exec" not in server
    assert "--publish 127.0.0.1:5000:5000" in server


def test_what_the_head_is_asked_for_the_ledger_is_what_its_script_takes() -> None:
    passwords, server, wait = config("aws.yaml")["head_setup_commands"]
    script = "python /home/ray/raymm/cluster/mlflow/on_head.py "
    assert passwords.startswith(script) and wait.startswith(script)
    takes = inspect.signature(fetch_passwords).parameters
    given = re.findall(r"--([\w-]+)", passwords)
    asked = {name for name, each in takes.items() if each.default is inspect.Parameter.empty}
    assert {name.replace("-", "_") for name in given} == asked
    assert f"--env-file {SERVER_FILE} " in server
    assert "cluster/mlflow/on_head.py" in text("Dockerfile")


def template() -> dict[str, Any]:
    found: dict[str, Any] = cfn_yaml.load(str(CLUSTER / "aws-base.yaml"))
    return found


def test_amazons_specification_takes_the_base() -> None:
    lint = [str(Path(sys.executable).parent / "cfn-lint"), "--include-checks", "I", "--"]
    said = subprocess.run([*lint, str(CLUSTER / "aws-base.yaml")], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_specification_would_refuse_an_unknown_property(tmp_path: Path) -> None:
    wrong = tmp_path / "base.yaml"
    wrong.write_text(text("aws-base.yaml").replace("StorageEncrypted", "StorageEncrypt"))
    lint = [str(Path(sys.executable).parent / "cfn-lint"), str(wrong)]
    said = subprocess.run(lint, capture_output=True, text=True)
    assert said.returncode != 0 and "StorageEncrypt" in said.stdout


def test_bucket_and_database_outlive_machines_and_stack() -> None:
    made = template()["Resources"]
    assert made["Bucket"]["DeletionPolicy"] == "Retain"
    assert made["Database"]["DeletionPolicy"] == "Snapshot"
    assert made["Database"]["Properties"]["PubliclyAccessible"] is False
    assert made["Database"]["Properties"]["BackupRetentionPeriod"] >= 7


def test_only_the_head_may_read_passwords() -> None:
    policies = [
        (each["Properties"]["Roles"], json.dumps(each["Properties"]["PolicyDocument"]))
        for each in template()["Resources"].values()
        if each["Type"] == "AWS::IAM::Policy"
    ]
    reading = [roles for roles, document in policies if "secretsmanager" in document]
    assert reading == [[{"Ref": "HeadRole"}]]
    assert any("spot.amazonaws.com" in document for _, document in policies)
