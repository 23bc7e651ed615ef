"""Names of the tasks, as the command line has them."""

from __future__ import annotations

from typing import Literal, get_args

TaskName = Literal["paraphrase", "similarity", "zero-shot", "linear", "fine-tune", "retrieval"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
