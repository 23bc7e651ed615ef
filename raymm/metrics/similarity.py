"""How well the cosine of two texts' embeddings tells whether they mean the same (CBMF, section IV B).

Shapes: n pairs, d components, T tolerances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import precision_recall_fscore_support

from raymm.errors import DataError, TrainingError
from raymm.metrics.arrays import as_tensor
from raymm.metrics.geometry import unit

Floats = NDArray[np.float64]
DISSIMILAR, SIMILAR = 0, 1
TOLERANCES: Final[Floats] = np.linspace(0.1, 1.0, 100)
"""Of figure 3: 100 from 0.1 to 1."""
HIGHEST_SCORE = 5.0
SIMILARITY_CLASSES = ("0-1", "1-2", "2-3", "3-4", "4-5")
"""STS-B's scores of each class; a score on a border belongs to the class above, 5 to the last."""


def cosines(x: NDArray[np.floating], y: NDArray[np.floating]) -> Floats:
    """Cosine of each pair of rows of (n, d) and (n, d): (n,), in [-1, 1]; 0 where a row is zero.

    Raises:
        TrainingError: an embedding is not finite.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise TrainingError(
            "Some embeddings of the pairs are not finite, so they have no similarity. Lower the "
            "learning rate the model is trained with, or train it in fp32."
        )
    one, two = unit(as_tensor(x)), unit(as_tensor(y))
    found: Floats = (one * two).sum(dim=1).clamp(-1, 1).numpy()
    return found


def choose_threshold(similarities: Floats, labels: NDArray[np.int64]) -> float:
    """The threshold with the highest accuracy on validation pairs, of which those at or above it
    count as similar.

    Tried are the points half way between neighbouring similarities, and one below all of them (all
    pairs are similar) and one above. Of those with the same accuracy the middle one is taken.

    Args:
        similarities: (n,) of the validation pairs.
        labels: (n,) 0 dissimilar, 1 similar.

    Raises:
        DataError: there is no pair.
    """
    if not len(labels):
        raise DataError("There is no validation pair to choose the threshold of similarity on.")
    order = np.argsort(similarities, kind="stable")
    values, sorted_labels = similarities[order], labels[order]
    # The first k in order count as dissimilar: right are the dissimilar among them, and the similar
    # among the others.
    dissimilar_before = np.concatenate([[0], np.cumsum(sorted_labels == DISSIMILAR)])
    similar_before = np.concatenate([[0], np.cumsum(sorted_labels == SIMILAR)])
    right = dissimilar_before + similar_before[-1] - similar_before
    possible = np.concatenate([[True], np.diff(values) > 0, [True]])
    best = np.flatnonzero(possible & (right == right[possible].max()))
    cut = int(best[len(best) // 2])
    if cut == 0:
        return float(values[0]) - 1e-6
    if cut == len(values):
        return float(values[-1]) + 1e-6
    return float((values[cut - 1] + values[cut]) / 2)


def paraphrase_metrics(
    similarities: Floats, labels: NDArray[np.int64], threshold: float
) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 of each of the two classes (CBMF, tables II and III).

    Args:
        similarities: (n,) of the test pairs.
        labels: (n,) 0 dissimilar, 1 similar.
        threshold: pairs at or above it are taken for similar; chosen on other pairs.

    Returns:
        "paraphrase/accuracy", "paraphrase/threshold", "paraphrase/pairs", and
        "paraphrase/precision_similar" (also recall_, f1_; also _dissimilar). A precision of a class
        that is never said is 0, as in the paper.
    """
    said = (similarities >= threshold).astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, said, labels=[DISSIMILAR, SIMILAR], zero_division=0.0
    )
    metrics = {
        "paraphrase/accuracy": float((said == labels).mean()),
        "paraphrase/threshold": threshold,
        "paraphrase/pairs": float(len(labels)),
    }
    for code, name in ((DISSIMILAR, "dissimilar"), (SIMILAR, "similar")):
        metrics[f"paraphrase/precision_{name}"] = float(precision[code])
        metrics[f"paraphrase/recall_{name}"] = float(recall[code])
        metrics[f"paraphrase/f1_{name}"] = float(f1[code])
    return metrics


@dataclass(frozen=True)
class ToleranceCurve:
    """Accuracy of similarities at each tolerance (CBMF, figure 3).

    Attributes:
        tolerances: (T,).
        accuracy: (5, T) for each similarity class; nan where the class has no pair.
        pairs: (5,) how many pairs each class has.
    """

    tolerances: Floats
    accuracy: Floats
    pairs: NDArray[np.int64]


def similarity_class(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Class of STS-B scores (n,) in [0, 5]: 0 to 4."""
    last = len(SIMILARITY_CLASSES) - 1
    codes: NDArray[np.int64] = np.minimum(np.floor(scores).astype(np.int64), last)
    return codes


def tolerance_curve(
    similarities: Floats, scores: NDArray[np.floating], tolerances: Floats = TOLERANCES
) -> ToleranceCurve:
    """Share of the pairs whose similarity is less than a tolerance away from the true one.

    Both in [0, 1]: the cosine, clipped, against the score / 5.

    Args:
        similarities: (n,) cosines.
        scores: (n,) in [0, 5].
        tolerances: (T,).
    """
    error = np.abs(np.clip(similarities, 0, 1) - scores / HIGHEST_SCORE)
    codes = similarity_class(scores)
    within = error[:, None] < tolerances
    count = len(SIMILARITY_CLASSES)
    accuracy = np.full((count, len(tolerances)), np.nan)
    pairs = np.bincount(codes, minlength=count).astype(np.int64)
    for code in np.flatnonzero(pairs):
        accuracy[code] = within[codes == code].mean(axis=0)
    return ToleranceCurve(tolerances, accuracy, pairs)


def similarity_metrics(similarities: Floats, scores: NDArray[np.floating]) -> dict[str, float]:
    """Numbers beside the curve: correlations, and the curve's mean over tolerances.

    Returns:
        "similarity/spearman", "similarity/pearson" (nan if either side is constant),
        "similarity/pairs", and "similarity/within_mean_0-1" (and the other classes; "_all"): the
        mean accuracy over the tolerances, higher is better.
    """
    metrics = {"similarity/pairs": float(len(scores))}
    constant = min(np.ptp(similarities), np.ptp(scores)) == 0 if len(scores) > 1 else True
    metrics["similarity/spearman"] = (
        math.nan if constant else float(spearmanr(similarities, scores).statistic)
    )
    metrics["similarity/pearson"] = (
        math.nan if constant else float(pearsonr(similarities, scores).statistic)
    )
    curve = tolerance_curve(similarities, scores)
    for name, accuracy in zip(SIMILARITY_CLASSES, curve.accuracy, strict=True):
        metrics[f"similarity/within_mean_{name}"] = float(accuracy.mean())
    shares = curve.pairs / max(int(curve.pairs.sum()), 1)
    metrics["similarity/within_mean_all"] = float(
        (np.nan_to_num(curve.accuracy).mean(axis=1) * shares).sum()
    )
    return metrics
