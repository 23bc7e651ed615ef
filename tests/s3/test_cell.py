"""A cell whose process is killed while it trains, on real S3 servers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch

from raymm.training.checkpoint import CheckpointStore
from raymm.training.saved import load_model
from tests.s3.servers import ROOT, Server, changed

pytestmark = pytest.mark.s3
TRAIN = """
import sys, time, torch
from raymm.training.loop import train_cell
from tests.training.test_loop import CELL, small_digits

def on_epoch(report):
    print("epoch", report.epoch, flush=True)
    time.sleep(float(sys.argv[2]))
    return True

metrics = train_cell(CELL, small_digits(), storage=sys.argv[1], device=torch.device("cpu"),
                     on_epoch=on_epoch, checkpoint_interval_s=0)
print("accuracy", metrics["probe/accuracy"], "loss", metrics["loss/val"], flush=True)
"""


def training(address: str, environment: dict[str, str], pause_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, address, str(pause_s)],
        env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_it_goes_on_from_its_checkpoint(bucket: str, server: Server) -> None:
    environment = changed({**server.environment(), "OMP_NUM_THREADS": "1"})
    calm, _ = training(f"{bucket}/calm", environment, 0).communicate(timeout=200)
    victim, address = training(f"{bucket}/cell", environment, 60), f"{bucket}/cell"
    end = time.monotonic() + 200
    while CheckpointStore(address).newest() is None:
        assert victim.poll() is None and time.monotonic() < end
        time.sleep(0.2)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    rest, _ = training(address, environment, 0).communicate(timeout=200)
    # Epochs before the checkpoint are told again, not trained: the end is that of the calm one.
    assert rest.splitlines()[-1] == calm.splitlines()[-1]
    store, whole = CheckpointStore(address), CheckpointStore(f"{bucket}/calm")
    assert {"model.safetensors", "result.json", "samples.parquet"} <= {
        str(path).rsplit("/", 1)[-1] for path in store.fs.find(store.root)
    }
    for name, tensor in whole.weights().items():
        assert torch.equal(store.weights()[name], tensor)
    assert load_model(address).card.names == ("zer", "mor")
