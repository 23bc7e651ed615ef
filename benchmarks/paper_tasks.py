"""The CBMF paper's tasks on small real data: `python -m benchmarks.paper_tasks --data DIR`.

Images and names: trained on Tiny ImageNet (a class's first name is the caption), zero-shot and linear
classification of CIFAR-10, fine-tuned on Tiny ImageNet. Texts: trained on pairs of captions of COCO and
Flickr8k, evaluated on STS-B and MRPC. CBMF with an element-wise operation, CBMF with attention, the
encoders alone.

Encoders run once, as tokens; the element-wise operation sees their means. Every step leaves what it
found in --work and is not done again: the same command goes on. DIR holds these tables:

    tiny_imagenet/{train,val}*.parquet, cifar10/{train,test}*.parquet     label_name, image
    coco_val2017_captions/*.parquet                                       image_id, caption
    flickr8k_captions/*.parquet                                           image, caption
    stsb/{train,dev,test}.parquet                                         sentence1, sentence2, score
    mrpc/{train,val,test}.parquet                                         sentence1, sentence2, label
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from rich.console import Console

from benchmarks import paper_tasks_data as source
from benchmarks.paper_tasks_report import Step, from_json, to_json, write
from raymm.cli_evaluate import shown
from raymm.config import (
    ATTENTION_OPERATIONS,
    CellConfig,
    DataConfig,
    FusionOperation,
    ModelConfig,
    TrainConfig,
)
from raymm.data.packed import PackedDataset
from raymm.data.sources.pairs.pairs import Pairs
from raymm.tasks.classifier import ClassifierSettings
from raymm.tasks.model import TaskModel, Track
from raymm.tasks.names import TaskName
from raymm.tasks.result import print_result
from raymm.tasks.run import TaskOptions, open_model, run_task
from raymm.training.loop import train_cell

IMAGE_OPERATIONS: tuple[FusionOperation, ...] = ("add", "dot_attention")
TEXT_OPERATIONS: tuple[FusionOperation, ...] = ("add", "additive_attention")
"""Those of the paper's experiments: with images (IV C); with texts additive attention (IV B)."""
OPTIONS = TaskOptions(classifier=ClassifierSettings())
WIDTH = 256
TRAIN = TrainConfig(
    epochs=30, patience=3, batch_size=256, learning_rate=1e-3, warmup_steps=50, weight_decay=0.01
)
"""At most 30 epochs where the paper has 500: the validation loss is lowest after fewer."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the data are and where results go."""

    data: str
    """Folder of the tables."""
    work: str = "paper-tasks"
    """Folder for embeddings, models and what each step has found."""
    out: str = "results/cbmf-reference"
    """Folder for report and tables."""
    captions: int = 5
    """Captions of each photo, the first; 5 is all."""
    parts: tuple[str, ...] = ("images", "texts")
    """Which of the two experiments to do."""
    cifar_images: int = 10_000
    """Images of each split of CIFAR-10, the first by number (they are in no order); 10,000 is all."""
    fine_tune_per_class: int = 50
    """Images of each class of Tiny ImageNet's train split that are fine-tuned on."""


def main() -> int:
    """Do what is left to do, and write the report."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.paper_tasks")
    console, steps = Console(), []
    parts = {"images": images, "texts": texts}
    for part in settings.parts:
        steps += list(parts[part](settings, console))
    command = shlex.join(["python", "-m", "benchmarks.paper_tasks", *sys.argv[1:]])
    write(Path(settings.out), steps, command)
    console.print(f"report  {settings.out}/report.md", soft_wrap=True)
    return 0


def images(settings: Settings, console: Console) -> Iterator[Step]:
    """Tiny ImageNet's names; then CIFAR-10, and Tiny ImageNet's images."""
    data, work = Path(settings.data), Path(settings.work)
    tiny = source.classified_images(data / "tiny_imagenet", "id")
    cifar = source.first_of_each_split(
        source.classified_images(data / "cifar10", "#"), settings.cifar_images
    )
    part = source.labelled_in_part(tiny, settings.fine_tune_per_class)
    tasks: dict[TaskName, Pairs] = {"zero-shot": cifar, "linear": cifar, "fine-tune": part}
    for operation in IMAGE_OPERATIONS:
        model = Trained(operation, work / f"images-{operation}", work)
        for task, pairs in tasks.items():
            make = partial(source.image_training_set, tiny, work)
            yield step(f"images {operation} {task}", model, make, task, pairs, console)


def texts(settings: Settings, console: Console) -> Iterator[Step]:
    """Pairs of captions; then STS-B and MRPC."""
    data, work = Path(settings.data), Path(settings.work)
    sets = {data / "coco_val2017_captions": "image_id", data / "flickr8k_captions": "image"}
    captions = source.captions(sets, settings.captions)
    tasks: dict[TaskName, Pairs] = {
        "similarity": source.sentences(data / "stsb", "score"),
        "paraphrase": source.sentences(data / "mrpc", "label"),
    }
    for operation in TEXT_OPERATIONS:
        model = Trained(operation, work / f"texts-{operation}", work)
        for task, pairs in tasks.items():
            make = partial(source.text_training_set, captions, work)
            yield step(f"texts {operation} {task}", model, make, task, pairs, console)


@dataclass(frozen=True)
class Trained:
    """A model to be trained once: its fusion operation, its folder, and that of all steps."""

    operation: FusionOperation
    folder: Path
    work: Path

    def open(self, make: Callable[[Track], PackedDataset]) -> TaskModel:
        """The model, trained if it is not yet."""
        if not (self.folder / "result.json").exists():
            dataset = make(shown)
            cell = CellConfig(
                data=DataConfig(
                    dataset=dataset.address,
                    modalities=tuple(each.name for each in dataset.modalities),
                    validation_fraction=0.05,
                    test_fraction=0.05,
                ),
                model=ModelConfig(
                    name="cbmf",
                    width=WIDTH,
                    fusion_operation=self.operation,
                    pool_tokens=self.operation not in ATTENTION_OPERATIONS,
                ),
                train=TRAIN,
            )
            with shown(f"training {self.folder.name}", TRAIN.epochs) as advance:
                train_cell(
                    cell,
                    dataset,
                    storage=str(self.folder),
                    device=torch.device("cpu"),
                    on_epoch=lambda report: advance(1) is None,
                )
        return open_model(str(self.folder), cache=str(self.work / "embeddings"), track=shown)


def step(
    name: str,
    model: Trained,
    make: Callable[[Track], PackedDataset],
    task: TaskName,
    pairs: Pairs,
    console: Console,
) -> Step:
    """Evaluate a model on a task, or say again what it found before."""
    file = model.work / "done" / f"{name.replace(' ', '-')}.json"
    if not file.exists():
        console.print(f"[bold]{name}[/bold]")
        started = time.perf_counter()
        result = run_task(task, model.open(make), pairs, OPTIONS)
        print_result(result, console)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".partial")
        aside.write_text(to_json(result, time.perf_counter() - started))
        aside.replace(file)
    return from_json(name, file.read_text())


if __name__ == "__main__":
    sys.exit(main())
