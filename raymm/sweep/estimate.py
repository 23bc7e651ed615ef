"""What a cell takes of the machine, before any like it has run: parameters, memory, checkpoints.

**Memory of a worker** (peak, bytes; d width, a = heads x head size, F feed-forward's inner width, L
blocks, P parameters; b bytes of an activation: 4 in fp32, 3 in bf16, where sums stay in fp32):

    weights, gradients, AdamW's two moments, the best epoch's weights    5 x 4 P
    each token's way through a block, kept for the backward pass         b L (5 d + 4 a + g F + 1)
        g = 2 on the CPU, which computes the gate again; 4 on a GPU
    a token's making (table: an MLP of one value; sequence: a linear)    b (5 d), or 4 w + b (4 d)
    gradients under way, at the widest point                             b (4 d + 4 a + 2 F)
    the loss: similarities of B samples for N pairs, blocks of 2^26      4 x 4 x min(N B^2, 2^26)
        with their softmax and gradients, and the embeddings             3 x 4 K B d
    after training: 256 samples or more at a time, nothing is kept       b (4 d + 4 a + 2 F)

The larger of a training step's tokens and the evaluation's counts, and the process itself is added
(on the CPU: Python, torch and Ray; on a GPU: the CUDA context). Tokens of a sample: of each modality
that is present, plus MCA's and Zorro's fusion tokens; EAO passes over each pair once more. Against
measured peaks on the CPU (tests/sweep/test_estimate.py) the formula is right to within a factor of
1.6 for all models of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from raymm.config import CellConfig, LossConfig, ModelConfig
from raymm.data.dataset import Dataset, Modality, ModalitySpec
from raymm.models.channels import fusion_channels
from raymm.training.sizes import CHECKPOINT_BYTES, EVALUATION_BATCH, GIB, KEPT, WEIGHT_BYTES

PROCESS_GIB = {"cpu": 0.42, "cpu, torch for GPUs": 0.7, "gpu": 0.6}
"""A worker's process with nothing to train: resident memory, to which a torch that is built for GPUs adds
its libraries, or what the CUDA context holds."""
PASSES_OVER_PAIRS = ("eao",)
FUSION_TOKENS = ("mca", "zorro")
NO_TOKENS = ("cbmf", "convirt")
"""To these a table's row is one vector."""
SLACK = 1.6
"""Factor by which the estimate of memory may be off."""


@dataclass(frozen=True)
class Need:
    """What a cell takes.

    Attributes:
        parameters: of the model.
        memory_gib: peak of one worker.
        least_gib: of that, what no smaller batch makes less: the process, and what goes with the
            parameters.
        training_gb: storage of a cell under training (10^9 bytes): its newest checkpoints.
        finished_gb: storage of a finished cell: its weights in half the space.
    """

    parameters: int
    memory_gib: float
    least_gib: float
    training_gb: float
    finished_gb: float


def estimate(cell: CellConfig, dataset: Dataset, workers: int, gpu: bool) -> Need:
    """The need of a cell by the formula above.

    Args:
        dataset: what it is trained on, with the modalities in use.
        workers: that share its batches.
        gpu: whether on a GPU, else on the CPU.
    """
    decides = (
        cell.model, cell.loss, cell.data.sparsity, cell.train.batch_size, cell.train.precision,
        workers, gpu,
    )  # fmt: skip
    return dataset.remembered(("need", *decides), lambda: _estimate(cell, dataset, workers, gpu))


def _estimate(cell: CellConfig, dataset: Dataset, workers: int, gpu: bool) -> Need:
    parameters = _parameters(specs(dataset), cell.model, cell.loss)
    model, embeddings, pairs = cell.model, *_embeddings(cell, dataset)
    inner, heads = int(model.width * model.feedforward_factor * 2 / 3), model.heads
    attention = heads * model.head_size
    size = 4 if cell.train.precision == "fp32" else 3
    depth = 1 if model.name in NO_TOKENS else model.depth
    block = 5 * model.width + 4 * attention + (4 if gpu else 2) * inner + 1
    made = 5 * model.width
    under_way = 4 * model.width + 4 * attention + 2 * inner
    batch = cell.train.batch_size
    tokens = tokens_per_sample(cell, dataset)
    step = tokens * batch / workers * size * (depth * block + made + under_way)
    loss = 16 * min(pairs * batch**2, 2**26) + 12 * embeddings * batch * model.width
    scored = tokens * max(batch, EVALUATION_BATCH) / workers * size * (made + under_way)
    least_gib = PROCESS_GIB[_process(gpu)] + 20 * parameters / GIB
    return Need(
        parameters=parameters,
        memory_gib=least_gib + max(step + loss, scored) / GIB,
        least_gib=least_gib,
        training_gb=KEPT * CHECKPOINT_BYTES * parameters / 1e9,
        finished_gb=WEIGHT_BYTES * parameters / 1e9,
    )


def _process(gpu: bool) -> str:
    """The kind of a worker's process, in `PROCESS_GIB`."""
    import torch  # which the parameters' count has taken its time for

    if gpu:
        return "gpu"
    for_gpus = torch.version.cuda is not None or torch.version.hip is not None
    return "cpu, torch for GPUs" if for_gpus else "cpu"


def tokens_per_sample(cell: CellConfig, dataset: Dataset) -> float:
    """Mean tokens that a sample of the masked data has in the model's stream.

    A modality is there with probability p = (share of samples that have it) x (1 - S), each for
    itself; samples with nothing left are dropped.
    """
    lengths = [_length(modality, cell.model) for modality in dataset.modalities]
    there = [
        len(modality.rows) / max(len(dataset.ids), 1) * (1 - cell.data.sparsity)
        for modality in dataset.modalities
    ]
    left = max(1 - float(np.prod([1 - p for p in there])), 1e-9)
    tokens = sum(p * length for p, length in zip(there, lengths, strict=True))
    if cell.model.name in PASSES_OVER_PAIRS:
        tokens += sum(
            there[i] * there[j] * (lengths[i] + lengths[j])
            for i, j in combinations(range(len(lengths)), 2)
        )
    if cell.model.name in FUSION_TOKENS:
        channels = fusion_channels(len(there), cell.model.channel_orders)
        any_there = [1 - np.prod([1 - there[m] for m in channel]) for channel in channels]
        whole = len(channels) * float(any_there[-1])  # Zorro has them all in one channel
        seen = float(sum(any_there)) if cell.model.name == "mca" else whole
        tokens += cell.model.fusion_tokens * seen
    return tokens / left


def specs(dataset: Dataset) -> tuple[ModalitySpec, ...]:
    """What a model must know of a data set's modalities, without a look at its values."""
    return tuple(
        ModalitySpec(
            each.name, each.kind, each.width, _longest(each), each.has_missing, raw=each.raw
        )
        for each in dataset.modalities
    )


@lru_cache(maxsize=256)
def _parameters(of: tuple[ModalitySpec, ...], model: ModelConfig, loss: LossConfig) -> int:
    """Parameters of a model, counted on one that has shapes and no values."""
    import torch  # seconds, which only a plan that needs an estimate takes

    from raymm.models.build import build_model

    with torch.device("meta"):
        built = build_model(of, model, loss)
    return sum(parameter.numel() for parameter in built.parameters())


def _embeddings(cell: CellConfig, dataset: Dataset) -> tuple[int, int]:
    """Embeddings of a sample, K, and the pairs of them that the loss compares."""
    modalities = len(dataset.modalities)
    couples = modalities * (modalities - 1) // 2
    match cell.model.name:
        case "mca":
            channels = len(fusion_channels(modalities, cell.model.channel_orders))
            return modalities + channels, couples + modalities * channels + channels - 1
        case "zorro":
            return modalities + 1, couples + modalities
        case "eao":
            embeddings = modalities + couples
            return embeddings, embeddings * (embeddings - 1) // 2
        case _:
            return modalities, 2 * couples


def _length(modality: Modality, model: ModelConfig) -> float:
    """Mean tokens of a modality in a sample that has it."""
    if modality.kind == "table":
        return 1 if model.name in NO_TOKENS else modality.width
    return len(modality.values) / max(len(modality.rows), 1)


def _longest(modality: Modality) -> int:
    return modality.width if modality.offsets is None else int(np.diff(modality.offsets).max())
