"""Pairs as a Parquet table, the built-in ones among them."""
# ruff: noqa: PD011  (values of items and labels, not of frames)

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raymm.data.sources import load_dataset
from raymm.data.sources.pairs import emoji_set
from raymm.data.sources.pairs.load import load_pairs
from raymm.data.sources.pairs.pictures import decode
from raymm.data.sources.pairs.table import Columns, parse_columns, read_table
from raymm.errors import ConfigError, DataError
from tests.encoders.pictures import noise, png


def test_bytes_texts_and_classes(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": ["b", "a"], "photo": [png(noise(0)), None], "caption": ["second", "first"],
         "kind": [3, 12]}
    )  # fmt: skip
    frame.to_parquet(tmp_path / "pairs.parquet")
    columns = parse_columns(["image=photo", "text=caption", "label=kind"])
    pairs = load_pairs(str(tmp_path / "pairs.parquet"), columns=columns)
    assert pairs.ids.tolist() == ["a", "b"]
    assert pairs.of("image").rows.tolist() == [1] and pairs.of("text").rows.tolist() == [0, 1]
    assert np.array_equal(decode(pairs.of("image").values[0]), noise(0))  # type: ignore[arg-type]
    assert pairs.label("kind").classes == ("3", "12")
    assert pairs.label("kind").values.tolist() == [1, 0]


def test_paths_and_lists_of_captions(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(noise(1)))
    frame = pd.DataFrame({"image": ["a.png"], "text": [["one", "two"]], "id": ["x"]})
    frame.to_parquet(tmp_path / "pairs.parquet")
    pairs = load_pairs(str(tmp_path))
    assert pairs.ids.tolist() == ["x#0", "x#1"]
    assert pairs.of("text").values == ["one", "two"]
    assert pairs.of("image").values == [tmp_path / "a.png"] * 2
    assert load_pairs(str(tmp_path), first_only=True).of("text").values == ["one"]


def test_two_texts_splits_and_scores(tmp_path: Path) -> None:
    for name, score in (("train", 4.5), ("dev", 2.0), ("test", 1.0)):
        frame = pd.DataFrame({"sentence1": [f"{name} a"], "sentence2": ["b"], "score": [score]})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    columns = Columns(image=None, text=("sentence1", "sentence2"), label="score")
    pairs = read_table(tmp_path, columns)
    assert [each.name for each in pairs.items] == ["text_a", "text_b"]
    validation = pairs.split("validation")
    assert validation.ids.tolist() == ["dev-0"] and validation.of("text_a").values == ["dev a"]
    assert (pairs.label("score").task, validation.label("score").values.tolist()) == (
        "regression",
        [2.0],
    )


def test_groups(tmp_path: Path) -> None:
    """Captions, one a row: those of one image are of one group."""
    frame = pd.DataFrame({"image_id": [7, 9, 7], "caption": ["a", "b", "c"]})
    frame.to_parquet(tmp_path / "captions.parquet")
    pairs = load_pairs(str(tmp_path), columns=parse_columns(["text=caption", "group=image_id"]))
    assert pairs.ids.tolist() == ["7#0", "7#1", "9#0"]
    assert pairs.of("text").values == ["a", "c", "b"]
    assert pairs.groups is not None and pairs.groups.tolist() == ["7", "7", "9"]


def test_ids(tmp_path: Path) -> None:
    pd.DataFrame({"id": ["a", "a"], "text": ["x", "y"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"ids more than once: 'a'.*--columns id=#"):
        load_pairs(str(tmp_path), columns=Columns(image=None))
    numbered = load_pairs(str(tmp_path), columns=parse_columns(["text=text", "id=#"]))
    assert numbered.ids.tolist() == ["0", "1"]


def test_wrong_columns(tmp_path: Path) -> None:
    pd.DataFrame({"image": [1], "captions": ["x"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no column 'caption': did you mean 'captions'"):
        load_pairs(str(tmp_path), columns=parse_columns(["text=caption"]))
    with pytest.raises(DataError, match="column 'image' is of type int64"):
        load_pairs(str(tmp_path), columns=parse_columns(["image=image"]))
    with pytest.raises(ConfigError, match="--columns txt=a: did you mean 'text'"):
        parse_columns(["txt=a"])
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read"):
        load_pairs(str(tmp_path))


def test_emoji() -> None:
    pairs = load_pairs("emoji")
    assert len(pairs.ids) == 1911
    assert len(pairs.of("image").values) == len(pairs.of("text").values) == 1911
    names = dict(zip(pairs.ids.tolist(), pairs.of("text").values, strict=True))
    assert names["1F600"] == "grinning face" and names["1F1F8-1F1EA"] == "flag: Sweden"
    assert len(pairs.label("category").classes) == 10
    tomato = decode(pairs.of("image").values[int(np.searchsorted(pairs.ids, "1F345"))])  # type: ignore[arg-type]
    assert tomato.shape == (64, 64, 3) and tomato[0, 0].tolist() == [255, 255, 255]
    red, green, blue = tomato[36, 32].tolist()
    assert red > 2 * max(green, blue)
    # Caches hang on it: a change here makes every cache of the emoji stale.
    assert pairs.fingerprint() == "6ce6368292c2c2e557a23115ff09fb25b4fdc6d24092598c1ad7e92e55279158"


def test_a_damaged_emoji_table_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "emoji"
    shutil.copytree(emoji_set.FOLDER, copy)
    monkeypatch.setattr(emoji_set, "FOLDER", copy)
    content = bytearray((copy / emoji_set.TABLE).read_bytes())
    content[5000] ^= 1
    (copy / emoji_set.TABLE).write_bytes(content)
    with pytest.raises(DataError, match="make_emoji"):
        load_pairs("emoji")


def test_emoji_have_to_be_embedded_first() -> None:
    with pytest.raises(DataError, match="raymm embed --dataset emoji"):
        load_dataset("emoji")
