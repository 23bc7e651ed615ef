from __future__ import annotations

import json
import math
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from raymm.errors import SweepError
from raymm.report.tables import CELL_COLUMNS, SUMMARY_COLUMNS
from raymm.report.write import write_report
from raymm.sweep.cells import CellResult
from raymm.training.samples import FILE, METADATA
from tests.report.synthetic import failed, kept, result, sweep

FIGURES = [f"figure_{number}" for number in (4, 5, 6, 7)]


def write(results: Sequence[CellResult], folder: Path, storage: str | None = None) -> str:
    write_report(
        results,
        folder,
        name="grid",
        command="python sweeps/sparsity_grid.py --name grid",
        settings={"model": {"width": 32}, "seeds": [0, 1], "label": None},
        environment={"torch": "2.13.0", "machine": "2 cores"},
        storage=storage,
    )
    return (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two seeds of which one cell failed."""
    path = tmp_path_factory.mktemp("report") / "results" / "grid"
    results = [r for r in sweep() if not r.key.endswith("eao-0.8-1")]
    write([*results, failed("eao", 0.8, 1, "Loss is not finite | at step 3.\nLower it.")], path)
    return path


def test_all_files_are_there_and_none_is_left_aside(folder: Path) -> None:
    images = [f"{stem}.{kind}" for stem in FIGURES for kind in ("png", "svg")]
    tables = ["cells.csv", "comparisons.csv", "curves.csv", "summary.csv", "tables.tex"]
    reports = ["report.html", "report.json", "report.md"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(images + tables + reports)


def test_tables_parse_back(folder: Path) -> None:
    cells = pd.read_csv(folder / "cells.csv")
    assert list(cells.columns[: len(CELL_COLUMNS)]) == list(CELL_COLUMNS)
    expected = {r.key: r.metrics for r in sweep()}
    finished = cells[cells["status"] == "finished"]
    assert len(cells) == 30 and len(finished) == 29
    for row in finished.to_dict("records"):
        assert row["rank/median_mean"] == expected[row["cell_key"]]["rank/median_mean"]
    summary = pd.read_csv(folder / "summary.csv")
    assert list(summary.columns) == list(SUMMARY_COLUMNS)
    zorro = [r.metrics["probe/auprc"] for r in sweep() if r.key.startswith("digits-zorro-0.4")]
    place = {"model": "zorro", "sparsity": 0.4, "metric": "probe/auprc"}
    (row,) = summary[(summary[list(place)] == pd.Series(place)).all(axis=1)].to_dict("records")
    assert row["mean"] == pytest.approx(sum(zorro) / 2)
    assert row["std"] == pytest.approx(abs(zorro[0] - zorro[1]) / math.sqrt(2))


@pytest.mark.parametrize("stem", FIGURES)
def test_images_are_whole_and_wide_enough(folder: Path, stem: str) -> None:
    height, width, _ = imread(folder / f"{stem}.png").shape
    assert width >= 1280 and height >= 400
    root = ElementTree.parse(folder / f"{stem}.svg").getroot()
    assert root.tag.endswith("svg")


def test_the_same_results_make_the_same_bytes(tmp_path: Path) -> None:
    results = sweep((0,), sparsities=(0.0, 0.4), models=("mca", "eao"))
    write(results, tmp_path / "one")
    write(random.Random(1).sample(results, len(results)), tmp_path / "other")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 16
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_what_cells_kept_is_read_from_their_storage(tmp_path: Path) -> None:
    results, folder = sweep(range(3), sparsities=(0.0, 0.4)), tmp_path / "grid"
    storage = tmp_path / "storage"
    for key, frame in kept(results[1:], count=30).items():
        (storage / key).mkdir(parents=True)
        about = json.dumps(frame.attrs).encode()
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table.replace_schema_metadata({METADATA: about}), storage / key / FILE)
    (storage / results[3].key / FILE).write_bytes(b"damaged")
    write(results, folder, storage=str(storage))
    bootstrap = pd.read_csv(folder / "bootstrap.csv")
    assert set(bootstrap["resampled"].dropna()) == {"samples; seeds by Student's t"}
    combinations = pd.read_csv(folder / "combinations.csv")
    assert set(combinations["combination"]) == {"fou+kar", "fou", "kar"}
    page = (folder / "report.html").read_text()
    assert "Maps of the embeddings" in page and "By the modalities that were present" in page
    assert "1 of 18 finished cells have no samples" in page and "The file is damaged" in page


def test_figures_without_numbers_are_left_out(tmp_path: Path) -> None:
    text = write([failed("mca", 0.2, 0, "no memory"), failed("eao", 0.2, 0, "none")], tmp_path)
    assert not list(tmp_path.glob("figure_*")) and "Figure" not in text
    assert len(pd.read_csv(tmp_path / "cells.csv")) == 2


def test_doubles_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SweepError):
        write([result(), result()], tmp_path / "grid")
    assert not (tmp_path / "grid").exists()
