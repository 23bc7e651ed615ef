"""Memory and speed of batches from data sets larger than memory: `python -m benchmarks.beyond_memory`.

Makes packed sets of sequences of CMU-MOSEI's shape in a temporary folder, removed in the end, and
assembles shuffled batches from each in a fresh process. Anonymous memory is what the process holds
for itself; file pages belong to the page cache, are shared by all processes of the machine and are
given up when memory runs short. Both are counted above what the process had before it opened the
set. The same rows held in memory are the measure of speed.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from raymm.config import DataConfig
from raymm.data.dataset import Dataset, Label
from raymm.data.loader import train_batches
from raymm.data.pack_writer import PackWriter
from raymm.data.prepare import prepare
from raymm.data.prepared import Split
from raymm.data.sources import load_dataset

SHAPES = {"glove": (50, 300), "covarep": (1500, 74), "facet": (450, 35), "openface": (450, 713)}
"""Longest sequence and width of CMU-MOSEI's four modalities (SMDF 4.1.1)."""
CHUNK = 64
"""Samples made at a time."""
IN_MEMORY_SAMPLES = 512
"""Most samples held in memory for the comparison of speed: about 1 GB."""


def bytes_of_a_sample() -> float:
    """Mean size of a sample: lengths are uniform from 1 to the longest."""
    return sum(4 * width * (longest + 1) / 2 for longest, width in SHAPES.values())


def make(folder: Path, size_gb: float) -> None:
    """Write a packed set of noise."""
    noise = np.random.default_rng(0)
    count = max(100, int(size_gb * 1e9 / bytes_of_a_sample()))
    pool = noise.normal(3, 2, size=2**24).astype(np.float32)
    with PackWriter(folder, name=f"mosei_{size_gb:g}gb") as writer:
        for name, (longest, width) in SHAPES.items():
            writer.modality(name, "sequence", [str(column) for column in range(width)])
            for start in track(range(0, count, CHUNK), f"{size_gb:g} GB: {name}", transient=True):
                ids = [f"{number:08d}" for number in range(start, min(start + CHUNK, count))]
                lengths = noise.integers(1, longest + 1, size=len(ids))
                values = np.resize(pool, (int(lengths.sum()), width))
                writer.append(name, ids, values, lengths)
        scores = noise.uniform(-3, 3, size=count).astype(np.float32)
        writer.label(
            Label("sentiment", "regression", scores, ()), [f"{n:08d}" for n in range(count)]
        )


class Peak:
    """Peak memory of this process in MiB, sampled in a thread every few milliseconds."""

    def __init__(self) -> None:
        self.anonymous = self.resident = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._before = memory_mib()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.005):
            anonymous, resident = memory_mib()
            self.anonymous = max(self.anonymous, anonymous - self._before[0])
            self.resident = max(self.resident, resident - self._before[1])


def memory_mib() -> tuple[float, float]:
    """Anonymous and whole resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    anonymous, resident = (int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS"))
    return anonymous, resident


def measure(folder: str, batch_size: int, batches: int) -> dict[str, float]:
    """Open a set, prepare it and take shuffled batches."""
    warm_up = Split(np.array(["a"]), np.ones((1, 0), np.bool_), None, ())
    warm_up.batch(np.zeros(1, np.int64))
    with Peak() as peak:
        dataset = load_dataset(folder)
        started = time.perf_counter()
        split = prepare(dataset, DataConfig(sparsity=0.2)).train
        prepared_s = time.perf_counter() - started
        taken, started = 0, time.perf_counter()
        for epoch in range(batches):
            for _ in train_batches(
                split, batch_size=batch_size, seed=0, epoch=epoch, rank=0, world_size=1
            ):
                taken += 1
                if taken == batches:
                    break
            if taken == batches:
                break
        seconds = time.perf_counter() - started
    size = sum(modality.values.nbytes for modality in dataset.modalities)
    mapped, held = _against_memory(dataset, split, batch_size)
    return {
        "gb": size / 1e9,
        "samples": len(dataset.ids),
        "anonymous_mib": peak.anonymous,
        "resident_mib": peak.resident,
        "prepare_s": prepared_s,
        "batches_per_s": batches / seconds,
        "same_rows_mapped_batches_per_s": mapped,
        "same_rows_in_memory_batches_per_s": held,
        "ratio": mapped / held,
    }


def _against_memory(dataset: Dataset, split: Split, batch_size: int) -> tuple[float, float]:
    """Batches per second of the same few samples, mapped and in memory; medians of paired runs."""
    chosen = np.arange(min(split.size, IN_MEMORY_SAMPLES))
    held = _held(split, chosen)
    order = np.random.default_rng(0).permutation(len(chosen)).astype(np.int64)
    steps = max(1, len(order) // batch_size)
    figures: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(7):
        for kind, source in enumerate((split, held)):
            started = time.perf_counter()
            for step in range(steps):
                source.batch(order[step * batch_size : (step + 1) * batch_size])
            figures[kind].append(steps / (time.perf_counter() - started))
    return median(figures[0][1:]), median(figures[1][1:])


def _held(split: Split, chosen: NDArray[np.int64]) -> Split:
    """The split with the values of some samples copied into memory; the others have none."""
    columns = []
    for column in split.columns:
        rows = column.row_of[chosen]
        present = rows[rows >= 0]
        offsets = column.offsets
        assert offsets is not None
        parts = [column.values[offsets[row] : offsets[row + 1]] for row in present]
        lengths = offsets[present + 1] - offsets[present]
        row_of = np.full(len(chosen), -1, dtype=np.int64)
        row_of[rows >= 0] = np.arange(len(present))
        values = np.concatenate(parts)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        columns.append(replace(column, row_of=row_of, values=values, offsets=ends, mapping=None))
    return Split(split.ids[chosen], split.presence[chosen], None, tuple(columns))


COLUMNS = {
    "gb": "GB",
    "samples": "samples",
    "anonymous_mib": "anonymous MiB",
    "resident_mib": "with file pages MiB",
    "prepare_s": "prepare s",
    "batches_per_s": "batches/s",
    "ratio": "same rows: mapped / in memory",
}


def main(
    sizes_gb: tuple[float, ...] = (1, 2, 4),
    batch_size: int = 8,
    batches: int = 200,
    folder: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure sets of several sizes.

    Args:
        sizes_gb: of the sets.
        batch_size: samples of a batch.
        batches: to take from each set, in shuffled order.
        folder: where the sets are made and removed again; the system's temporary one if not given.
        out: JSON file for the figures.
    """
    table = Table(*COLUMNS.values(), title="Batches from mapped sets of CMU-MOSEI's shape")
    rows = []
    for size in sizes_gb:
        with tempfile.TemporaryDirectory(prefix="raymm-beyond-", dir=folder) as scratch:
            path = Path(scratch) / "set"
            make(path, size)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measure, (str(path), batch_size, batches))
        rows.append(row)
        table.add_row(*(f"{row[key]:,.4g}" for key in COLUMNS))
    Console().print(table)
    if out:
        out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    tyro.cli(main)
