"""What the system counts of processes that it killed for want of memory, wherever it keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.training.memory import oom_kills

VMSTAT = "pgfault 12\noom_kill 9\n"
FIRST = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"
SECOND = "low 0\nhigh 7\nmax 3\noom 2\noom_kill 5\noom_group_kill 0\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "count"),
    [
        ("0::/\n", {}, 9),  # no group of its own: the whole machine's
        ("4:memory:/pod/a\n0::/\n", {"memory/pod/a/memory.oom_control": FIRST}, 4),
        ("4:cpu,memory:/pod/a\n", {"memory/memory.oom_control": FIRST}, 4),  # in a container
        ("0::/pod/a\n", {"pod/a/memory.events": SECOND}, 5),
        ("0::/\n", {"memory.events": SECOND}, 5),
        ("4:memory:/pod/b\n", {"memory/pod/a/memory.oom_control": FIRST}, 9),  # another's
    ],
)
def test_the_count_is_that_of_the_group_that_a_limit_kills(
    tmp_path: Path, cgroup: str, files: dict[str, str], count: int
) -> None:
    said = {"proc/vmstat": VMSTAT, "proc/self/cgroup": cgroup}
    said |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in said.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert oom_kills(tmp_path) == count


def test_where_nothing_is_counted_nothing_was_killed(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) == 0
