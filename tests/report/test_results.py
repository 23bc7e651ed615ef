"""Sweeps are found by name, come back as they were written, and are compared only if they can be."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from raymm.cli import main
from raymm.errors import SweepError, TrackingError
from raymm.report.cross import CROSS_COLUMNS, CROSS_FILE
from raymm.report.folder import about_text
from raymm.report.make import make_report
from raymm.report.record import record_of
from raymm.report.results import find_sweeps, results
from raymm.report.tables import CELL_COLUMNS
from raymm.report.write import write_report
from raymm.sweep.cells import CellResult
from tests.report.synthetic import failed, sweep


def write(root: Path, name: str, cells: Sequence[CellResult], fingerprint: str = "f00d") -> Path:
    write_report(
        cells,
        root / name,
        name=name,
        command=f"python sweeps/sparsity_grid.py --name {name}",
        settings={"seeds": [0, 1, 2]},
        environment={"torch": "2.13.0"},
        storage=None,
        fingerprints={"digits": fingerprint},
    )
    return root / name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep of two models, of one with a third, and of one of other data."""
    path = tmp_path_factory.mktemp("results")
    both = sweep(range(3), sparsities=(0.0, 0.4), models=("mca", "eao"))
    write(path, "both", [*both, failed("eao", 0.8, 0, "no memory")])
    write(path, "zorro-only", sweep((0, 1), sparsities=(0.0, 0.4), models=("zorro",)))
    write(path, "other-data", both, fingerprint="beef")
    return path


def read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_frame_with_a_row_per_cell(root: Path) -> None:
    frame = results("both", results_dir=str(root))
    assert list(frame.columns[: len(CELL_COLUMNS)]) == list(CELL_COLUMNS)
    assert len(frame) == 13 and set(frame["status"]) == {"finished", "failed"}
    expected = {r.key: r.metrics["probe/auprc"] for r in sweep(range(3))}
    row = frame[frame["cell_key"] == "digits-mca-0.4-1"].iloc[0]
    assert row["probe/auprc"] == expected["digits-mca-0.4-1"]


def test_a_report_made_again_is_the_same(root: Path) -> None:
    before = read(root / "both")
    page = make_report(["both"], Console(), results_dir=str(root))
    assert page == root / "both" / "report.html"
    after = read(root / "both")
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []


def test_a_path_is_a_name_too(root: Path) -> None:
    assert find_sweeps([str(root / "both")], results_dir="nowhere").name == "both"


def test_an_unknown_name_gets_the_nearest_also_where_the_ledger_cannot_be_read(
    root: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("no database")
    with pytest.raises(TrackingError, match=r"no sweep 'boht'.*'both'\?.*cannot be used") as told:
        results("boht", results_dir=str(root), tracking_uri=f"sqlite:///{broken}")
    assert "zorro-only" in str(told.value)


def test_an_unknown_name_gets_the_nearest(root: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(SweepError, match=r"no sweep 'boht'.*did you mean 'both'\?"):
        find_sweeps(["boht"], results_dir=str(root), tracking_uri=store)
    with pytest.raises(SweepError, match="Known: "):
        find_sweeps(["x"], results_dir=str(tmp_path / "nowhere"), tracking_uri=store)


def test_two_sweeps_side_by_side(root: Path) -> None:
    record = find_sweeps(["both", "zorro-only"], results_dir=str(root))
    assert set(record.cells["model"]) == {"mca", "eao", "zorro"} and len(record.cells) == 17
    (note,) = record.notes
    assert note.startswith("Zorro has no finished cell at S = 0 seed 2, S = 0.4 seed 2")
    page = make_report(["both", "zorro-only"], Console(), results_dir=str(root))
    assert page.parent.name == "both+zorro-only"
    assert "Zorro has no finished cell at" in page.read_text()
    compared = pd.read_csv(page.parent / "comparisons.csv")
    pairs = compared[(compared["metric"] == "probe/auprc") & (compared["over"] == "curve")]
    counts = {(r["model_a"], r["model_b"]): r["n"] for r in pairs.to_dict("records")}
    # At S = 0.8 nothing finished: curves are over the other two.
    assert counts == {("mca", "zorro"): 2, ("mca", "eao"): 3, ("zorro", "eao"): 2}
    single = compared[(compared["metric"] == "probe/auprc") & (compared["sparsity"] == 0.4)]
    counts = {(r["model_a"], r["model_b"]): r["n"] for r in single.to_dict("records")}
    assert counts == {("mca", "zorro"): 2, ("mca", "eao"): 3, ("zorro", "eao"): 2}


def test_a_model_of_two_settings_is_told_apart_and_a_shared_cell_counts_once(
    tmp_path: Path,
) -> None:
    cells = sweep(range(3), sparsities=(0.0, 0.4), models=("mca", "eao"))
    changed = [
        CellResult(r.cell, r.dataset, f"{r.key}-b", r.status, "", r.metrics)
        for r in cells
        if r.cell.model.name == "mca"
    ]
    write(tmp_path, "a", cells)
    write(tmp_path, "b", [*changed, *(r for r in cells if r.cell.model.name == "eao")])
    found = find_sweeps(["a", "b"], results_dir=str(tmp_path)).cells
    assert set(found["model"]) == {"mca, a", "mca, b", "eao"} and len(found) == 18
    make_report(["a", "b"], Console(), results_dir=str(tmp_path))
    assert "MCA, b" in (tmp_path / "a+b" / "report.html").read_text()


def test_sweeps_of_other_data_are_refused(root: Path) -> None:
    message = "fingerprint is f00d in both and beef in other-data"
    with pytest.raises(SweepError, match=message):
        find_sweeps(["both", "other-data"], results_dir=str(root))
    with pytest.raises(SweepError, match="named twice"):
        find_sweeps(["both", "both"], results_dir=str(root))


def test_data_that_are_not_recorded_are_said(root: Path, tmp_path: Path) -> None:
    write(tmp_path, "old", sweep(range(3), sparsities=(0.0, 0.4), models=("zorro",)))
    (tmp_path / "old" / "report.json").unlink()
    record = find_sweeps([str(root / "both"), str(tmp_path / "old")])
    assert any("Of old it is not recorded which data" in note for note in record.notes)


def test_strange_numbers_and_damaged_tables(tmp_path: Path) -> None:
    folder = write(tmp_path, "a", sweep((0,), sparsities=(0.0,)))
    file = folder / "cells.csv"
    frame = pd.read_csv(file)
    frame["probe/auprc"] = ["inf", "n/a at all", "0.5"]
    frame.to_csv(file, index=False)
    record = find_sweeps(["a"], results_dir=str(tmp_path))
    assert record.cells["probe/auprc"].isna().sum() == 2
    assert any("2 value(s) of probe/auprc are no finite numbers" in note for note in record.notes)
    file.write_text("dataset,model\ndigits,mca\n")
    with pytest.raises(SweepError, match=r"cells\.csv lacks the columns"):
        find_sweeps(["a"], results_dir=str(tmp_path))
    (folder / "report.json").write_text("{")
    frame.to_csv(file, index=False)
    with pytest.raises(SweepError, match=r"report\.json cannot be read"):
        find_sweeps(["a"], results_dir=str(tmp_path))


def test_a_report_without_its_making_is_left_as_it_was(tmp_path: Path) -> None:
    folder = write(tmp_path, "old", sweep((0, 1), sparsities=(0.0,)))
    (folder / "report.json").unlink()
    before = (folder / "report.md").read_bytes()
    make_report(["old"], Console(), results_dir=str(tmp_path))
    assert (folder / "report.md").read_bytes() == before


def test_where_cells_are_is_said_without_secrets_and_without_this_machines_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for storage, said in (
        (str(tmp_path / "storage"), "storage"),
        ("s3://key:secret@bucket/cells", "s3://bucket/cells"),
    ):
        record = record_of(
            sweep((0,)), name="a", command="", settings={}, environment={}, storage=storage
        )
        text = about_text(record)
        assert json.loads(text)["storage"] == said
        assert "secret" not in text and str(tmp_path) not in text


def test_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "elsewhere"
    assert main(["report", "both", "--results-dir", str(root), "--to", str(to)]) == 0
    assert re.search(r"report\s+\S*elsewhere/report\.html", capsys.readouterr().out)
    assert (to / "report.html").exists()
    assert main(["report"]) == 1
    assert "Give the name of a sweep" in capsys.readouterr().err


def test_sweeps_scored_on_other_samples_are_refused(tmp_path: Path) -> None:
    one = sweep(range(3), sparsities=(0.0, 0.4), models=("mca",))
    other = [
        CellResult(r.cell, r.dataset, r.key, r.status, "", r.metrics | {"retrieval/gallery_size": 200.0})
        for r in sweep(range(3), sparsities=(0.0, 0.4), models=("eao",))
    ]  # fmt: skip
    write(tmp_path, "one", one)
    write(tmp_path, "other", other)
    with pytest.raises(SweepError, match="test split has 200 in other and 300 in one"):
        find_sweeps(["one", "other"], results_dir=str(tmp_path))


def test_a_key_of_digits_alone_stays_a_text(tmp_path: Path) -> None:
    cells = sweep((0, 1), sparsities=(0.0, 0.4), models=("mca",))
    keys = ("0123456789012345", "1234567890123456", "123e567890123456", "9" * 16)
    cells = [
        CellResult(r.cell, r.dataset, key, r.status, "", r.metrics, r.curve)
        for r, key in zip(cells, keys, strict=True)
    ]
    folder = write(tmp_path, "a", cells)
    rows = [
        {**dict.fromkeys(CROSS_COLUMNS, 0), "dataset": "digits", "model": "mca", "cell_key": key}
        for key in keys
    ]
    pd.DataFrame(rows).to_csv(folder / CROSS_FILE, index=False)
    found = find_sweeps(["a"], results_dir=str(tmp_path))
    assert set(found.cells["cell_key"]) == set(found.curves) == set(keys)
    assert found.cross is not None and set(found.cross["cell_key"]) == set(keys)
