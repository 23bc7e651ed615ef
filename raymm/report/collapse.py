"""Says whose embeddings nearly coincide, which no rank and no probe shows by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from raymm.report.names import listed, model_label, number
from raymm.report.tables import conditions

NEARLY_ONE_POINT: Mapping[str, float] = {
    "uniformity/fusion": -0.5,
    "uniformity/unimodal_mean": -0.25,
}
"""Uniformities above which embeddings are said to coincide nearly.

All pairs at a squared distance of 1/8 have -0.25: cosines of 15/16, nearer to each other than the
temperature that training begins with (0.07) can tell. Fusion embeddings get twice that: means over
those present, they differ by which modalities a sample has, too. Independent directions are at 2.
"""


def collapsed(cells: pd.DataFrame) -> Iterator[str]:
    """A paragraph on each model of a data set with such embeddings, by means over seeds.

    Args:
        cells: as of `raymm.report.tables.cells_frame`.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for dataset, model, sparsity, rows in conditions(cells):
        means = {name: float(rows[name].mean()) for name in NEARLY_ONE_POINT if name in rows}
        if any(mean > NEARLY_ONE_POINT[name] for name, mean in means.items()):
            shown = ", ".join(
                f"{number(mean)} {name.partition('/')[2].removesuffix('_mean')}"
                for name, mean in means.items()
            )
            found.setdefault((dataset, model), []).append(f"S = {sparsity:g} ({shown})")
    for (dataset, model), places in found.items():
        yield (
            f"Embeddings of {model_label(model)} on {dataset} nearly coincide at {listed(places)}: "
            "uniformity is 0 where all are equal. Ranks and recall say little of such embeddings."
            + _remedy(model)
        )


def _remedy(model: str) -> str:
    """What has been seen to help; CBMF alone has a loss that such embeddings satisfy."""
    if model.partition(",")[0] != "cbmf":
        return ""
    return (
        " If it was trained with soft targets, CBMF's default: they do not push samples apart that are "
        "alike already, so try --cbmf-targets hard."
    )
