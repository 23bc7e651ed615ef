"""CBMF on the means of tokens is CBMF on a table of these means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.config import ATTENTION_OPERATIONS, FusionOperation, ModelConfig
from raymm.data.batch import Batch, Block
from raymm.data.dataset import ModalitySpec
from raymm.errors import ConfigError
from raymm.models.build import build_model

SEQUENCES = (ModalitySpec("speech", "sequence", 3, 5), ModalitySpec("video", "sequence", 4, 2))
TABLES = (ModalitySpec("speech", "table", 3, 3), ModalitySpec("video", "table", 4, 4))


@pytest.mark.parametrize("operation", ["add", "multiply", "concatenate"])
def test_the_mean_of_the_real_tokens_is_what_counts(operation: FusionOperation) -> None:
    config = ModelConfig(name="cbmf", width=8, fusion_operation=operation, pool_tokens=True)
    torch.manual_seed(0)
    on_tokens = build_model(SEQUENCES, config)
    on_means = build_model(TABLES, ModelConfig(name="cbmf", width=8, fusion_operation=operation))
    on_means.load_state_dict(on_tokens.state_dict())

    lengths = torch.tensor([5, 2, 1])
    speech, video = torch.randn(3, 5, 3), torch.randn(2, 2, 4)
    for row, length in enumerate(lengths.tolist()):
        speech[row, length:] = 0
    presence = np.array([[True, True], [True, False], [True, True]])
    samples = torch.tensor([0, 2])
    tokens = Batch(
        presence,
        (Block(0, torch.arange(3), speech, lengths), Block(1, samples, video)),
    )
    means = torch.stack([row[:n].mean(0) for row, n in zip(speech, lengths.tolist(), strict=True)])
    table = Batch(presence, (Block(0, torch.arange(3), means), Block(1, samples, video.mean(1))))
    torch.testing.assert_close(on_tokens(tokens).vectors, on_means(table).vectors)


@pytest.mark.parametrize("operation", ATTENTION_OPERATIONS)
def test_attention_has_no_use_for_means(operation: FusionOperation) -> None:
    with pytest.raises(ConfigError, match="pool_tokens leaves it one"):
        ModelConfig(name="cbmf", fusion_operation=operation, pool_tokens=True)
