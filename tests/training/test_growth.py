"""What a cluster may grow to: by a RayCluster, which a server that stands for Kubernetes gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay import node_provider

from raymm.training.cluster import room_on_cluster
from raymm.training.growth import CLUSTER, PORT, growth, types_in_kubernetes
from raymm.training.placing import Room

MANIFEST = Path(__file__).parent.parent.parent / "cluster/kuberay/raycluster.yaml"
NAMESPACE, TOKEN = "a-team", "token-of-the-heads-service-account"
PATH = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayclusters/raymm"
A10G = {"CPU": 4.0, "GPU": 1.0}


class Kubernetes(ThreadingHTTPServer):
    """Gives the shipped RayCluster to whoever has the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.documents = list(yaml.safe_load_all(MANIFEST.read_text()))

    @property
    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = next(d for d in self.documents if d["kind"] == "RayCluster")
        found["metadata"]["namespace"] = NAMESPACE
        return found


class Answer(BaseHTTPRequestHandler):
    server: Kubernetes

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        let_in = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == PATH
        content = json.dumps(self.server.cluster if let_in else {}).encode()
        self.send_response(200 if let_in else 403)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def kubernetes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kubernetes]:
    """A server, and what Kubernetes and KubeRay put into a pod of the head."""
    server = Kubernetes()
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}{PATH.rpartition('/')[0]}"

    def url_from_resource(namespace: str, path: str, **_: str) -> str:
        return f"{url.replace(NAMESPACE, namespace)}/{path.rpartition('/')[2]}"

    # The real one takes nothing but TLS, under certificates that Kubernetes has made.
    monkeypatch.setattr(node_provider, "url_from_resource", url_from_resource)
    monkeypatch.setattr(node_provider, "IN_CLUSTER_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "namespace").write_text(NAMESPACE)
    monkeypatch.setenv(CLUSTER, "raymm")
    monkeypatch.setenv(PORT, "6379")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_head_of_a_raycluster_knows_its_groups(kubernetes: Kubernetes) -> None:
    found = {each.name: each for each in types_in_kubernetes("10.0.0.7:6379")}
    groups = {group["groupName"]: group for group in kubernetes.cluster["spec"]["workerGroupSpecs"]}
    assert found.keys() == groups.keys()
    for name, group in groups.items():
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert found[name].most == group["maxReplicas"]
        assert found[name].resources["GPU"] == int(limits["nvidia.com/gpu"])
        assert found[name].resources["CPU"] == int(limits["cpu"])


def test_a_ray_of_its_own_in_the_pod_is_not_the_raycluster(kubernetes: Kubernetes) -> None:
    assert types_in_kubernetes("10.0.0.7:6380") == []
    assert not kubernetes.asked


def test_outside_of_kuberay_nobody_is_asked(
    kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CLUSTER)
    assert types_in_kubernetes("10.0.0.7:6379") == []
    assert not kubernetes.asked


@pytest.mark.parametrize("lacking", ["right", "token"])
def test_that_kubernetes_does_not_say_is_told(
    lacking: str, kubernetes: Kubernetes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if lacking == "right":
        (tmp_path / "token").write_text("of-another-account")
    else:
        (tmp_path / "token").unlink()
    assert types_in_kubernetes("10.0.0.7:6379") == []
    assert ("403" if lacking == "right" else "No such file") in caplog.text
    assert "head's service account" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.ray
def test_workers_of_a_cell_go_on_one_of_the_nodes_that_may_come(
    kubernetes: Kubernetes, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PORT, ray.get_runtime_context().gcs_address.rpartition(":")[2])
    may_come = growth()
    assert may_come is not None and may_come.types is not None
    groups = kubernetes.cluster["spec"]["workerGroupSpecs"]
    most = {group["groupName"]: group["maxReplicas"] for group in groups}
    assert room_on_cluster(4, A10G, "A10G") == Room(most["a10g-x4"], one_node=True)
    assert room_on_cluster(1, A10G, "A10G") == Room(most["a10g"] + 4 * most["a10g-x4"], False)
    assert room_on_cluster(8, A10G, "A100") == Room(most["a100-x8"], one_node=True)
