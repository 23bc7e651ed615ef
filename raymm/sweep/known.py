"""What the ledger's store has of cells, and what of a message would be new to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from raymm.sweep.apart import apart
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.claims import run_ids
from raymm.sweep.tags import CURVE, KEY, PART_OF, Curve, Point, curve_in, result_of
from raymm.tracking import RunRecord, Store


class Known:
    """What the store has of cells: read from their runs, then kept up to date by who records.

    All that reads raises TrackingError where the store cannot be used.

    Args:
        dataset: name of the data set, as results show it.
    """

    def __init__(self, store: Store, dataset: str) -> None:
        self._store, self._dataset = store, dataset
        self.curves: dict[str, Curve] = {}
        self.used_by: dict[str, frozenset[str]] = {}
        """The sweeps that cells' runs have been seen to be part of, by cell key."""
        self._finals: dict[str, dict[str, float]] = {}

    def runs_of(self, wanted: Collection[str]) -> dict[str, RunRecord]:
        """The runs that cells have, by cell key."""
        # By their ids: a run has some hundred tags, parameters and metrics, and the ledger may hold
        # many of other cells.
        runs = self._store.runs_with_ids(list(run_ids(self._store, wanted).values()))
        found = {run.tags[KEY]: run for run in runs if run.tags.get(KEY) in wanted}
        for key, run in found.items():
            sweeps = (tag.removeprefix(PART_OF) for tag in run.tags if tag.startswith(PART_OF))
            self.used_by[key] = frozenset(sweeps)
        return found

    def result(self, cell: Cell, run: RunRecord) -> CellResult:
        """A cell whose run has ended, as it was when it ended."""
        return result_of(cell, self._dataset, run, self._read_curve(run))

    def take_up(self, keys: Iterable[str], runs: Mapping[str, RunRecord]) -> None:
        """From now on, know what the store has of cells."""
        for key in keys:
            self.curves[key] = self._read_curve(runs[key]) if key in runs else {}
            self._finals[key] = dict(runs[key].metrics) if key in runs else {}

    def new_in_curve(self, key: str, points: Iterable[Point]) -> list[Point]:
        """Those points of a cell's curve that are not recorded, which from now on they are.

        A driver that was killed may have recorded a part of an epoch's.
        """
        curve = self.curves[key]
        new = [each for each in points if each[0] not in curve.get(each[2], {})]
        for name, value, step in new:
            curve.setdefault(step, {"epoch": float(step)})[name] = value
        return new

    def new_finals(self, key: str, points: Iterable[Point]) -> list[Point]:
        """Those of a cell's final metrics that are not recorded, which from now on they are."""
        finals = self._finals.setdefault(key, {})
        new = [p for p in points if p[0] not in finals or apart(finals[p[0]], p[1]) > 0]
        finals.update((name, value) for name, value, _ in new)
        return new

    def _read_curve(self, run: RunRecord) -> Curve:
        """Recorded epochs by number."""
        kept = curve_in(run)
        if kept is not None:
            return kept
        epochs: Curve = {}
        for name in json.loads(run.tags.get(CURVE, "[]")):
            for step, value in self._store.history(run.run_id, name):
                epochs.setdefault(step, {"epoch": float(step)})[name] = value
        return epochs


def is_finished(run: RunRecord | None) -> bool:
    """Whether a cell's run says that it is finished."""
    return run is not None and run.status == "FINISHED"
