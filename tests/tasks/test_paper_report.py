"""The report of the real check says where CBMF is worse than its encoders alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.paper_tasks_report import (
    Step,
    from_json,
    summary,
    to_json,
    tolerance_figure,
    verdict,
    write,
)
from raymm.tasks.classification import TEST_ROW
from raymm.tasks.result import TaskResult, TaskTable

FRAME = pd.DataFrame(
    {
        "minilm": [80.0, 50.0],
        "encoders together": [82.0, 45.0],
        "CBMF-add": [81.0, 55.0],
        "paper: CBMF": [99.0, 99.0],
    },
    index=pd.Index(["accuracy", "recall_similar"], name=""),
)
RESULT = TaskResult(
    "paraphrase",
    "mrpc",
    {"paraphrase/accuracy": 0.81},
    (TaskTable("table", "Title", FRAME),),
    ("N.",),
)


def test_the_verdict_holds_cbmf_against_the_better_of_the_others_and_not_the_paper() -> None:
    said = verdict(FRAME)
    assert "accuracy (81.00 against 82.00)" in said
    assert "recall_similar" not in said and "99" not in said
    assert "nowhere worse" in verdict(FRAME.drop(index="accuracy"))
    assert "nothing to hold CBMF against" in verdict(FRAME[["CBMF-add", "paper: CBMF"]])


def test_the_summary_has_a_line_for_each_task_with_every_operation() -> None:
    other = FRAME.rename(columns={"CBMF-add": "CBMF-dot"})
    table = TaskTable("table", "Paraphrases of mrpc, per cent (table III)", FRAME)
    steps = [
        Step("texts add paraphrase", replace(RESULT, tables=(table,)), 1.0),
        Step("texts dot", replace(RESULT, tables=(replace(table, frame=other),)), 1.0),
    ]
    assert summary(steps) == [
        "- Paraphrases of mrpc, per cent, accuracy: minilm 80.00, encoders together 82.00, CBMF-add "
        "81.00, CBMF-dot 81.00."
    ]


def test_a_step_is_what_it_was_when_it_is_read_again(tmp_path: Path) -> None:
    step = from_json("texts add paraphrase", to_json(RESULT, 12.0))
    assert (step.seconds, step.result.metrics) == (12.0, RESULT.metrics)
    assert step.result.notes == RESULT.notes
    pd.testing.assert_frame_equal(step.result.tables[0].frame, FRAME, check_names=False)


def test_the_report_holds_tables_verdict_and_command(tmp_path: Path) -> None:
    write(tmp_path, [Step("texts add paraphrase", RESULT, 12.0)], "python x")
    report = (tmp_path / "report.md").read_text()
    for wanted in ("| accuracy | 80.00 |", "is worse than", "python x", "12 s", "N.", "processor"):
        assert wanted in report
    assert (tmp_path / "texts-add-paraphrase-table.csv").exists()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {"texts add paraphrase": {"paraphrase/accuracy": 0.81}}


def test_of_fine_tuning_only_images_that_nobody_has_seen_are_judged(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"CBMF-add": [90.0, 50.0], "minilm alone": [60.0, 55.0]}, index=["epoch 20", TEST_ROW]
    )
    result = replace(RESULT, task="fine-tune", tables=(TaskTable("t", "T", frame),))
    write(tmp_path, [Step("images add fine-tune", result, 1.0)], "python x")
    report = (tmp_path / "report.md").read_text()
    assert f"in {TEST_ROW} (50.00 against 55.00)" in report and "images it has seen" in report


def test_tolerance_curves_are_drawn_a_panel_for_each_class(tmp_path: Path) -> None:
    frame = pd.DataFrame({"minilm": [10.0, 90.0], "CBMF-add": [20.0, 95.0]}, index=[0.1, 1.0])
    curves = tuple(TaskTable(f"curve-{code}", code, frame) for code in ("0-1", "1-2"))
    figure = tolerance_figure(curves)
    assert [axes.get_title() for axes in figure.axes] == ["scores 0-1", "scores 1-2"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    result = replace(RESULT, tables=(*RESULT.tables, *curves))
    write(tmp_path, [Step("texts add similarity", result, 1.0)], "python x")
    assert "texts-add-similarity-tolerance.png" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "texts-add-similarity-tolerance.png").stat().st_size > 1000
