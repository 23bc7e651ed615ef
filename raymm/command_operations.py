"""What `sweeps/fusion_operations.py` does besides any sweep: embed first, compare retrieval last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from raymm.cli_embed import embed
from raymm.command import DONE, close, exit_status, shareable
from raymm.data.dataset import Modality
from raymm.data.packed import is_packed
from raymm.sweep.cells import CellResult
from raymm.sweep.operations import OperationSettings
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep, print_plan
from raymm.sweep.task_runs import TaskRuns

if TYPE_CHECKING:
    from raymm.tasks.result import TaskResult

TASK = "retrieval"


def run_operations(settings: OperationSettings, command: str, console: Console) -> int:
    """Embed the pairs if need be, train the cells, and compare their retrieval of held-out pairs."""
    place = embedded_at(settings)
    if not is_packed(place):
        if settings.plan:
            console.print(
                f"The pairs are not embedded yet: {', '.join(settings.encoder)} would write {place}. "
                "The plan can be shown once they are: raymm embed --tokens, or this command without "
                "--plan."
            )
            return DONE
        embed(
            encoder=settings.encoder,
            out=place,
            dataset=settings.dataset,
            tokens=True,
            address=settings.address,
        )
    sweep = prepare_sweep(replace(settings, dataset=place))
    print_plan(sweep, console)
    if settings.plan:
        return DONE
    claim_places(sweep)

    from raymm.sweep.runner import run_sweep  # Ray takes seconds, which a plan can do without

    with sweep.ledger:
        return conclude(sweep, run_sweep(sweep, console), command, console)


def embedded_at(settings: OperationSettings) -> str:
    """The folder of embeddings: the one given, or that of the pairs in the cache."""
    if is_packed(settings.dataset):
        return settings.dataset
    return str(Path(settings.cache) / f"{Path(settings.dataset).name}-tokens")


def conclude(sweep: Sweep, results: Sequence[CellResult], command: str, console: Console) -> int:
    """Score retrieval, write the report, close the sweep's run; returns the exit status."""
    from raymm.report.operations import (
        operations_frame,
        operations_table,
        verdict,
        write_operations_report,
    )
    from raymm.sweep.environment import environment

    finished = [result for result in results if result.status == "finished"]
    if finished:
        found, ridge = retrieval(sweep, finished, console)
        directions = [f"{a.name}_to_{b.name}" for a, b in _both_ways(sweep)]
        rows = [
            {
                "operation": each.cell.model.fusion_operation,
                "epochs": float(len(each.curve)),
                "loss/val": each.metrics["loss/val"],
                **found[each.key].metrics,
            }
            for each in finished
        ]
        frame = operations_frame(rows, directions, ridge)
        held_out = int(found[finished[0].key].metrics[f"retrieval/{directions[0]}_gallery"])
        lines = [*verdict(frame, held_out), *_how(sweep)]
        write_operations_report(
            frame,
            lines,
            sweep.folder,
            name=sweep.name,
            command=command,
            settings=shareable(sweep.settings),
            environment=environment(),
        )
        title = f"Retrieval of {held_out} held-out pairs of {sweep.dataset.name}, per cent"
        console.print(operations_table(frame, title))
        for line in lines:
            console.print(line, highlight=False)
    console.print(f"results  {sweep.folder}/report.md", soft_wrap=True, highlight=False)
    failed = sum(result.status == "failed" for result in results)
    return close(sweep, exit_status(results), failed, command, console)


def retrieval(
    sweep: Sweep, finished: Sequence[CellResult], console: Console
) -> tuple[dict[str, TaskResult], dict[str, float]]:
    """Retrieval by each cell's model, recorded in MLflow, and the same metrics of ridge regression."""
    from raymm.tasks.baseline import ridge_baseline
    from raymm.tasks.retrieval import held_out_retrieval, ridge_metrics
    from raymm.tasks.run import title
    from raymm.training.saved import load_model

    found: dict[str, TaskResult] = {}
    runs = TaskRuns(sweep.settings.tracking_uri, sweep.dataset.name)
    with console.status("scoring retrieval"):
        first = load_model(f"{sweep.storage}/{finished[0].key}")
        ridge = ridge_baseline(first.card, sweep.dataset)
        for result in finished:
            saved = load_model(f"{sweep.storage}/{result.key}")
            each = held_out_retrieval(saved, sweep.dataset, ridge, title(saved))
            found[result.key] = each
            if runs.cell_of(result.key) and not runs.has_task(result.key, TASK):
                runs.log_task(result.key, TASK, each.metrics, each.curves, each.files())
        baseline = ridge_metrics(first, sweep.dataset, ridge)
    return found, baseline


def _both_ways(sweep: Sweep) -> list[tuple[Modality, Modality]]:
    one, two = sweep.dataset.modalities
    return [(one, two), (two, one)]


def _how(sweep: Sweep) -> list[str]:
    settings = sweep.settings
    assert isinstance(settings, OperationSettings)
    targets = "soft targets (eq. 5)" if settings.soft_targets else "plain InfoNCE"
    seen = "their mean" if settings.pool_tokens else "each of them"
    return [
        f"Attention chooses among the tokens of {' and '.join(settings.encoder)}, which stay frozen; "
        f"the other operations see {seen}. Trained with {targets}; the epoch is chosen on the "
        "validation loss. Ridge regression maps one encoder's mean token to the other's; its penalty, "
        "and which side is mapped, are chosen on the validation pairs."
    ]
