"""Tiny files in each official layout."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.encoders.pictures import noise, png


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(noise(seed, 8, 8)))


def coco(folder: Path, parts: Sequence[str] = ("train2017", "val2017")) -> Path:
    """Two images with two captions in each part; ids are in no order, as in the original."""
    for number, part in enumerate(parts):
        ids = [10 * number + 9, 10 * number + 4]
        images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 8, "width": 8} for i in ids]
        captions = [
            {
                "id": 100 * number + 5 - place,
                "image_id": ids[place % 2],
                "caption": f"{part} {place} ",
            }
            for place in range(4)
        ]
        for each in images:
            image(folder / part / str(each["file_name"]), int(str(each["id"])))
        said = {"images": images, "annotations": captions, "info": {}, "licenses": []}
        write(folder / "annotations" / f"captions_{part}.json", json.dumps(said))
    return folder


def flickr8k(folder: Path) -> Path:
    """Three images with two captions, and the one of the official list that is in no folder."""
    names = ["100_a.jpg", "200_b.jpg", "300_c.jpg"]
    lines = [f"{name}#{n}\tcaption {n} of {name} ." for name in [*names, "2258277193_586949ec62.jpg.1"]
             for n in range(2)]  # fmt: skip
    write(folder / "Flickr8k_text" / "Flickr8k.token.txt", "\n".join(lines) + "\n")
    for split, name in (("train", names[0]), ("dev", names[1]), ("test", names[2])):
        write(folder / "Flickr8k_text" / f"Flickr_8k.{split}Images.txt", f"{name}\n")
    for seed, name in enumerate(names):
        image(folder / "Flicker8k_Dataset" / name, seed)
    return folder


def pickled(path: Path, content: Mapping[bytes, Any]) -> None:
    """As the official files: protocol 2, keys of bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(dict(content), protocol=2))


def cifar10(folder: Path) -> Path:
    """Two images in two of the training batches and in the test batch."""
    names = [b"airplane", b"automobile", b"bird"]
    pickled(folder / "batches.meta", {b"label_names": names, b"num_cases_per_batch": 2})
    for number, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        data = np.full((2, 3072), number, dtype=np.uint8)
        data[1, :1024] = 200  # the second image's red
        data[1, 1024 + 3 * 32 + 9] = 99  # and a green of row 3, column 9
        batch = {b"data": data, b"labels": [number, 1], b"filenames": [b"a.png", b"b.png"],
                 b"batch_label": b"one"}  # fmt: skip
        pickled(folder / name, batch)
    return folder


def cifar100(folder: Path) -> Path:
    """Two images each for training and test, with fine and coarse labels."""
    meta = {b"fine_label_names": [b"apple", b"aquarium_fish"],
            b"coarse_label_names": [b"fish", b"fruit_and_vegetables"]}  # fmt: skip
    pickled(folder / "meta", meta)
    for name in ("train", "test"):
        batch = {b"data": np.zeros((2, 3072), dtype=np.uint8), b"fine_labels": [1, 0],
                 b"coarse_labels": [0, 1], b"filenames": [b"x.png", b"y.png"]}  # fmt: skip
        pickled(folder / name, batch)
    return folder


def tiny_imagenet(folder: Path) -> Path:
    """Three classes, two of one name, with two training images and one of validation each."""
    wnids = {"n01443537": "goldfish, Carassius auratus", "n02012849": "crane", "n03126707": "crane"}
    write(folder / "wnids.txt", "\n".join(wnids) + "\n")
    words = {**wnids, "n00000001": "never used"}
    write(folder / "words.txt", "".join(f"{wnid}\t{text}\n" for wnid, text in words.items()))
    marked = ""
    for place, wnid in enumerate(wnids):
        for number in range(2):
            image(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", number)
        image(folder / "val" / "images" / f"val_{place}.JPEG", place)
        marked += f"val_{place}.JPEG\t{wnid}\t0\t32\t44\t62\n"
    write(folder / "val" / "val_annotations.txt", marked)
    return folder


GLUE_QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
GLUE_MRPC = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
GLUE_STSB = (
    "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
)


def glue_qqp(folder: Path) -> Path:
    write(
        folder / "train.tsv",
        GLUE_QQP + '0\t1\t2\tWhat is "it"?\tWhat"s it?\t1\n1\t3\t4\tA?\tB?\t0\n',
    )
    write(folder / "dev.tsv", GLUE_QQP + "5\t1\t2\tC?\tD?\t0\n")
    write(folder / "test.tsv", "id\tquestion1\tquestion2\n0\tE?\tF?\n")
    return folder


def quora(folder: Path) -> Path:
    """Quora's own file quotes fields, which may hold line breaks."""
    row = '"0"\t"1"\t"2"\t"What\nis ""it""?"\t"What is that?"\t"1"\n'
    write(folder / "quora_duplicate_questions.tsv", GLUE_QQP + row)
    return folder


def glue_mrpc(folder: Path) -> Path:
    write(folder / "train.tsv", GLUE_MRPC + '1\t7\t8\t"He said so\tHe did say so\n0\t1\t2\tA\tB\n')
    write(folder / "dev.tsv", GLUE_MRPC + "0\t5\t6\tC\tD\n")
    write(folder / "test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tE\tF\n")
    write(folder / "msr_paraphrase_train.txt", GLUE_MRPC + "1\t7\t8\tthe makers' own\tfile\n")
    return folder


def msr(folder: Path) -> Path:
    write(folder / "msr_paraphrase_train.txt", GLUE_MRPC + "1\t7\t8\tA\tB\n")
    write(folder / "msr_paraphrase_test.txt", GLUE_MRPC + "0\t5\t6\tC\tD\n")
    return folder


def glue_stsb(folder: Path) -> Path:
    row = "0\tmain-captions\tMSRvid\t2012test\t1\tnone\tnone\tA plane.\tAn air plane.\t{score}\n"
    write(folder / "train.tsv", GLUE_STSB + row.format(score="5.000"))
    write(folder / "dev.tsv", GLUE_STSB + row.format(score="2.5"))
    head = GLUE_STSB.replace("\tscore", "")
    write(folder / "test.tsv", head + row.replace("\t{score}", ""))
    return folder


def sts(folder: Path) -> Path:
    """The benchmark's own files have no line of names, and two columns more in some lines."""
    row = 'main-captions\tMSRvid\t2012test\t0001\t{score}\tA plane.\tAn air "plane".'
    write(
        folder / "sts-train.csv", row.format(score="5.000") + "\n" + row.format(score="0.2") + "\n"
    )
    write(folder / "sts-dev.csv", row.format(score="3") + "\tlicence\tanother\n")
    write(folder / "sts-test.csv", row.format(score="1.25") + "\n")
    return folder
