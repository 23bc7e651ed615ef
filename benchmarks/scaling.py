"""Weak scaling of a training step: each rank keeps its share of the batch, ranks are added.

    python -m benchmarks.scaling --out benchmarks/scaling.json

For 1, 2 and 4 gloo ranks on this machine (one thread each, fp32): seconds of a step; in turns with it,
seconds of the same step without communication, in as many processes at the same time, so that what the
ranks take from each other's cores counts as computing; bytes that a rank really sends and receives a
step, as the kernel counts them on its connections; and the collectives of a step, and the share of the
backward pass after which the first gradients leave, as torch's profiler sees them. Beside the bytes
stand those of the arithmetic in `benchmarks.links`, by which larger machines are reckoned.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.links import exchanged_bytes
from raymm.config import LossConfig, ModelConfig, ModelName
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.losses.contrastive import ContrastiveLoss
from raymm.models.build import build_model
from raymm.training.learner import data_parallel
from raymm.training.traffic import Traffic

RANKS = (1, 2, 4)
MODELS: tuple[ModelName, ...] = ("mca", "zorro", "eao")
SHARE = 16
"""Samples of a rank."""
COLUMNS = (40, 10, 40, 33)
"""A twentieth of the columns of TCGA's tables."""
SPECS = tuple(ModalitySpec(f"table{i}", "table", n, n) for i, n in enumerate(COLUMNS))
WIDTH = 256
WARM_UP, STEPS = 3, 8


class Step(nn.Module):
    """A model with its loss."""

    def __init__(self, name: ModelName) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = ModelConfig(
            name=name, width=WIDTH, depth=2, heads=4, head_size=64, fusion_tokens=4
        )
        self.model = build_model(SPECS, config)
        self.loss = ContrastiveLoss(self.model.pairs, LossConfig())

    def forward(self, batch: Batch) -> Tensor:
        """Loss of the global batch."""
        loss: Tensor = self.loss(self.model(batch))
        return loss


def share_of(rank: int) -> Batch:
    """A rank's samples, all modalities present."""
    rng = np.random.default_rng(rank)
    rows = torch.arange(SHARE)
    blocks = tuple(
        Block(i, rows, torch.from_numpy(rng.normal(size=(SHARE, n)).astype(np.float32)))
        for i, n in enumerate(COLUMNS)
    )
    return Batch(np.ones((SHARE, len(COLUMNS)), dtype=bool), blocks)


@contextmanager
def no_gather() -> Iterator[None]:
    """Have each rank take its own share for those of the others: the same loss to compute, no wait."""
    real = dist.all_gather

    def own_share(shares: list[Tensor], share: Tensor, *args: Any, **kwargs: Any) -> None:
        for each in shares:
            each.copy_(share)

    dist.all_gather = own_share  # type: ignore[assignment]
    try:
        yield
    finally:
        dist.all_gather = real


def step_s(module: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> float:
    """Seconds of a step; all ranks begin together."""
    dist.barrier()
    begin = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(module(batch))
    optimizer.step()
    return time.perf_counter() - begin


def rank_main(rank: int, ranks: int, name: ModelName, folder: str) -> None:
    """One rank: measure, and leave the figures in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=ranks
    )
    step, batch = Step(name), share_of(rank)
    parallel = data_parallel(step, torch.device("cpu")) if ranks > 1 else step
    optimizer = torch.optim.AdamW(step.parameters())
    traffic, moved = Traffic(), 0
    whole, alone = [], []
    for turn in range(-WARM_UP, STEPS):
        before = _connections(traffic)
        whole_s = step_s(parallel, batch, optimizer)
        moved += (_connections(traffic) - before) * (turn >= 0)
        with no_gather():
            alone_s = step_s(step, batch, optimizer)
        if turn >= 0:
            whole.append(whole_s)
            alone.append(alone_s)
    calls, begins = exchanges(parallel, batch)
    figures = {
        "step_s": statistics.median(whole),
        "computing_s": statistics.median(alone),
        "moved_bytes": moved / STEPS,
        "collectives": calls,
        "reduction_begins": begins,
        "parameters": sum(each.numel() for each in step.parameters()),
        "embeddings": len(step.model.members),
    }
    Path(folder, f"rank-{rank}.json").write_text(json.dumps(figures))
    dist.barrier()
    dist.destroy_process_group()


def _connections(traffic: Traffic) -> int:
    """Bytes sent and received over connections so far; files apart."""
    from raymm.training import traffic as module

    return traffic.bytes() - module._of_files()


def exchanges(module: nn.Module, batch: Batch) -> tuple[dict[str, int], float | None]:
    """The collectives of one step, by name; the share of the backward pass before gradients leave."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        loss = module(batch)
        with record_function("backward"):
            torch.autograd.backward(loss)
    events = list(seen.events() or [])
    found = [each for each in events if each.name.startswith("gloo:")]
    backward = next(each for each in events if each.name == "backward").time_range
    leaves = [each.time_range.start for each in found if each.name == "gloo:all_reduce"]
    begins = (min(leaves) - backward.start) / backward.elapsed_us() if leaves else None
    return dict(Counter(each.name for each in found)), begins


def measure(name: ModelName, ranks: int) -> dict[str, Any]:
    """The figures of a model on so many ranks: the slowest rank's times, the mean of the bytes."""
    with tempfile.TemporaryDirectory() as folder:
        spawn: Any = mp.spawn  # type: ignore[attr-defined]
        spawn(rank_main, args=(ranks, name, folder), nprocs=ranks)
        said = [json.loads(file.read_text()) for file in sorted(Path(folder).glob("rank-*.json"))]
    first = said[0]
    step, computing = (max(each[which] for each in said) for which in ("step_s", "computing_s"))
    reckoned = exchanged_bytes(
        first["parameters"], first["embeddings"], WIDTH, samples=SHARE, ranks=ranks
    )
    return {
        "model": name,
        "ranks": ranks,
        "step_ms": round(1000 * step, 1),
        "computing_ms": round(1000 * computing, 1),
        "communication_ms": round(1000 * max(0.0, step - computing), 1),
        "computing_share": round(min(1.0, computing / step), 3),
        "moved_mb": round(statistics.mean(each["moved_bytes"] for each in said) / 1e6, 3),
        "reckoned_mb": round(sum(reckoned) / 1e6, 3),
        "collectives": first["collectives"],
        "reduction_begins": first["reduction_begins"],
        "parameters": first["parameters"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a line each, and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    rows = []
    for name in MODELS:
        for ranks in RANKS:
            rows.append(measure(name, ranks))
            print(json.dumps(rows[-1]), flush=True)
    if chosen.out:
        chosen.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
