"""A sweep's report from MLflow alone, in a real SQLite store."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from raymm.errors import SweepError
from raymm.report.ledger import ledger_names, read_ledger
from raymm.report.make import make_report
from raymm.report.results import find_sweeps
from raymm.sweep.cells import Cell, CellResult
from raymm.sweep.ledger import Ledger
from tests.report.synthetic import sweep


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a sweep of which one cell failed and one was cut off."""
    folder = tmp_path_factory.mktemp("mlflow")
    results = sweep((0, 1), sparsities=(0.0, 0.4), models=("mca", "eao"))
    cells = [Cell(result.key, result.cell) for result in results]
    address = f"sqlite:///{folder}/mlflow.db"
    with Ledger(address, "digits") as ledger:
        ledger.open_sweep("grid", {"epochs": 12}, folder=folder, storage=str(folder), cells=cells)
        for cell, result in zip(cells[:-2], results[:-2], strict=True):
            ledger.start(cell)
            ledger.log_epochs(cell.key, result.curve)
            ledger.end(result)
        ledger.start(cells[-2])
        lost = CellResult(cells[-2].config, "digits", cells[-2].key, "failed", "Loss is nan")
        ledger.end(lost)
        ledger.start(cells[-1])
        assert ledger.flush(20)
    return address


def test_everything_is_as_it_was(uri: str) -> None:
    record = read_ledger("grid", uri)
    assert record is not None and len(record.cells) == 8
    expected = {r.key: r for r in sweep((0, 1), sparsities=(0.0, 0.4), models=("mca", "eao"))}
    for row in record.finished.to_dict("records"):
        metrics = expected[row["cell_key"]].metrics
        assert {name: row[name] for name in metrics} == pytest.approx(dict(metrics))
        curve = record.curves[row["cell_key"]]
        assert [e["loss/val"] for e in curve] == pytest.approx(
            [e["loss/val"] for e in expected[row["cell_key"]].curve]
        )
    others = record.cells[record.cells["status"] != "finished"]
    assert others["status"].to_list() == ["failed", "stopped"]
    assert others["reason"].iloc[0] == "Loss is nan"
    assert record.settings == {"epochs": "12"}
    assert record.storage == str(Path(uri.removeprefix("sqlite:///")).parent)


def test_its_report_is_written_where_none_is(uri: str, tmp_path: Path) -> None:
    page = make_report(["grid"], Console(), results_dir=str(tmp_path / "results"), tracking_uri=uri)
    assert page == tmp_path / "results" / "grid" / "report.html"
    assert "Loss is nan" in page.read_text()
    again = find_sweeps(["grid"], results_dir=str(tmp_path / "results"))  # needs no MLflow now
    assert len(again.cells) == 8 and len(again.curves) == 6


def test_names(uri: str, tmp_path: Path) -> None:
    assert ledger_names(uri) == ["grid"]
    assert read_ledger("other", uri) is None and read_ledger("it's", uri) is None
    with pytest.raises(SweepError, match=r"did you mean 'grid'\?"):
        find_sweeps(["gird"], results_dir=str(tmp_path), tracking_uri=uri)


def test_cells_of_different_data_are_refused(tmp_path: Path) -> None:
    results = sweep((0, 1), sparsities=(0.0,), models=("mca",))
    cells = [Cell(result.key, result.cell) for result in results]
    address = f"sqlite:///{tmp_path}/mlflow.db"
    with Ledger(address, "digits") as ledger:
        ledger.open_sweep("mixed", {}, folder=tmp_path, storage=str(tmp_path), cells=cells)
        for cell, result, fingerprint in zip(cells, results, ("f00d", "beef"), strict=True):
            ledger.start(cell)
            ledger.end(result)
            (tmp_path / cell.key).mkdir()
            (tmp_path / cell.key / "model.json").write_text(f'{{"fingerprint": "{fingerprint}"}}')
        assert ledger.flush(20)
    said = "different data under the name digits: the fingerprint is f00d of .* and beef of"
    with pytest.raises(SweepError, match=said):
        find_sweeps(["mixed"], results_dir=str(tmp_path / "none"), tracking_uri=address)
