"""The end of a sweep, as MLflow's pages show it: figures, report, curves over sparsity, data, models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.text import Text

from raymm.errors import DataError, TrackingError
from raymm.showcase.inputs import data_input, masks
from raymm.showcase.models import packed_model
from raymm.showcase.summaries import log_summaries, model_of
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.plan import Sweep
from raymm.sweep.tags import CONDITION, DATASET, KEY, KIND, MODEL, SPARSITY, SWEEP, condition
from raymm.tracking import RunRecord, Store, StoreAwayError
from raymm.tracking_artifacts import log_files, log_inputs, log_model, register_model

Which = Literal["none", "best", "all"]
PATIENCE_S = 20.0
"""How long to wait for the store to have the cells, before nothing is shown."""
CHOSEN_BY = "loss/val"
"""The best of a condition's seeds: never by the test split."""


def show(
    sweep: Sweep, results: Sequence[CellResult], console: Console, *, models: Which,
    register: str | None,
) -> None:  # fmt: skip
    """Show a sweep that has ended in MLflow. Again changes nothing.

    What cannot be shown is said; the sweep's results do not depend on it.

    Args:
        models: whose models are kept as MLflow's: no cell's, those of the best seed of each
            condition by validation loss, or all.
        register: begin of the names under which they are registered; None registers none.
    """
    with console.status(Text("showing the sweep in MLflow")) as status:
        try:
            if not sweep.ledger.flush(PATIENCE_S):
                raise StoreAwayError("the store does not answer")
            _show(sweep, results, models, register, lambda text: status.update(Text(text)))
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
    store = sweep.ledger.store
    (parent,) = store.runs(f"tags.`{KIND}` = 'sweep' and tags.`{SWEEP}` = '{sweep.name}'")
    files = dict.fromkeys(sorted(sweep.folder.glob("figure_*.png")), "figures")
    page = sweep.folder / "report.html"
    log_files(store, parent.run_id, files | ({page: ""} if page.exists() else {}))
    summaries = log_summaries(
        store, sweep.name, sweep.dataset.name, results, int(time.time() * 1000)
    )
    data, mask = data_input(sweep.dataset, sweep.settings.dataset), masks(sweep.dataset, results)
    for run_id in (parent.run_id, *summaries.values()):
        log_inputs(store, run_id, [data, *mask.values()])
    runs = sweep.ledger.seen(sweep.cells)
    for result in results:
        if result.status == "finished" and result.key not in sweep.finished:
            inputs = [data, mask[result.cell.data.sparsity]]
            log_inputs(store, runs[result.key].run_id, inputs)
    kept = chosen(results, models)
    for number, result in enumerate(kept, 1):
        say(f"keeping models in MLflow: {number} of {len(kept)}")
        _keep(store, runs, result, sweep.storage, register)


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
