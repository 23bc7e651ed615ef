"""COCO Captions, Flickr8k, CIFAR and Tiny ImageNet."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pairs import Pairs
from raymm.data.sources.pairs.pictures import decode
from raymm.errors import DataError
from tests.data.sources.pairs import layouts


def texts(pairs: Pairs, name: str = "text") -> dict[str, object]:
    items = pairs.of(name)
    return {str(pairs.ids[row]): value for row, value in zip(items.rows, items.values, strict=True)}


def test_coco(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.coco(tmp_path)))
    # Captions in the order of their own ids, which is not that of the file.
    assert texts(pairs) == {
        "000000000004#0": "train2017 3", "000000000004#1": "train2017 1",
        "000000000009#0": "train2017 2", "000000000009#1": "train2017 0",
        "000000000014#0": "val2017 3", "000000000014#1": "val2017 1",
        "000000000019#0": "val2017 2", "000000000019#1": "val2017 0",
    }  # fmt: skip
    assert pairs.of("image").values[0] == tmp_path / "train2017" / "000000000004.jpg"
    assert decode(tmp_path / "train2017" / "000000000004.jpg").shape == (8, 8, 3)
    assert pairs.split("validation").ids.tolist() == [
        f"{i:012d}#{n}" for i in (14, 19) for n in range(2)
    ]
    assert pairs.groups is not None and pairs.groups[0] == "000000000004"
    first = load_pairs(str(tmp_path), first_only=True)
    assert first.ids.tolist() == [f"{i:012d}#0" for i in (4, 9, 14, 19)]


def test_coco_captions_of_other_images(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    (tmp_path / "val2017" / "000000000014.jpg").unlink()
    with pytest.raises(DataError, match=r"captions_val2017.json does not match .*000000000014.jpg"):
        load_pairs(str(tmp_path))


def test_coco_images_without_captions_are_warned_of(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    layouts.image(tmp_path / "val2017" / "000000000099.jpg")
    assert any("000000000099.jpg" in warning for warning in load_pairs(str(tmp_path)).warnings)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": [{}], "annotations": []}']
)
def test_coco_damaged(tmp_path: Path, text: str) -> None:
    layouts.coco(tmp_path)
    (tmp_path / "annotations" / "captions_val2017.json").write_text(text)
    with pytest.raises(DataError, match="is no file of COCO captions"):
        load_pairs(str(tmp_path))


def test_flickr8k(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.flickr8k(tmp_path)))
    assert texts(pairs)["200_b.jpg#1"] == "caption 1 of 200_b.jpg ."
    assert pairs.split("validation").ids.tolist() == ["200_b.jpg#0", "200_b.jpg#1"]
    assert any(".jpg.1" in warning for warning in pairs.warnings)
    assert len(load_pairs(str(tmp_path), first_only=True).ids) == 3


def test_flickr8k_as_captions_txt(tmp_path: Path) -> None:
    layouts.write(
        tmp_path / "captions.txt", 'image,caption\na.jpg,"A dog, running ."\na.jpg,A dog .\n'
    )
    layouts.image(tmp_path / "Images" / "a.jpg")
    assert texts(load_pairs(str(tmp_path))) == {"a.jpg#0": "A dog, running .", "a.jpg#1": "A dog ."}


def test_flickr8k_captions_of_other_images(tmp_path: Path) -> None:
    layouts.flickr8k(tmp_path)
    for name in ("100_a.jpg", "300_c.jpg"):
        (tmp_path / "Flicker8k_Dataset" / name).unlink()
    with pytest.raises(DataError, match=r"2 of the 3 images .*'100_a.jpg' and '300_c.jpg'"):
        load_pairs(str(tmp_path))


def test_flickr8k_damaged(tmp_path: Path) -> None:
    layouts.flickr8k(tmp_path)
    path = tmp_path / "Flickr8k_text" / "Flickr8k.token.txt"
    path.write_text(path.read_text() + "300_c.jpg no tab\n")
    with pytest.raises(DataError, match="line 9"):
        load_pairs(str(tmp_path))


def test_cifar10(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.cifar10(tmp_path)))
    assert pairs.ids.tolist() == [
        "test-00000", "test-00001", "train-00000", "train-00001", "train-00002", "train-00003"
    ]  # fmt: skip
    assert list(texts(pairs).values()) == ["bird", "automobile", "airplane"] + ["automobile"] * 3
    label = pairs.label("class")
    assert label.classes == ("airplane", "automobile", "bird")
    assert label.values.tolist() == [2, 1, 0, 1, 1, 1]
    second = decode(pairs.of("image").values[1])  # type: ignore[arg-type]
    assert second.shape == (32, 32, 3) and second[5, 7].tolist() == [200, 2, 2]
    assert second[3, 9].tolist() == [200, 99, 2]
    assert len(pairs.split("test").ids) == 2


def test_cifar100(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.cifar100(tmp_path)))
    assert list(texts(pairs).values()) == ["aquarium fish", "apple"] * 2
    assert pairs.label("class").values.tolist() == [1, 0, 1, 0]
    assert pairs.label("coarse").classes == ("fish", "fruit and vegetables")


class Evil:
    """Runs a command when it is unpickled by a plain unpickler."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_cannot_run_anything(tmp_path: Path) -> None:
    layouts.cifar10(tmp_path)
    mark = tmp_path / "ran"
    layouts.pickled(tmp_path / "test_batch", {b"data": Evil(mark)})
    with pytest.raises(DataError, match=r"it names .*which no batch of images does"):
        load_pairs(str(tmp_path))
    assert not mark.exists()
    pickle.loads((tmp_path / "test_batch").read_bytes())
    assert mark.exists()


def test_official_batches_name_old_numpy(tmp_path: Path) -> None:
    """The official files were pickled by Python 2, with numpy's modules of that time."""
    layouts.cifar10(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        path.write_bytes(content)
    assert len(load_pairs(str(tmp_path)).ids) == 6


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2], protocol=2)])
def test_cifar_damaged(tmp_path: Path, content: bytes) -> None:
    layouts.cifar10(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match="data_batch_2"):
        load_pairs(str(tmp_path))


def test_cifar_with_a_label_too_many(tmp_path: Path) -> None:
    layouts.cifar10(tmp_path)
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 7]}
    layouts.pickled(tmp_path / "test_batch", batch)
    with pytest.raises(DataError, match="a label is 7, but there are 3 classes"):
        load_pairs(str(tmp_path))


def test_tiny_imagenet(tmp_path: Path) -> None:
    pairs = load_pairs(str(layouts.tiny_imagenet(tmp_path)))
    assert texts(pairs)["val-val_0.JPEG"] == "goldfish, Carassius auratus"
    label = pairs.label("class")
    assert label.classes == (
        "goldfish, Carassius auratus",
        "crane (n02012849)",
        "crane (n03126707)",
    )
    assert len(pairs.split("train").ids) == 6 and len(pairs.split("validation").ids) == 3
    assert pairs.split("train").label("class").values.tolist() == [0, 0, 1, 1, 2, 2]


def test_tiny_imagenet_does_not_match(tmp_path: Path) -> None:
    layouts.tiny_imagenet(tmp_path)
    (tmp_path / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(DataError, match=r"does not match .*val_1.JPEG"):
        load_pairs(str(tmp_path))


def test_unknown_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"layout of .* is not known"):
        load_pairs(str(tmp_path))
    with pytest.raises(
        DataError, match="neither built-in pairs nor a folder 'emojy': did you mean"
    ):
        load_pairs("emojy")
