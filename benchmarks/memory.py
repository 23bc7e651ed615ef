"""Peak memory of a training step at the papers' size: `python -m benchmarks.memory`.

Five blocks, batch 8 for each worker, every modality present, on the CPU, each model and precision in a
process of its own: weights, gradients, AdamW's two moments and all that a step keeps. The paper trained
MCA and Zorro on A10G cards (17 GB each) and needed A100 cards for EAO (41 GB each). With bf16 autocast,
as on a card, the feed-forward layers keep the same tensors as there; in fp32 the CPU has a leaner layer
of its own. What the CUDA context and the allocator's fragments take comes on top, 1 to 2 GiB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from pathlib import Path

import torch

from benchmarks.shapes import Step, full_batch, paper_model
from raymm.config import SMDF_MODELS, ModelName, TrainConfig
from raymm.training.optimizer import make_optimizer
from raymm.training.resources import peak_memory_gib, reset_peak_memory

SAMPLES = 8
A10G_GIB = 22.5
"""What a 24 GB A10G has for a program."""
OVERHEAD_GIB = 2
PAPER_GB = {"mca": 17, "zorro": 17, "eao": 41}


def peak_gib(name: ModelName, bf16: bool) -> float:
    """Peak above an empty process of two optimiser steps, GiB."""
    cpu = torch.device("cpu")
    torch.set_num_threads(2)
    reset_peak_memory(cpu)
    before = peak_memory_gib(cpu)
    step = Step(paper_model(name))
    optimizer = make_optimizer(step, TrainConfig())
    batch = full_batch(SAMPLES, 0.0, seed=0)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embeddings = step.model(batch)
        step.loss(embeddings).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return peak_memory_gib(cpu) - before


def main() -> None:
    """Measure each model in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in SMDF_MODELS:
            lean, as_on_card = (pool.apply(peak_gib, (name, bf16)) for bf16 in (False, True))
            rows.append(
                {
                    "model": name,
                    "peak, GiB (fp32)": lean,
                    "peak, GiB (bf16, layers as on a card)": as_on_card,
                    "paper, GB a card": PAPER_GB[name],
                    "fits a 24 GB A10G": "yes" if as_on_card + OVERHEAD_GIB < A10G_GIB else "no",
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
