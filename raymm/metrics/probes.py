"""Linear probes: how much of a label a linear model reads off the fusion embeddings (SMDF 5.3).

Shapes: n samples of a split, d components, C classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from raymm.data.dataset import Task
from raymm.errors import DataError, TrainingError
from raymm.metrics.least_absolute import Floats, fit_least_absolute, predict

Codes = NDArray[np.int64]
Labels = NDArray[np.int64] | NDArray[np.floating]
Split = tuple[NDArray[np.floating], Labels]
"""Fusion embeddings (n, d) of a split, and its labels (n,): class codes, or targets."""

PENALTIES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
"""L2 penalties p in `mean loss + p / 2 |w|^2`, strongest first: each fit starts at the last."""
ITERATIONS = (1_000, 10_000)
"""Iterations of a logistic regression tried, each from where the last stood, before giving up."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe's metrics on a split, and what it says of each of its samples.

    Attributes:
        metrics: under their stable names.
        said: (n, C) log-probabilities, -inf for a class that the train split lacks; (n,)
            predictions for regression. nan where a sample has no label.
        loss: (n,) the terms whose mean is "probe/loss"; nan where a sample has none.
    """

    metrics: dict[str, float]
    said: Floats
    loss: Floats


def probe_metrics(
    task: Task, classes_count: int, train: Split, validation: Split, test: Split
) -> dict[str, float]:
    """The metrics of `fit_probe`."""
    return fit_probe(task, classes_count, train, validation, test).metrics


def fit_probe(
    task: Task, classes_count: int, train: Split, validation: Split, test: Split
) -> Probe:
    """`fit_probes`, scored on one split."""
    return fit_probes(task, classes_count, train, validation, {"test": test})["test"]


def fit_probes(
    task: Task,
    classes_count: int,
    train: Split,
    validation: Split,
    scored: Mapping[str, Split],
) -> dict[str, Probe]:
    """Fit a linear probe on the train split, once, and score it on others: the test split, say.

    Embeddings are standardised with the train split's statistics. The L2 penalty is the one of
    `PENALTIES` with the lowest validation loss. Unlabelled samples (-1, NaN) are left out.

    Classification fits a multinomial logistic regression. A class that the train split has no
    labelled sample of cannot be learnt by any probe: in a split that is scored its samples count as
    wrong in the accuracy, its average precision is that of constant scores, and it stays out of the
    cross-entropy, which would be infinite. Regression fits the L1 loss.

    Args:
        task: "classification" or "regression".
        classes_count: C, for classification; codes are 0..C-1.
        train: embeddings and labels the probe is fitted on.
        validation: those that choose the penalty.
        scored: those that are scored, by the names of their splits; "validation" may be among them.

    Returns:
        For each of `scored`, with these metrics. Classification: "probe/loss" (cross-entropy,
        nats), "probe/auprc" (average precision, mean over the classes present in the split),
        "probe/accuracy". Regression: "probe/loss" (mean absolute error in the label's unit),
        "probe/pearson" (nan if either side is constant).

    Raises:
        DataError: a split has no labelled sample to use, or the train split has a single class.
        TrainingError: the embeddings are not finite, or a fit does not converge.
    """
    splits = [("train", train), ("validation", validation), *scored.items()]
    labelled = [_labelled(split, name) for name, split in splits]
    features = _standardised(*(x for x, _ in labelled))
    labels = [y for _, y in labelled]
    if task == "classification":
        codes = [label.astype(np.int64) for label in labels]
        probes = _classification(classes_count, features, codes)
    else:
        probes = _regression(features, [label.astype(np.float64) for label in labels])
    found: dict[str, Probe] = {}
    for (name, (_, all_labels)), probe in zip(scored.items(), probes, strict=True):
        known = _known(all_labels)
        found[name] = Probe(probe.metrics, _spread(probe.said, known), _spread(probe.loss, known))
    return found


def _known(labels: Labels) -> NDArray[np.bool_]:
    """Which samples have a label."""
    known: NDArray[np.bool_]
    known = labels >= 0 if np.issubdtype(labels.dtype, np.integer) else ~np.isnan(labels)
    return known


def _spread(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Values of the samples that have a label, put at their places among all."""
    full = np.full((len(known), *values.shape[1:]), math.nan)
    full[known] = values
    return full


def _labelled(split: Split, name: str) -> tuple[Floats, Labels]:
    x, y = split
    if not np.isfinite(x).all():
        raise TrainingError(
            f"Fusion embeddings of the {name} split are not finite, so no probe can be fitted. "
            "Lower the learning rate, or train in fp32."
        )
    known = _known(y)
    if not known.any():
        raise DataError(
            f"None of the {len(y)} samples of the {name} split has a label, so the probe cannot be "
            "fitted and scored. Label more samples, enlarge the split, or lower the sparsity."
        )
    return x[known].astype(np.float64), y[known]


def _standardised(train: Floats, *others: Floats) -> list[Floats]:
    mean, spread = train.mean(axis=0), train.std(axis=0)
    # A component that varies only by float32's rounding is constant: scaled up, it would be noise.
    constant = spread <= np.finfo(np.float32).eps * np.abs(mean)
    scale = np.where(constant, 1.0, spread)
    return [np.where(constant, 0.0, (x - mean) / scale) for x in (train, *others)]


def _classification(count: int, x: list[Floats], y: list[Codes]) -> list[Probe]:
    """A probe for each split after the first two, which fit it and choose its penalty."""
    seen = np.unique(y[0])
    if len(seen) < 2:
        raise DataError(
            f"The train split's labelled samples are all of class {seen[0]}, so there is nothing "
            "for the probe to tell apart. Use another label, more data, or a lower sparsity."
        )
    if not all(np.isin(codes, seen).any() for codes in y[1:]):
        raise DataError(
            "No class of the train split appears in both validation and test split, so the probe "
            "cannot be chosen and scored. Enlarge the splits or use a label with fewer classes."
        )
    model = LogisticRegression(warm_start=True, tol=1e-5)
    best_loss, best = math.inf, list[Floats]()
    for penalty in PENALTIES:
        _fit_logistic(model, x[0], y[0], penalty)
        validation_loss = _mean(
            _cross_entropies(_log_probabilities(model, x[1], count), y[1], seen)
        )
        if validation_loss < best_loss:
            best_loss = validation_loss
            best = [_log_probabilities(model, each, count) for each in x[2:]]
    return [_classified(said, codes, seen) for said, codes in zip(best, y[2:], strict=True)]


def _classified(said: Floats, codes: Codes, seen: Codes) -> Probe:
    """Scores of log-probabilities (n, C)."""
    present = np.unique(codes)
    precisions = [average_precision_score(codes == code, np.exp(said[:, code])) for code in present]
    losses = _cross_entropies(said, codes, seen)
    metrics = {
        "probe/loss": _mean(losses),
        "probe/auprc": float(np.mean(precisions)),
        "probe/accuracy": float((said.argmax(axis=1) == codes).mean()),
    }
    return Probe(metrics, said, losses)


def _fit_logistic(model: LogisticRegression, x: Floats, y: Codes, penalty: float) -> None:
    problem = ""
    for iterations in ITERATIONS:
        model.set_params(C=1 / (penalty * len(y)), max_iter=iterations)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(x, y)
        problem = "; ".join(str(warning.message) for warning in caught)
        if not problem:
            return
    raise TrainingError(
        f"The classification probe did not converge in {sum(ITERATIONS):,} iterations at L2 "
        f"penalty {penalty:g} ({problem}). Look for extreme values in the embeddings."
    )


def _log_probabilities(model: LogisticRegression, x: Floats, count: int) -> Floats:
    """Log-probabilities (n, C) without the underflow of `log(predict_proba)`; -inf if unseen."""
    scores = model.decision_function(x)
    if scores.ndim == 1:  # two classes: the score of the second against the first
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    full = np.full((len(x), count), -np.inf)
    full[:, model.classes_] = log_softmax(scores, axis=1)
    return full


def _cross_entropies(log_probabilities: Floats, codes: Codes, seen: Codes) -> Floats:
    """Cross-entropy of each sample; nan where its class cannot be learnt."""
    losses = -log_probabilities[np.arange(len(codes)), codes]
    return np.where(np.isin(codes, seen), losses, math.nan)


def _mean(losses: Floats) -> float:
    return float(losses[~np.isnan(losses)].mean())


def _regression(x: list[Floats], y: list[Floats]) -> list[Probe]:
    """A probe for each split after the first two, which fit it and choose its penalty."""
    centre, scale = float(np.median(y[0])), float(y[0].std()) or 1.0
    target = (y[0] - centre) / scale
    best_loss, best, solution = math.inf, y[2:], None
    for penalty in PENALTIES:
        solution = fit_least_absolute(x[0], target, penalty, solution)
        validation_loss = float(np.abs(predict(x[1], solution) * scale + centre - y[1]).mean())
        if validation_loss < best_loss:
            best_loss = validation_loss
            best = [predict(each, solution) * scale + centre for each in x[2:]]
    return [_predicted(said, target) for said, target in zip(best, y[2:], strict=True)]


def _predicted(said: Floats, target: Floats) -> Probe:
    """Scores of predictions (n,)."""
    losses = np.abs(said - target)
    metrics = {"probe/loss": float(losses.mean()), "probe/pearson": _pearson(said, target)}
    return Probe(metrics, said, losses)


def _pearson(x: Floats, y: Floats) -> float:
    # By hand: scipy warns of constants and refuses single samples; here both are just undefined.
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / norm if norm > 0 else math.nan
