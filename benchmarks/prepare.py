"""Preparing TCGA's wide tables: speed and memory, against pandas: `python -m benchmarks.prepare`.

Makes synthetic tables in the layout of the 450k methylation file (sites in rows, aliquots in columns,
numbers of 15 digits) in a temporary folder, removed in the end. Each measurement is a fresh process:
`raymm data prepare tcga` on tables of growing numbers of rows, plain and gzipped, and
`pandas.read_csv` with the variance and the same choice after it. Peak memory is the process's whole
resident memory, less what it had after its imports. Then batches per second from mapped sets, against
the same arrays held in memory.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from raymm.config import DataConfig
from raymm.data.pack_writer import PackWriter
from raymm.data.prepare import prepare
from raymm.data.sources import load_dataset
from raymm.training.resources import keep_freed_memory

FILE = "jhu-usc.edu_PANCAN_HumanMethylation450.betaValue_whitelisted.tsv"
STEPS = 1000
"""Different batches of a pass, at most."""
SET_SAMPLES = (7_017, 100_000, 130_000)
"""Samples of the sets that batches are taken from: the paper's; 1.0 GB; and 1.3 GB, too large to
stay mapped."""
LINES = 64
"""Different lines that a table is made of: parsers do not care."""


def make(folder: Path, rows: int, samples: int, packed: bool) -> float:
    """Write a table, and return its megabytes of text."""
    noise = np.random.default_rng(0)
    names = [f"TCGA-{n % 90:02d}-{n:04d}-01A-11D-A{n % 900:03d}-05" for n in range(samples)]
    lines = []
    for line in range(LINES):
        values = noise.beta(0.5, 0.5, size=samples) * (line + 1) / LINES
        lines.append("\t".join("NA" if value < 1e-4 else f"{value:.15f}" for value in values))
    folder.mkdir()
    size = 0
    path = folder / (FILE + ".gz" if packed else FILE)
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as file:
        size += file.write(("Composite Element REF\t" + "\t".join(names) + "\n").encode())
        for row in track(range(rows), f"{rows:,} rows", transient=True):
            size += file.write(f"cg{row:08d}\t{lines[row % LINES]}\n".encode())
    types = {name[:12]: name for name in names}
    with (folder / "merged_sample_quality_annotations.tsv").open("w") as clinical:
        clinical.write("patient_barcode\taliquot_barcode\tcancer type\n")
        for place, (patient, aliquot) in enumerate(types.items()):
            clinical.write(f"{patient}\t{aliquot}\tTYPE{place % 32}\n")
    return size / 1e6


def with_raymm(folder: str, to: str) -> dict[str, float]:
    """Seconds and MiB of a preparation."""
    from raymm.data.sources.tcga.prepare import TcgaSettings, prepare_tcga

    before = _resident_mib()
    started = time.perf_counter()
    prepare_tcga(folder, to, TcgaSettings())
    return {"seconds": time.perf_counter() - started, "mib": _peak_mib() - before}


def with_pandas(path: str) -> dict[str, float]:
    """Seconds and MiB of reading the table and choosing the same sites."""
    import pandas as pd

    before = _resident_mib()
    started = time.perf_counter()
    table = pd.read_csv(path, sep="\t", index_col=0)
    read_s = time.perf_counter() - started
    best = table.var(axis=1).sort_values(ascending=False).index[:800]
    table.loc[sorted(best)].T.to_numpy(np.float32)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "read_seconds": read_s, "mib": _peak_mib() - before}


def _resident_mib() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fresh(function: object, *arguments: object) -> dict[str, float]:
    """Run in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: dict[str, float] = pool.apply(function, arguments)  # type: ignore[arg-type]
        return result


def batches(folder: str, batch_size: int = 32, passes: int = 7) -> dict[str, float]:
    """Batches per second of a mapped set of tables, and of the same arrays held in memory.

    With the allocator as training sets it. Each batch is made from both, in alternate order, and the
    medians are compared: what else the machine does meets both alike.
    """
    keep_freed_memory()
    split = prepare(load_dataset(folder), DataConfig(sparsity=0.2)).train
    columns = tuple(
        replace(column, values=np.array(column.values), mapping=None) for column in split.columns
    )
    held = replace(split, columns=columns)
    order = np.random.default_rng(0).permutation(split.size).astype(np.int64)
    steps = min(split.size // batch_size, STEPS)
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for step in range(passes * steps):
        first = step % steps * batch_size
        for kind in (0, 1) if step % 2 else (1, 0):
            started = time.perf_counter()
            (split, held)[kind].batch(order[first : first + batch_size])
            if step >= steps:  # the first pass brings the pages in
                seconds[kind].append(time.perf_counter() - started)
    mapped, memory = median(seconds[0]), median(seconds[1])
    size = sum(column.values.nbytes for column in split.columns)  # noqa: PD011
    return {"gb": size / 1e9, "mapped_per_s": 1 / mapped, "in_memory_per_s": 1 / memory}


def make_set(folder: Path, samples: int = 7017) -> None:
    """A packed set of noise, of the shape of the paper's TCGA."""
    noise = np.random.default_rng(0)
    ids = [f"{number:06d}" for number in range(samples)]
    with PackWriter(folder, name="tcga-shape") as writer:
        for name, width in (("gene", 800), ("protein", 198), ("methylation", 800), ("mirna", 662)):
            writer.modality(name, "table", [f"{name}{column}" for column in range(width)])
            writer.append(name, ids, noise.standard_normal((samples, width), dtype=np.float32))


def main(
    rows: tuple[int, ...] = (2_500, 5_000, 10_000),
    samples: int = 9_600,
    pandas_rows: int = 5_000,
    gzip_rows: int = 5_000,
    sets: tuple[int, ...] = SET_SAMPLES,
    folder: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        rows: of the plain tables.
        samples: columns of each; the real methylation table has about 9,600.
        pandas_rows: of the table that pandas reads too; it holds all of it in memory.
        gzip_rows: of the gzipped table.
        sets: samples of the sets that batches are taken from.
        folder: where tables are made and removed again; the system's temporary one if not given.
        out: JSON file for the figures.
    """
    found: list[dict[str, object]] = []
    for packed, sizes in ((False, rows), (True, (gzip_rows,))):
        for count in sizes:
            with tempfile.TemporaryDirectory(prefix="raymm-prepare-", dir=folder) as scratch:
                source = Path(scratch) / "tables"
                megabytes = make(source, count, samples, packed)
                ours = fresh(with_raymm, str(source), str(Path(scratch) / "packed"))
                theirs = None
                if count == pandas_rows:
                    path = source / (FILE + ".gz" if packed else FILE)
                    theirs = fresh(with_pandas, str(path))
                shutil.rmtree(source)
            what = f"methylation, {megabytes:,.0f} MB of text{', gzip' * packed}"
            found += _preparation(what, megabytes, ours, theirs)
    for count in sets:
        with tempfile.TemporaryDirectory(prefix="raymm-prepare-", dir=folder) as scratch:
            make_set(Path(scratch) / "set", count)
            speed = fresh(batches, str(Path(scratch) / "set"))
        what = f"batches of 32 a second, mapped tables of TCGA's shape, {speed['gb']:.2f} GB"
        found.append(
            _row(what, speed["mapped_per_s"], speed["in_memory_per_s"], "in memory", "0.9")
        )
    table = Table(*found[0])
    for row in found:
        table.add_row(*(f"{v:,.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)
    if out:
        out.write_text(json.dumps({"rows": found}, indent=1))


def _preparation(
    what: str, megabytes: float, ours: dict[str, float], theirs: dict[str, float] | None
) -> list[dict[str, object]]:
    """Speed and memory of a preparation, and of pandas where it was measured."""
    speeds = [megabytes / each["seconds"] if each else None for each in (ours, theirs)]
    peak = theirs["mib"] if theirs else None
    other = "pandas.read_csv" if theirs else ""
    assert speeds[0] is not None
    return [
        _row(f"{what}: MB/s", speeds[0], speeds[1], other),
        _row(f"{what}: peak MiB", ours["mib"], peak, other),
    ]


def _row(
    what: str, ours: float, theirs: float | None, other: str, goal: str = ""
) -> dict[str, object]:
    return {
        "what": what,
        "raymm": ours,
        "other": "" if theirs is None else theirs,
        "which": other,
        "raymm / other": "" if theirs is None else ours / theirs,
        "goal": goal,
    }


if __name__ == "__main__":
    tyro.cli(main)
