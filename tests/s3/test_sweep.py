"""A whole sweep whose data, cells, results and artifacts lie on a real S3 server."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import raymm
from raymm.data.pack import pack
from raymm.data.sources import load_dataset
from raymm.storage.address import open_address, upload
from tests.encoders import models
from tests.encoders.pictures import noise, png
from tests.s3.servers import ROOT, Server, changed

pytestmark = [pytest.mark.s3, pytest.mark.timeout(900)]
TRIES = 3


def files(address: str) -> set[str]:
    system, root = open_address(address)
    return {str(path)[len(root) + 1 :] for path in system.find(root)}


def started(
    script: Sequence[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *script], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def test_a_sweep_is_killed_and_gone_on_with(bucket: str, server: Server, tmp_path: Path) -> None:
    pack(load_dataset("digits"), f"{bucket}/sets/digits")
    environment = changed(
        {**server.environment(), "RAYMM_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    )
    command = [
        str(ROOT / "sweeps" / "sparsity_grid.py"), "--dataset", f"{bucket}/sets/digits",
        "--models", "zorro", "eao", "--sparsities", "0.3", "--seeds", "0", "1", "--epochs", "4",
        "--checkpoint-every-s", "0", "--storage", f"{bucket}/cells",
        "--results-dir", f"{bucket}/results", "--artifacts", f"{bucket}/artifacts",
        "--name", "small", "--log-models", "best", "--max-concurrent", "1",
    ]  # fmt: skip
    first = started(command, tmp_path, environment)
    end = time.monotonic() + 240
    while not any("epoch_" in name for name in files(f"{bucket}/cells")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert files(f"{bucket}/results") == {"small/sweep.json"}

    for _ in range(TRIES):
        second = started(command, tmp_path, environment)
        said, _ = second.communicate(timeout=300)
        if "the machine is too busy" not in said:  # for Ray, which asks to be tried again
            break
    assert second.returncode == 0, said
    assert f"{bucket}/results/small" in said

    system, root = open_address(f"{bucket}/results/small/cells.csv")
    cells = pd.read_csv(io.BytesIO(system.cat_file(root)))
    assert len(cells) == 4 and set(cells["status"]) == {"finished"}
    assert {"report.html", "report.md", "figure_6.png"} <= {
        name.removeprefix("small/") for name in files(f"{bucket}/results")
    }
    left = files(f"{bucket}/cells")
    kept = {
        "model.safetensors",
        "result.json",
        "model.json",
        "scaling.safetensors",
        "samples.parquet",
    }
    assert {name.split("/")[1] for name in left} == kept and len(left) == 4 * len(kept)
    artifacts = files(f"{bucket}/artifacts")
    assert any(name.endswith("report.html") for name in artifacts)
    assert any(name.endswith("model.safetensors") for name in artifacts), artifacts

    model = raymm.load(f"{bucket}/cells/{cells['cell_key'][0]}")
    assert model.transform(load_dataset(f"{bucket}/sets/digits")).fusion.shape[0] == 2000

    report = ["-m", "raymm.cli", "report", "small", "--results-dir", f"{bucket}/results",
              "--to", f"{bucket}/again"]  # fmt: skip
    third = started(report, tmp_path, environment)
    said, _ = third.communicate(timeout=120)
    assert third.returncode == 0, said
    assert "report.html" in files(f"{bucket}/again")
    assert not list(tmp_path.glob("s3:*"))


def test_pairs_are_embedded_and_compared_where_they_lie(
    bucket: str, server: Server, tmp_path: Path
) -> None:
    """Pairs, encoders, embeddings, cells, results and artifacts, all at addresses."""
    images = tmp_path / "pairs" / "images"
    images.mkdir(parents=True)
    for row in range(60):
        (images / f"{row}.png").write_bytes(png(noise(row)))
    table = {"id": [f"{row:02d}" for row in range(60)],
             "image": [f"images/{row}.png" for row in range(60)],
             "text": [f"a cat on the mat {row}" for row in range(60)]}  # fmt: skip
    pd.DataFrame(table).to_parquet(tmp_path / "pairs" / "pairs.parquet")
    models.vit(tmp_path / "vit")
    models.bert(tmp_path / "bert")
    for name in ("pairs", "vit", "bert"):
        upload(tmp_path / name, f"{bucket}/{name}", last="")
    environment = changed(
        {**server.environment(), "RAYMM_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    )
    command = [
        str(ROOT / "sweeps" / "fusion_operations.py"), "--dataset", f"{bucket}/pairs",
        "--encoder", f"{bucket}/vit", f"{bucket}/bert", "--cache", f"{bucket}/embeddings",
        "--operations", "add", "dot_attention", "--epochs", "2", "--held-out", "10",
        "--storage", f"{bucket}/cells", "--results-dir", f"{bucket}/results",
        "--artifacts", f"{bucket}/artifacts", "--name", "ops",
    ]  # fmt: skip
    for _ in range(TRIES):
        process = started(command, tmp_path, environment)
        said, _ = process.communicate(timeout=600)
        if "the machine is too busy" not in said:
            break
    assert process.returncode == 0, said
    assert "Retrieval of 10 held-out pairs" in " ".join(said.split())
    assert {"ops/report.html", "ops/operations.csv"} <= files(f"{bucket}/results")
    assert any(name.endswith("packed.json") for name in files(f"{bucket}/embeddings"))
    assert not any(".blocks" in name for name in files(f"{bucket}/embeddings"))
    assert not list(tmp_path.glob("s3:*"))
