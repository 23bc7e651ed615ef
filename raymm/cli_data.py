"""The commands `raymm data ...`: look at data sets, pack them, prepare the papers' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg
from tyro.extras import SubcommandApp

from raymm.data.card import write_card
from raymm.data.check import check_dataset, print_survey, usable
from raymm.data.pack import pack
from raymm.data.sources import load_dataset
from raymm.data.sources.huggingface import prepare as huggingface
from raymm.data.sources.huggingface.prepare import HuggingFaceSettings
from raymm.data.sources.mosei import prepare as mosei
from raymm.data.sources.mosei.prepare import MoseiSettings
from raymm.data.sources.physionet2012 import prepare as physionet2012
from raymm.data.sources.preparation import LEFT_OUT, Meter, Prepared
from raymm.data.sources.tcga import prepare as tcga
from raymm.data.sources.tcga.prepare import TcgaSettings

FAILED = 1
From = Annotated[str, arg(name="from")]
TCGA, MOSEI, HUGGING_FACE = TcgaSettings(), MoseiSettings(), HuggingFaceSettings()


def data_app() -> SubcommandApp:
    """The commands."""
    prepare = SubcommandApp()
    prepare.command(name="tcga")(prepare_tcga)
    prepare.command(name="mosei")(prepare_mosei)
    prepare.command(name="physionet2012")(prepare_physionet2012)
    prepare.command(name="huggingface")(prepare_huggingface)
    data = SubcommandApp()
    data.command(name="check")(data_check)
    data.command(name="pack")(data_pack)
    data.command(prepare, name="prepare", help="Make a packed data set of what a source gives out.")
    return data


def data_check(
    folder: Positional[str],
    modalities: tuple[str, ...] = (),
    label: str | None = None,
    card: str | None = None,
) -> int:
    """Look at a data set: shapes, what is missing, label balance, and every problem found.

    Exits with status 1 if a problem makes it unusable.

    Args:
        folder: folder or s3:// address of tables, or the name of a built-in data set.
        modalities: modalities to look at, in this order; the data set's default if not given.
        label: label column; the data set's default, or all of them, if not given.
        card: file for the data set's card, .md (with a picture beside it) or .html.
    """
    survey = check_dataset(folder, modalities, label)
    print_survey(survey, Console())
    if card is not None:
        written = ", ".join(str(path) for path in write_card(survey, card))
        Console(soft_wrap=True).print(f"Card written to {written}", highlight=False)
    return 0 if usable(survey) else FAILED


def data_pack(
    folder: Positional[str],
    to: str,
    modalities: tuple[str, ...] = (),
    label: str | None = None,
) -> int:
    """Write a data set in a form that is mapped into memory instead of being read.

    A packed folder is used as any other. It opens at once, takes no memory of its own, and all
    processes of a machine share it. It has the same fingerprint, so results stay comparable.

    Args:
        folder: folder or s3:// address of tables, or the name of a built-in data set.
        to: folder to be made, or an address such as s3://bucket/folder.
        modalities: modalities to pack, in this order; the data set's default if not given.
        label: label column; the data set's default if not given.
    """
    dataset = load_dataset(folder, modalities, label)
    size = sum(modality.values.nbytes for modality in dataset.modalities)
    with _shown() as meter:
        pack(dataset, to, meter.begin("packing", size))
    samples, count = f"{len(dataset.ids):,} samples", len(dataset.modalities)
    text = f"{samples}, {count} modalities, fingerprint {dataset.fingerprint}"
    Console(soft_wrap=True).print(f"Packed {dataset.name} to {to}: {text}", highlight=False)
    return 0


def prepare_tcga(address: From, to: str, settings: OmitArgPrefixes[TcgaSettings] = TCGA) -> int:
    """Join TCGA's pan-cancer tables by sample: genes, proteins, methylation, miRNAs.

    Reads what UCSC Xena and the GDC give out, as it is; docs/data.md names the files. Tables may be
    larger than memory.

    Args:
        address: folder of the tables, or an s3:// or https:// address.
        to: folder to be made, or an address such as s3://bucket/folder.
        settings: what to keep.
    """
    return _prepared(lambda meter: tcga.prepare_tcga(address, to, settings, meter))


def prepare_mosei(address: From, to: str, settings: OmitArgPrefixes[MoseiSettings] = MOSEI) -> int:
    """Pack CMU-MOSEI's aligned sequences: GloVe, COVAREP, FACET, OpenFace and labels.

    Reads the .csd files that the CMU Multimodal SDK writes once it has aligned them to the labels.

    Args:
        address: folder of the files.
        to: folder to be made, or an address such as s3://bucket/folder.
        settings: lengths, and what to keep.
    """
    return _prepared(lambda meter: mosei.prepare_mosei(address, to, settings, meter))


def prepare_physionet2012(address: From, to: str) -> int:
    """Pack the challenge's patients: what was measured, grouped into eight modalities.

    Reads set-a.zip (or .tar.gz, or the folder set-a; also b and c) and Outcomes-a.txt.

    Args:
        address: folder of the files.
        to: folder to be made, or an address such as s3://bucket/folder.
    """
    return _prepared(lambda meter: physionet2012.prepare_physionet2012(address, to, meter))


def prepare_huggingface(
    address: From, to: str, settings: OmitArgPrefixes[HuggingFaceSettings] = HUGGING_FACE
) -> int:
    """Pack a folder that Hugging Face `datasets` wrote, such as those of the SMDF paper's authors.

    Small ones can be used as they are; packed ones may be larger than memory.

    Args:
        address: the folder.
        to: folder to be made, or an address such as s3://bucket/folder.
        settings: lengths and ids.
    """
    return _prepared(lambda meter: huggingface.prepare_huggingface(address, to, settings, meter))


def _prepared(prepare: Callable[[Meter], Prepared]) -> int:
    """Run a preparation, with progress where somebody watches, and tell what it made."""
    with _shown() as meter:
        made = prepare(meter)
    console = Console(soft_wrap=True, highlight=False)
    for fact in made.notes.facts:
        console.print(Text(fact))
    for warning in made.notes.warnings:
        console.print(Text.assemble(("warning ", "yellow"), warning))
    counts = ", ".join(f"{name} {count:,}" for name, count in made.modalities.items())
    console.print(Text(f"Prepared {made.to}: {made.samples:,} samples ({counts})."))
    if made.notes.left_out:
        count = len(made.notes.left_out)
        console.print(Text(f"What was left out ({count:,} entries): {made.to}/{LEFT_OUT}"))
    console.print(Text(f"Look at it with: raymm data check {made.to}"))
    return 0


class _Bars:
    """A bar for each part of the work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, what: str, total: int | None) -> Callable[[int], None]:
        """A new bar; see `raymm.data.sources.preparation.Meter`."""
        task = self._progress.add_task(what, total=total)
        return lambda done: self._progress.advance(task, done)


@contextmanager
def _shown() -> Iterator[Meter]:
    """Progress on the error stream, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bars:
        yield _Bars(bars)
