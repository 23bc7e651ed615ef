"""Metrics a search can go by: their names are those that cells end with, their directions known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.errors import ConfigError
from raymm.metrics.evaluate import embedding_metrics
from raymm.metrics.probes import probe_metrics
from raymm.models.embeddings import Embeddings
from raymm.report.names import better
from raymm.sweep.search.objective import (
    COSTS,
    EACH_EPOCH,
    Objective,
    check_each_epoch,
    default_objective,
    objectives,
    split_metrics,
)
from tests.sweep.small import dataset


def test_the_known_names_are_those_a_split_is_scored_by() -> None:
    data, random = dataset(), np.random.default_rng(0)
    names = [modality.name for modality in data.modalities]
    vectors = torch.tensor(random.normal(size=(2, 12, 4)), dtype=torch.float32)
    embeddings = Embeddings(vectors, torch.ones(2, 12, dtype=torch.bool))
    measured = embedding_metrics(embeddings, vectors[0], names)
    split = (random.normal(size=(12, 4)), np.arange(12) % 2)
    measured |= probe_metrics("classification", 2, split, split, split)
    assert {*split_metrics(data), "retrieval/gallery_size"} == measured.keys()
    targets = (split[0], random.normal(size=12))
    regression = probe_metrics("regression", 0, targets, targets, targets)
    assert regression.keys() == {"probe/pearson", "probe/loss"}


def test_directions_are_those_of_the_report() -> None:
    for name in [*split_metrics(dataset()), *EACH_EPOCH, "time/train_s", "memory/peak_gib"]:
        wanted = "maximize" if better(name) == "higher" else "minimize"
        assert better(name) is not None
        assert Objective(name).direction == Objective(f"val/{name}").direction == wanted
    assert all(Objective(name).direction == "minimize" for name in COSTS)


def test_without_a_word_the_leading_probe_is_the_objective() -> None:
    assert default_objective(dataset()) == "val/probe/auprc"
    assert [goal.metric for goal in objectives((), dataset())] == ["val/probe/auprc"]
    both = ("val/uniformity/fusion", "val/alignment/mean")
    assert tuple(goal.metric for goal in objectives(both, dataset())) == both


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("probe/auprc", "scored on the test split.*val/probe/auprc"),
        ("val/probe/auprcs", "did you mean 'val/probe/auprc'"),
        ("auprc", "did you mean 'val/probe/auprc'"),
        ("val/probe/pearson", "did you mean 'val/probe/"),
        ("val/alignment/m7", "did you mean 'val/alignment/m"),
    ],
)
def test_a_metric_of_the_test_split_or_of_no_split_is_refused(metric: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        objectives((metric,), dataset())


def test_a_metric_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="only once"):
        objectives(("loss/val", "loss/val"), dataset())


def test_a_pruner_goes_by_what_is_measured_in_every_epoch() -> None:
    check_each_epoch("loss/val")
    with pytest.raises(ConfigError, match=r"not measured in every epoch.*loss/val, loss/train"):
        check_each_epoch("val/probe/auprc")
