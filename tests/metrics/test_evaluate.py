from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raymm.errors import TrainingError
from raymm.metrics.evaluate import embedding_metrics
from raymm.metrics.geometry import alignment, uniformity
from raymm.metrics.retrieval import median_rank, ranks, recall_at
from raymm.models.embeddings import Embeddings

NAMES = ("sound", "image", "text")


def split(samples: int = 20, d: int = 4, kinds: int = 5) -> tuple[Embeddings, Tensor]:
    """Three modalities and two more embeddings; each modality lacks a third of the samples."""
    generator = torch.Generator().manual_seed(0)
    present = (torch.arange(samples) + torch.arange(kinds)[:, None]) % 3 != 0
    fusion = torch.randn(samples, d, generator=generator)
    noise = torch.randn(kinds, samples, d, generator=generator)
    return Embeddings((fusion + noise) * present[..., None], present), fusion


def test_each_metric_is_of_the_present_samples_only() -> None:
    embeddings, fusion = split()
    found = embedding_metrics(embeddings, fusion, NAMES)
    for index, name in enumerate(NAMES):
        who = embeddings.present[index].nonzero()[:, 0]
        queries = embeddings.vectors[index, who]
        positions = ranks(queries, fusion, who)
        assert found[f"uniformity/{name}"] == uniformity(queries)
        assert found[f"alignment/{name}"] == alignment(queries, fusion[who])
        assert found[f"rank/median_{name}"] == median_rank(positions)
        for k in (1, 5, 10):
            assert found[f"recall/at_{k}_{name}"] == recall_at(positions, k)
    assert found["uniformity/fusion"] == uniformity(fusion)


def test_the_names_are_the_stable_ones() -> None:
    found = embedding_metrics(*split(), NAMES)
    per_modality = ["uniformity/{}", "alignment/{}", "rank/median_{}"]
    per_modality += [f"recall/at_{k}_{{}}" for k in (1, 5, 10)]
    expected = {pattern.format(name) for pattern in per_modality for name in NAMES}
    expected |= {"uniformity/fusion", "uniformity/unimodal_mean", "alignment/mean"}
    expected |= {"rank/median_mean", "retrieval/gallery_size"}
    expected |= {f"recall/at_{k}_mean" for k in (1, 5, 10)}
    assert set(found) == expected


def test_means_are_over_the_modalities() -> None:
    found = embedding_metrics(*split(), NAMES)
    for mean, single in (
        ("uniformity/unimodal_mean", "uniformity/{}"),
        ("alignment/mean", "alignment/{}"),
        ("rank/median_mean", "rank/median_{}"),
        ("recall/at_5_mean", "recall/at_5_{}"),
    ):
        values = [found[single.format(name)] for name in NAMES]
        assert found[mean] == pytest.approx(sum(values) / 3)
        assert len(set(values)) > 1


def test_the_gallery_is_every_sample() -> None:
    embeddings, fusion = split(21)
    assert embedding_metrics(embeddings, fusion, NAMES)["retrieval/gallery_size"] == 21


def test_a_modality_absent_from_everything_is_left_out_of_the_means() -> None:
    embeddings, fusion = split()
    present = embeddings.present.clone()
    present[1] = False
    found = embedding_metrics(Embeddings(embeddings.vectors, present), fusion, NAMES)
    for pattern in ("uniformity/{}", "alignment/{}", "rank/median_{}", "recall/at_1_{}"):
        assert math.isnan(found[pattern.format("image")])
    rest = (found["rank/median_sound"] + found["rank/median_text"]) / 2
    assert found["rank/median_mean"] == rest


def test_one_sample() -> None:
    fusion = torch.tensor([[1.0, 0.0]])
    vectors = torch.tensor([[[0.0, 2.0]], [[3.0, 0.0]]])
    found = embedding_metrics(Embeddings(vectors, torch.ones(2, 1).bool()), fusion, NAMES[:2])
    assert math.isnan(found["uniformity/fusion"]) and math.isnan(found["uniformity/unimodal_mean"])
    assert found["alignment/mean"] == pytest.approx(1)
    assert found["rank/median_mean"] == found["recall/at_1_mean"] == 1


def test_values_of_absent_samples_do_not_count() -> None:
    embeddings, fusion = split()
    spoiled = embeddings.vectors.masked_fill(~embeddings.present[..., None], math.nan)
    found = embedding_metrics(Embeddings(spoiled, embeddings.present), fusion, NAMES)
    assert found == embedding_metrics(embeddings, fusion, NAMES)


def test_a_present_embedding_that_is_not_finite_is_an_error() -> None:
    embeddings, fusion = split()
    embeddings.vectors[0, 1] = math.nan
    with pytest.raises(TrainingError, match="not finite"):
        embedding_metrics(embeddings, fusion, NAMES)
