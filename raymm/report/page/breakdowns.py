"""The page's tables that take results apart: by test sparsity, and by which modalities were there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from raymm.report.combinations import shared_combinations
from raymm.report.cross import cross_matrix
from raymm.report.evidence import Evidence
from raymm.report.names import (
    HEADLINE_METRICS,
    better,
    directed_label,
    model_label,
    model_place,
    number,
)
from raymm.report.page.markup import Markup, element, paragraph, section

MOST_COMBINATIONS = 16
COMBINATION_METRICS = ("probe/accuracy", "probe/loss", "rank/median_mean")


def matrices(evidence: Evidence) -> Iterator[Markup]:
    """The section of train sparsity x test sparsity."""
    cross = evidence.record.cross
    if cross is None:
        return
    content = [
        paragraph(
            "Rows: the sparsity a model was trained at; columns: that of the test split it is "
            "scored on, without being trained again. Mean over seeds, the more colour the better; "
            "point at a number for its spread. Values are in `cross_sparsity.csv`."
        )
    ]
    for dataset in cross["dataset"].unique():
        of_dataset = cross[cross["dataset"] == dataset]
        for metric in HEADLINE_METRICS:
            matrix = cross_matrix(of_dataset, metric)
            if matrix is None:
                continue
            content.append(element("h3", f"{directed_label(metric)}, {dataset}"))
            heats = [
                _heat(
                    model_label(model),
                    matrix[matrix["model"] == model].rename(columns={"train": "row", "test": "at"}),
                    _scale(matrix["mean"], metric),
                    "train S",
                )
                for model in sorted(map(str, matrix["model"].unique()), key=model_place)
            ]
            content.append(element("div", heats, class_="heats"))
    yield section("cross", "Train sparsity x test sparsity", content)


def combinations(evidence: Evidence) -> Iterator[Markup]:
    """The section of results by the modalities that were present."""
    frame = evidence.combinations
    if frame.empty:
        return
    metric = next((m for m in COMBINATION_METRICS if m in set(frame["metric"])), None)
    if metric is None:
        return
    content = [
        paragraph(
            f"{directed_label(metric)[0].upper()}{directed_label(metric)[1:]} of the test samples "
            "that have just these modalities, mean over seeds, the more colour the better; "
            "small numbers are test samples of a seed. All metrics and spreads are in "
            "`combinations.csv`."
        )
    ]
    for number_of, dataset in enumerate(frame["dataset"].unique()):
        mine = frame[(frame["dataset"] == dataset) & (frame["metric"] == metric)]
        sparsities = sorted(float(s) for s in mine["sparsity"].unique())
        shown = sparsities[min(len(sparsities) - 1, len(sparsities) // 2)]
        group = f"combinations{number_of}"
        content.append(choice(group, "sparsity", {f"{s:g}": f"S = {s:g}" for s in sparsities},
                              f"{shown:g}"))  # fmt: skip
        for sparsity in sparsities:
            at = mine[mine["sparsity"] == sparsity]
            names = shared_combinations(at, MOST_COMBINATIONS)
            at = at[at["combination"].isin(names)]
            table = _by_model(at, names, _scale(at["mean"], metric))
            content.append(
                element("div", table, class_="scroll", data_of=group, data_is=f"{sparsity:g}",
                        hidden=sparsity != shown)
            )  # fmt: skip
    yield section("combinations", "By the modalities that were present", content)


def choice(group: str, what: str, views: Mapping[str, str], shown: str) -> Markup:
    """Buttons that show one of several views: elements with `data-of` group and `data-is` view."""
    buttons = [
        element("button", label, type="button", data_view=f"{group}|{view}",
                aria_pressed=str(view == shown).lower())
        for view, label in views.items()
    ]  # fmt: skip
    return element("div", [what, *buttons], class_="choice", role="group", aria_label=what)


def _scale(values: pd.Series, metric: str) -> tuple[float, float]:
    """The values that are shown lightest and darkest: worst and best."""
    low, high = float(values.min()), float(values.max())
    return (high, low) if better(metric) == "lower" else (low, high)


def _strength(value: float, scale: tuple[float, float]) -> str:
    """Share of colour in a cell, at most so much that text on it stays readable."""
    worst, best = scale
    share = (value - worst) / (best - worst) if best != worst else 0.0
    return f"--v:{round(52 * min(1.0, max(0.0, share)))}%"


def _heat(title: str, entries: pd.DataFrame, scale: tuple[float, float], corner: str) -> Markup:
    rows, columns = (sorted(float(x) for x in entries[name].unique()) for name in ("row", "at"))
    by_place = {(e["row"], e["at"]): e for e in entries.to_dict("records")}
    head = [element("th", corner), *(element("th", f"{at:g}", class_="n") for at in columns)]
    body = []
    for row in rows:
        line = [element("th", f"{row:g}")]
        for at in columns:
            entry = by_place.get((row, at))
            line.append(element("td", "-", class_="h") if entry is None else _cell(entry, scale))
        body.append(element("tr", line))
    caption = element("caption", title)
    whole = [caption, element("thead", element("tr", head)), element("tbody", body)]
    return element("div", element("table", whole, class_="heat"), class_="scroll")


def _cell(entry: Mapping[Any, Any], scale: tuple[float, float]) -> Markup:
    spread = f" ± {number(entry['std'], like=entry['mean'])}" if entry["seeds"] > 1 else ""
    seeds = f"{entry['seeds']} seed{'s' * (entry['seeds'] > 1)}"
    tip = f"{number(entry['mean'])}{spread} ({seeds})"
    style = _strength(entry["mean"], scale)
    return element("td", number(entry["mean"]), class_="h", style=style, data_tip=tip)


def _by_model(entries: pd.DataFrame, names: list[str], scale: tuple[float, float]) -> Markup:
    """Combinations down, models across."""
    models = sorted(map(str, entries["model"].unique()), key=model_place)
    by_place = {(e["combination"], e["model"]): e for e in entries.to_dict("records")}
    head = [element("th", "present"), element("th", "samples", class_="n")]
    head += [element("th", model_label(model), class_="n") for model in models]
    body = []
    for name in names:
        mine = [by_place[name, model] for model in models if (name, model) in by_place]
        count = max(entry["test_samples"] for entry in mine)
        line = [element("td", name.replace("+", " + "), class_="wrap")]
        line.append(element("td", element("small", f"{count:g}"), class_="n"))
        for model in models:
            entry = by_place.get((name, model))
            line.append(element("td", "-", class_="h") if entry is None else _cell(entry, scale))
        body.append(element("tr", line))
    whole = [element("thead", element("tr", head)), element("tbody", body)]
    return element("table", whole, class_="heat")
