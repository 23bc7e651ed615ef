"""The page's maps of embeddings: what lies near what, by label and by modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raymm.report.embedding_map import FUSION, EmbeddingMap, Method, embedding_map, has_umap
from raymm.report.evidence import Evidence
from raymm.report.names import model_label
from raymm.report.page.axes import spread_range
from raymm.report.page.breakdowns import choice
from raymm.report.page.marks import LIGHT, SHADES
from raymm.report.page.markup import Markup, element, paragraph, section
from raymm.report.tables import conditions

SIDE, AIR = 300.0, 10.0
MOST_SPARSITIES = 4
MOST_NAMES = 24
"""Classes that are named in a map; of more, names would cover it."""
BINS = 5
"""Quantiles that a regression's targets are coloured by."""


def maps(evidence: Evidence) -> Iterator[Markup]:
    """The section of embedding maps."""
    content: list[Markup] = []
    methods: tuple[Method, ...] = ("PCA", "UMAP") if has_umap() else ("PCA",)
    for number, dataset in enumerate(evidence.datasets):
        shown = _shown(evidence, dataset)
        if not shown:
            continue
        views: dict[str, str] = {}
        blocks = []
        for sparsity, by_model in shown.items():
            for method in methods:
                for kind in ("label", "modality"):
                    drawn = [
                        _map(cell, f"{model_label(model)}", kind, method)
                        for model, cell in by_model.items()
                    ]
                    view = f"{method} by {kind}, S = {sparsity:g}"
                    views[view] = view
                    whole = [picture for picture in drawn if picture is not None]
                    blocks.append((view, whole, by_model, kind))
        first = next(iter(views))
        group = f"map{number}"
        if len(evidence.datasets) > 1:
            content.append(element("h3", dataset))
        content.append(choice(group, "show", views, first))
        for view, whole, by_model, kind in blocks:
            parts = [element("div", whole, class_="plots small")]
            if kind == "modality":
                parts.insert(0, _kinds(next(iter(by_model.values()))))
            content.append(element("div", parts, data_of=group, data_is=view, hidden=view != first))
    if content:
        read = (
            "Embeddings of up to 200 test samples, the same for all cells, of one seed each: L2-"
            "normalised, then laid out in the plane. By label: fusion embeddings, a class's name at "
            "its middle. By modality: fusion and unimodal embeddings together. Of regression, "
            "colours are fifths of the target, from low (dark) to high."
        )
        yield section("maps", "Maps of the embeddings", [paragraph(read), *content])


def _shown(evidence: Evidence, dataset: str) -> dict[float, dict[str, pd.DataFrame]]:
    """Samples of one seed of each model, at some sparsities."""
    found: dict[float, dict[str, pd.DataFrame]] = {}
    samples = evidence.record.samples
    for _, model, sparsity, rows in conditions(evidence.of(dataset)):
        key = next((key for key in rows.sort_values("seed")["cell_key"] if key in samples), None)
        if key is not None and f"map/{FUSION}" in samples[key]:
            found.setdefault(sparsity, {})[model] = samples[key]
    sparsities = sorted(found)
    if len(sparsities) > MOST_SPARSITIES:
        places = np.linspace(0, len(sparsities) - 1, MOST_SPARSITIES).round().astype(int)
        sparsities = [sparsities[place] for place in places]
    return {sparsity: found[sparsity] for sparsity in sparsities}


def _map(samples: pd.DataFrame, title: str, kind: str, method: Method) -> Markup | None:
    found = embedding_map(samples, fusion_only=kind == "label", method=method)
    if found is None:
        return None
    places = _places(found)
    parts = [element("text", title, x=4, y=14, class_="t")]
    if kind == "modality":
        names = [FUSION, *samples.attrs["modalities"]]
        groups = [(name, place, found.kinds == name) for place, name in enumerate(names)]
        parts += [
            _dots(places[mine], f"c{place % len(LIGHT)}", name) for name, place, mine in groups
        ]
    else:
        parts += _by_label(found, places, samples.attrs)
    box = f"0 0 {SIDE + 2 * AIR:g} {SIDE + 30:g}"
    said = f"{method} of the embeddings of {title} by {kind}"
    return element("svg", parts, viewBox=box, role="img", aria_label=said, class_="plot")


def _by_label(
    found: EmbeddingMap, places: np.ndarray, about: Mapping[Any, Any]
) -> Iterator[Markup]:
    known = ~np.isnan(found.labels)
    if about.get("task") == "regression":
        edges = np.quantile(found.labels[known], np.linspace(0, 1, BINS + 1)[1:-1])
        bins = np.digitize(found.labels, edges)
        for place in range(BINS):
            mine = known & (bins == place)
            yield _dots(places[mine], f"s{round(place * (SHADES - 1) / (BINS - 1))}", "")
        return
    classes = list(about.get("classes") or ())
    codes = sorted({int(code) for code in found.labels[known] if code >= 0})
    for code in codes:
        # Of more classes than colours the next ones have squares.
        shape = " square" * (code // len(LIGHT) % 2)
        colour = f"c{code % len(LIGHT)}{shape}"
        yield _dots(places[found.labels == code], colour, str(classes[code]))
    if len(codes) <= MOST_NAMES:
        for code in codes:
            x, y = np.median(places[found.labels == code], axis=0)
            yield element(
                "text", str(classes[code])[:14], x=round(x, 1), y=round(y + 4, 1), class_="l"
            )
    unlabelled = ~known | (found.labels < 0)
    if unlabelled.any() and not codes:
        yield _dots(places[unlabelled], "c0", "")


def _places(found: EmbeddingMap) -> np.ndarray:
    """(n, 2) in the picture, with the same scale across and up."""
    lows, highs = zip(*(spread_range(column.tolist()) for column in found.points.T), strict=True)
    middle = (np.array(lows) + np.array(highs)) / 2
    reach = max(high - low for low, high in zip(lows, highs, strict=True))
    places = (found.points - middle) / reach * SIDE * [1, -1] + [AIR + SIDE / 2, 26 + SIDE / 2]
    return np.asarray(places)


def _dots(places: np.ndarray, colour: str, tip: str) -> Markup:
    path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)
    return element("path", d=path, class_=f"dots {colour}", data_tip=tip or None)


def _kinds(samples: pd.DataFrame) -> Markup:
    names: Sequence[str] = [FUSION, *samples.attrs["modalities"]]
    items = [
        element("li", [element("span", class_=f"key c{place % len(LIGHT)}"), name])
        for place, name in enumerate(names)
    ]
    return element("ul", items, class_="keys")
