"""The models on a GPU at the papers' shapes: checked against the CPU, then timed.

    python -m benchmarks.gpu --out benchmarks/gpu.json

Prints tokens per second, model-FLOP utilisation (operations that the step must do, over time, over the
device's measured bf16 matrix-product rate) and peak memory of a training step (forward and backward,
bf16) of each model and sparsity, beside the dense version's. Ends with status 1 before it times
anything if loss or gradient are farther from the CPU's fp32 than bf16 explains. `--compile` has
torch.compile at the ragged model too, in rows of their own. Every row is written as it is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.dense import Dense
from benchmarks.shapes import Step, full_batch, paper_model, step_operations, unimodal_tokens
from raymm.config import SMDF_MODELS, ModelName
from raymm.data.batch import Batch

CUDA = torch.device("cuda")


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Median time of a call, by device events, after three calls to warm up."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def matrix_rate() -> float:
    """Operations per second of a large bf16 matrix product."""
    a, b = (torch.randn(8192, 8192, device=CUDA, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / (milliseconds(lambda: a @ b, 20) / 1e3)


def training_step(step: torch.nn.Module, batch: Batch) -> Tensor:
    """Forward and backward in bf16; gradients are left in place of the former ones."""
    with torch.autocast("cuda", torch.bfloat16):
        embeddings = step.embed(batch) if hasattr(step, "embed") else step.model(batch)
    loss: Tensor = step.loss(embeddings)
    step.zero_grad(set_to_none=True)
    loss.backward()
    return loss.detach()


class DenseStep(torch.nn.Module):
    """A dense twin with the same loss."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.model, self.loss = Dense(step.model), step.loss


MOST_ERROR = {"loss": 0.02, "gradient": 0.1}
"""Of bf16 (8 bits of mantissa: 0.4 % a rounding) after two blocks, relative."""


def check(name: ModelName) -> dict[str, float]:
    """Relative error of loss and gradient in bf16 on the GPU against fp32 on the CPU."""
    step, batch = Step(paper_model(name, depth=2)), full_batch(4, 0.4, seed=1)
    loss = step(batch)
    loss.backward()
    exact = torch.cat([p.grad.flatten() for p in step.parameters() if p.grad is not None])
    step.to(CUDA)
    found = training_step(step, batch.to(CUDA))
    grads = torch.cat([p.grad.flatten() for p in step.parameters() if p.grad is not None]).cpu()
    return {
        "loss": abs(float(found) - float(loss)) / abs(float(loss)),
        "gradient": float((grads - exact).norm() / exact.norm()),
    }


def measure(
    name: ModelName, sparsity: float, samples: int, rate: float, repeats: int, compiled: bool
) -> dict[str, float]:
    """Time and memory of a step, ragged and dense; of the compiled model only ragged."""
    config = paper_model(name)
    step = Step(config).to(CUDA)
    batch = full_batch(samples, sparsity, seed=0)
    operations = step_operations(config, batch.presence, len(step.model.pairs))
    batch = batch.to(CUDA)
    row: dict[str, float] = {"tokens": unimodal_tokens(batch.presence)}
    kinds: list[tuple[str, torch.nn.Module]] = [("ragged", step)]
    if compiled:
        step.model.compile()
    else:
        kinds.append(("dense", DenseStep(step).to(CUDA)))
    for kind, module in kinds:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            time_ms = milliseconds(lambda module=module: training_step(module, batch), repeats)
        except torch.OutOfMemoryError:
            continue
        row[f"{kind}_ms"] = time_ms
        row[f"{kind}_gib"] = torch.cuda.max_memory_allocated() / 2**30
        row[f"{kind}_mfu"] = operations / (time_ms / 1e3) / rate
    return row


def line(row: dict[str, float]) -> str:
    """A measurement's figures for the screen; what did not fit the device's memory says so."""
    text, theirs = f"{'out of memory':>38}", f"{'out of memory':>22}"
    if "ragged_ms" in row:
        text = f"{row['ragged_ms']:8.2f} {row['tokens'] / row['ragged_ms'] * 1e3:10.3g} "
        text += f"{row['ragged_mfu']:5.2f} {row['ragged_gib']:6.2f}"
    if "dense_ms" in row:
        theirs = f"{row['dense_ms']:8.2f} {row['dense_gib']:6.2f}"
        if "ragged_ms" in row:
            theirs += f" {row['dense_ms'] / row['ragged_ms']:6.2f}"
    return f"{text} | {theirs}"


def main() -> None:
    """Check, then time every model and sparsity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--samples", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.0, 0.4, 0.8])
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    options = parser.parse_args()
    started, rate = time.perf_counter(), matrix_rate()
    errors = {name: check(name) for name in SMDF_MODELS}
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "matrix_product_tflops": rate / 1e12,
        "error": errors,
    }
    print(json.dumps(result))
    wrong = [
        f"{name}: {what} is off by {found:.2g}"
        for name, error in errors.items()
        for what, found in error.items()
        if not found <= MOST_ERROR[what]
    ]
    if wrong:
        raise SystemExit(f"bf16 on the GPU is not what fp32 on the CPU is: {'; '.join(wrong)}")
    head = f"{'model':6} {'S':>4} {'batch':>5} {'ms':>8} {'tokens/s':>10} {'MFU':>5} {'GiB':>6}"
    print(head + f" | {'dense ms':>8} {'GiB':>6} {'ratio':>6}")
    rows: list[dict[str, object]] = []
    for name, samples, sparsity, compiled in itertools.product(
        SMDF_MODELS, options.samples, options.sparsities, [False, True][: 1 + options.compile]
    ):
        row = measure(name, sparsity, samples, rate, options.repeats, compiled)
        what = {"model": name, "sparsity": sparsity, "samples": samples, "compiled": compiled}
        rows.append({**what, **row})
        if options.out:
            options.out.write_text(json.dumps({**result, "rows": rows}, indent=1))
        note = "  compiled" if compiled else ""
        print(f"{name:6} {sparsity:4.1f} {samples:5} {line(row)}{note}", flush=True)
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
