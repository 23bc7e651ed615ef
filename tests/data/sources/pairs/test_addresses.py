"""Pairs at an address: copied to this machine, and the same as where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.data.sources.pairs.load import load_pairs
from raymm.errors import DataError
from tests.data.sources.pairs import layouts

LAYOUTS = {
    "coco": layouts.coco,
    "Flickr8k": layouts.flickr8k,
    "cifar-100-python": layouts.cifar100,
    "tiny-imagenet-200": layouts.tiny_imagenet,
    "STS-B": layouts.sts,
}


@pytest.fixture(autouse=True)
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    return tmp_path / "copies" / "packed"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_as_where_it_lies(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / name)
    local, found = load_pairs(str(tmp_path / name)), load_pairs(f"file://{tmp_path}/{name}")
    assert found.name == local.name == name
    assert found.fingerprint() == local.fingerprint()
    first = found.items[0].values[0]
    if isinstance(first, Path):
        assert first.is_file() and not first.is_relative_to(tmp_path / name)


def test_some_of_the_samples_keep_the_copy(tmp_path: Path) -> None:
    layouts.coco(tmp_path / "coco")
    part = load_pairs(f"file://{tmp_path}/coco").split("train")
    assert part.copy is not None and part.copy.path.is_dir()


def test_no_layout_at_all(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a.doc").write_text("a")
    with pytest.raises(DataError, match=r"The layout of .*odd is not known"):
        load_pairs(f"file://{tmp_path}/odd")
