"""The command line: `raymm data check DIR`, `raymm data prepare tcga --from DIR --to OUT` ..."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from tyro.extras import SubcommandApp

from raymm.cli_data import data_app
from raymm.cli_doctor import doctor
from raymm.cli_embed import embed
from raymm.cli_evaluate import evaluate
from raymm.cli_ledger import replay_cell, status
from raymm.cli_report import report
from raymm.errors import RaymmError

FAILED = 1


def app() -> SubcommandApp:
    """All commands."""
    commands = SubcommandApp()
    commands.command(data_app(), name="data", help="Look at data sets, pack and prepare them.")
    commands.command(name="doctor")(doctor)
    commands.command(name="embed")(embed)
    commands.command(name="evaluate")(evaluate)
    commands.command(name="report")(report)
    commands.command(name="status")(status)
    commands.command(name="replay")(replay_cell)
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
