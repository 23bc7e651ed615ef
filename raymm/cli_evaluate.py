"""The command `raymm evaluate RUN --task ...`: a trained model on one of the CBMF paper's tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional

from raymm.data.sources.pairs.load import LayoutName
from raymm.errors import ConfigError, DataError
from raymm.storage.address import open_address
from raymm.storage.mirror import publish, working_folder
from raymm.sweep.task_runs import TaskRuns
from raymm.tasks.names import TaskName


def evaluate(
    run: Positional[str],
    task: TaskName,
    dataset: str | None = None,
    layout: LayoutName = "auto",
    columns: tuple[str, ...] = (),
    encoders: tuple[str, ...] = (),
    templates: tuple[str, ...] = (),
    epochs: int = 100,
    storage: str = "storage",
    cache: str = "embeddings",
    tracking_uri: str | None = None,
    out: str | None = None,
) -> int:
    """Evaluate a trained model on a task of the CBMF paper.

    The paper's own figures are shown beside, in columns that begin with "paper:".

    Args:
        run: MLflow run id or cell key of a finished cell, or the folder of its model.
        task: paraphrase (QQP, MRPC), similarity (STS-B), zero-shot, linear, fine-tune, retrieval.
        dataset: "emoji" or a folder of pairs. Without it, for retrieval: the test split of the data
            that the model was trained on.
        layout: how the folder is laid out; auto looks at its files.
        columns: of a Parquet table, as image=photo text=caption label=kind.
        encoders: modality=encoder, for a model that does not say which encoders made its data.
        templates: prompts of zero-shot, each with one {} for the name of the class.
        epochs: of linear and fine-tune, validated every 20.
        storage: where the sweep has put its cells; used with a run id or a cell key.
        cache: folder of encoders' vectors, so that each is computed once.
        tracking_uri: MLflow server or database. Without it: sqlite:///mlruns/mlflow.db.
        out: folder for the tables as CSV, or its s3:// address.
    """
    from raymm.data.sources.pairs.load import load_pairs  # the rest loads torch and takes seconds
    from raymm.data.sources.pairs.table import parse_columns
    from raymm.tasks.classifier import ClassifierSettings
    from raymm.tasks.result import print_result
    from raymm.tasks.run import TaskOptions, open_model, run_task
    from raymm.tasks.zero_shot import TEMPLATES

    console = Console()
    tracker = TaskRuns(tracking_uri, dataset or "its own data")
    key, folder = find_model(run, storage, tracker)
    pairs = None
    if dataset is not None:
        pairs = load_pairs(
            dataset, layout=layout, columns=parse_columns(columns) if columns else None
        )
    options = TaskOptions(
        templates=templates or TEMPLATES, classifier=ClassifierSettings(epochs=epochs)
    )
    model = open_model(folder, encoders=parse_encoders(encoders), cache=cache, track=shown)
    result = run_task(task, model, pairs, options)
    print_result(result, console)
    if out is not None:
        place = working_folder(out)
        place.mkdir(parents=True, exist_ok=True)
        for name, text in result.files().items():
            (place / name).write_text(text)
        publish(place)
        console.print(f"tables  {out}", soft_wrap=True, highlight=False)
    if key is None:
        text = f"Not recorded: {tracker.ui_command} knows no run of the model in {folder}."
    else:
        files = result.files()
        run_id = tracker.log_task(key, task, result.metrics, result.curves, files)
        text = f"MLflow  {tracker.ui_command}  (run {run_id}, below that of cell {key})"
    console.print(text, soft_wrap=True, highlight=False)
    return 0


def find_model(run: str, storage: str, tracker: TaskRuns) -> tuple[str | None, str]:
    """The cell key of a run, None where the store has no such cell, and its model's folder.

    Args:
        run: MLflow run id, cell key, or the folder of a model.
        storage: where the sweep has put its cells.
        tracker: of the store that has the run.

    Raises:
        DataError: there is no such run and no such folder.
    """
    if _is_model(run):
        return tracker.cell_of(run.rstrip("/").rsplit("/", 1)[-1]), run
    key = tracker.cell_of(run)
    folder = f"{storage.rstrip('/')}/{key or run}"
    if not _is_model(folder):
        what = f"the cell {key}, but {folder} holds no model" if key else "no cell"
        raise DataError(
            f"'{run}' is no folder with a saved model, and {tracker.ui_command} knows {what}. Give "
            "a run id, a cell key (results/<sweep>/cells.csv names them) or a folder that holds "
            "model.json; --storage and --tracking-uri as the sweep had them."
        )
    return key, folder


def _is_model(folder: str) -> bool:
    try:
        fs, root = open_address(folder)
        return bool(fs.isfile(f"{root}/model.json"))
    except FileNotFoundError:
        return False


def parse_encoders(given: Sequence[str]) -> Mapping[str, str]:
    """`image=efficientnet-lite0` and so on, to modality -> encoder.

    Raises:
        ConfigError: something else is given.
    """
    found = {}
    for each in given:
        modality, mark, name = each.partition("=")
        if not (modality and mark and name):
            raise ConfigError(f"--encoders {each}: give MODALITY=ENCODER, as text=minilm.")
        found[modality] = name
    return found


@contextmanager
def shown(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; nothing when it is piped."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)
