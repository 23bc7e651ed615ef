"""Tasks that a cell's model was evaluated on: runs of their own below the cell's."""

from __future__ import annotations

import time
from collections.abc import Mapping

from raymm.sweep.tags import DATASET, KEY, KIND, PARENT, commit_tag
from raymm.tracking import Store, ui_command

TASK, OF_CELL = "raymm.task", "raymm.of_cell"


class TaskRuns:
    """The runs of tasks in an MLflow store.

    All methods raise TrackingError where the store cannot be used.

    Args:
        uri: MLflow tracking URI; None for the local store.
        dataset: name of what the models are evaluated on.
    """

    def __init__(self, uri: str | None, dataset: str) -> None:
        self.store, self.dataset = Store(uri), dataset
        self._runs: dict[str, str] = {}

    @property
    def ui_command(self) -> str:
        """The one command that opens what was recorded in a browser; an address for a server."""
        return ui_command(self.store.uri)

    def cell_of(self, run: str) -> str | None:
        """The cell key of a run: of its id, or the key itself; None if no cell has such a run."""
        if not run.isalnum():  # neither an id nor a key, and it would break the query
            return None
        for having in (f"attributes.run_id = '{run}'", f"tags.`{KEY}` = '{run}'"):
            found = self.store.runs(f"tags.`{KIND}` = 'cell' and {having}")
            if found:
                key = found[0].tags[KEY]
                self._runs[key] = found[0].run_id
                return key
        return None

    def has_task(self, key: str, task: str) -> bool:
        """Whether a task on this data set is recorded for a cell."""
        having = (
            f"tags.`{KIND}` = 'task' and tags.`{OF_CELL}` = '{key}' and tags.`{TASK}` = '{task}'"
        )
        return any(
            run.status == "FINISHED" and run.tags.get(DATASET) == self.dataset
            for run in self.store.runs(having)
        )

    def log_task(
        self,
        key: str,
        task: str,
        metrics: Mapping[str, float],
        curves: Mapping[str, Mapping[int, float]],
        files: Mapping[str, str],
    ) -> str:
        """Record a task in a run of its own below its cell's.

        A task that is evaluated again has a new run: nothing that was recorded changes.

        Args:
            key: of a cell that `cell_of` has found.
            task: its name.
            metrics: under their stable names.
            curves: metric -> step -> value.
            files: name -> text, kept as artifacts.

        Returns:
            The run's id.
        """
        tags = {KIND: "task", TASK: task, OF_CELL: key, DATASET: self.dataset, **commit_tag()}
        run_id = self.store.create(f"{task} {self.dataset}", tags | {PARENT: self._runs[key]})
        points = [(name, value, 0) for name, value in metrics.items()]
        points += [(n, value, step) for n, curve in curves.items() for step, value in curve.items()]
        self.store.log(run_id, points, int(time.time() * 1000), {})
        for name, text in files.items():
            self.store.log_text(run_id, name, text)
        self.store.set_status(run_id, "FINISHED")
        return run_id
