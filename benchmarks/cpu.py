"""A training step against the published code and against dense masked attention, on the CPU.

    python -m benchmarks.cpu --published PATH/TO/mca-paper --out benchmarks/cpu.json

For each model and sparsity, at the papers' shapes (fp32, 2 threads, batch 8, one block): seconds of a
forward and a backward pass in turns (ours, theirs, ours, ...), the median of the turns' ratios, the peak
memory of each in a process of its own, the seconds that the operations a step must do take at the
machine's measured matrix-product rate, and the largest difference from the published embeddings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.dense import Dense
from benchmarks.published import Published
from benchmarks.shapes import Step, full_batch, paper_model, step_operations
from raymm.config import MODEL_NAMES, LossConfig, ModelName
from raymm.losses.contrastive import ContrastiveLoss
from raymm.training.resources import keep_freed_memory, peak_memory_gib, reset_peak_memory

CPU = torch.device("cpu")
SAMPLES = 8
GOALS = {
    # model, S: times the published code's speed and memory, times the dense version's speed
    ("mca", 0.0): (4.5, 3, 1.4),
    ("mca", 0.8): (15, 6, 3.3),
    ("zorro", 0.0): (4.5, 3, 1.4),
    ("zorro", 0.8): (15, 6, 3.3),
    ("eao", 0.0): (2.5, 2, 1.0),
    ("eao", 0.8): (20, 8, 6),
}
MOST_OF_IDEAL = 1.25


def our_step(name: ModelName, published: bool) -> Step:
    """A model at the papers' shapes; for comparison with the published code, with its switches."""
    config = paper_model(name, depth=1)
    if published:
        config = dataclasses.replace(config, eao_projection=False)
    step = Step(config)
    with torch.no_grad():
        for encoder in step.model.tokenizer.encoders:
            # The published code caps the norm of column embeddings at 1; keep ours below.
            encoder.column.weight.mul_(0.9 / encoder.column.weight.norm(dim=1, keepdim=True))
    if published:
        step.loss = ContrastiveLoss(step.model.pairs, LossConfig(similarity="dot", negatives="all"))
    return step


def runner(
    kind: str, name: ModelName, sparsity: float, checkout: Path | None
) -> Callable[[], None]:
    """A call that makes one forward and one backward pass."""
    torch.manual_seed(0)
    step = our_step(name, published=False)
    batch = full_batch(SAMPLES, sparsity, seed=0)
    if kind == "published":
        assert checkout is not None
        theirs = Published(checkout, step, SAMPLES)
        padded = theirs.padded(batch)
        module: torch.nn.Module = theirs
        loss = lambda: theirs(padded)  # noqa: E731
    elif kind == "dense":
        module, dense = step, Dense(step.model)
        loss = lambda: step.loss(dense(batch))  # noqa: E731
    else:
        module = step
        loss = lambda: step(batch)  # noqa: E731

    def run() -> None:
        loss().backward()
        module.zero_grad(set_to_none=True)

    return run


def matrix_rate() -> float:
    """Operations per second of a matrix product that is large enough to be the machine's best."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(times)


def paired_seconds(
    first: Callable[[], None], second: Callable[[], None], turns: int
) -> list[tuple[float, float]]:
    """Seconds of both in turns, after one call of each to warm up."""
    first()
    second()
    pairs = []
    for _ in range(turns):
        seconds = []
        for run in (first, second):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        pairs.append((seconds[0], seconds[1]))
    return pairs


def peak_gib(kind: str, name: ModelName, sparsity: float, checkout: Path | None) -> float:
    """Peak resident memory of two steps above the process with its model, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cpu", "--peak", kind, name, str(sparsity)]
    if checkout is not None:
        command += ["--published", str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def print_peak(kind: str, name: ModelName, sparsity: float, checkout: Path | None) -> None:
    """The measuring process behind `peak_gib`."""
    torch.set_num_threads(2)
    keep_freed_memory()
    run = runner(kind, name, sparsity, checkout)
    reset_peak_memory(CPU)
    before = peak_memory_gib(CPU)
    run()
    run()
    print(peak_memory_gib(CPU) - before)


def difference(name: ModelName, sparsity: float, checkout: Path) -> dict[str, float]:
    """Largest difference of embeddings that exist, and of the loss where it is defined alike."""
    step = our_step(name, published=True)
    theirs = Published(checkout, step, SAMPLES)
    batch = full_batch(SAMPLES, sparsity, seed=0)
    padded = theirs.padded(batch)
    with torch.no_grad():
        ours = step.model(batch)
        expected = theirs.embeddings(padded)
        largest = max(
            float((ours.vectors[number] - expected[members])[ours.present[number]].abs().max())
            for number, members in enumerate(step.model.members)
            if ours.present[number].any() and members in expected
        )
        result = {"embeddings": largest}
        # Theirs leaves one pair out of EAO's and contrasts what it computes for absent samples.
        if name != "eao" and sparsity == 0:
            result["loss"] = abs(float(step.loss(ours)) - float(theirs(padded)))
    return result


def measure(
    name: ModelName, sparsity: float, checkout: Path | None, turns: int
) -> dict[str, object]:
    """All figures of a model and sparsity."""
    config, batch = paper_model(name, depth=1), full_batch(SAMPLES, sparsity, seed=0)
    ours = runner("ours", name, sparsity, None)
    row: dict[str, object] = {"model": name, "sparsity": sparsity}
    rate = matrix_rate()
    against_dense = paired_seconds(ours, runner("dense", name, sparsity, None), turns)
    seconds = statistics.median(mine for mine, _ in against_dense)
    pairs = len(our_step(name, published=False).model.pairs)
    ideal = step_operations(config, batch.presence, pairs) / statistics.median(
        [rate, matrix_rate()]
    )
    row |= {
        "seconds": seconds,
        "operations_over_rate_s": ideal,
        "over_ideal": seconds / ideal,
        "times_dense": statistics.median(other / mine for mine, other in against_dense),
        "gib": peak_gib("ours", name, sparsity, None),
        "dense_gib": peak_gib("dense", name, sparsity, None),
    }
    if checkout is not None:
        row["difference"] = difference(name, sparsity, checkout)
        against = paired_seconds(ours, runner("published", name, sparsity, checkout), turns)
        row["times_published"] = statistics.median(other / mine for mine, other in against)
        row["published_gib"] = peak_gib("published", name, sparsity, checkout)
    return row


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return {"processor": processor, "threads": "2", "torch": torch.__version__}


def main() -> None:
    """Measure every model and sparsity, or one process's peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, help="checkout of mca-paper")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODEL_NAMES))
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        kind, name, sparsity = options.peak
        print_peak(kind, name, float(sparsity), options.published)
        return
    torch.set_num_threads(2)
    keep_freed_memory()
    result: dict[str, object] = {"machine": machine(), "matrix_rate_gflops": matrix_rate() / 1e9}
    rows = []
    for name in options.models:
        for sparsity in (0.0, 0.8):
            row = measure(name, sparsity, options.published, options.turns)
            print(json.dumps(row), flush=True)
            rows.append(row)
    result["rows"] = rows
    if options.out:
        options.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
