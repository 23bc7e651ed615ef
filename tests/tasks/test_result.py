"""What a task prints and keeps."""

from __future__ import annotations

import io

import pandas as pd
from rich.console import Console

from raymm.tasks.paper import TABLE_V, TABLE_VI
from raymm.tasks.result import TaskResult, TaskTable, compared, print_result


def printed(result: TaskResult) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_result(result, console)
    return console.export_text()


def test_ours_is_in_per_cent_and_the_papers_is_marked_and_last() -> None:
    frame = compared(
        ["epoch 20", "epoch 40", "own"], {"CBMF": {"epoch 20": 0.5, "own": 1.0}}, TABLE_V
    )
    assert list(frame.columns) == ["CBMF", "paper: conVIRT", "paper: CBMF-add", "paper: CBMF-dot"]
    assert frame["CBMF"].to_dict()["epoch 20"] == 50.0
    assert pd.isna(frame["CBMF"].to_dict()["epoch 40"])
    assert frame["paper: CBMF-add"].to_dict()["epoch 40"] == 66.78
    assert pd.isna(frame["paper: CBMF-add"].to_dict()["own"])


def test_the_papers_tables_go_up_with_the_epochs() -> None:
    for table in (TABLE_V, TABLE_VI):
        for column in table.values():
            assert list(column) == [f"epoch {e}" for e in range(20, 101, 20)]
            assert list(column.values()) == sorted(column.values())


def test_a_long_table_is_printed_in_part_and_kept_whole() -> None:
    frame = pd.DataFrame({"x": range(100)}, index=pd.Index(range(100, 10_001, 100), name="k"))
    result = TaskResult("retrieval", "d", {}, (TaskTable("hits", "Hits", frame),), ("Note.",))
    text = printed(result)
    rows = [line.split()[0] for line in text.splitlines() if line[:3].isdigit()]
    assert rows[0] == "1000" and rows[-1] == "10000" and len(rows) == 10
    assert "rows 10, 20, 30 ..." in " ".join(text.split()) and "Note." in text
    assert len(result.files()["hits.csv"].splitlines()) == 101


def test_a_figure_that_is_not_there_is_left_blank() -> None:
    frame = compared(["a", "b"], {"CBMF": {"a": 0.123456}}, {})
    text = printed(TaskResult("linear", "d", {}, (TaskTable("t", "T", frame),)))
    assert "12.35" in text and "nan" not in text
