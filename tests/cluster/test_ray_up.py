"""`ray up` and `ray down` with the shipped files, against a server of Amazon's protocol (moto's), which
has the stack's resources and starts and ends machines on paper. Only `ssh` and `rsync` are replaced: they
write down what Ray would run on the machine, and answer as a fresh one would.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from ray.autoscaler._private.providers import _get_node_provider

from tests.cluster.test_scripts import put
from tests.s3.servers import REGION, Server, free_port, running

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

CLUSTER = Path(__file__).parent.parent.parent / "cluster"
MACHINE_IMAGE = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
)
FRESH_MACHINE = """
case "$*" in
    *'command -v docker'*) echo /usr/bin/docker ;;
    *State.Running*) echo false ;;
    *Config.Env*) echo '["HOME=/home/ray"]' ;;
    *'printenv HOME'*) echo /home/ray ;;
    *Runtimes*) echo runc ;;
    *' -L '*) port=${*#* -L }; exec SERVER ${port%%:*} ;;
esac"""

SERVER = f"{sys.executable} -m http.server --bind 127.0.0.1"
KEEP = """for each in "$@"; do case $each in /*/ray-bootstrap-*) cp "$each" {} ;; esac; done"""


@dataclass(frozen=True)
class Cloud:
    """A cloud on paper.

    Attributes:
        stack: outputs of the stack.
        file: the filled-in cluster file.
        log: what was run on machines, a line each.
        told: the configuration that the head was given.
        environment: of commands.
    """

    server: Server
    stack: dict[str, str]
    file: Path
    log: Path
    told: Path
    environment: dict[str, str]

    def client(self, name: str) -> Any:
        return client(self.server, name)

    def ray(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "ray"), *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=240
        )

    def machines(self) -> list[dict[str, Any]]:
        states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        found = self.client("ec2").describe_instances(Filters=states)["Reservations"]
        return [machine for each in found for machine in each["Instances"]]


def client(server: Server, name: str) -> Any:
    return boto3.client(
        name, endpoint_url=server.endpoint, region_name=REGION, aws_access_key_id="x",
        aws_secret_access_key="x",
    )  # fmt: skip


def make_stack(server: Server) -> dict[str, str]:
    """The stack of cluster/aws-base.yaml; its outputs, and names for the passwords, which moto's
    CloudFormation does not make."""
    ec2 = client(server, "ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    client(server, "ssm").put_parameter(Name="image", Value=image, Type="String")
    template = (CLUSTER / "aws-base.yaml").read_text().replace(MACHINE_IMAGE, "image")
    # moto reads the short form's second dot as a third part.
    host = '{"Fn::GetAtt": [Database, Endpoint.Address]}'
    template = template.replace("!GetAtt Database.Endpoint.Address", host)
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    given = {
        "Vpc": ec2.describe_vpcs()["Vpcs"][0]["VpcId"], "Subnet": subnets[0], "OtherSubnet": subnets[1],
        "RouteTables": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
    }  # fmt: skip
    formation = client(server, "cloudformation")
    formation.create_stack(
        StackName="raymm", TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )  # fmt: skip
    made = formation.describe_stacks(StackName="raymm")["Stacks"][0]
    assert made["StackStatus"] == "CREATE_COMPLETE"
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
    return outputs | {"DatabaseSecret": "database-secret", "AdminSecret": "admin-secret"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    programs, log, home = folder / "programs", folder / "run.log", folder / "home"
    told = folder / "told.json"
    programs.mkdir()
    home.mkdir()
    for name in ("ssh", "rsync"):
        written = f"echo {name} $(echo \"$*\" | tr '\\n' ' ') >> {log}"
        machine = FRESH_MACHINE.replace("SERVER", f"{SERVER} --directory {programs}")
        put(programs, name, f"{written}\n{machine}\n{KEEP.format(told)}")
    (programs / "api").mkdir()
    (programs / "api/version").write_text("{}")
    with running("moto", folder) as server:
        stack = make_stack(server)
        given = "\n".join(f"{name}\t{value}" for name, value in stack.items())
        put(programs, "aws", f"cat <<'EOF'\n{given}\nEOF")
        environment = {
            **os.environ, **server.environment(), "HOME": str(home), "TMPDIR": str(folder),
            "PATH": f"{programs}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip
        file = folder / "my-aws.yaml"
        filled = subprocess.run(
            [CLUSTER / "fill.sh", "raymm", CLUSTER / "aws.yaml"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        file.write_text(filled.stdout)
        yield Cloud(server, stack, file, log, told, environment)


@pytest.fixture(scope="module")
def up(cloud: Cloud) -> dict[str, Any]:
    """The head, once it is up."""
    said = cloud.ray("up", "--yes", str(cloud.file))
    assert said.returncode == 0, said.stdout + said.stderr
    (head,) = cloud.machines()
    return head


def test_the_head_is_what_the_file_says(cloud: Cloud, up: dict[str, Any]) -> None:
    assert up["InstanceType"] == "m6i.2xlarge" and "InstanceLifecycle" not in up
    assert up["IamInstanceProfile"]["Arn"].endswith("/raymm-head")
    assert [each["GroupId"] for each in up["SecurityGroups"]] == [cloud.stack["SecurityGroupId"]]
    assert up["SubnetId"] == cloud.stack["SubnetId"]


def test_the_head_is_set_up_in_order(cloud: Cloud, up: dict[str, Any]) -> None:
    lines = cloud.log.read_text().splitlines()
    assert all(f"ubuntu@{up['InstanceId']}" in line for line in lines)
    steps = ("install -d -o 1000", "docker login", "run --rm --name raymm", "on_head.py passwords",
             "run --detach --name mlflow", "on_head.py wait", "ray start --head")  # fmt: skip
    places = [next(i for i, line in enumerate(lines) if step in line) for step in steps]
    assert places == sorted(places)
    inside = ["docker exec" in lines[place] for place in places]
    assert inside == [False, False, False, True, False, True, True]
    assert not [line for line in lines if "pip install" in line]


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_connecting_goes_through_rays_own_command(cloud: Cloud, up: dict[str, Any]) -> None:
    port = str(free_port())
    path = f"{Path(sys.executable).parent}:{cloud.environment['PATH']}"
    said = subprocess.run(
        [CLUSTER / "connect.sh", cloud.file], capture_output=True, text=True, timeout=60,
        env=cloud.environment | {"PORT": port, "PATH": path},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    os.killpg(
        -int(said.stdout.split()[-1]), signal.SIGTERM
    )  # as it says: ssh goes with Ray's command
    until = time.monotonic() + 20
    while answers(int(port)):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert f"-L {port}:localhost:8265" in cloud.log.read_text()


def test_the_head_can_start_each_kind_of_worker(
    cloud: Cloud, up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.server.environment().items():
        monkeypatch.setenv(name, value)
    config = json.loads(cloud.told.read_text())  # as the launcher left it to the head
    assert "ssh_proxy_command" not in config["auth"]  # from there machines are reached directly
    make: Any = _get_node_provider
    provider = make(config["provider"], config["cluster_name"])
    kinds = {"a10g": "g5.2xlarge", "a10g-x4": "g5.12xlarge", "a100-x8": "p4d.24xlarge"}
    for name in kinds:
        node = config["available_node_types"][name]["node_config"]
        provider.create_node(node, {"ray-node-type": "worker", "ray-node-name": name}, 1)
    made = [each for each in cloud.machines() if each["InstanceId"] != up["InstanceId"]]
    assert sorted(each["InstanceType"] for each in made) == sorted(kinds.values())
    for machine in made:
        assert machine["InstanceLifecycle"] == "spot"
        assert machine["IamInstanceProfile"]["Arn"].endswith("/raymm-worker")
        groups = [each["GroupId"] for each in machine["SecurityGroups"]]
        assert groups == [cloud.stack["SecurityGroupId"]]


def test_the_ledger_outlives_the_machines(cloud: Cloud, up: dict[str, Any]) -> None:
    said = cloud.ray("down", "--yes", str(cloud.file))
    assert said.returncode == 0, said.stdout + said.stderr
    assert cloud.machines() == []
    (database,) = cloud.client("rds").describe_db_instances()["DBInstances"]
    assert database["Endpoint"]["Address"] == cloud.stack["DatabaseHost"]
    buckets = cloud.client("s3").list_buckets()["Buckets"]
    assert cloud.stack["BucketName"] in [each["Name"] for each in buckets]
