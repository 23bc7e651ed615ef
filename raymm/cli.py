"""The command line: `raymm data check DIR`, `raymm data pack DIR --to OUT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from tyro.conf import Positional
from tyro.extras import SubcommandApp

from raymm.data.check import check_dataset, print_survey, usable
from raymm.data.pack import pack
from raymm.data.sources import load_dataset
from raymm.errors import RaymmError

FAILED = 1


def data_check(
    folder: Positional[str],
    modalities: tuple[str, ...] = (),
    label: str | None = None,
) -> int:
    """Look at a data set: shapes, what is missing, label balance, and every problem found.

    Exits with status 1 if a problem makes it unusable.

    Args:
        folder: folder or s3:// address of tables, or the name of a built-in data set.
        modalities: modalities to look at, in this order; the data set's default if not given.
        label: label column; the data set's default, or all of them, if not given.
    """
    survey = check_dataset(folder, modalities, label)
    print_survey(survey, Console())
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
        to: folder to be made.
        modalities: modalities to pack, in this order; the data set's default if not given.
        label: label column; the data set's default if not given.
    """
    dataset = load_dataset(folder, modalities, label)
    size = sum(modality.values.nbytes for modality in dataset.modalities)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("packing", total=size)
        pack(dataset, to, lambda done: bar.advance(task, done))
    samples, count = f"{len(dataset.ids):,} samples", len(dataset.modalities)
    text = f"{samples}, {count} modalities, fingerprint {dataset.fingerprint}"
    Console(soft_wrap=True).print(f"Packed {dataset.name} to {to}: {text}", highlight=False)
    return 0


def app() -> SubcommandApp:
    """All commands."""
    data = SubcommandApp()
    data.command(name="check")(data_check)
    data.command(name="pack")(data_pack)
    commands = SubcommandApp()
    commands.command(data, name="data", help="Look at data sets.")
    return commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; a user's mistake is told without traceback."""
    try:
        status = app().cli(args=arguments, prog="raymm")
    except RaymmError as error:
        message = Text.assemble(("error ", "bold red"), str(error))
        Console(stderr=True, soft_wrap=True).print(message)
        return FAILED
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
