"""What a model needs of its modalities, known without building it (and without torch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymm.config import ATTENTION_OPERATIONS, ModelConfig
from raymm.data.dataset import Modality
from raymm.errors import ConfigError


def check_tokens(config: ModelConfig, pooled: Sequence[str]) -> None:
    """See that CBMF's attention has tokens to choose from.

    Args:
        pooled: names of the modalities that have one vector a sample.

    Raises:
        ConfigError: attention over one vector, whose softmax is always 1.
    """
    operation = config.fusion_operation
    if config.name == "cbmf" and operation in ATTENTION_OPERATIONS and pooled:
        raise ConfigError(
            f"fusion_operation = {operation!r} chooses among tokens, but {', '.join(pooled)} has one "
            "vector a sample, which it would always take whole. Embed with token sequences (`raymm "
            "embed --tokens`), or use add, multiply or concatenate."
        )


def pooled_modalities(modalities: Sequence[Modality]) -> list[str]:
    """Names of the modalities that have one vector a sample: tables, and sequences of length 1."""
    return [
        each.name
        for each in modalities
        if each.offsets is None or int(np.diff(each.offsets).max()) < 2
    ]
