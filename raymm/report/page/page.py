"""Puts the page together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from raymm.report.evidence import Evidence
from raymm.report.page.breakdowns import combinations, matrices
from raymm.report.page.ending import all_cells, cost, making, unfinished
from raymm.report.page.figures import figures, losses
from raymm.report.page.maps import maps
from raymm.report.page.marks import palette
from raymm.report.page.markup import Markup, element
from raymm.report.page.opening import opening
from raymm.report.page.results import differences, results

NAVIGATION = {
    "figures": "Figures", "results": "Results", "differences": "Differences", "losses": "Losses",
    "cross": "Train x test", "combinations": "Combinations", "maps": "Maps", "best": "Best settings",
    "parallel": "Settings", "importance": "Importance", "pareto": "Pareto set",
    "history": "History", "trials": "Trials",
    "cost": "Cost", "failed": "Failed", "cells": "Cells", "making": "How",
}  # fmt: skip


def page_text(evidence: Evidence) -> str:
    """The whole of `report.html`: nothing in it is fetched from anywhere.

    The same evidence makes the same text.
    """
    content = [
        *opening(evidence),
        *figures(evidence),
        *results(evidence),
        *differences(evidence),
        *losses(evidence),
        *matrices(evidence),
        *combinations(evidence),
        *maps(evidence),
        *cost(evidence),
        *unfinished(evidence),
        *all_cells(evidence),
        *making(evidence),
    ]
    return whole_page(evidence.record.name, content)


def whole_page(title: str, content: Sequence[Markup]) -> str:
    """A page of sections, with its style, its script and links to the sections."""
    assets = files("raymm.report.page") / "assets"
    style, script = (
        (assets / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width,initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        Markup('<link rel="icon" href="data:,">'),
        element("style", Markup(style + palette())),
    ]
    body = [
        _navigation(content),
        element("main", content),
        element("div", id="tip", role="status", hidden=True),
        element("script", Markup(script)),
    ]
    whole = element("html", [element("head", head), element("body", body)], lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _navigation(content: Sequence[Markup]) -> Markup:
    there = [
        found[1]
        for part in content
        if (found := re.match(r'<section id="([\w-]+)"', part)) is not None
    ]
    links = [
        element("li", element("a", NAVIGATION.get(anchor, anchor), href=f"#{anchor}"))
        for anchor in there
    ]
    return element("nav", element("ul", links), aria_label="Sections")
