"""Writes down what becomes of a sweep's cells: in the ledger, on the screen, and as results.

Imports neither Ray nor mlflow: whoever hears of cells (a `tune.Callback` in the driver) forwards it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from raymm.sweep.cells import Cell, CellResult, Status
from raymm.sweep.tags import MICRO_BATCHES
from raymm.sweep.work import relative_work
from raymm.training.dispatch import Outcome

if TYPE_CHECKING:
    from raymm.sweep.plan import Sweep
    from raymm.sweep.progress import ProgressView, Standing

FAILURES_FILE = "failures.log"


class Recorder:
    """What has been heard of each cell, written down once however often it is told.

    Args:
        sweep: its missing cells are expected; `expect` adds others.
        standing: what the screen shows; also keeps the results.
    """

    def __init__(self, sweep: Sweep, standing: Standing, view: ProgressView) -> None:
        self._sweep, self._standing, self._view = sweep, standing, view
        self._ledger = sweep.ledger
        self._cells = {cell.key: cell for cell in sweep.missing}
        self._tags: dict[str, Mapping[str, str]] = {}

    def expect(self, cells: Iterable[Cell], tags: Mapping[str, str]) -> None:
        """Cells that will be heard of: those not known when the sweep was prepared, and those that
        have ended and are taken up once more.

        Args:
            tags: what their runs say besides.
        """
        for cell in cells:
            self._cells[cell.key] = cell
            self._tags[cell.key] = tags
            self._standing.expect(cell, relative_work(cell.config, self._sweep.dataset))

    def curve(self, key: str) -> tuple[Mapping[str, float], ...]:
        """All epochs of a cell so far; none if it is not begun."""
        begun = key in self._standing.running or key in self._standing.ended
        return self._ledger.curve(key) if begun else ()

    def hear(self, key: str, news: Mapping[str, Any]) -> CellResult | None:
        """Take what a trial relays of its cell.

        Args:
            news: a `Sighting` as a dict: started, epochs, outcome.

        Returns:
            The cell's result, if this has ended it.

        Raises:
            TrackingError: it cannot be recorded.
        """
        if key in self._standing.ended:
            return None  # told again by a trial that Tune has restarted
        outcome = news["outcome"]
        if news["started"] or outcome:
            self._begin(key)
        if news["epochs"]:
            self._ledger.log_epochs(key, news["epochs"])
            first, last = (int(news["epochs"][place]["epoch"]) for place in (0, -1))
            self._standing.epochs(key, first, last)
        return self._end(key, Outcome(**outcome)) if outcome else None

    def lost(self, key: str, reason: str) -> CellResult | None:
        """Nobody watches the cell any more: it counts as failed, unless it has ended."""
        if key in self._standing.ended:
            return None
        self._begin(key)
        return self._end(key, Outcome("failed", reason=reason))

    def has_ended(self, key: str) -> bool:
        """Whether a cell has its result."""
        return key in self._standing.ended

    def ended_elsewhere(self, result: CellResult) -> None:
        """A cell has ended with another driver, which has recorded it."""
        if result.key not in self._standing.ended:
            self._standing.end(result)
            self._view.ended(result)

    def elsewhere(self, drivers: Mapping[str, str]) -> None:
        """Cells that another driver trains, and who that is, by key; all there are."""
        if drivers and not self._standing.elsewhere:
            self._view.say(
                f"waiting for {len(drivers)} cell(s) that another driver trains: "
                f"{', '.join(sorted(set(drivers.values())))}"
            )
        self._standing.elsewhere = dict(drivers)

    def stop_the_rest(self) -> None:
        """Give the cells an interrupted sweep has left open the result that they were stopped."""
        for key, cell in self._cells.items():
            if key in self._standing.running:
                result = self._result(cell, "stopped", "interrupted while it was trained")
                self._ledger.end(result)
                self._standing.end(result)
            elif key not in self._standing.ended:
                reason = "interrupted before it was begun"
                self._standing.end(
                    CellResult(cell.config, self._sweep.dataset.name, key, "stopped", reason)
                )

    def _begin(self, key: str) -> None:
        if key not in self._standing.running:
            self._ledger.start(self._cells[key], self._tags.get(key, {}))
            self._standing.start(key, trained=len(self._ledger.curve(key)))

    def _end(self, key: str, outcome: Outcome) -> CellResult:
        found = self._result(self._cells[key], outcome.status, outcome.reason, outcome.metrics)
        result = dataclasses.replace(found, micro_batches=outcome.micro_batches)
        if outcome.micro_batches > 1:
            self._ledger.say(key, {MICRO_BATCHES: str(outcome.micro_batches)})
        self._ledger.end(result)
        self._standing.end(result)
        self._view.ended(result)
        if outcome.status == "failed":
            with (self._sweep.folder / FAILURES_FILE).open("a") as log:
                title = self._cells[key].title
                log.write(f"{key} {title}: {outcome.reason}\n{outcome.details}\n")
        return result

    def _result(
        self,
        cell: Cell,
        status: Status,
        reason: str,
        metrics: Mapping[str, float] | None = None,
    ) -> CellResult:
        return CellResult(
            cell.config,
            self._sweep.dataset.name,
            cell.key,
            status,
            reason,
            metrics or {},
            self._ledger.curve(cell.key),
        )
