"""The end of a sweep, as MLflow's pages show it: figures, report, curves over sparsity, data, models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.text import Text

from raymm.errors import DataError, TrackingError
from raymm.showcase.inputs import data_input, mask_input, masks
from raymm.showcase.models import packed_model
from raymm.showcase.summaries import (
    Summary,
    grid_summaries,
    log_summaries,
    model_of,
    search_summaries,
)
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.plan import Sweep
from raymm.sweep.search.best_file import Best
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import TrialRecord
from raymm.sweep.tags import CONDITION, DATASET, KEY, KIND, MODEL, SPARSITY, SWEEP, condition
from raymm.tracking import RunRecord, Store, StoreAwayError
from raymm.tracking_artifacts import Input, log_files, log_inputs, log_model, register_model

Which = Literal["none", "best", "all"]
PATIENCE_S = 20.0
"""How long to wait for the store to have the cells, before nothing is shown."""
CHOSEN_BY = "loss/val"
"""The best of a condition's seeds: never by the test split."""
PICTURES = ("figure_*.png", "search_*.png")
FILES = ("report.html", "best.json", "operations.csv")
"""Of a sweep's results folder, what its run has among its artifacts."""


def show(
    sweep: Sweep, results: Sequence[CellResult], console: Console, *, models: Which,
    register: str | None,
) -> None:  # fmt: skip
    """Show a grid that has ended in MLflow, or another sweep whose cells are known. Again changes
    nothing.

    What cannot be shown is said; the sweep's results do not depend on it.

    Args:
        models: whose models are kept as MLflow's: no cell's, those of the best seed of each
            condition by validation loss, or all.
        register: begin of the names under which they are registered; None registers none.
    """
    _tried(sweep, console, lambda say: _show(sweep, results, models, register, say))


def show_search(
    sweep: Sweep, trials: Sequence[TrialRecord], best: Sequence[Best],
    goals: Sequence[Objective], console: Console,
) -> None:  # fmt: skip
    """Show a search in MLflow: its pages and figures, and a run for each condition with its trials'
    objectives and settings. Again changes nothing but what new trials change."""
    configs = {found.condition.sparsity: found.cells[0].config for found in best}

    def work(_: Callable[[str], None]) -> None:
        drawn = [mask_input(sweep.dataset, config, None) for _, config in sorted(configs.items())]
        _show_whole(sweep, search_summaries(sweep.name, trials, goals), drawn)

    _tried(sweep, console, work)


def _tried(sweep: Sweep, console: Console, work: Callable[[Callable[[str], None]], None]) -> None:
    """Wait until MLflow has the cells, then work; what goes wrong is told and goes no further."""
    with console.status(Text("showing the sweep in MLflow")) as status:
        try:
            if not sweep.ledger.flush(PATIENCE_S):
                raise StoreAwayError("The store does not answer.")
            work(lambda text: status.update(Text(text)))
        except (TrackingError, DataError) as error:
            text = (
                f"MLflow does not show all of this sweep (figures, curves over sparsity, models): "
                f"{error} The same command adds what is missing."
            )
            console.print(Text(text, style="yellow"), soft_wrap=True)


def chosen(results: Sequence[CellResult], which: Which) -> list[CellResult]:
    """The cells whose models are kept."""
    finished = [each for each in results if each.status == "finished"]
    if which != "best":
        return finished if which == "all" else []
    best: dict[str, CellResult] = {}
    for result in finished:
        title = condition(Cell(result.key, result.cell))
        if CHOSEN_BY in result.metrics:
            held = best.get(title)
            if held is None or result.metrics[CHOSEN_BY] < held.metrics[CHOSEN_BY]:
                best[title] = result
    return list(best.values())


def _show(
    sweep: Sweep,
    results: Sequence[CellResult],
    models: Which,
    register: str | None,
    say: Callable[[str], None],
) -> None:
    store, mask = sweep.ledger.store, masks(sweep.dataset, results)
    data = _show_whole(sweep, grid_summaries(sweep.name, results), list(mask.values()))
    runs = sweep.ledger.seen(sweep.cells)
    for result in results:
        if result.status == "finished" and result.key not in sweep.finished:
            inputs = [data, mask[result.cell.data.sparsity]]
            log_inputs(store, runs[result.key].run_id, inputs)
    kept = chosen(results, models)
    for number, result in enumerate(kept, 1):
        say(f"keeping models in MLflow: {number} of {len(kept)}")
        _keep(store, runs, result, sweep.storage, register)


def _show_whole(sweep: Sweep, summaries: Sequence[Summary], drawn: Sequence[Input]) -> Input:
    """Files of the sweep's run, its summaries, and their data sets; returns the data's own."""
    store = sweep.ledger.store
    (parent,) = store.runs(f"tags.`{KIND}` = 'sweep' and tags.`{SWEEP}` = '{sweep.name}'")
    pictures = [file for each in PICTURES for file in sorted(sweep.folder.glob(each))]
    pages = [sweep.folder / name for name in FILES if (sweep.folder / name).exists()]
    log_files(store, parent.run_id, dict.fromkeys(pictures, "figures") | dict.fromkeys(pages, ""))
    name, now = sweep.dataset.name, int(time.time() * 1000)
    made = log_summaries(store, sweep.name, name, summaries, now)
    data = data_input(sweep.dataset, sweep.settings.dataset)
    for run_id in (parent.run_id, *made.values()):
        log_inputs(store, run_id, [data, *drawn])
    return data


def _keep(
    store: Store,
    runs: Mapping[str, RunRecord],
    result: CellResult,
    storage: str,
    register: str | None,
) -> None:
    run, model = runs[result.key], model_of(result)
    name = f"{model} S={result.cell.data.sparsity:g}".replace(" ", "-")
    name = "".join(letter if letter not in "/:.%\"'" else "_" for letter in name)
    tags = {
        KEY: result.key,
        MODEL: model,
        SPARSITY: f"{result.cell.data.sparsity:g}",
        CONDITION: condition(Cell(result.key, result.cell)),
        DATASET: result.dataset,
    }
    packed = packed_model(f"{storage}/{result.key}", name)
    address = log_model(store, run.run_id, packed, tags)
    if register is not None:
        register_model(store, f"{register}-{name}", address, run.run_id)
