"""`report.md`: the headline, the table, the figures, what failed, and how it was made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from raymm.report.evidence import Evidence
from raymm.report.grids import curve_means, metric_grid
from raymm.report.headline import best_means, verdicts
from raymm.report.markdown_table import settings_rows, table
from raymm.report.names import (
    HEADLINE_METRICS,
    MAIN_METRICS,
    better,
    directed_label,
    metric_label,
    model_label,
    number,
)
from raymm.report.verdicts import WHOLE_CURVE

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


def report_text(evidence: Evidence, figures: Sequence[str]) -> str:
    """The report in Markdown.

    Args:
        figures: stems of the figures that were drawn, of `CAPTIONS`.
    """
    record = evidence.record
    parts = [f"# {record.name}", *verdicts(evidence), *best_means(record.cells)]
    parts += _notes(evidence.notes)
    parts += _results(evidence)
    parts += _figures(figures)
    parts += _comparisons(evidence)
    parts += _unfinished(record.cells)
    parts += ["## How it was made", f"```\n{record.command}\n```"]
    parts += ["### Settings", table(["setting", "value"], settings_rows(record.settings))]
    parts += ["### Versions and machine", table(["what", "which"], record.environment.items())]
    return "\n\n".join(parts) + "\n"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield "## To be known"
        yield "\n".join(f"- {note}" for note in notes)


def _results(evidence: Evidence) -> Iterator[str]:
    if not evidence.record.finished.empty:
        yield "## Results"
        yield (
            "Mean ± standard deviation over seeds, on the test split. **Bold** is a best mean whose "
            "difference to every other model holds, for other seeds (paired t test) and, where cells "
            "kept their samples, for other test samples (bootstrap), after Holm's correction. "
            '"mean over S" is the area under the metric\'s curve over its width, of the seeds that '
            "have every sparsity. All values with 95 % intervals are in `summary.csv`, each cell's "
            "in `cells.csv`."
        )
        for dataset in evidence.datasets:
            yield f"### {dataset}"
            yield _results_table(evidence, dataset)
            yield from _gallery(evidence.of(dataset), dataset)


def _results_table(evidence: Evidence, dataset: str) -> str:
    cells, rows = evidence.of(dataset), []
    sparsities = sorted(cells["sparsity"].unique())
    curve = len(sparsities) > 1
    for metric in MAIN_METRICS:
        grid = metric_grid(cells, dataset, metric)
        if grid is None:
            continue
        heights = curve_means(cells, metric)
        places = (*grid.sparsities, *([WHOLE_CURVE] if curve else []))
        leaders = [evidence.leader(dataset, grid, place) for place in places]
        for place, model in enumerate(grid.models):
            row = [directed_label(metric) if place == 0 else "", model_label(model)]
            entries = [grid.entries.get((model, sparsity)) for sparsity in grid.sparsities]
            entries += [heights.get(model)] if curve else []
            row += [
                "-" if entry is None else f"**{entry}**" if leader == model else str(entry)
                for entry, leader in zip(entries, leaders, strict=True)
            ]
            rows.append(row)
    over = ["mean over S"] if curve else []
    return table(["metric", "model", *(f"S = {s:g}" for s in sparsities), *over], rows)


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


def _comparisons(evidence: Evidence) -> Iterator[str]:
    rows = [row for dataset in evidence.datasets for row in _pairs(evidence, dataset)]
    if not rows:
        return
    yield "## Differences between models"
    tested = any(row[5] != "-" for row in rows)
    by_samples = any(row[7] != "-" for row in rows)
    said = (
        "Of the mean over sparsities (of the metric itself, where there is one sparsity only), paired "
        "by seed at equal data, split and mask. "
    )
    if tested:
        said += "The interval over seeds is Student's, its p of the paired t test; "
        said += "the bootstrap's asks for other test samples too. " if by_samples else ""
        said += "p values are Holm's, over a metric's pairs. "
    else:
        said += "With fewer than three seeds no test is possible; none is printed. "
    yield f"{said}Those at each sparsity, and of the other metrics, are in `comparisons.csv`" + (
        " and `bootstrap.csv`." if by_samples else "."
    )
    header = ["data set", "metric", "difference", "mean", "seeds", "95 % over seeds", "p (Holm)",
              "95 % bootstrap", "p (Holm)"]  # fmt: skip
    width = 9 if by_samples else 7 if tested else 5
    yield table(header[:width], [row[:width] for row in rows])


def _pairs(evidence: Evidence, dataset: str) -> Iterator[list[str]]:
    """A row for each two models and headline metric; dashes where no test was possible."""
    sparsities = evidence.of(dataset)["sparsity"].unique()
    over = WHOLE_CURVE if len(sparsities) > 1 else float(sparsities[0])
    for metric in HEADLINE_METRICS:
        sign = "above" if better(metric) == "higher" else "below"
        for row in evidence.verdicts.pairs(dataset, metric, over):
            size, by_samples = row["difference"], row["resampled"]
            line = [
                dataset,
                f"{metric_label(metric)} ({sign} 0: the first is better)",
                f"{model_label(row['model_a'])} - {model_label(row['model_b'])}",
                number(size),
                str(row["n"]),
                *_interval(row["ci_low"], row["ci_high"], row["p_holm"], size),
            ]
            if by_samples is None:
                yield [*line, "-", "-"]
            else:
                low, high, p = (by_samples[name] for name in ("low", "high", "p_holm"))
                yield [*line, *_interval(low, high, p, size)]


def _interval(low: float, high: float, p: float, size: float) -> tuple[str, str]:
    if math.isnan(low):
        return "-", "-"
    shown = "-" if math.isnan(p) else f"{p:.2g}"
    return f"{number(low, like=size)} to {number(high, like=size)}", shown


def _unfinished(cells: pd.DataFrame) -> Iterator[str]:
    lost = cells[cells["status"] != "finished"]
    yield "## Cells that did not finish"
    if lost.empty:
        yield f"None: all {len(cells)} cells finished."
        return
    yield f"{len(lost)} of {len(cells)} cells. They are left out of all means."
    header = ["dataset", "model", "sparsity", "seed", "cell_key", "status", "reason"]
    yield table(header, lost[header].itertuples(index=False))
