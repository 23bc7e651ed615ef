"""The manifests for Kubernetes: against Kubernetes' own schema, what Ray's autoscaler makes of them, and
KubeRay's schema where that is at hand.

KubeRay's CRDs are in no Python package. To validate against them, put `ray.io_rayclusters.yaml` and
`ray.io_rayjobs.yaml` of its release in a folder and name it in RAYMM_KUBERAY_CRDS.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config

CLUSTER = Path(__file__).parent.parent.parent / "cluster"
FILES = ("kuberay/raycluster.yaml", "kuberay/rayjob.yaml", "mlflow/kubernetes.yaml")
CRDS = os.environ.get("RAYMM_KUBERAY_CRDS")
VERSION = "1.30"
CLUSTER_KEYS = {
    "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
    "workerGroupSpecs", "gcsFaultToleranceOptions",
}  # fmt: skip
GROUP_KEYS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
    "idleTimeoutSeconds", "numOfHosts", "priority",
}  # fmt: skip
JOB_KEYS = {
    "entrypoint", "clusterSelector", "submissionMode", "backoffLimit", "submitterPodTemplate",
    "runtimeEnvYAML", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec",
}  # fmt: skip
"""Fields of `ray.io/v1` that are used here, or might be: a misspelt one is none of them."""


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((CLUSTER / name).read_text()) if each]


def of_kind(kind: str) -> dict[str, Any]:
    return next(each for name in FILES for each in documents(name) if each["kind"] == kind)


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Title and pod template of all that KubeRay makes pods of."""
    spec = of_kind("RayCluster")["spec"]
    found = [("head", spec["headGroupSpec"]["template"])]
    found += [(group["groupName"], group["template"]) for group in spec["workerGroupSpecs"]]
    return [*found, ("submitter", of_kind("RayJob")["spec"]["submitterPodTemplate"])]


@pytest.mark.parametrize("name", FILES)
def test_kubernetes_takes_it(name: str) -> None:
    for each in documents(name):
        if not each["apiVersion"].startswith("ray.io/"):
            kubernetes_validate.validate(each, VERSION, strict=True)


@pytest.mark.parametrize(("title", "template"), pods(), ids=lambda each: str(each)[:12])
def test_kubernetes_takes_the_pods(title: str, template: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
    pod["metadata"]["name"] = title
    kubernetes_validate.validate(pod, VERSION, strict=True)


def test_kubernetes_would_refuse_a_misspelt_field() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(pods()[0][1])}
    pod["spec"]["nodeSelectors"] = pod["spec"].pop("nodeSelector")
    with pytest.raises(kubernetes_validate.ValidationError, match="nodeSelectors"):
        kubernetes_validate.validate(pod, VERSION, strict=True)


def test_fields_are_such_as_kuberay_knows() -> None:
    cluster, job = of_kind("RayCluster")["spec"], of_kind("RayJob")["spec"]
    assert cluster.keys() <= CLUSTER_KEYS
    assert cluster["headGroupSpec"].keys() <= {"rayStartParams", "template"}
    assert all(group.keys() <= GROUP_KEYS for group in cluster["workerGroupSpecs"])
    assert job.keys() <= JOB_KEYS


def no_unknown_keys(schema: Any) -> Any:
    """A schema that refuses what it does not name, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [no_unknown_keys(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: no_unknown_keys(value) for key, value in schema.items()}
    open_ = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in schema and "additionalProperties" not in schema and not open_:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    return made


@pytest.mark.skipif(CRDS is None, reason="RAYMM_KUBERAY_CRDS names no folder with KubeRay's CRDs")
@pytest.mark.parametrize(("kind", "plural"), [("RayCluster", "rayclusters"), ("RayJob", "rayjobs")])
def test_kuberays_schema_takes_it(kind: str, plural: str) -> None:
    crd = yaml.safe_load((Path(str(CRDS)) / f"ray.io_{plural}.yaml").read_text())
    schema = next(each for each in crd["spec"]["versions"] if each["name"] == "v1")
    strict = no_unknown_keys(schema["schema"]["openAPIV3Schema"]["properties"]["spec"])
    jsonschema.validate(of_kind(kind)["spec"], strict)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**of_kind(kind)["spec"], "misspelt": 1}, strict)


def test_rays_autoscaler_sees_the_gpus_of_pods_that_are_not_there() -> None:
    cluster = of_kind("RayCluster")
    cluster["metadata"]["namespace"] = "default"
    seen = autoscaling_config._derive_autoscaling_config_from_ray_cr(cluster)
    types = seen["available_node_types"]
    assert seen["idle_timeout_minutes"] == 2
    assert types["headgroup"]["resources"]["CPU"] == 0
    resources = {name: each["resources"] for name, each in types.items() if name != "headgroup"}
    assert all(each["min_workers"] == 0 for each in types.values())
    assert resources["a10g"]["GPU"] == 1 and resources["a10g"]["accelerator_type:A10G"] == 1
    assert resources["a10g-x4"]["GPU"] == 4
    assert resources["a100-x8"]["accelerator_type:A100"] == 1


def test_versions_are_those_of_the_ray_that_is_tested() -> None:
    assert of_kind("RayCluster")["spec"]["rayVersion"] == ray.__version__
    for title, template in pods():
        image = template["spec"]["containers"][0]["image"]
        assert image.endswith(f"-ray{ray.__version__}"), title


def test_gpu_pods_go_to_machines_of_their_kind_and_the_head_to_none_that_may_vanish() -> None:
    selectors = {title: template["spec"].get("nodeSelector") for title, template in pods()}
    assert selectors["head"] == {"karpenter.sh/capacity-type": "on-demand"}
    assert selectors["a10g"] == {"node.kubernetes.io/instance-type": "g5.2xlarge"}
    assert selectors["a100-x8"] == {"node.kubernetes.io/instance-type": "p4d.24xlarge"}


def test_no_secret_is_in_the_manifests() -> None:
    kinds = [each["kind"] for name in FILES for each in documents(name)]
    assert "Secret" not in kinds
    for name in FILES:
        for each in documents(name):
            for variable in variables(each):
                if "PASSWORD" in variable["name"] or "SECRET" in variable["name"]:
                    assert "value" not in variable, variable["name"]


def variables(content: Any) -> list[dict[str, Any]]:
    """All environment variables in a manifest."""
    if isinstance(content, list):
        return [found for each in content for found in variables(each)]
    if not isinstance(content, dict):
        return []
    return [*content.get("env", []), *(v for each in content.values() for v in variables(each))]
