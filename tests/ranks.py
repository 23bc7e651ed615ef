"""Processes with a process group of torch's, for tests of what several ranks do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def on_ranks(work: Callable[[int, Path], None], ranks: int, folder: Path) -> None:
    """Call `work(rank, folder)` in as many processes of one group, each with one thread.

    Raises:
        ProcessRaisedException: what `work` raised in the first process that failed.
    """
    mp.spawn(_begin, args=(work, ranks, folder), nprocs=ranks)  # type: ignore[no-untyped-call]


def _begin(rank: int, work: Callable[[int, Path], None], ranks: int, folder: Path) -> None:
    warnings.simplefilter("error")  # as in the process that pytest runs in
    torch.set_num_threads(1)
    meeting = f"file://{folder}/rendezvous-{ranks}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    work(rank, folder)
    dist.barrier()  # a rank that leaves while another is still in a collective aborts it
    dist.destroy_process_group()
