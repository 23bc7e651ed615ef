"""A training step against the published code and against dense masked attention, on the CPU.

    python -m benchmarks.cpu --published PATH/TO/mca-paper --out benchmarks/cpu.json

For each model and sparsity, at the papers' shapes (fp32, 2 threads, batch 8, one block): seconds of a
forward and a backward pass in turns (ours, theirs, ours, ...), the turns' ratios, the peak memory of each
in a process of its own, and the largest difference from the published embeddings. In each turn the
machine's matrix-product rate is measured too: our seconds are held against those that the operations a
step must do take at that rate. All turns are kept; of each ratio there are the median and quartiles.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.dense import Dense
from benchmarks.published import Published
from benchmarks.shapes import Step, full_batch, paper_model, step_operations
from raymm.config import SMDF_MODELS, LossConfig, ModelName
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
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


class Child:
    """A process of its own that makes a step whenever it is asked, and says how long it took."""

    def __init__(self, kind: str, name: ModelName, sparsity: float, checkout: Path | None) -> None:
        command = [sys.executable, "-m", "benchmarks.cpu", "--serve", kind, name, str(sparsity)]
        if checkout is not None:
            command += ["--published", str(checkout.absolute())]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def step(self) -> tuple[float, float]:
        """Seconds of one step, and the process's peak memory so far above its start, GiB."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        seconds, gib = self.process.stdout.readline().split()
        return float(seconds), float(gib)

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def serve(kind: str, name: ModelName, sparsity: float, checkout: Path | None) -> None:
    """What a child does: a step for each line it reads."""
    torch.set_num_threads(2)
    if kind != "published":
        keep_freed_memory()  # as training does; the published code runs as it was published
    run = runner(kind, name, sparsity, checkout)
    reset_peak_memory(CPU)
    before = peak_memory_gib(CPU)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, peak_memory_gib(CPU) - before, flush=True)


@dataclasses.dataclass(frozen=True)
class Turn:
    """Seconds of our step and of theirs, and the matrix-product rate between them."""

    ours: float
    theirs: float
    rate: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Turns after one to warm up, and the peak memory of both in GiB."""

    turns: tuple[Turn, ...]
    our_gib: float
    their_gib: float

    def times(self) -> Spread:
        """How many times as long theirs takes."""
        return Spread.of([turn.theirs / turn.ours for turn in self.turns])

    def over_ideal(self, operations: float) -> Spread:
        """Our seconds over those of the operations at the machine's rate."""
        return Spread.of([turn.ours * turn.rate / operations for turn in self.turns])


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median and quartiles of a ratio over the turns."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of two values or more."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


def compare(
    kind: str, name: ModelName, sparsity: float, checkout: Path | None, turns: int
) -> Comparison:
    """Steps of ours and theirs in turns, each in its own process, after one to warm up."""
    children = Child("ours", name, sparsity, None), Child(kind, name, sparsity, checkout)
    try:
        memory = [child.step()[1] for child in children]
        taken = []
        for _ in range(turns):
            ours, memory[0] = children[0].step()
            rate = matrix_rate()
            theirs, memory[1] = children[1].step()
            taken.append(Turn(ours, theirs, rate))
    finally:
        for child in children:
            child.stop()
    return Comparison(tuple(taken), *memory)


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
    """All figures of a model and sparsity; twice the turns beside the dense version, which is quick."""
    config, batch = paper_model(name, depth=1), full_batch(SAMPLES, sparsity, seed=0)
    pairs = len(our_step(name, published=False).model.pairs)
    operations = step_operations(config, batch.presence, pairs)
    dense = compare("dense", name, sparsity, None, 2 * turns)
    row: dict[str, object] = {
        "model": name,
        "sparsity": sparsity,
        "operations": operations,
        "seconds": statistics.median(turn.ours for turn in dense.turns),
        "over_ideal": dataclasses.asdict(dense.over_ideal(operations)),
        "times_dense": dataclasses.asdict(dense.times()),
        "gib": dense.our_gib,
        "dense_gib": dense.their_gib,
        "dense_turns": [dataclasses.asdict(turn) for turn in dense.turns],
    }
    if checkout is not None:
        published = compare("published", name, sparsity, checkout, turns)
        row["times_published"] = dataclasses.asdict(published.times())
        row["published_gib"] = published.their_gib
        row["published_turns"] = [dataclasses.asdict(turn) for turn in published.turns]
        row["difference"] = difference(name, sparsity, checkout)
    return row


def main() -> None:
    """Measure every model and sparsity, or one process's peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, help="checkout of mca-paper")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=list(SMDF_MODELS))
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        kind, name, sparsity = options.serve
        serve(kind, name, float(sparsity), options.published)
        return
    torch.set_num_threads(2)
    keep_freed_memory()
    rows: list[dict[str, object]] = []
    for name in options.models:
        for sparsity in (0.0, 0.8):
            row = measure(name, sparsity, options.published, options.turns)
            print(f"{name} S = {sparsity:g}: {row['seconds']:.2f} s", row["over_ideal"], flush=True)
            rows.append(row)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
