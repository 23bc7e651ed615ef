"""A preparation that ends early leaves nothing that could be taken for a data set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raymm.data.sources import load_dataset
from raymm.data.sources.mosei.prepare import prepare_mosei
from raymm.errors import DataError
from tests.data.sources.mosei import files

PREPARE = """
import resource, signal, sys
from raymm.errors import DataError
from raymm.data.sources.mosei.prepare import prepare_mosei
size = int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    prepare_mosei(sys.argv[1], sys.argv[2])
except DataError as error:
    print(error)
    sys.exit(3)
"""
SLOW = """
import sys, time
from raymm.data.spool import Spool
from raymm.data.sources import mosei
from raymm.data.sources.mosei.prepare import prepare_mosei
finish = Spool.finish
def slow(self, *rest):
    print("writing", flush=True)
    time.sleep(60)
    return finish(self, *rest)
Spool.finish = slow
prepare_mosei(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("size", [0, 5_000, 50_000, 200_000])
def test_a_disk_that_cannot_take_it(tmp_path: Path, size: int) -> None:
    """The system refuses to let a file grow beyond `size`, as a full disk does."""
    files.aligned(tmp_path / "aligned", 60)
    to = tmp_path / "packed"
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "aligned"), str(to), str(size)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 3, said.stderr
    assert "cannot be packed" in said.stdout
    assert "Nothing was left there" in said.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["aligned"]


def test_a_preparation_that_is_killed_can_be_started_again(tmp_path: Path) -> None:
    files.aligned(tmp_path / "aligned", 60)
    to = tmp_path / "packed"
    command = [sys.executable, "-c", SLOW, str(tmp_path / "aligned"), str(to)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not to.exists()
    with pytest.raises(DataError):
        load_dataset(str(to))
    started = time.monotonic()
    prepare_mosei(str(tmp_path / "aligned"), str(to))
    assert time.monotonic() - started < 30
    assert len(load_dataset(str(to)).ids) == 60


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    files.aligned(tmp_path / "aligned", 3)
    (tmp_path / "packed").mkdir()
    with pytest.raises(DataError, match="is there already"):
        prepare_mosei(str(tmp_path / "aligned"), str(tmp_path / "packed"))
