"""What is said and done while the tracking store is away."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from raymm.sweep.ledger import Ledger
from raymm.sweep.progress import duration

PATIENCE_S = 600.0
"""How long a sweep that is done waits for a store that is away."""
SAID_EVERY_S = 30.0


def away_note(ledger: Ledger) -> str:
    """One line on a store that is away; empty while it answers."""
    away_s = ledger.away_s
    if away_s is None:
        return ""
    return (
        f"MLflow has not answered for {duration(away_s)}: training goes on, {ledger.unsent} "
        "record(s) are kept and sent when it is back"
    )


def caught_up(ledger: Ledger, console: Console, patience_s: float = PATIENCE_S) -> bool:
    """Wait until the store has everything so far, saying so while that takes; False if in vain."""
    waited = 0.0
    with console.status(Text("recording the rest in MLflow")) as status:
        while not ledger.flush(1.0):
            if waited >= patience_s:
                return False
            if waited % SAID_EVERY_S == 0 and not console.is_terminal:
                console.print(_line(ledger, patience_s - waited), soft_wrap=True, highlight=False)
            waited += 1
            status.update(_line(ledger, patience_s - waited))
    return True


def settle(ledger: Ledger, console: Console, patience_s: float = PATIENCE_S) -> bool:
    """Wait until the store has everything (see `caught_up`); then stop being a driver.

    Returns:
        False if the store did not come back; what it lacks stays in a file of the results folder,
        and the same command sends it.
    """
    file = ledger.unsent_file
    came = caught_up(ledger, console, patience_s)
    sent = ledger.settle(SAID_EVERY_S if came else 0.0)
    if not sent:
        text = (
            f"MLflow did not come back: what it lacks is kept in {file}. All results are in the "
            "report. When the store answers again, the same command records them and trains "
            "nothing twice."
        )
        console.print(Text(text, style="red"), soft_wrap=True)
    return sent


def _line(ledger: Ledger, left_s: float) -> Text:
    away_s = ledger.away_s or 0.0
    return Text(
        f"MLflow has not answered for {duration(away_s)}; {ledger.unsent} record(s) to send, "
        f"waiting {duration(max(0.0, left_s))} more (Ctrl-C: do not wait)"
    )
