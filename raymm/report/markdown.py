"""`report.md`: the headline, the table, the figures, what failed, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from raymm.report.grids import metric_grid
from raymm.report.headline import HEADLINE_METRICS, curve_means, headline
from raymm.report.names import better, directed_label, metric_label, model_label, number

MAIN_METRICS = (
    "probe/auprc",
    "probe/pearson",
    "probe/accuracy",
    "probe/loss",
    "rank/median_mean",
    "recall/at_1_mean",
    "recall/at_5_mean",
    "recall/at_10_mean",
    "uniformity/fusion",
    "uniformity/unimodal_mean",
    "alignment/mean",
)

_SEEDS = "Lines join means over seeds, bars are one standard deviation, short dashes are the seeds."
CAPTIONS = {
    "figure_4": "Uniformity of fusion embeddings, mean uniformity of unimodal embeddings, and mean "
    f"alignment of unimodal with fusion embeddings, on the test split. {_SEEDS}",
    "figure_5": "Median rank of a sample's fusion embedding, queried by one of its unimodal "
    f"embeddings, and recall at 1, 5 and 10; means over modalities, on the test split. {_SEEDS}",
    "figure_6": f"Linear probes on the fusion embeddings, scored on the test split. {_SEEDS}",
    "figure_7": "Contrastive loss against the epoch: train solid, validation dashed, mean over "
    "seeds. Validation stands in the test split's place, which is scored only once, at the end.",
}


def report_text(
    cells: pd.DataFrame,
    comparisons: pd.DataFrame,
    figures: Sequence[str],
    *,
    name: str,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, str],
) -> str:
    """The report in Markdown.

    Args:
        cells: as of `raymm.report.tables.cells_frame`.
        comparisons: as of `raymm.report.comparisons.comparisons_frame`.
        figures: stems of the figures that were drawn, of `CAPTIONS`.
        name: of the sweep.
        command: that made it.
        settings: of the sweep, nested or flat.
        environment: versions and machine.
    """
    parts = [f"# {name}", *headline(cells)]
    parts += _results(cells)
    parts += _figures(figures)
    parts += _comparisons(comparisons)
    parts += _unfinished(cells)
    parts += ["## How it was made", f"```\n{command}\n```"]
    parts += ["### Settings", _table(["setting", "value"], flat(settings))]
    parts += ["### Versions and machine", _table(["what", "which"], environment.items())]
    return "\n\n".join(parts) + "\n"


def _results(cells: pd.DataFrame) -> Iterator[str]:
    if (cells["status"] == "finished").any():
        yield "## Results"
        yield (
            "Mean ± standard deviation over seeds, on the test split; bold is the best mean. "
            '"mean over S" is the area under the metric\'s curve over its width, of the seeds that '
            "have every sparsity. All values with 95 % intervals are in `summary.csv`, each cell's "
            "in `cells.csv`."
        )
        for dataset in cells["dataset"].unique():
            yield f"### {dataset}"
            yield _results_table(cells, dataset)
            yield from _gallery(cells, dataset)


def _results_table(cells: pd.DataFrame, dataset: str) -> str:
    rows, sparsities = [], sorted(cells.loc[cells["dataset"] == dataset, "sparsity"].unique())
    for metric in MAIN_METRICS:
        grid = metric_grid(cells, dataset, metric)
        if grid is None:
            continue
        heights = curve_means(cells[cells["dataset"] == dataset], metric)
        for place, model in enumerate(grid.models):
            row = [directed_label(metric) if place == 0 else "", model_label(model)]
            for sparsity in grid.sparsities:
                text = str(grid.entries.get((model, sparsity), "-"))
                row.append(f"**{text}**" if grid.leads(model, sparsity) else text)
            rows.append([*row, str(heights.get(model, "-"))])
    return _table(["metric", "model", *(f"S = {s:g}" for s in sparsities), "mean over S"], rows)


def _gallery(cells: pd.DataFrame, dataset: str) -> Iterator[str]:
    """Ranks depend on how many there are to rank, and sparsity empties samples."""
    grid = metric_grid(cells, dataset, "retrieval/gallery_size")
    if grid is not None:
        sizes = {sparsity: entry.mean for (_, sparsity), entry in sorted(grid.entries.items())}
        shown = ", ".join(f"{sizes[s]:g} at S = {s:g}" for s in sorted(sizes))
        yield (
            f"Ranks and recall are among all test samples that have a modality left: {shown}. This "
            "gallery shrinks with S, which alone makes ranks smaller. By chance the median rank is "
            "(gallery + 1) / 2 and the recall at k is k / gallery."
        )


def _figures(figures: Sequence[str]) -> Iterator[str]:
    if figures:
        yield "## Figures"
    for stem in figures:
        number_of = stem.removeprefix("figure_")
        yield f"![Figure {number_of}]({stem}.png)"
        yield f"**Figure {number_of}** (the paper's number). {CAPTIONS[stem]} [SVG]({stem}.svg)"


def _comparisons(comparisons: pd.DataFrame) -> Iterator[str]:
    curves = comparisons[comparisons["over"] == "curve"]
    if curves.empty:
        return
    curves = curves[curves["metric"].isin(HEADLINE_METRICS)]
    yield "## Differences between models"
    tested = curves["p_holm"].notna().any()
    yield (
        "Differences of the mean over sparsities, paired by seed (same data, split and mask). "
        + (
            "p is of the paired t test, with Holm's correction over a metric's pairs."
            if tested
            else "With fewer than three seeds no test is possible; none is printed."
        )
        + " Those at each sparsity, and of the other metrics, are in `comparisons.csv`."
    )
    header = ["data set", "metric", "difference", "mean", "seeds"]
    rows = []
    for row in curves.to_dict("records"):
        pair = f"{model_label(row['model_a'])} - {model_label(row['model_b'])}"
        interval = f"{number(row['ci_low'])} to {number(row['ci_high'])}"
        sign = "above" if better(row["metric"]) == "higher" else "below"
        metric = f"{metric_label(row['metric'])} ({sign} 0: the first is better)"
        line = [row["dataset"], metric, pair, number(row["difference"]), str(row["n"])]
        certain = not pd.isna(row["p_holm"])
        p = [interval, f"{row['p_holm']:.2g}"] if certain else ["-", "-"]
        rows.append([*line, *p] if tested else line)
    yield _table([*header, "95 % interval", "p (Holm)"] if tested else header, rows)


def _unfinished(cells: pd.DataFrame) -> Iterator[str]:
    lost = cells[cells["status"] != "finished"]
    yield "## Cells that did not finish"
    if lost.empty:
        yield f"None: all {len(cells)} cells finished."
        return
    yield f"{len(lost)} of {len(cells)} cells. They are left out of all means."
    header = ["dataset", "model", "sparsity", "seed", "cell_key", "status", "reason"]
    yield _table(header, lost[header].itertuples(index=False))


def flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as ("group.name", value as JSON has it)."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            yield f"{prefix}{key}", text


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(cell: object) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())
