"""What there is to know about a data set before training on it: `raymm data check`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raymm.data.dataset import Dataset, Label, Modality
from raymm.data.packed import is_packed, open_packed
from raymm.data.problems import Problems
from raymm.data.sources import resolve
from raymm.data.sources.folder import Survey, survey_folder
from raymm.data.sources.huggingface.files import is_huggingface
from raymm.data.sources.huggingface.prepare import load_huggingface

COMBINATIONS_SHOWN = 8
CLASSES_SHOWN = 12
BAR_WIDTH = 24
STYLES = {"error": "bold red", "choice": "bold cyan", "warning": "yellow"}


def check_dataset(dataset: str, modalities: Sequence[str] = (), label: str | None = None) -> Survey:
    """Look at a data set without stopping at the first problem.

    Args:
        dataset: built-in name, a folder / s3:// address of tables, or a packed folder, of which
            every value is read and held against its digest.
        modalities: modalities looked at, in this order; empty means the data set's default.
        label: label column; None means the data set's default, or all of them.

    Raises:
        DataError: there is nothing to look at.
    """
    address = resolve(dataset)
    if is_huggingface(address):
        saved = load_huggingface(address, modalities, label)
        return Survey(address, saved, (), {m.name: 0 for m in saved.modalities}, ())
    if not is_packed(address):
        return survey_folder(address, modalities, label)
    packed = open_packed(address, modalities, label)
    problems = Problems()
    for damaged in packed.damaged():
        problems.error(
            f"{address}: the values of '{damaged}' are not those that were packed. Copy the folder "
            "again, or pack it again."
        )
    emptied = {modality.name: 0 for modality in packed.modalities}
    return Survey(address, packed, (), emptied, tuple(problems.found))


def usable(survey: Survey) -> bool:
    """Whether nothing stands against training on it, but perhaps a setting to be given."""
    return all(problem.severity != "error" for problem in survey.problems)


def print_survey(survey: Survey, console: Console) -> None:
    """Print what was found; reads well at 80 columns."""
    console.print(Group(*_parts(survey)))


def _parts(survey: Survey) -> list[RenderableType]:
    dataset = survey.dataset
    parts: list[RenderableType] = [_head(dataset)]
    if len(dataset.ids):
        parts += [_section("Modalities"), _modalities(survey)]
        parts += [_section("Samples by what they have"), *_combinations(dataset)]
    if dataset.label is not None:
        parts += [_section(f"Label '{dataset.label.name}'"), *_label(dataset.label)]
    elif survey.candidates:
        parts += [_section("Label columns"), _candidates(survey.candidates)]
    if survey.problems:
        parts += [_section("Problems"), _problems(survey)]
    return [*parts, Text(), _verdict(survey)]


def _section(title: str) -> Text:
    return Text(f"\n{title}", style="bold")


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2))


def _grid(*columns: str) -> Table:
    """A plain table; a column whose title begins with '>' is set flush right."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in columns:
        right = title.startswith(">")
        table.add_column(title.removeprefix(">"), justify="right" if right else "left")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _head(dataset: Dataset) -> Text:
    licence = f", {dataset.licence}" if dataset.licence else ""
    counts = f"{len(dataset.ids):,} samples, {len(dataset.modalities)} modalities{licence}"
    return Text.assemble(
        (dataset.name, "bold"), f": {counts}\nfingerprint ", (dataset.fingerprint, "dim")
    )


def _modalities(survey: Survey) -> Padding:
    table = _grid("name", "kind", "shape", ">samples", ">absent", ">empty rows", ">missing inside")
    samples = len(survey.dataset.ids)
    for modality in survey.dataset.modalities:
        missing = sum(int(np.isnan(part).sum()) for part in modality.parts())
        table.add_row(
            modality.name,
            modality.kind,
            _shape(modality),
            f"{len(modality.rows):,}",
            _percent(1 - len(modality.rows) / samples),
            f"{survey.emptied[modality.name]:,}",
            _percent(missing / max(1, modality.values.size)),
        )
    return _indented(table)


def _shape(modality: Modality) -> str:
    if modality.offsets is None:
        return f"{modality.width:,} columns"
    lengths = np.diff(modality.offsets)
    if not len(lengths):
        return f"none x {modality.width:,}"
    shortest, longest = int(lengths.min()), int(lengths.max())
    extent = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    return f"{extent} x {modality.width:,}"


def _combinations(dataset: Dataset) -> list[RenderableType]:
    """Natural sparsity: how many modalities samples have, and which go together."""
    presence = dataset.presence()
    table = _grid(">samples", ">share", "have")
    combinations, counts = np.unique(presence, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    for index in order[:COMBINATIONS_SHOWN]:
        share = _percent(counts[index] / len(presence))
        table.add_row(f"{counts[index]:,}", share, _combination(dataset, combinations[index]))
    rest = counts[order[COMBINATIONS_SHOWN:]]
    if len(rest):
        share = _percent(rest.sum() / len(presence))
        table.add_row(f"{rest.sum():,}", share, f"one of {len(rest):,} rarer combinations")
    sizes, of_size = np.unique(presence.sum(axis=1), return_counts=True)
    by_size = ", ".join(f"{size}: {count:,}" for size, count in zip(sizes, of_size, strict=True))
    natural = f"natural sparsity {_percent(1 - presence.mean())}"
    text = Text(f"{natural}; samples by number of modalities: {by_size}")
    return [Padding(text, (0, 0, 0, 2)), _indented(table)]


def _combination(dataset: Dataset, present: NDArray[np.bool_]) -> str:
    names = np.array([modality.name for modality in dataset.modalities])
    if present.all():
        return "all" if len(names) > 1 else str(names[0])
    if 2 * present.sum() > len(names):
        return f"all but {', '.join(names[~present])}"
    return ", ".join(names[present])


def _known(label: Label) -> NDArray[np.int64] | NDArray[np.float32]:
    if label.values.dtype == np.int64:
        return label.values[label.values >= 0]
    return label.values[~np.isnan(label.values)]


def _label(label: Label) -> list[RenderableType]:
    known = _known(label)
    head = f"  {label.task}, {len(known):,} of {len(label.values):,} samples labelled"
    if label.task == "regression":
        return [Text(head), Text(f"  {_quantiles(known)}")]
    counts = np.bincount(known.astype(np.int64), minlength=len(label.classes))
    table = _grid("class", ">samples", ">share", "")
    for code in range(min(len(counts), CLASSES_SHOWN)):
        bar = "█" * max(1, round(BAR_WIDTH * counts[code] / counts.max()))
        share = _percent(counts[code] / counts.sum())
        table.add_row(label.classes[code], f"{counts[code]:,}", share, Text(bar, style="blue"))
    if len(counts) > CLASSES_SHOWN:
        rest = counts[CLASSES_SHOWN:]
        share = _percent(rest.sum() / counts.sum())
        table.add_row(f"{len(rest):,} more", f"{rest.sum():,}", share, "")
    return [Text(head), _indented(table)]


def _quantiles(known: NDArray[np.int64] | NDArray[np.float32]) -> str:
    low, quarter, middle, three, high = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    return f"from {low:g} to {high:g}, median {middle:g}, middle half {quarter:g} to {three:g}"


def _candidates(labels: Sequence[Label]) -> Padding:
    table = _grid("column", "task", ">labelled", "values")
    for label in labels:
        known = _known(label)
        values = _quantiles(known) if label.task == "regression" else _balance(label, known)
        table.add_row(label.name, label.task, f"{len(known):,}", values)
    return _indented(table)


def _balance(label: Label, known: NDArray[np.int64] | NDArray[np.float32]) -> str:
    counts = np.bincount(known.astype(np.int64), minlength=len(label.classes))
    shown = [
        f"{name}: {_percent(count / counts.sum())}"
        for name, count in zip(label.classes[:4], counts[:4], strict=True)
    ]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f", {more:,} more classes" if more else "")


def _problems(survey: Survey) -> Padding:
    """Errors first; files are named as they are called in the folder."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for severity in STYLES:
        for problem in survey.problems:
            if problem.severity == severity:
                message = problem.message.replace(f"{survey.address}/", "")
                table.add_row(Text(severity, style=STYLES[severity]), Text(message))
    return _indented(table)


def _verdict(survey: Survey) -> Text:
    errors = sum(problem.severity == "error" for problem in survey.problems)
    if errors:
        many = "1 error" if errors == 1 else f"{errors} errors"
        return Text(f"Not usable: {many} to mend.", style="bold red")
    if any(problem.severity == "choice" for problem in survey.problems):
        return Text("Usable once a label is chosen with --label.", style="bold cyan")
    without = "" if survey.dataset.label else " There is no label: probes have nothing to predict."
    return Text(f"Usable.{without}", style="bold green")
