"""What chaos has to leave behind, and nothing else."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from raymm.sweep.apart import apart
from raymm.tracking import LOCAL_STORE, SQLITE
from raymm.training.sizes import OF_THE_MACHINE

CLOSE = 1e-6


@dataclass(frozen=True)
class Proof:
    """A claim, whether it holds, and what was seen."""

    claim: str
    holds: bool
    seen: str


def prove(folder: Path, calm: Path, epochs: int, left: Mapping[str, Sequence[str]]) -> list[Proof]:
    """Compare a disturbed sweep with a calm one.

    Args:
        folder, calm: where the commands ran.
        epochs: of each cell.
        left: what the disturbed one left on its cluster.
    """
    found, wanted = results(folder), results(calm)
    return [
        _same_cells(found, wanted),
        _same_numbers(found, wanted),
        *_recorded_once(folder, set(wanted), epochs),
        _no_files(folder),
        *(
            Proof(f"no {what} left over", not names, ", ".join(names) or "none")
            for what, names in left.items()
        ),
    ]


def results(folder: Path) -> dict[str, dict[str, float]]:
    """Final metrics of the finished cells, by key."""
    return {
        path.parent.name: json.loads(path.read_text())["metrics"]
        for path in (folder / "storage").glob("*/result.json")
    }


def _same_cells(
    found: Mapping[str, Mapping[str, float]], wanted: Mapping[str, Mapping[str, float]]
) -> Proof:
    odd = set(found) ^ set(wanted)
    seen = f"{len(found)} cells" + (f"; only in one of the two: {sorted(odd)}" if odd else "")
    return Proof("every cell is finished", not odd and bool(wanted), seen)


def _same_numbers(
    found: Mapping[str, Mapping[str, float]], wanted: Mapping[str, Mapping[str, float]]
) -> Proof:
    largest, where, count = 0.0, "", 0
    for key in set(found) & set(wanted):
        for name in set(found[key]) | set(wanted[key]):
            if name.startswith(OF_THE_MACHINE):
                continue
            apart = _apart(found[key].get(name), wanted[key].get(name))
            count += 1
            if apart > largest:
                largest, where = apart, f" ({name} of {key})"
    seen = f"{count} metrics, largest difference {largest:g}{where}"
    close = count > 0 and largest <= CLOSE
    return Proof("numbers are those of the calm run, to 1e-6", close, seen)


def _apart(one: float | None, two: float | None) -> float:
    """Difference of two numbers; without end where only one is there, or only one is a number."""
    return math.inf if one is None or two is None else apart(one, two)


def runs_by_cell(uri: str) -> dict[str, list[Any]]:
    """All runs of cells in an MLflow store that are not deleted, by cell key."""
    client = MlflowClient(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    found: dict[str, list[Any]] = defaultdict(list)
    for run in client.search_runs(experiments, "tags.`raymm.kind` = 'cell'", max_results=50_000):
        found[run.data.tags["raymm.cell_key"]].append(run)
    return dict(found)


def points_of(client: MlflowClient, run: Any, epochs: int) -> tuple[int, list[str]]:
    """Points that a run has, and those of its metrics that have neither one for each epoch nor one in
    all, each with its steps."""
    points, wrong = 0, list[str]()
    for name in run.data.metrics:
        steps = sorted(p.step for p in client.get_metric_history(run.info.run_id, name))
        points += len(steps)
        if steps not in ([0], list(range(1, epochs + 1))):
            wrong.append(f"{name} of {run.info.run_id}: {steps}")
    return points, wrong


def _recorded_once(folder: Path, keys: set[str], epochs: int) -> list[Proof]:
    uri = f"{SQLITE}{folder}/{LOCAL_STORE.removeprefix(SQLITE)}"
    client, runs = MlflowClient(uri), runs_by_cell(uri)
    several = [key for key, mine in runs.items() if len(mine) != 1]
    states = sorted({run.info.status for mine in runs.values() for run in mine})
    points, wrong = 0, list[str]()
    for mine in runs.values():
        for run in mine:
            count, odd = points_of(client, run, epochs)
            points, wrong = points + count, wrong + odd
    once = not several and set(runs) == keys and states == ["FINISHED"]
    return [
        Proof("one finished run for each cell", once, f"{len(runs)} cells, {', '.join(states)}"),
        Proof("one point for each epoch", not wrong, f"{points} points {', '.join(wrong[:3])}"),
    ]


def _no_files(folder: Path) -> Proof:
    cells = [path for path in (folder / "storage").iterdir() if path.is_dir()]
    kept = {"result.json", "model.safetensors", "model.json", "scaling.safetensors"}
    odd = [
        str(path.relative_to(folder))
        for cell in cells
        for path in cell.iterdir()
        if path.name.startswith((".", "epoch_")) or path.name.endswith(".partial")
    ]
    odd += [f"{cell.name}: no {name}" for cell in cells for name in kept - _names(cell)]
    odd += [f"tmp/{path.name}" for path in (folder / "tmp").glob("raymm-*")]
    for pattern in ("unsent-*", "*.partial"):
        odd += [str(path.relative_to(folder)) for path in (folder / "results").rglob(pattern)]
    return Proof("no files left over", not odd, ", ".join(odd[:3]) or f"{len(cells)} folders")


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
