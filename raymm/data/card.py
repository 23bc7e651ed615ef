"""A data set's card: what is in it, what is missing, under which licence; Markdown or HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.packed import PackedDataset
from raymm.data.sources.folder import Survey
from raymm.data.sources.preparation import NOTES
from raymm.data.upset import combinations, upset_plot
from raymm.errors import DataError

SUFFIXES = (".md", ".html")
ROWS_SHOWN = 40
"""Combinations and classes listed at most."""
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:left;"
    "border-bottom:1px solid #ddd}img{max-width:100%}code{word-break:break-all}"
)


@dataclass(frozen=True)
class Grid:
    """A table of the card."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Part:
    """A section: a title, and then texts, tables and perhaps the picture, in that order."""

    title: str
    texts: tuple[str, ...] = ()
    grid: Grid | None = None
    picture: bool = False


def write_card(survey: Survey, to: str) -> list[Path]:
    """Write the card of a data set.

    Args:
        survey: what was found.
        to: file to be written, .md or .html. Markdown has its picture in a file beside it, HTML
            holds it.

    Returns:
        The files written.

    Raises:
        DataError: the ending is another one, there are no samples, or a file cannot be written.
    """
    path = Path(to)
    if path.suffix not in SUFFIXES:
        raise DataError(f"A card is a file that ends in .md or .html, not '{to}'.")
    dataset = survey.dataset
    if not len(dataset.ids):
        raise DataError(f"{survey.address} has no samples: there is nothing to put on a card.")
    names = [modality.name for modality in dataset.modalities]
    picture = upset_plot(names, dataset.presence())
    parts = card_parts(survey)
    try:
        if path.suffix == ".html":
            path.write_text(_as_html(dataset.name, parts, picture), encoding="utf-8")
            return [path]
        beside = path.with_suffix(".png")
        beside.write_bytes(picture)
        path.write_text(_as_markdown(dataset.name, parts, beside.name), encoding="utf-8")
    except OSError as error:
        raise DataError(f"The card cannot be written to {to}: {error}.") from error
    return [path, beside]


def card_parts(survey: Survey) -> list[Part]:
    """The sections of a card."""
    dataset = survey.dataset
    presence = dataset.presence()
    facts = (
        ("samples", f"{len(dataset.ids):,}"),
        ("modalities", f"{len(dataset.modalities)}"),
        ("label", _label_words(dataset.label)),
        ("natural sparsity", _percent(1 - presence.mean())),
        ("licence", dataset.licence or "not stated"),
        ("fingerprint", dataset.fingerprint),
    )
    parts = [
        Part("What it is", grid=Grid(("", ""), facts)),
        Part("Modalities", grid=_modalities(dataset)),
        Part(
            "What is missing",
            ("Natural sparsity is the share of (sample, modality) pairs that are missing.",),
            _combinations(dataset),
            picture=True,
        ),
    ]
    labels = (dataset.label,) if dataset.label is not None else survey.candidates
    parts += [Part(f"Label {label.name}", grid=_balance(label)) for label in labels]
    if survey.problems:
        rows = tuple((problem.severity, problem.message) for problem in survey.problems)
        parts.append(Part("Problems", grid=Grid(("", ""), rows)))
    notes = dataset.folder / NOTES if isinstance(dataset, PackedDataset) else None
    if notes is not None and notes.is_file():
        lines = notes.read_text(encoding="utf-8").splitlines()
        said = tuple(line.removeprefix("- ") for line in lines if line.startswith("- "))
        parts.append(Part("How it was prepared", said))
    return parts


def _label_words(label: Label | None) -> str:
    if label is None:
        return "none chosen"
    if label.task == "regression":
        return f"{label.name}, regression"
    return f"{label.name}, {len(label.classes):,} classes"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _modalities(dataset: Dataset) -> Grid:
    rows = []
    for modality in dataset.modalities:
        holes = sum(int(np.isnan(part).sum()) for part in modality.parts())
        rows.append(
            (
                modality.name,
                modality.kind,
                _shape(modality),
                f"{len(modality.rows):,}",
                _percent(1 - len(modality.rows) / len(dataset.ids)),
                _percent(holes / max(1, modality.values.size)),
            )
        )
    head = ("name", "kind", "shape", "samples", "absent", "values missing inside")
    return Grid(head, tuple(rows))


def _shape(modality: Modality) -> str:
    if modality.offsets is None:
        return f"{modality.width:,} columns"
    lengths = np.diff(modality.offsets)
    middle = float(np.median(lengths))
    return (
        f"{lengths.min():,} to {lengths.max():,} (median {middle:g}) vectors of {modality.width:,}"
    )


def _combinations(dataset: Dataset) -> Grid:
    rows, counts = combinations(dataset.presence())
    names = np.array([modality.name for modality in dataset.modalities])
    total = len(dataset.ids)
    listed = [
        (f"{count:,}", _percent(count / total), ", ".join(names[row]) or "nothing")
        for row, count in zip(rows[:ROWS_SHOWN], counts[:ROWS_SHOWN].tolist(), strict=True)
    ]
    rest = counts[ROWS_SHOWN:]
    if len(rest):
        share = _percent(rest.sum() / total)
        listed.append((f"{rest.sum():,}", share, f"{len(rest):,} rarer combinations"))
    return Grid(("samples", "share", "have just"), tuple(listed))


def _balance(label: Label) -> Grid:
    if label.task == "regression":
        known = label.values[~np.isnan(label.values)]
        names = ("lowest", "lower quarter", "median", "upper quarter", "highest")
        values = np.quantile(known, [0, 0.25, 0.5, 0.75, 1]) if len(known) else [np.nan] * 5
        rows = [(name, f"{value:g}") for name, value in zip(names, values, strict=True)]
        unlabelled = len(label.values) - len(known)
        return Grid(("", "value"), (*rows, ("samples without", f"{unlabelled:,}")))
    codes = label.values[label.values >= 0].astype(np.int64)
    counts = np.bincount(codes, minlength=len(label.classes))
    order = np.argsort(-counts, kind="stable")[:ROWS_SHOWN]
    rows = [
        (label.classes[code], f"{counts[code]:,} ({_percent(counts[code] / max(1, len(codes)))})")
        for code in order.tolist()
    ]
    if len(counts) > ROWS_SHOWN:
        rows.append(
            (f"{len(counts) - ROWS_SHOWN:,} more", f"{counts.sum() - counts[order].sum():,}")
        )
    return Grid(
        ("class", "samples"), (*rows, ("unlabelled", f"{len(label.values) - len(codes):,}"))
    )


def _as_markdown(name: str, parts: Sequence[Part], picture: str) -> str:
    lines = [f"# {name}", ""]
    for part in parts:
        lines += [f"## {part.title}", ""]
        lines += [f"- {text}" if len(part.texts) > 1 else text for text in part.texts]
        lines += [""] if part.texts else []
        if part.picture:
            lines += [f"![Samples by the modalities they have]({picture})", ""]
        if part.grid is not None:
            head, rows = part.grid.head, part.grid.rows
            lines += [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
            lines += [
                f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows
            ]
            lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _as_html(name: str, parts: Sequence[Part], picture: bytes) -> str:
    encoded = base64.b64encode(picture).decode()
    body = [f"<h1>{html.escape(name)}</h1>"]
    for part in parts:
        body.append(f"<h2>{html.escape(part.title)}</h2>")
        body += [f"<p>{html.escape(text)}</p>" for text in part.texts]
        if part.picture:
            body.append(
                f'<img alt="Samples by the modalities they have" '
                f'src="data:image/png;base64,{encoded}">'
            )
        if part.grid is not None:
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in part.grid.head)
            rows = "".join(
                f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
                for row in part.grid.rows
            )
            body.append(f"<table><tr>{head}</tr>{rows}</table>")
    title = html.escape(name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )
