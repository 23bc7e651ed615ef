"""A training on a packed set: its order is the seed's, whoever begins and whoever goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.data import packed
from raymm.data.pack import pack
from raymm.data.packed import open_packed
from raymm.data.sources import load_dataset
from tests.training.test_loop import CELL, curve, run


@pytest.mark.parametrize("resident", [2**30, 0], ids=["kept mapped", "read past the map"])
def test_stopped_and_gone_on_with_it_ends_as_one_in_memory_does(
    resident: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = load_dataset("digits", modalities=("zer", "mor"))
    pack(digits, str(tmp_path / "packed"))
    monkeypatch.setattr(packed, "RESIDENT_BYTES", resident)
    mapped = open_packed(str(tmp_path / "packed"))
    files = [modality.mapping for modality in mapped.modalities]
    assert [file is not None and file.small for file in files] == [bool(resident)] * 2
    metrics, reports = run(CELL, digits, tmp_path / "calm")
    run(CELL, mapped, tmp_path / "cell", stop_after=1)
    reopened = open_packed(str(tmp_path / "packed"))
    rest_metrics, rest = run(CELL, reopened, tmp_path / "cell")
    assert rest_metrics == metrics
    assert curve(rest)[-2:] == curve(reports)[-2:]
