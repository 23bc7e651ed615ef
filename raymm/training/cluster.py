"""The Ray a sweep runs on: start or join it, and count what it can hold."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import joblib
import ray
from ray._private import ray_constants

from raymm.errors import SweepError
from raymm.training.growth import UNKNOWN_MOST, NodeType, growth
from raymm.training.placing import Room, room_for, times

LOCAL_ONLY = {
    # On one machine nobody scrapes metrics, which has its cost.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
EVERYWHERE = {
    # Without a word on it, ray.init writes a token file that a later `ray start` then insists on.
    "RAY_AUTH_MODE": "disabled",
    # We have our own watch over nodes that will go; theirs takes a process for each group.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # How soon a dead worker is noticed and a finished group ends.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    # Tune's own progress tables; the sweep has its own.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
LOG_LEVEL, LOG_LEVEL_LINE = "RAY_BACKEND_LOG_LEVEL", b"Set ray log level from environment variable"
CONNECT_TIMEOUT_S = 5.0
STARTED_TOO_LATE, LONG_PATH = "timed out during startup", "AF_UNIX path length"
"""Of what Ray says in a plain Exception, and in an OSError."""
NOISY = ("ray", "ray.train", "ray.tune", "ray.data")


@contextmanager
def connected(address: str | None, num_cpus: int | None = None) -> Iterator[None]:
    """Be connected to the cluster at `address`, or to a Ray started for the purpose if it is None.

    What the user has set in the environment is left as it is.

    Raises:
        SweepError: there is no cluster at the address.
    """
    chosen = EVERYWHERE if address else EVERYWHERE | LOCAL_ONLY
    added = {name: value for name, value in chosen.items() if name not in os.environ}
    os.environ.update(added)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # joblib's count honours a container's limits; os.cpu_count() is the whole machine's.
        options |= {"include_dashboard": False, "num_cpus": num_cpus or joblib.cpu_count()}
    _check_answers(address)
    try:
        with _signals_kept(), _without_log_level_line(), _on_loopback(address is None):
            ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SweepError(
            f"There is no Ray cluster at --address {address}: {error}. Give the address of a "
            "running cluster ('auto' on one of its machines), or leave --address out to start a "
            "local one."
        ) from error
    except Exception as error:
        if LONG_PATH in str(error):
            raise SweepError(
                f"Ray cannot start with its files in {tempfile.gettempdir()}, or where RAY_TMPDIR "
                f"says: {error}. Set RAY_TMPDIR to a folder with a shorter path."
            ) from error
        if STARTED_TOO_LATE not in str(error):
            raise
        raise SweepError(
            "Ray did not start on this machine in the 30 seconds that it gives itself: the machine "
            "is too busy. Give the same command again when it is less so: it goes on from there."
        ) from error
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        for name in added:
            os.environ.pop(name, None)


def _check_answers(address: str | None) -> None:
    """Say within seconds that nobody listens at an address: Ray itself takes minutes.

    Raises:
        SweepError: nobody does.
    """
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return  # "auto", or a client's ray://, which Ray looks into
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S):
            return
    except OSError as error:
        raise SweepError(
            f"There is no Ray cluster at --address {address}: {error}. Give the address of a "
            "running cluster ('auto' on one of its machines), or leave --address out to start a "
            "local one."
        ) from error


@contextmanager
def _without_log_level_line() -> Iterator[None]:
    """Leave out the line by which Ray's core tells that its log level was set: it is of no use."""
    if LOG_LEVEL not in os.environ:
        yield
        return
    sys.stderr.flush()
    errors = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(errors, 2)
            os.close(errors)
            aside.seek(0)
            kept = [line for line in aside if LOG_LEVEL_LINE not in line]
            os.write(2, b"".join(kept))


@contextmanager
def _on_loopback(local: bool) -> Iterator[None]:
    """Have a Ray that is started for a sweep listen to this machine only: whoever reaches its ports can
    run programs. On Linux it listens to the network unless a variable says otherwise, which it reads
    when it is imported.
    """
    usual = ray_constants.ENABLE_RAY_CLUSTER
    if local and ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ:
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = usual


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handlers of SIGINT and SIGTERM that somebody has set: Ray's abort the process."""
    ours = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    if threading.current_thread() is threading.main_thread():
        for each, handler in ours.items():
            if callable(handler):
                signal.signal(each, handler)


def groups_on_this_machine(workers: int, cpus: float) -> int:
    """How many groups of CPU workers a local Ray will hold; known before it is started.

    Raises:
        SweepError: not even one.
    """
    have = joblib.cpu_count()
    groups = times(have, cpus, "CPU") // workers
    if groups:
        return groups
    raise SweepError(
        f"No cell can be placed: it needs {workers} worker(s) of {cpus:g} CPU each, and this "
        f"machine has {have} CPUs. Lower --workers-per-cell or --cpus-per-worker, or give the "
        "--address of a cluster."
    )


def room_on_cluster(workers: int, resources: Mapping[str, float], gpu: str | None) -> Room:
    """How many groups of `workers` the connected cluster can hold, and how they are placed.

    Args:
        resources: of one worker.
        gpu: the kind asked for; None or "any" if it does not matter.

    Raises:
        SweepError: not even one; says what there is.
    """
    needs = dict(resources)
    if gpu not in (None, "any"):
        needs[f"accelerator_type:{gpu}"] = 0.001
    alive: Any = ray.nodes  # Ray leaves it untyped
    nodes = [node["Resources"] for node in alive() if node["Alive"]]
    may_come = growth()
    kinds_to_come = (may_come and may_come.types) or ()
    grown = [(kind.resources, kind.most) for kind in kinds_to_come]
    room = room_for(workers, nodes, needs, grown)
    if may_come is not None and may_come.types is None:
        # Who asks for more nodes than may come only waits; who asks for larger ones, for ever.
        return Room(max(room.groups, UNKNOWN_MOST), one_node=False)
    if room.groups:
        return room
    kinds = sorted(
        {
            name
            for node in [*nodes, *(kind.resources for kind in kinds_to_come)]
            for name in node
            if name.startswith("accelerator_type:")
        }
    )
    has = ", ".join(
        f"{sum(node.get(name, 0) for node in nodes):g} {name}" for name in ("CPU", "GPU")
    )
    raise SweepError(
        f"No cell can be placed: it needs {workers} worker(s) of {_listed(needs)} each, and the "
        f"cluster has {has} on {len(nodes)} node(s)"
        f"{_coming(kinds_to_come)}, GPU kinds: "
        f"{', '.join(kind.split(':')[1] for kind in kinds) or 'none'}. Lower --workers-per-cell or "
        "--cpus-per-worker, choose a --gpu kind that is there, or add nodes."
    )


def _coming(kinds: Sequence[NodeType]) -> str:
    """What may come, for a message."""
    listed = ", ".join(f"{kind.most} x {kind.name}" for kind in kinds)
    return f", and its autoscaler may start {listed}" if listed else ""


def _listed(needs: Mapping[str, float]) -> str:
    return ", ".join(
        name.split(":")[1] if name.startswith("accelerator_type:") else f"{amount:g} {name}"
        for name, amount in needs.items()
    )
