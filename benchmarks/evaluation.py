"""Time and memory of measuring many test embeddings: `python -m benchmarks.evaluation`.

Each width is measured in a process of its own, so that its peak memory is its own. The embeddings
are random; unimodal ones lie about their fusion embedding, so that ranks are neither 1 nor chance.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from raymm.metrics.evaluate import embedding_metrics
from raymm.models.embeddings import Embeddings

GOAL_S, GOAL_GIB = 120.0, 2.0


def measure(samples: int, modalities: int, width: int, threads: int) -> dict[str, float]:
    """Seconds, peak resident memory in GiB and some metrics of one evaluation."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    fusion = torch.randn(samples, width, generator=generator)
    vectors = torch.empty(modalities, samples, width)
    for each in vectors:
        each.normal_(0, 2, generator=generator).add_(fusion)
    present = torch.ones(modalities, samples, dtype=torch.bool)
    names = [f"m{number}" for number in range(modalities)]
    wall, cpu = time.perf_counter(), time.process_time()
    metrics = embedding_metrics(Embeddings(vectors, present), fusion, names)
    return {
        "samples": samples,
        "width": width,
        "threads": threads,
        "seconds": time.perf_counter() - wall,
        "goal, s": GOAL_S,
        "cpu_s": time.process_time() - cpu,
        "goal, GiB": GOAL_GIB,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "rank/median_mean": metrics["rank/median_mean"],
        "uniformity/fusion": metrics["uniformity/fusion"],
    }


def main(
    samples: int = 100_000,
    modalities: int = 4,
    widths: tuple[int, ...] = (64, 512),
    threads: int = 2,
    out: Path | None = None,
) -> None:
    """Measure the evaluation of random test embeddings.

    Args:
        samples: of the test split.
        modalities: unimodal embeddings of each sample.
        widths: components of an embedding.
        threads: of torch.
        out: JSON file for the figures.
    """
    table = Table("samples", "width", "seconds", "CPU seconds", "peak GiB", title="Evaluation")
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for width in widths:
            row = pool.apply(measure, (samples, modalities, width, threads))
            rows.append(row)
            figures = (f"{row[key]:.1f}" for key in ("seconds", "cpu_s"))
            table.add_row(f"{samples:,}", str(width), *figures, f"{row['peak_gib']:.2f}")
    Console().print(table)
    Console().print(f"Goal: {GOAL_S:.0f} s and {GOAL_GIB:g} GiB for 100,000 samples, 2 threads.")
    if out:
        out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    tyro.cli(main)
