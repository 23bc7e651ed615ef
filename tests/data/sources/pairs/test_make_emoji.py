"""The maker of the built-in pairs, on archives as npm packs them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raymm.data.sources.digits import verified
from raymm.data.sources.pairs.make_emoji import make
from raymm.errors import DataError
from tests.encoders.pictures import noise, png

EMOJI = [
    {"unified": "1F600", "image": "1f600.png", "category": "Smileys", "subcategory": "face",
     "has_img_google": True},
    {"unified": "0023-FE0F-20E3", "image": "0023-fe0f-20e3.png", "category": "Symbols",
     "subcategory": "keycap", "has_img_google": True},
    {"unified": "1F9FF", "image": "1f9ff.png", "category": "Objects", "subcategory": "other",
     "has_img_google": False},
]  # fmt: skip
NAMES = [
    {"hexcode": "0023-20E3", "label": "keycap: #"},
    {"hexcode": "1F600", "label": "grinning face", "tags": ["smile", "happy"]},
]


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def test_names_and_images_meet(tmp_path: Path) -> None:
    """The packages write the variation selector in different places."""
    files = {f"img/google/64/{each['image']}": png(noise(n, 4, 4)) for n, each in enumerate(EMOJI)}
    images = archive(tmp_path / "images.tgz", {"emoji.json": json.dumps(EMOJI).encode(), **files})
    names = archive(tmp_path / "names.tgz", {"en/data.json": json.dumps(NAMES).encode()})
    (tmp_path / "made").mkdir()
    make(images, names, tmp_path / "made")
    rows = pq.read_table(verified(tmp_path / "made", "") / "emoji.parquet").to_pylist()
    assert [(row["id"], row["name"], row["keywords"]) for row in rows] == [
        ("0023-FE0F-20E3", "keycap: #", ""),
        ("1F600", "grinning face", "smile, happy"),
    ]
    assert rows[0]["image"] == png(noise(1, 4, 4)) and rows[1]["category"] == "Smileys"


def test_other_versions_of_the_packages(tmp_path: Path) -> None:
    images = archive(tmp_path / "images.tgz", {"emoji.json": json.dumps(EMOJI).encode()})
    names = archive(tmp_path / "names.tgz", {"en/data.json": b"[]"})
    with pytest.raises(DataError, match="1F600 has no name"):
        make(images, names, tmp_path)
    full = archive(tmp_path / "names.tgz", {"en/data.json": json.dumps(NAMES).encode()})
    with pytest.raises(DataError, match=r"holds no img/google/64/1f600\.png"):
        make(images, full, tmp_path)
