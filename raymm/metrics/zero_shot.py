"""Zero-shot classification: which class's text comes nearest to an image (CBMF, table IV).

Shapes: n images, C classes, P prompts of a class, d components.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor
from torch.nn.functional import normalize

from raymm.metrics.geometry import unit
from raymm.metrics.retrieval import ranks, recall_at

TOP: Final = (1, 2, 3, 4, 5)


def class_vectors(prompts: Tensor) -> Tensor:
    """One vector a class: the mean of its prompts' normalised embeddings, normalised.

    As CLIP joins prompts (Radford et al., 2021, 3.1.4); with one prompt it is that prompt's.

    Args:
        prompts: (C, P, d) embeddings.

    Returns:
        (C, d) float64, of length 1.
    """
    each = unit(prompts.flatten(0, 1)).view(prompts.shape)
    return normalize(each.mean(dim=1), dim=1)


def top_accuracies(images: Tensor, classes: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of the images whose class is among the first k by cosine.

    A softmax over the cosines, as in the paper, does not change their order. Classes that tie share
    their mean rank, so a model that embeds everything alike stands at chance.

    Args:
        images: (n, d) embeddings.
        classes: (C, d) a vector for each class.
        labels: (n,) int64 class of each image.

    Returns:
        "zero_shot/top_1" to "zero_shot/top_5" (those below C), "zero_shot/images" and
        "zero_shot/classes".
    """
    positions = ranks(images, classes, labels)
    top = {f"zero_shot/top_{k}": recall_at(positions, k) for k in TOP if k < len(classes)}
    counts = {"zero_shot/images": float(len(images)), "zero_shot/classes": float(len(classes))}
    return top | counts
