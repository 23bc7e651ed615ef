"""Preparing TCGA's wide tables: speed and memory, against pandas: `python -m benchmarks.prepare`.

Makes synthetic tables in the layout of the 450k methylation file (sites in rows, aliquots in columns,
numbers of 15 digits) in a temporary folder, removed in the end. Each measurement is a fresh process:
`raymm data prepare tcga` on tables of growing numbers of rows, plain and gzipped, and
`pandas.read_csv` with the variance and the same choice after it. Peak memory is the process's whole
resident memory, less what it had after its imports. Then batches per second from the set that was
prepared, mapped, against the same arrays held in memory.
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
from raymm.data.prepared import Split
from raymm.data.sources import load_dataset

FILE = "jhu-usc.edu_PANCAN_HumanMethylation450.betaValue_whitelisted.tsv"
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


def batches(folder: str, batch_size: int = 32) -> dict[str, float]:
    """Batches per second of a mapped set of tables of TCGA's shape, and of the same in memory."""
    split = prepare(load_dataset(folder), DataConfig(sparsity=0.2)).train
    held = Split(
        split.ids,
        split.presence,
        split.labels,
        tuple(
            replace(column, values=np.array(column.values), mapping=None)
            for column in split.columns
        ),
    )
    order = np.random.default_rng(0).permutation(split.size).astype(np.int64)
    steps = split.size // batch_size
    figures: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(9):
        for kind, source in enumerate((split, held)):
            started = time.perf_counter()
            for step in range(steps):
                source.batch(order[step * batch_size : (step + 1) * batch_size])
            figures[kind].append(steps / (time.perf_counter() - started))
    mapped, memory = median(figures[0][1:]), median(figures[1][1:])
    ratios = [one / other for one, other in zip(figures[0][1:], figures[1][1:], strict=True)]
    return {"mapped_per_s": mapped, "in_memory_per_s": memory, "ratio": median(ratios)}


def make_set(folder: Path, samples: int = 7017) -> None:
    """A packed set of noise, of the shape of the paper's TCGA."""
    noise = np.random.default_rng(0)
    ids = [f"{number:06d}" for number in range(samples)]
    with PackWriter(folder, name="tcga-shape") as writer:
        for name, width in (("gene", 800), ("protein", 198), ("methylation", 800), ("mirna", 662)):
            writer.modality(name, "table", [f"{name}{column}" for column in range(width)])
            writer.append(name, ids, noise.normal(size=(samples, width)).astype(np.float32))


def main(
    rows: tuple[int, ...] = (2_500, 5_000, 10_000),
    samples: int = 9_600,
    pandas_rows: int = 5_000,
    gzip_rows: int = 5_000,
    folder: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        rows: of the plain tables.
        samples: columns of each; the real methylation table has about 9,600.
        pandas_rows: of the table that pandas reads too; it holds all of it in memory.
        gzip_rows: of the gzipped table.
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
                found.append(_row("raymm", packed, count, megabytes, ours))
                if count == pandas_rows:
                    path = source / (FILE + ".gz" if packed else FILE)
                    theirs = fresh(with_pandas, str(path))
                    found.append(_row("pandas", packed, count, megabytes, theirs))
                shutil.rmtree(source)
    with tempfile.TemporaryDirectory(prefix="raymm-prepare-", dir=folder) as scratch:
        make_set(Path(scratch) / "set")
        speed = fresh(batches, str(Path(scratch) / "set"))
    table = Table("by", "gzip", "rows", "MB of text", "s", "MB/s", "peak MiB")
    for row in found:
        table.add_row(*(f"{v:,.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    console = Console()
    console.print(table)
    console.print(
        f"TCGA's shape, batches of 32: {speed['mapped_per_s']:.0f}/s mapped, "
        f"{speed['in_memory_per_s']:.0f}/s in memory, ratio {speed['ratio']:.2f} (goal 0.9)"
    )
    if out:
        out.write_text(json.dumps({"rows": found, "batches": speed}, indent=1))


def _row(
    who: str, packed: bool, rows: int, megabytes: float, figures: dict[str, float]
) -> dict[str, object]:
    return {
        "by": who,
        "gzip": "yes" if packed else "no",
        "rows": rows,
        "megabytes": megabytes,
        "seconds": figures["seconds"],
        "megabytes_per_s": megabytes / figures["seconds"],
        "peak_mib": figures["mib"],
    }


if __name__ == "__main__":
    tyro.cli(main)
