"""What a sweep begins with: its run in the ledger, and a Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from raymm.sweep.machines import check_cluster
from raymm.sweep.places import decisive
from raymm.sweep.plan import Sweep
from raymm.sweep.tags import ACCELERATOR, CLUSTER, CPUS, GPU_SHARE, WORKERS


def open_record(sweep: Sweep, say: Callable[[str], None] = lambda line: None) -> None:
    """Open the sweep's run in the ledger, and mark the finished cells as part of it.

    Args:
        say: hears in one line what is waited for.

    Raises:
        SweepError: it is a search, and another driver leads it.
    """
    sweep.ledger.open_sweep(
        sweep.name,
        decisive(sweep.settings),
        folder=sweep.folder,
        storage=sweep.storage,
        cells=sweep.cells,
        how={
            ACCELERATOR: sweep.settings.gpu or "CPU",
            WORKERS: str(sweep.settings.workers),
            CPUS: f"{sweep.settings.cpus_per_worker:g}",
            GPU_SHARE: f"{sweep.settings.gpus_per_worker:g}",
            CLUSTER: str(sweep.settings.address is not None).lower(),
        },
        alone=not sweep.cells,  # a search, which chooses them as it goes
        say=say,
    )
    sweep.ledger.mark_part_of_sweep(sweep.finished)


@contextmanager
def ray_and_record(sweep: Sweep) -> Iterator[None]:
    """Be connected to Ray, with the sweep open in the ledger. Both take seconds, side by side.

    Raises:
        SweepError: there is no cluster, or its machines cannot all use the sweep's places.
    """
    from raymm.training.cluster import connected

    if sweep.settings.address is not None:
        with connected(sweep.settings.address):
            check_cluster(sweep)  # before anything is written
            open_record(sweep)
            yield
        return
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(open_record, sweep)
        with connected(sweep.settings.address):
            opening.result()
            yield
