"""All benchmarks, one after the other: `make bench`, or `python -m benchmarks [--published PATH]`.

Each runs in a process of its own and leaves its figures in benchmarks/results.json; the table in
benchmarks/README.md is written from that file. What is not run keeps the figures it had.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.cpu import GOALS, MOST_OF_IDEAL

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
START, STOP = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
TITLES = {
    "breakdown": "Where the time of a step goes",
    "memory": "Peak memory at the papers' size: five blocks, batch 8, S = 0",
    "evaluation": "Evaluation of 100,000 test embeddings",
    "beyond_memory": "Data beyond memory",
    "overhead": "What a cell costs beyond its training",
    "prepare": "Preparing tables",
    "embedding": "Embedding with frozen encoders, against a plain loop",
    "cbmf": "What CBMF's frozen encoders save, and cells trained together",
}
"""Benchmarks whose rows are shown as they are."""
NAMES = {"mca": "MCA", "zorro": "Zorro", "eao": "EAO"}


def run(module: str, arguments: Sequence[str]) -> Any:
    """Run a benchmark's module and read what it writes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        print(f"python -m benchmarks.{module} {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--out", str(out)]
        subprocess.run(command, check=True)
        return json.loads(out.read_text())


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ray": version("ray"),
    }


def verdict(met: bool) -> str:
    """A goal's cell in a table."""
    return "met" if met else "**not met**"


def times(spread: Mapping[str, float], goal: float) -> str:
    """A ratio that should be at least its goal: median, quartiles, and what they say of the goal."""
    clear = spread["low"] >= goal or spread["high"] < goal
    said = verdict(spread["median"] >= goal) if clear else "**on the line**"
    return f"{spread['median']:.2f} x ({spread['low']:.2f} to {spread['high']:.2f}), {said}"


def over_ideal(spread: Mapping[str, float]) -> str:
    """A ratio that should be at most its goal."""
    clear = spread["high"] <= MOST_OF_IDEAL or spread["low"] > MOST_OF_IDEAL
    said = verdict(spread["median"] <= MOST_OF_IDEAL) if clear else "**on the line**"
    return f"{spread['median']:.2f} ({spread['low']:.2f} to {spread['high']:.2f}), {said}"


def step_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The training step's figures against its goals."""
    text = [
        "| step | seconds | over ideal (goal 1.25) | against dense | against published | "
        "memory, GiB: ours / dense / published | goal (speed, memory, dense) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        faster, leaner, dense = GOALS[row["model"], row["sparsity"]]
        cells = [
            f"{NAMES[row['model']]}, S = {row['sparsity']:g}",
            f"{row['seconds']:.2f}",
            over_ideal(row["over_ideal"]),
            times(row["times_dense"], dense),
        ]
        if "times_published" not in row:
            cells += ["not run", f"{row['gib']:.2f} / {row['dense_gib']:.2f} / -"]
        else:
            less = row["published_gib"] / row["gib"]
            cells += [
                times(row["times_published"], faster),
                f"{row['gib']:.2f} / {row['dense_gib']:.2f} / {row['published_gib']:.2f}: "
                f"{less:.1f} x less, {verdict(less >= leaner)}",
            ]
        cells.append(f"{faster:g} x, 1/{leaner:g}, {dense:g} x")
        text.append(f"| {' | '.join(cells)} |")
    return text


def rates(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the machine's matrix-product rate was over all turns."""
    found = sorted(turn["rate"] / 1e9 for row in rows for turn in row["dense_turns"])
    middle = found[len(found) // 2]
    return (
        f"Matrix-product rate (fp32, 2,048 square), measured in every turn: median {middle:.0f} "
        f"GFLOP/s, {found[0]:.0f} to {found[-1]:.0f}."
    )


def figures(results: Mapping[str, Any]) -> str:
    """All tables, as Markdown."""
    lines = ["Machine: " + ", ".join(f"{k} {v}" for k, v in results["machine"].items()) + ".", ""]
    if "cpu" in results:
        lines += [rates(results["cpu"]["rows"]), ""]
        lines += [*step_table(results["cpu"]["rows"]), ""]
    for name, title in TITLES.items():
        if name in results:
            lines += [f"### {title}", "", *flat_table(results[name]["rows"]), ""]
    return "\n".join(lines)


def flat_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of plain values as a table."""
    head = list(rows[0])
    text = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        shown = [
            f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key]) for key in head
        ]
        text.append(f"| {' | '.join(shown)} |")
    return text


def main() -> None:
    """Run what is asked for, and write file and table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", help="checkout of github.com/josiahbjorgaard/mca-paper")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=["cpu", *TITLES],
        default=["cpu", *TITLES],
        help="what to measure; nothing after it: write the tables again from the figures there are",
    )
    options = parser.parse_args()
    chosen = options.only
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in chosen:
        results["machine"] = machine()
        arguments = (
            ["--published", options.published] if name == "cpu" and options.published else []
        )
        results[name] = run(name, arguments)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    before, rest = README.read_text().split(START)
    after = rest.split(STOP)[1]
    README.write_text(f"{before}{START}\n\n{figures(results)}\n{STOP}{after}")


if __name__ == "__main__":
    main()
