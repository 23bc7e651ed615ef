"""The page's figures: metrics against sparsity (the paper's figures 4 to 6) and losses (7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raymm.report.curves import mean_curve
from raymm.report.evidence import Evidence
from raymm.report.figures import FIGURE_4, FIGURE_5, FIGURE_6
from raymm.report.names import model_label
from raymm.report.page.axes import spread_range
from raymm.report.page.charts import sparsity_panel
from raymm.report.page.losses import CURVES, loss_panel
from raymm.report.page.marks import Mark, marker, marks_of, shade
from raymm.report.page.markup import Markup, element, paragraph, section
from raymm.report.tables import conditions

GROUPS = (
    ("Linear probes on the fusion embeddings (figure 6)", FIGURE_6),
    ("Retrieval of the fusion embedding by one modality (figure 5)", FIGURE_5),
    ("Geometry of the embeddings (figure 4)", FIGURE_4),
)
READ = (
    "Lines join means over seeds, short dashes are the seeds. The band is the 95 % interval of the "
    "mean (Student's t, other seeds on the same data) from three seeds on, one standard deviation "
    "with two; of a single point it is a bar. Point at a mark for its numbers; a model's button "
    "hides it everywhere."
)


def figures(evidence: Evidence) -> Iterator[Markup]:
    """The section of metrics against sparsity."""
    marks = marks_of(evidence.models)
    content = [paragraph(READ), legend(marks)]
    for number, dataset in enumerate(evidence.datasets):
        cells = evidence.of(dataset)
        if len(evidence.datasets) > 1:
            content.append(element("h3", dataset))
        for title, metrics in GROUPS:
            panels = [
                sparsity_panel(cells, metric, marks, f"m{number}-{metric.replace('/', '-')}")
                for metric in metrics
            ]
            drawn = [panel for panel in panels if panel is not None]
            if drawn:
                content += [element("h3", title), element("div", drawn, class_="plots")]
    if any("<svg" in part for part in content[2:]):
        yield section("figures", "Metrics against sparsity", content)


def losses(evidence: Evidence) -> Iterator[Markup]:
    """The section of losses."""
    drawn = list(_losses(evidence))
    if drawn:
        yield section("losses", "Losses (figure 7)", [_losses_legend(evidence), *drawn])


def legend(marks: dict[str, Mark]) -> Markup:
    """A button for each model."""
    items = []
    for model, mark in marks.items():
        parts = [
            element("path", d="M0 7H38", class_="line", stroke_dasharray=mark.dashes or None),
            element("path", d=marker(mark.marker, 19, 7, 4.5), class_="mark"),
        ]
        sample = element("svg", parts, viewBox="0 0 38 14", aria_hidden="true")
        button = element(
            "button",
            [sample, model_label(model)],
            type="button",
            data_toggle=model,
            aria_pressed="true",
            class_=f"c{mark.place}",
        )
        items.append(element("li", button))
    return element("ul", items, class_="legend")


def _losses(evidence: Evidence) -> Iterator[Markup]:
    curves = evidence.record.curves
    for number, dataset in enumerate(evidence.datasets):
        cells = evidence.of(dataset)
        every = [
            value
            for _, _, _, rows in conditions(cells)
            for metric, *_ in CURVES
            for _, value in mean_curve(
                [curves[key] for key in rows["cell_key"] if key in curves], metric
            )
        ]
        if not every:
            continue
        y, sparsities = spread_range(every), _sparsities(evidence)
        panels = [
            loss_panel(
                cells[cells["model"] == model], curves, sparsities, model, y, f"l{number}-{place}"
            )
            for place, model in enumerate(evidence.models)
        ]
        if len(evidence.datasets) > 1:
            yield element("h3", dataset)
        yield element("div", [panel for panel in panels if panel is not None], class_="plots")


def _losses_legend(evidence: Evidence) -> Markup:
    sparsities = _sparsities(evidence)
    keys = [
        element(
            "li",
            [element("span", class_="key"), f"S = {sparsity:g}"],
            class_=f"s{shade(place, len(sparsities))}",
        )
        for place, sparsity in _few(sparsities)
    ]
    said = (
        "Contrastive loss against the epoch, mean over seeds: train solid, validation dashed. "
        "Validation stands in the test split's place, which is scored only once, at the end."
    )
    return Markup(paragraph(said) + element("ul", keys, class_="keys"))


def _sparsities(evidence: Evidence) -> list[float]:
    return sorted(float(x) for x in evidence.record.cells["sparsity"].unique())


def _few(sparsities: Sequence[float], most: int = 9) -> Iterator[tuple[int, float]]:
    every = -(-len(sparsities) // most)
    return ((p, s) for p, s in enumerate(sparsities) if p % every == 0)
