"""How the numbers of a sweep over fusion operations came about, in words for its report."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import ATTENTION_OPERATIONS
from raymm.data.dataset import Dataset
from raymm.data.packed import PackedDataset
from raymm.encoders.record import RECORD, read_record
from raymm.sweep.operations import ConvirtSettings, OperationSettings
from raymm.sweep.plan import Sweep


def how(sweeps: Sequence[Sweep]) -> list[str]:
    """A sentence or more for each sweep, and one on ridge regression."""
    pooled = False
    lines = []
    for sweep in sweeps:
        settings = sweep.settings
        assert isinstance(settings, OperationSettings)
        if isinstance(settings, ConvirtSettings):
            lines.append(
                "ConVIRT trains the encoders with the projections, by plain InfoNCE; its loss is not "
                "on the scale of the soft targets' loss."
            )
        else:
            lines.append(_aligned(settings, sweep.dataset))
            pooled = not _has_tokens(sweep.dataset)
    vector = "vector" if pooled else "mean token"
    lines.append(
        f"Ridge regression maps one encoder's {vector} to the other's; its penalty, and which side is "
        "mapped, are chosen on the validation pairs."
    )
    return lines


def _aligned(settings: OperationSettings, dataset: Dataset) -> str:
    """What CBMF's operations see, and how they are trained."""
    names = encoder_names(dataset)
    who = f"{' and '.join(names)} stay frozen" if names else "The encoders stay frozen"
    attention = [each for each in settings.operations if each in ATTENTION_OPERATIONS]
    others = len(attention) < len(settings.operations)
    seen = "the mean of the tokens" if settings.pool_tokens else "each token"
    if not _has_tokens(dataset):
        view = "one vector of each is fused"
    elif attention and others:
        view = f"attention chooses among their tokens, the other operations see {seen}"
    else:
        view = "attention chooses among their tokens" if attention else f"the operations see {seen}"
    targets = "soft targets (eq. 5)" if settings.soft_targets else "plain InfoNCE"
    return f"{who}; {view}. Trained with {targets}; the epoch is chosen on the validation loss."


def _has_tokens(dataset: Dataset) -> bool:
    return any(modality.kind == "sequence" for modality in dataset.modalities)


def encoder_names(dataset: Dataset) -> list[str]:
    """The encoders that made a data set, in the modalities' order; none where it does not say so."""
    record = dataset.folder / RECORD if isinstance(dataset, PackedDataset) else None
    if record is None or not record.is_file():
        return []
    said = read_record(record.read_text(encoding="utf-8"), str(record.parent))
    sources = {outcome.source.modality: outcome.source.encoder for outcome in said.modalities}
    return [sources[each.name] for each in dataset.modalities if each.name in sources]
