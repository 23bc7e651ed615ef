"""`raymm doctor`: look at a set-up and name what is wrong."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

SIGNS = {"fine": ("ok   ", "green"), "note": ("note ", "yellow"), "wrong": ("WRONG", "bold red")}
SOMETHING_WRONG = 1


def doctor(
    address: str | None = None,
    storage: str = "storage",
    tracking_uri: str | None = None,
    head: str | None = None,
) -> int:
    """Look at a set-up and name what is wrong: ports that are open, passwords that others would read,
    storage that cannot be written, versions and clocks that differ, GPUs that NCCL cannot use.

    Exits with status 1 if something is wrong. Starts nothing and trains nothing.

    Args:
        address: Ray cluster to look at, auto for the one this machine is part of. Without it: this
            machine alone.
        storage: folder or s3:// address of the checkpoints, as sweeps have it.
        tracking_uri: MLflow server or database, as sweeps have it. Without it:
            sqlite:///mlruns/mlflow.db.
        head: name or address of a head whose ports should not be reachable from this machine.
    """
    from raymm.doctor.examine import examine  # torch takes seconds

    console, bad = Console(), 0
    for finding in examine(address=address, storage=storage, tracking_uri=tracking_uri, head=head):
        sign, style = SIGNS[finding.level]
        said = Text.assemble((sign, style), f" {finding.check}: {finding.text}")
        if finding.remedy:
            said.append(f". {finding.remedy}")
        console.print(said, soft_wrap=True)
        bad += finding.level == "wrong"
    console.print(f"{bad} thing(s) wrong" if bad else "nothing wrong", highlight=False)
    return SOMETHING_WRONG if bad else 0
