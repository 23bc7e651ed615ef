"""The report of the sweep over fusion operations."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from rich.console import Console

from raymm.report.operations import (
    RIDGE,
    operations_frame,
    operations_table,
    verdict,
    write_operations_report,
)

DIRECTIONS = ("image_to_text", "text_to_image")


def recalls(value: float) -> dict[str, float]:
    return {
        f"retrieval/{direction}_recall_at_{k}": value + k / 100
        for direction in DIRECTIONS
        for k in (1, 5, 10)
    }


def row(operation: str, value: float, epochs: float = 10.0) -> dict[str, object]:
    return {"operation": operation, "epochs": epochs, "loss/val": 2.5, **recalls(value)}


ROWS = [row("add", 0.4), row("add", 0.5, 20), row("dot_attention", 0.2)]


def frame() -> pd.DataFrame:
    return operations_frame(ROWS, DIRECTIONS, recalls(0.3))


def test_a_row_is_the_mean_over_seeds() -> None:
    found = frame().to_dict(orient="index")
    assert list(found) == ["CBMF, add", "CBMF, dot_attention", RIDGE]
    assert round(found["CBMF, add"]["image to text R@5"], 6) == 0.5
    assert found["CBMF, add"]["epochs"] == 15
    assert found["CBMF, add"]["seeds"] == 2
    assert round(found[RIDGE]["text to image R@10"], 6) == 0.4


def test_the_words_say_who_beats_ridge_and_who_does_not() -> None:
    lines = verdict(frame(), 200)
    assert lines[0] == "CBMF, add: better than ridge regression in 6 of the 6 recalls."
    assert "CBMF, dot_attention" in lines[1] and "Worse than ridge" in lines[1]
    assert "3.5 points" in lines[2]
    beaten = operations_frame(ROWS[2:], DIRECTIONS, recalls(0.3))
    assert "better than ridge regression in 0 of the 6" in verdict(beaten, 200)[0]


def test_terminal_and_file_show_every_figure(tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(operations_table(frame(), "Retrieval"))
    text = console.export_text()
    write_operations_report(
        frame(), ["CBMF wins."], tmp_path, name="emoji", command="python x",
        settings={"seeds": (0, 1)}, environment={"raymm": "1"},
    )  # fmt: skip
    report = (tmp_path / "report.md").read_text()
    for shown in ("46.0", "31.0", "ridge regression"):  # add's R@1, ridge's R@1
        assert shown in text and shown in report
    assert "**46.0**" in report and "**31.0**" not in report
    assert "CBMF wins." in report and "[0, 1]" in report and "python x" in report
    again = pd.read_csv(tmp_path / "operations.csv", index_col="model")
    assert again.shape == frame().shape
