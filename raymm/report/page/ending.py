"""The page's last sections: cost and time, what failed, all cells, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from raymm.report.evidence import Evidence
from raymm.report.markdown_table import settings_rows
from raymm.report.money import NoRate, Rate, rate_of
from raymm.report.names import HEADLINE_METRICS, metric_label, model_label, number
from raymm.report.page.markup import Markup, element, paragraph, section, table

MINUTE = 60.0
COSTS = (
    ("parameters", "parameters", "{:,.0f}"),
    ("throughput/samples_per_s", "samples / s", "{:,.0f}"),
    ("memory/peak_gib", "peak memory, GiB", "{:.2f}"),
    ("epoch/best", "best epoch", "{:.1f}"),
)
FILES = (
    ("means, spreads, intervals", "`summary.csv`", "over the seeds of a condition, from `cells.csv`"),
    ("each cell's metrics", "`cells.csv`", "a row per cell; its key names its MLflow run and folder"),
    ("paired t tests", "`comparisons.csv`", "over seeds, Holm's correction per metric"),
    ("bootstrap", "`bootstrap.csv`", "from `samples.parquet` in the cells' storage folders"),
    ("by combination", "`combinations.csv`", "from the same"),
    ("tables for papers", "`tables.tex`", "LaTeX with booktabs; figures as PNG and SVG beside it"),
)  # fmt: skip


def cost(evidence: Evidence) -> Iterator[Markup]:
    """The section of cost and time."""
    finished = evidence.record.finished
    if "time/train_s" not in finished or finished["time/train_s"].isna().all():
        return
    sparsities = sorted(finished["sparsity"].unique())
    few = sparsities if len(sparsities) <= 6 else [sparsities[0], sparsities[-1]]
    extra = [cost for cost in COSTS if cost[0] in finished and finished[cost[0]].notna().any()]
    rate = rate_of(evidence.record.settings)
    rows = []
    for dataset in evidence.datasets:
        for model in evidence.models:
            mine = finished[(finished["dataset"] == dataset) & (finished["model"] == model)]
            if mine.empty:
                continue
            seconds = mine["time/train_s"]
            name = (
                model_label(model)
                if len(evidence.datasets) == 1
                else f"{dataset}, {model_label(model)}"
            )
            row = [name, str(len(mine)), _time(float(seconds.sum()))]
            row += [f"{rate.of(float(seconds.sum())):,.2f}"] if isinstance(rate, Rate) else []
            row += [_time(float(seconds[mine["sparsity"] == s].mean())) for s in few]
            row += [_filled(text, float(mine[metric].mean())) for metric, _, text in extra]
            rows.append(row)
    header = ["model", "cells", "training in all"]
    header += [rate.currency] if isinstance(rate, Rate) else []
    header += [f"S = {s:g}" for s in few] + [label for _, label, _ in extra]
    read = (
        "Time is of training alone, without start, evaluation and waiting: of all cells, and of one at "
        "each sparsity. Fewer modalities are fewer tokens, so a higher sparsity costs less. Throughput, "
        "memory and epochs are means over the model's cells."
    )
    money = _money(rate, float(finished["time/train_s"].sum()))
    numbers = table(header, rows, numbers=len(header) - 1)
    yield section("cost", "Cost and time", [paragraph(read), paragraph(money), numbers])


def _money(rate: Rate | NoRate, seconds: float) -> str:
    if isinstance(rate, NoRate):
        return f"**In money:** {rate.why}"
    spot = rate.of(seconds) * rate.spot / rate.on_demand
    return (
        f"**In money:** {rate.of(seconds):,.2f} {rate.currency} on demand or {spot:,.2f} spot, for "
        f"training alone on {rate.machine}, fully used; {rate.note}."
    )


def unfinished(evidence: Evidence) -> Iterator[Markup]:
    """The section of cells that did not finish."""
    cells = evidence.record.cells
    lost = cells[cells["status"] != "finished"]
    if lost.empty:
        yield section(
            "failed",
            "Cells that did not finish",
            [paragraph(f"None: all {len(cells):,} finished.")],
        )
        return
    rows = [
        [row["dataset"], model_label(row["model"]), f"{row['sparsity']:g}", str(row["seed"]),
         element("code", row["cell_key"]), row["status"], str(row["reason"] or "")]
        for row in lost.fillna({"reason": ""}).to_dict("records")
    ]  # fmt: skip
    said = f"{len(lost):,} of {len(cells):,}. They are left out of all means and of paired tests."
    header = ["data", "model", "S", "seed", "cell", "status", "why"]
    yield section("failed", "Cells that did not finish", [paragraph(said), table(header, rows)])


def all_cells(evidence: Evidence) -> Iterator[Markup]:
    """The section that lists every cell."""
    cells = evidence.record.cells
    metrics = [m for m in (*HEADLINE_METRICS, "probe/loss", "loss/val") if m in cells]
    rows = [
        [row["dataset"], model_label(row["model"]), f"{row['sparsity']:g}", str(row["seed"]),
         element("code", row["cell_key"]), row["status"],
         *(number(float(row[metric])) for metric in metrics)]
        for row in cells.to_dict("records")
    ]  # fmt: skip
    header = ["data", "model", "S", "seed", "cell", "status", *map(metric_label, metrics)]
    whole = table(header, rows, numbers=len(metrics), id="all-cells", class_="cells")
    search = element(
        "p",
        [
            element("input", type="search", data_filter="all-cells", placeholder="Filter: mca 0.4 failed",
                    aria_label="Filter the cells"),
            " ",
            element("output", f"{len(cells)} of {len(cells)} cells"),
        ],
    )  # fmt: skip
    summary = element("summary", f"Show all {len(cells):,}")
    yield section("cells", "All cells", [element("details", [summary, search, whole])])


def making(evidence: Evidence) -> Iterator[Markup]:
    """The section on how the sweep was made, and each number can be made again."""
    record, content = evidence.record, []
    if record.command:
        content += [
            paragraph("The sweep; what is finished is not trained again:"),
            element("pre", element("code", record.command)),
        ]
    keys = record.finished["cell_key"]
    if len(keys):
        content += [
            paragraph("One cell, trained again and compared with what was recorded:"),
            element("pre", element("code", f"raymm replay {keys.iloc[0]}")),
        ]
    files = [[what, paragraph_code(where), paragraph_code(how)] for what, where, how in FILES]
    content += [
        element("h3", "Where each number is from"),
        table(["numbers", "file", "how"], files),
    ]
    if record.fingerprints:
        rows = [[name, element("code", value)] for name, value in record.fingerprints.items()]
        content += [element("h3", "Data"), table(["data set", "fingerprint"], rows)]
    content += settings_and_versions(record.settings, record.environment)
    yield section("making", "How it was made", content)


def settings_and_versions(
    settings: Mapping[str, object], environment: Mapping[str, str]
) -> Iterator[Markup]:
    """Two tables; none of what is not known."""
    rows = [[name, element("code", value)] for name, value in settings_rows(settings)]
    if rows:
        summary = element("summary", "Settings")
        yield element("details", [summary, table(["setting", "value"], rows)])
    if environment:
        yield element("h3", "Versions and machine")
        yield table(["what", "which"], [[name, value] for name, value in environment.items()])


def paragraph_code(text: str) -> Markup:
    """Text with `code` in it, for a table's cell."""
    made = paragraph(text)
    return Markup(made.removeprefix("<p>").removesuffix("</p>"))


def _time(seconds: float) -> str:
    if pd.isna(seconds):
        return "-"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes = seconds / MINUTE
    return f"{minutes:.1f} min" if minutes < MINUTE else f"{minutes / MINUTE:.1f} h"


def _filled(text: str, value: float) -> str:
    return "-" if pd.isna(value) else text.format(value)
