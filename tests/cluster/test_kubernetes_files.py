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
SPOT = {
    "karpenter.sh/capacity-type": ["spot"],
    "eks.amazonaws.com/capacityType": ["SPOT"],
    "cloud.google.com/gke-spot": ["true"],
}
"""Labels by which Karpenter, EKS and GKE mark a spot machine."""
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
    return all_of_kind(kind)[0]


def all_of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for name in FILES for each in documents(name) if each["kind"] == kind]


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
    pod["spec"]["affinities"] = pod["spec"].pop("affinity")
    with pytest.raises(kubernetes_validate.ValidationError, match="affinities"):
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


def test_gpu_pods_go_to_machines_of_their_kind() -> None:
    selectors = {title: template["spec"].get("nodeSelector") for title, template in pods()}
    assert selectors["head"] is None
    assert selectors["a10g"] == {"node.kubernetes.io/instance-type": "g5.2xlarge"}
    assert selectors["a100-x8"] == {"node.kubernetes.io/instance-type": "p4d.24xlarge"}


def test_driver_and_ledger_are_on_no_machine_that_may_vanish() -> None:
    for spec in (pods()[0][1]["spec"], of_kind("StatefulSet")["spec"]["template"]["spec"]):
        required = spec["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        (term,) = required["nodeSelectorTerms"]
        labels = {each["key"]: each["values"] for each in term["matchExpressions"]}
        assert labels == SPOT
        # Where a label is not in use, as on machines of another kind of cluster, `In` would fit none.
        assert all(each["operator"] == "NotIn" for each in term["matchExpressions"])


def test_who_has_a_volume_can_write_it() -> None:
    # The image's user is 1000:100, and a new volume is root's.
    with_volume = [
        template["spec"]
        for _, template in pods()
        if any("persistentVolumeClaim" in each for each in template["spec"].get("volumes", []))
    ]
    assert len(with_volume) == 1
    for spec in with_volume:
        assert spec["securityContext"]["fsGroup"] == 100
        claim = spec["volumes"][0]["persistentVolumeClaim"]["claimName"]
        assert claim == of_kind("PersistentVolumeClaim")["metadata"]["name"]


def test_only_the_heads_account_may_change_the_cluster() -> None:
    # KubeRay binds the autoscaler's role to the account of the head.
    accounts = {each["metadata"]["name"]: each for each in all_of_kind("ServiceAccount")}
    used = {title: template["spec"].get("serviceAccountName") for title, template in pods()}
    used["mlflow"] = of_kind("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    assert used.pop("submitter") is None
    assert set(used.values()) == accounts.keys()
    assert [title for title, account in used.items() if account == used["head"]] == ["head"]
    assert accounts[used["mlflow"]]["automountServiceAccountToken"] is False


def test_a_job_does_not_ask_for_what_ends_its_cluster() -> None:
    # KubeRay refuses the two together; before it did, the first retry deleted the cluster.
    spec = of_kind("RayJob")["spec"]
    assert spec["clusterSelector"]["ray.io/cluster"] == of_kind("RayCluster")["metadata"]["name"]
    assert not spec.get("backoffLimit")


def test_what_stops_a_job_reaches_the_driver() -> None:
    assert "exec python sweeps/" in of_kind("RayJob")["spec"]["entrypoint"]


def test_server_and_driver_have_one_account() -> None:
    (server,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in server["env"]
        if "valueFrom" in each
    }
    (driver,) = pods()[0][1]["spec"]["containers"]
    given = [each["secretRef"]["name"] for each in driver["envFrom"]]
    for what in ("USERNAME", "PASSWORD"):
        name, key = asked[f"MLFLOW_AUTH_ADMIN_{what}"].values()
        assert name in given and key == f"MLFLOW_TRACKING_{what}"
    # Those that use the bucket without a role are given the same keys.
    workers = [
        pod["spec"]["containers"][0] for title, pod in pods() if title not in ("head", "submitter")
    ]
    for container in (server, driver, *workers):
        assert {"name": "raymm-storage", "optional": True} in [
            each["secretRef"] for each in container["envFrom"]
        ]


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
