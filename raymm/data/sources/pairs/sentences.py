"""Sentence pairs: QQP, MRPC and STS-B, as GLUE's TSV files and as their makers' own files.

    QQP    train.tsv, dev.tsv, test.tsv                          quora_duplicate_questions.tsv
    MRPC   train.tsv, dev.tsv, test.tsv                          msr_paraphrase_{train,test}.txt
    STS-B  train.tsv, dev.tsv, test.tsv                          sts-{train,dev,test}.csv

GLUE's files tell themselves apart by their first line. GLUE's test files have no labels, so their
samples are unlabelled. The label is 'duplicate' (QQP), 'paraphrase' (MRPC) or 'score' (0 to 5).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raymm.data.dataset import Label
from raymm.data.problems import some
from raymm.data.sources.pairs.build import Column, build, classes, scores, text_names
from raymm.data.sources.pairs.files import read_text
from raymm.data.sources.pairs.pairs import Pairs
from raymm.errors import DataError

HIGHEST = 5.0
"""Score of two sentences that say the same."""
MOST_DAMAGED = 0.01
"""Share of a file's lines that may lack a column; more is an error."""


@dataclass(frozen=True)
class Layout:
    """One file layout.

    Attributes:
        task: name of the set.
        first, second: columns of the two texts.
        label: column of the label; a file without it is unlabelled.
        header: names of the columns where the file has no first line of names.
        quoted: whether fields may be quoted (Quora's), or a quote is a letter like others.
        numeric: whether the label is a score.
    """

    task: str
    first: str
    second: str
    label: str
    header: tuple[str, ...] = ()
    quoted: bool = False
    numeric: bool = False


QQP = Layout("qqp", "question1", "question2", "is_duplicate")
QQP_OWN = Layout("qqp", "question1", "question2", "is_duplicate", quoted=True)
MRPC = Layout("mrpc", "#1 String", "#2 String", "Quality")
STSB = Layout("stsb", "sentence1", "sentence2", "score", numeric=True)
STSB_OWN = Layout(
    "stsb", "sentence1", "sentence2", "score",
    header=("genre", "filename", "year", "number", "score", "sentence1", "sentence2"),
    numeric=True,
)  # fmt: skip
GLUE = (QQP, MRPC, STSB)
FILES = {
    "train.tsv": "train", "dev.tsv": "validation", "test.tsv": "test",
    "quora_duplicate_questions.tsv": "",
    "msr_paraphrase_train.txt": "train", "msr_paraphrase_test.txt": "test",
    "sts-train.csv": "train", "sts-dev.csv": "validation", "sts-test.csv": "test",
}  # fmt: skip
OWN = {"quora": QQP_OWN, "msr": MRPC, "sts": STSB_OWN}
LABELS = {"qqp": "duplicate", "mrpc": "paraphrase", "stsb": "score"}


def is_sentences(folder: Path) -> bool:
    """Whether a folder has the layout of QQP, MRPC or STS-B."""
    return any((folder / name).is_file() for name in FILES)


def read_sentences(folder: Path) -> Pairs:
    """Read the files that are there.

    Raises:
        DataError: a file is damaged, is of none of the layouts, or they are of several sets.
    """
    there = [(folder / name, split) for name, split in FILES.items() if (folder / name).is_file()]
    # GLUE's MRPC folder holds the makers' files too: what GLUE made of them is what counts.
    if any(path.suffix == ".tsv" and split for path, split in there):
        there = [(path, split) for path, split in there if path.name in list(FILES)[:3]]
    rows: list[tuple[str, str, str, str | None, str]] = []
    tasks: dict[str, Path] = {}
    warnings: list[str] = []
    for path, split in there:
        layout = _layout(path)
        tasks[layout.task] = path
        found = list(_rows(path, layout, warnings))
        rows += [(f"{split or 'all'}-{n:06d}", *texts, split) for n, texts in found]
    if len(tasks) != 1:
        raise DataError(
            f"{folder} holds files of several sets: {some(list(tasks))}. Put each into a folder of "
            "its own."
        )
    (task,) = tasks
    names = text_names(2)
    splits = [row[4] for row in rows]
    return build(
        folder.name,
        [row[0] for row in rows],
        {names[0]: Column("text", [row[1] for row in rows]),
         names[1]: Column("text", [row[2] for row in rows])},
        labels=[_label(task, [row[3] for row in rows], folder)],
        splits=splits if any(splits) else None,
        warnings=warnings,
    )  # fmt: skip


def _layout(path: Path) -> Layout:
    start = path.name.replace("_", "-").split("-")[0]
    if start in OWN:
        return OWN[start]
    columns = read_text(path).split("\n", 1)[0].rstrip("\r").split("\t")
    for layout in GLUE:
        if {layout.first, layout.second} <= set(columns):
            return layout
    raise DataError(
        f"{path} is of no known set: its columns are {some(columns)}. GLUE's files of QQP, MRPC and "
        "STS-B have their names in the first line."
    )


def _rows(
    path: Path, layout: Layout, warnings: list[str]
) -> Iterator[tuple[int, tuple[str, str, str | None]]]:
    """Number, texts and label of each line that is whole."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE
    text = io.StringIO(read_text(path), newline="")
    reader = csv.DictReader(text, layout.header or None, delimiter="\t", quoting=quoting)
    damaged, count = [], 0
    for count, row in _lines(reader, path):
        first, second = row.get(layout.first), row.get(layout.second)
        label = row.get(layout.label)
        labelled = layout.label in (reader.fieldnames or ())
        if not first or not second or (labelled and not label):
            damaged.append(count)
            continue
        yield count - 1, (first.strip(), second.strip(), label)
    if len(damaged) > MOST_DAMAGED * count:
        raise DataError(
            f"{path}: {len(damaged):,} of {count:,} lines lack a text or a label (numbers "
            f"{some(damaged)}). Download it again."
        )
    if damaged:
        warnings.append(f"{path}: {len(damaged):,} damaged lines are left out: {some(damaged)}.")


def _lines(reader: csv.DictReader[str], path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Number and fields of each line."""
    try:
        for number, row in enumerate(reader, start=1):
            yield number, dict(row)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}. Download it again.") from error


def _label(task: str, values: Sequence[str | None], folder: Path) -> Label:
    try:
        if task == "stsb":
            return scores(LABELS[task], [None if v is None else _score(v) for v in values])
        return classes(
            LABELS[task], [None if v is None else str(int(v)) for v in values], ["0", "1"]
        )
    except (ValueError, KeyError) as error:
        raise DataError(
            f"{folder}: a label of {task} is {error}. Download the set again."
        ) from error


def _score(text: str) -> float:
    score = float(text)
    if not 0 <= score <= HIGHEST:
        raise ValueError(f"{text}, not between 0 and {HIGHEST:g}")
    return score
