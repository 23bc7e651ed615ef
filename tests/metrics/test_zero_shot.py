"""Zero-shot classification, against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from raymm.metrics.zero_shot import class_vectors, top_accuracies

GENERATOR = torch.Generator().manual_seed(0)


def test_top_accuracies_are_those_of_sklearn() -> None:
    images = torch.randn(200, 6, generator=GENERATOR)
    classes = torch.randn(9, 6, generator=GENERATOR)
    labels = torch.randint(0, 9, (200,), generator=GENERATOR)
    unit = torch.nn.functional.normalize
    cosines = (unit(images, dim=1) @ unit(classes, dim=1).T).softmax(dim=1).numpy()
    metrics = top_accuracies(images, classes, labels)
    for k in range(1, 6):
        wanted = top_k_accuracy_score(labels.numpy(), cosines, k=k, labels=range(9))
        assert metrics[f"zero_shot/top_{k}"] == pytest.approx(wanted)
    assert (metrics["zero_shot/images"], metrics["zero_shot/classes"]) == (200, 9)


def test_a_collapsed_model_is_not_right_at_once() -> None:
    metrics = top_accuracies(torch.ones(10, 3), torch.ones(4, 3), torch.arange(10) % 4)
    assert metrics["zero_shot/top_1"] == 0
    assert "zero_shot/top_4" not in metrics  # all classes: always right


def test_a_class_is_the_mean_of_its_prompts_directions() -> None:
    prompts = torch.tensor([[[3.0, 0.0], [0.0, 0.5]], [[-1.0, 0.0], [-2.0, 0.0]]])
    root = 0.5**0.5
    wanted = torch.tensor([[root, root], [-1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(class_vectors(prompts), wanted)
