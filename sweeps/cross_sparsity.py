"""Does a model trained with few holes hold up where there are many, and the other way round?

    python sweeps/sparsity_grid.py --name my-grid
    python sweeps/cross_sparsity.py --name my-grid                  # no training: minutes
    python sweeps/cross_sparsity.py --name my-grid --test-sparsities 0 0.5 0.9

Scores every finished cell of a sweep on its test split at every sparsity, with the weights it has kept.
The matrix goes into the sweep's report and `cross_sparsity.csv`. The same command again scores only what
has not been. Every setting: --help.
"""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.progress import Progress

from raymm.command import DONE, SOME_FAILED, script
from raymm.data.dataset import Dataset
from raymm.data.sources import load_dataset
from raymm.errors import SweepError
from raymm.report.cross import CROSS_COLUMNS, CROSS_FILE
from raymm.report.make import make_report
from raymm.report.results import find_sweeps, folder_of
from raymm.sweep.cross_settings import CrossSettings


def run(settings: CrossSettings, command: str, console: Console) -> int:
    """Score the cells and write the report again; returns the exit status."""
    record = find_sweeps(
        [settings.name],
        results_dir=settings.results_dir,
        tracking_uri=settings.tracking_uri,
        storage=settings.storage,
    )
    cells, storage = record.finished, record.storage
    if cells.empty or storage is None:
        missing = "no finished cell" if cells.empty else "not recorded where its cells are"
        raise SweepError(f"Sweep {settings.name}: {missing}. Train it, or give --storage.")
    sparsities = settings.test_sparsities or tuple(sorted(map(float, cells["sparsity"].unique())))
    dataset = dataset_of(f"{storage}/{cells['cell_key'].iloc[0]}", settings.dataset)
    folders = {key: f"{storage}/{key}" for key in cells["cell_key"]}

    from raymm.sweep.cross_sparsity import score_cells
    from raymm.training.cluster import connected  # Ray takes seconds

    with connected(settings.address), Progress(console=console, transient=True) as bar:
        task = bar.add_task("scoring cells", total=len(folders))
        found = score_cells(folders, dataset, sparsities, lambda: bar.advance(task))
    places = cells.set_index("cell_key")
    rows = [
        {**places.loc[each.key, list(CROSS_COLUMNS[:-2])].to_dict(), "cell_key": each.key,
         "test_sparsity": sparsity, **metrics}
        for each in found
        for sparsity, metrics in each.scores.items()
    ]  # fmt: skip
    failed = [each for each in found if each.reason]
    for each in failed:
        console.print(f"cell {each.key} not scored: {each.reason}", style="red", soft_wrap=True)
    if rows:
        folder = folder_of(settings.name, settings.results_dir)
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(folder / CROSS_FILE, index=False, lineterminator="\n")
        page = make_report(
            [settings.name],
            console,
            results_dir=settings.results_dir,
            tracking_uri=settings.tracking_uri,
            storage=settings.storage,
        )
        console.print(f"results  {page}", soft_wrap=True, highlight=False)
    return SOME_FAILED if failed else DONE


def dataset_of(folder: str, given: str | None) -> Dataset:
    """The data set that a cell was trained on, from where it is now."""
    from raymm.training.saved import load_model

    data = load_model(folder).card.config.data
    return load_dataset(given or data.dataset, data.modalities, data.label)


if __name__ == "__main__":
    script(CrossSettings, "sweeps/cross_sparsity.py", run)
