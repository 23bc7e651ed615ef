"""What a step exchanges, and what that costs over the links of GPU machines: arithmetic, no measurement.

    python -m benchmarks.links

A step has two exchanges. *The gather*: every rank sends its K x B embeddings of d components and one flag
to every other (fp32). *The gradient reduction*: a ring sends and receives 2 (W - 1) / W times the
gradient (fp32), in buckets that leave as soon as the backward pass has filled them, so it runs beside
what is left of that pass, about two thirds of a step's computing. The gather stands between forward and
backward pass and cannot be hidden.

`benchmarks.scaling` holds the bytes against those that gloo moves. The speeds below are the makers' own
figures for the links, of which collectives reach about four fifths, and for the GPUs' dense bf16 matrix
products, of which a training of this kind reaches about three tenths. No such machine was at hand: read
the result as which links are enough, not as seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

BYTES = 4
OF_LINK, OF_PEAK = 0.8, 0.3
"""What collectives reach of a link, and a training of a GPU's peak."""
HIDES = 2 / 3
"""Share of a step's computing, the backward pass, beside which the reduction may run."""
LATENCY_S = {"NVLink": 20e-6, "PCIe": 30e-6, "network": 60e-6}
"""Of a collective of a few ranks."""


@dataclass(frozen=True)
class Machine:
    """GPUs and what joins them.

    Attributes:
        link_gb_s: of one GPU, in each direction, 10^9 bytes a second.
        peak_tflops: dense bf16 matrix products of one GPU.
    """

    title: str
    ranks: int
    link: str
    link_gb_s: float
    peak_tflops: float


MACHINES = (
    Machine("4 x A10G in one machine (g5.12xlarge, PCIe)", 4, "PCIe", 8.0, 70.0),
    Machine("4 x A10G in four machines, 25 Gb/s", 4, "network", 25 / 8, 70.0),
    Machine("4 x A10G in four machines, 100 Gb/s", 4, "network", 100 / 8, 70.0),
    Machine("8 x A100 in one machine (p4d.24xlarge, NVLink)", 8, "NVLink", 300.0, 312.0),
    Machine("8 x A100 in eight machines, 100 Gb/s", 8, "network", 100 / 8, 312.0),
)


def exchanged_bytes(
    parameters: int, embeddings: int, width: int, *, samples: int, ranks: int
) -> tuple[float, float]:
    """Bytes that a rank sends and receives in a step: for the gather, and for the reduction.

    Args:
        embeddings: K, all that a sample has.
        samples: B, of one rank.
    """
    share = embeddings * samples * (width + 1) * BYTES
    gradient = parameters * BYTES
    return 2.0 * (ranks - 1) * share, 4.0 * (ranks - 1) / ranks * gradient


@dataclass(frozen=True)
class Reckoned:
    """Seconds of a step."""

    computing_s: float
    gather_s: float
    reduction_s: float

    @property
    def step_s(self) -> float:
        """Computing, the gather, and what of the reduction outlasts the backward pass."""
        return (
            self.computing_s + self.gather_s + max(0.0, self.reduction_s - HIDES * self.computing_s)
        )

    @property
    def efficiency(self) -> float:
        """Share of a step that is computing: 1 is perfect weak scaling."""
        return self.computing_s / self.step_s


def reckon(
    machine: Machine, operations: float, parameters: int, embeddings: int, width: int, samples: int
) -> Reckoned:
    """A step on a machine.

    Args:
        operations: of a rank's forward and backward pass.
    """
    both = exchanged_bytes(parameters, embeddings, width, samples=samples, ranks=machine.ranks)
    speed, latency = machine.link_gb_s * 1e9 * OF_LINK, LATENCY_S[machine.link]
    # What is sent and what is received go at the same time.
    gather_s, reduction_s = (each / 2 / speed + latency for each in both)
    return Reckoned(operations / (machine.peak_tflops * 1e12 * OF_PEAK), gather_s, reduction_s)


def rows() -> Iterator[tuple[str, str, Reckoned]]:
    """The papers' models on each machine: batch 32 over all ranks, and 32 for each."""
    from benchmarks.shapes import Step, full_batch, paper_model, step_operations

    for name in ("mca", "eao"):
        config = paper_model(name)
        step = Step(config)
        parameters = sum(each.numel() for each in step.parameters())
        for machine in MACHINES:
            for samples in (32 // machine.ranks, 32):
                batch = full_batch(samples, 0.0, seed=0)
                operations = step_operations(config, batch.presence, len(step.model.pairs))
                found = reckon(
                    machine, operations, parameters, len(step.model.members), config.width, samples
                )
                yield machine.title, f"{name}, {samples} samples a GPU", found


def main() -> None:
    """Print the table."""
    table = Table("machine", "model", "computing", "gather", "reduction", "of a step is computing")
    for machine, model, found in rows():
        times = (found.computing_s, found.gather_s, found.reduction_s)
        table.add_row(
            machine, model, *(f"{1000 * s:.2f} ms" for s in times), f"{found.efficiency:.0%}"
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
