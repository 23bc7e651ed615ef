"""What the CBMF paper reports: references printed beside our numbers, and never as ours.

All in per cent. Faye et al., Context-Based Multimodal Fusion, tables II to VI. Its encoders are BERT,
RoBERTa and ViT and its models were trained on COCO Captions, so that ours, made with other encoders
and other training data, are not meant to be equal. Figures 3 and 4 are drawings without numbers; of
them only what the text says is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MARK: Final = "paper: "
"""Begins the name of every column that is the paper's."""

Columns = Mapping[str, Mapping[str, float]]
"""Model -> row -> per cent."""

PARAPHRASE_ROWS: Final = (
    "accuracy",
    "precision_dissimilar",
    "recall_dissimilar",
    "f1_dissimilar",
    "precision_similar",
    "recall_similar",
    "f1_similar",
)


def _paraphrase(*values: float) -> dict[str, float]:
    return dict(zip(PARAPHRASE_ROWS, values, strict=True))


TABLE_II: Final[Columns] = {
    "BERT": _paraphrase(40.82, 83.38, 7.86, 14.37, 38.11, 97.39, 54.78),
    "RoBERTa": _paraphrase(36.81, 0.0, 0.0, 0.0, 36.81, 100.0, 53.81),
    "CBMF": _paraphrase(54.79, 72.52, 45.80, 56.14, 43.79, 81.00, 56.89),
}
"""QQP."""

TABLE_III: Final[Columns] = {
    "BERT": _paraphrase(64.21, 29.26, 9.30, 14.11, 68.81, 89.60, 77.39),
    "RoBERTa": _paraphrase(68.38, 0.0, 0.0, 0.0, 68.38, 100.0, 81.22),
    "CBMF": _paraphrase(68.62, 50.46, 41.86, 45.76, 75.08, 81.00, 77.93),
}
"""MRPC."""


def _top(*values: float) -> dict[str, float]:
    return {f"top_{k}": value for k, value in enumerate(values, start=1)}


TABLE_IV: Final[Columns] = {
    "conVIRT": _top(62.12, 76.53, 84.26, 89.22, 92.95),
    "CBMF-add": _top(78.26, 88.69, 92.50, 94.87, 96.48),
    "CBMF-dot": _top(75.62, 87.37, 92.62, 95.26, 97.00),
}
"""Zero-shot classification of CIFAR-10."""


def _epochs(*values: float) -> dict[str, float]:
    return {f"epoch {20 * step}": value for step, value in enumerate(values, start=1)}


TABLE_V: Final[Columns] = {
    "conVIRT": _epochs(55.67, 59.22, 61.09, 62.14, 62.71),
    "CBMF-add": _epochs(64.63, 66.78, 67.93, 68.88, 69.37),
    "CBMF-dot": _epochs(62.75, 63.37, 64.57, 64.98, 65.29),
}
"""Linear classification of CIFAR-100, on its test split."""

TABLE_VI: Final[Columns] = {
    "conVIRT": _epochs(59.00, 62.71, 64.45, 65.37, 65.89),
    "CBMF-add": _epochs(64.49, 66.31, 67.60, 68.12, 68.91),
    "CBMF-dot": _epochs(64.21, 66.09, 66.70, 67.74, 68.18),
}
"""Fine-tuning on Tiny ImageNet, on the split it is validated on."""

FIGURE_3: Final = (
    "The paper's figure 3 is a drawing without numbers. Its text: BERT and RoBERTa are good at "
    "sentences of high similarity and limited at the other classes; CBMF is better there."
)
FIGURE_4: Final = (
    "The paper's figure 4 (Flickr8k, images as queries) is a drawing without numbers. Its text: "
    "CBMF-add and CBMF-dot have a higher precision than conVIRT, and CBMF-dot reaches 1.0 first."
)

PAPER_DATA: Final[Mapping[str, str]] = {
    "zero-shot": "CIFAR-10",
    "linear": "CIFAR-100",
    "fine-tune": "Tiny ImageNet",
}
"""Task -> the set that the paper evaluates it on."""


def provenance(task: str, dataset: str) -> str:
    """What the paper's figures of a task on images are of, as a sentence.

    Args:
        task: "zero-shot", "linear" or "fine-tune".
        dataset: name of the set that ours are of.
    """
    same = is_set(dataset, PAPER_DATA[task])
    tail = "" if same else ": not comparable with these"
    return (
        f"The paper's figures are of {PAPER_DATA[task]}, with ViT, trained on COCO Captions{tail}."
    )


def is_set(name: str, known: str) -> bool:
    """Whether a set's name is a known one's, however it is written: "cifar-10-batches-py"."""
    plain, wanted = ("".join(c for c in each.lower() if c.isalnum()) for each in (name, known))
    rest = plain[len(wanted) :]
    return plain.startswith(wanted) and not (wanted[-1:].isdigit() and rest[:1].isdigit())
