"""What `sweeps/fusion_operations.py` does besides any sweep: embed first, compare retrieval last."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from raymm.cli_embed import embed
from raymm.command import DONE, INTERRUPTED, close, exit_status, shareable
from raymm.data.dataset import Dataset
from raymm.data.packed import is_packed
from raymm.errors import ConfigError
from raymm.storage.address import joined
from raymm.sweep.cells import CellResult
from raymm.sweep.operations import ConvirtSettings, OperationSettings, named_encoder
from raymm.sweep.operations_words import how
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep, print_plan
from raymm.sweep.task_runs import TaskRuns

if TYPE_CHECKING:
    from torch import Tensor

    from raymm.report.operations import Ranks, ScoredCell
    from raymm.tasks.retrieval import Retrieved

TASK = "retrieval"
CONVIRT = "ConVIRT"


def run_operations(settings: OperationSettings, command: str, console: Console) -> int:
    """Embed the pairs if need be, train the cells, and compare their retrieval of held-out pairs."""
    place = embedded_at(settings)
    if settings.plan and not is_packed(place):
        console.print(
            f"The pairs are not embedded yet: {', '.join(settings.encoder)} would write {place}. "
            "The plan can be shown once they are: raymm embed --tokens, or this command without "
            "--plan."
        )
        return DONE
    if not settings.plan and place != settings.dataset:
        # Also where they are embedded already: it is seen that data and weights are the same still.
        embed(
            encoder=settings.encoder,
            out=place,
            dataset=settings.dataset,
            tokens=True,
            address=settings.address,
        )
    sweeps = prepared(settings, place, console)
    for sweep in sweeps:
        print_plan(sweep, console)
    if settings.plan:
        return DONE
    for sweep in sweeps:
        claim_places(sweep)

    from raymm.sweep.runner import run_sweep  # Ray takes seconds, which a plan can do without

    with ExitStack() as stack:
        done: list[tuple[Sweep, list[CellResult]]] = []
        for sweep in sweeps:
            stack.enter_context(sweep.ledger)
            done.append((sweep, run_sweep(sweep, console)))
            if exit_status(done[-1][1]) == INTERRUPTED:
                break
        return conclude(done, place, command, console)


def embedded_at(settings: OperationSettings) -> str:
    """The folder of embeddings: the one given, or that of the pairs and encoders in the cache."""
    if is_packed(settings.dataset):
        return settings.dataset
    parts = [Path(settings.dataset).name, *settings.encoder]
    name = "-".join(re.sub(r"[^\w.-]+", "-", part).strip("-.") for part in parts)
    return joined(settings.cache, f"{name}-tokens")


def prepared(settings: OperationSettings, place: str, console: Console) -> list[Sweep]:
    """The sweeps that are asked for: over the embeddings in `place`, and ConVIRT's over raw pairs.

    Raises:
        RaymmError: a setting, the data, a folder or the tracking store is at fault.
    """
    sweeps = []
    if "cbmf" in settings.models:
        sweeps.append(prepare_sweep(replace(settings, dataset=place, models=("cbmf",))))
    if "convirt" in settings.models:
        name = settings.name and f"{settings.name}-convirt"
        own = {"models": ("convirt",), "operations": OperationSettings.operations, "name": name}
        convirt = ConvirtSettings(**{**asdict(settings), **own})
        sweeps.append(prepare_sweep(convirt, raw_pairs(settings, console)))
    return sweeps


def raw_pairs(settings: OperationSettings, console: Console) -> Dataset:
    """The pairs as pixels and token ids, for encoders that are trained; tells what was odd.

    Raises:
        ConfigError: the data set holds embeddings, or an encoder does not fit it.
    """
    from raymm.data.sources.pairs.load import load_pairs
    from raymm.encoders.load import load_encoder
    from raymm.encoders.raw import raw_dataset
    from raymm.encoders.work import assigned

    if is_packed(settings.dataset):
        raise ConfigError(
            f"ConVIRT trains the encoders on images and texts, and {settings.dataset} holds what they "
            "made of them. Give the pairs themselves with --dataset, or leave convirt out of --models."
        )
    pairs = load_pairs(settings.dataset)
    named = [named_encoder(each) for each in settings.encoder]
    loaded = [(modality, load_encoder(name, device="cpu")) for modality, name in named]
    chosen = dict(assigned(pairs, loaded).values())
    label = settings.label or (pairs.labels[0].name if pairs.labels else None)

    def tell(remark: str) -> None:
        console.print(f"[yellow]warning[/yellow] ConVIRT, {remark}", highlight=False)

    return raw_dataset(pairs, chosen, label=label, tell=tell)


def conclude(
    done: Sequence[tuple[Sweep, Sequence[CellResult]]], place: str, command: str, console: Console
) -> int:
    """Score retrieval, write the report, close the sweeps' runs; returns the exit status.

    Args:
        done: sweeps with the results of their cells.
        place: of the embeddings.
    """
    from raymm.report.operations import (
        operation_parts,
        operations_frame,
        operations_tables,
        verdict,
        write_operations_report,
    )
    from raymm.report.page.operations import write_operations_page
    from raymm.showcase.show import show
    from raymm.sweep.environment import environment

    shows: dict[str, Callable[[], None]] = {}
    if any(result.status == "finished" for _, results in done for result in results):
        scored, found, recalls = retrieval(done, place, console)
        groups = next(iter(found.groups.values()))  # of both directions: the same pairs
        frame = operations_frame(scored, arrays(found.ridge), groups)
        size = next(iter(found.gallery.values()))
        title = f"Retrieval of {size} held-out pairs of {done[0][0].dataset.name}, per cent"
        lines = [*verdict(frame), *how([sweep for sweep, _ in done])]
        for sweep, results in done:
            write_operations_report(
                frame,
                lines,
                sweep.folder,
                title=title,
                name=sweep.name,
                command=command,
                settings=shareable(sweep.settings),
                environment=environment(),
            )
            told = [with_recalls(result, recalls) for result in results]
            write_operations_page(
                told,
                lines,
                operation_parts(frame, title, "**{}**"),
                sweep.folder,
                name=sweep.name,
                command=command,
                settings=shareable(sweep.settings),
                environment=environment(),
                fingerprints={sweep.dataset.name: sweep.dataset.fingerprint},
            )
            shows[sweep.name] = partial(show, sweep, told, console, models="best", register=None)
        console.print(operations_tables(frame, title))
        for line in lines:
            console.print(line, highlight=False)
    statuses = []
    for sweep, results in done:
        console.print(f"results  {sweep.folder}/report.html", soft_wrap=True, highlight=False)
        failed = sum(result.status == "failed" for result in results)
        status, showing = exit_status(results), shows.get(sweep.name)
        statuses.append(close(sweep, status, failed, command, console, showing))
    return max(statuses)


def retrieval(
    done: Sequence[tuple[Sweep, Sequence[CellResult]]], place: str, console: Console
) -> tuple[list[ScoredCell], Retrieved, dict[str, Mapping[str, float]]]:
    """Retrieval of the held-out pairs by each finished cell's model, recorded in MLflow.

    Returns:
        The cells' ranks; what one of the models has found, with the ranks by ridge regression between
        the encoders, which are the same for all; and the metrics of each cell, by key.
    """
    from raymm.data.sources import load_dataset
    from raymm.tasks.baseline import ridge_baseline
    from raymm.tasks.retrieval import held_out_result, retrieve_held_out, ridge_held_out
    from raymm.tasks.run import title
    from raymm.training.saved import load_model

    scored: list[ScoredCell] = []
    recalls: dict[str, Mapping[str, float]] = {}
    ridge: dict[str, Tensor] | None = None
    with console.status("scoring retrieval"):
        for sweep, results in done:
            runs = TaskRuns(sweep.settings.tracking_uri, sweep.dataset.name)
            for result in (each for each in results if each.status == "finished"):
                saved = load_model(f"{sweep.storage}/{result.key}")
                if ridge is None:
                    vectors = load_dataset(place, saved.card.names, saved.card.label)
                    baseline = ridge_baseline(saved.card, vectors)
                    ridge = ridge_held_out(saved.card, vectors, baseline)
                found = replace(retrieve_held_out(saved, sweep.dataset, None), ridge=ridge)
                scored.append(_scored(result, found))
                told = held_out_result(found, sweep.dataset.name, title(saved))
                recalls[result.key] = told.metrics
                if runs.cell_of(result.key) and not runs.has_task(result.key, TASK):
                    runs.log_task(result.key, TASK, told.metrics, told.curves, told.files())
    return scored, found, recalls


def with_recalls(result: CellResult, recalls: Mapping[str, Mapping[str, float]]) -> CellResult:
    """A cell with its retrieval among its metrics."""
    return replace(result, metrics={**result.metrics, **recalls.get(result.key, {})})


def _scored(result: CellResult, found: Retrieved) -> ScoredCell:
    from raymm.report.operations import ScoredCell

    model = result.cell.model
    return ScoredCell(
        CONVIRT if model.name == "convirt" else model.fusion_operation.replace("_", " "),
        len(result.curve),
        result.metrics["loss/val"],
        arrays(found.model),
    )


def arrays(ranks: Mapping[str, Tensor]) -> Ranks:
    """Ranks as numpy has them."""
    return {direction: of.numpy() for direction, of in ranks.items()}
