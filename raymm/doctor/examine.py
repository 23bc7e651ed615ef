"""All checks of a set-up, one after the other."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping

from raymm.doctor.asking import Answer, ask_all
from raymm.doctor.credentials import check_credentials
from raymm.doctor.facts import node_facts
from raymm.doctor.finding import Finding, fine, wrong
from raymm.doctor.gpus import check_gpus
from raymm.doctor.nodes import (
    check_answered,
    check_clocks,
    check_shared_memory,
    check_versions,
    check_writable,
)
from raymm.doctor.ports import AGENT, DASHBOARD, GCS, PORTS, check_from_here, check_ports
from raymm.doctor.tracking_server import check_server
from raymm.errors import RaymmError


def examine(
    *, address: str | None, storage: str, tracking_uri: str | None, head: str | None
) -> Iterator[Finding]:
    """Look at everything; findings come as they are made.

    Args:
        address: Ray cluster to look at; None for this machine alone, without Ray.
        head: a head that should not be reachable from this machine.

    Raises:
        SweepError: there is no cluster at the address.
    """
    environment = dict(os.environ)
    in_pod = "KUBERNETES_SERVICE_HOST" in environment
    yield from check_credentials(environment, on_cluster=address is not None)
    yield from _check_ledger(tracking_uri)
    if head is not None:
        yield from check_from_here(head)
    authenticated = _authenticated(environment)
    gpus_may_come = False
    if address is None:
        asked = time.time()
        answers = [Answer(node_facts(storage), asked, time.time())]
        yield from check_ports(PORTS, authenticated=authenticated, in_pod=in_pod)
    else:
        from raymm.training.cluster import connected

        with connected(address):
            answers, silent = ask_all(storage)
            ports = _ports_of_cluster()
            gpus_may_come = _gpus_may_come()
        yield from check_ports(ports, authenticated=authenticated, in_pod=in_pod)
        yield from check_answered(answers, silent)
        if not answers:
            return
        yield from check_versions(node_facts(None), answers)
        yield from check_clocks(answers)
    yield from check_writable(storage, answers)
    yield from check_shared_memory(answers)
    yield from check_gpus([answer.facts for answer in answers], gpus_may_come)


def _check_ledger(tracking_uri: str | None) -> list[Finding]:
    """Whether the tracking store can be used, and what it lets in."""
    from raymm.storage.address import without_credentials
    from raymm.tracking import Store

    try:
        store = Store(tracking_uri)
        there = store.look()
    except RaymmError as error:
        return [wrong("ledger", str(error), "")]
    where = without_credentials(store.uri)
    state = "has a ledger" if there else "has no ledger yet"
    return [fine("ledger", f"{where} {state}"), *check_server(store.uri)]


def _authenticated(environment: Mapping[str, str]) -> bool:
    return environment.get("RAY_AUTH_MODE") == "token"


def _gpus_may_come() -> bool:
    """Whether the connected cluster's autoscaler starts, or may start, nodes with GPUs."""
    from raymm.training.growth import growth

    may_come = growth()
    if may_come is None:
        return False
    return may_come.types is None or any(kind.resources.get("GPU") for kind in may_come.types)


def _ports_of_cluster() -> dict[str, int]:
    """Where the connected cluster's head and this machine's agent listen, as far as Ray says."""
    import ray
    from ray._private import ray_constants
    from ray.dashboard.consts import DASHBOARD_AGENT_ADDR_NODE_ID_PREFIX
    from ray.experimental.internal_kv import _internal_kv_get

    ports = dict(PORTS)
    ports[GCS] = int(ray.get_runtime_context().gcs_address.rpartition(":")[2])
    dashboard = _internal_kv_get(
        ray_constants.DASHBOARD_ADDRESS, namespace=ray_constants.KV_NAMESPACE_DASHBOARD
    )
    if dashboard:
        ports[DASHBOARD] = int(dashboard.decode().rpartition(":")[2])
    agent = _internal_kv_get(
        f"{DASHBOARD_AGENT_ADDR_NODE_ID_PREFIX}{ray.get_runtime_context().get_node_id()}",
        namespace=ray_constants.KV_NAMESPACE_DASHBOARD,
    )
    if agent:
        ports[AGENT] = int(json.loads(agent)[1])  # after its address; -1 where it takes no jobs
    return ports
