"""From settings to a model."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import LossConfig, ModelConfig
from raymm.data.dataset import ModalitySpec
from raymm.models.base import FusionModel
from raymm.models.eao import EAO
from raymm.models.mca import MCA
from raymm.models.zorro import Zorro


def build_model(
    specs: Sequence[ModalitySpec], config: ModelConfig, loss: LossConfig | None = None
) -> FusionModel:
    """The fusion model a cell asks for, with freshly drawn weights.

    Args:
        specs: the modalities, in the order of the batches' blocks.
        config: architecture.
        loss: which pairs EAO contrasts; its default where None.

    Raises:
        ConfigError: the architecture does not fit the modalities.
    """
    if config.name == "eao":
        return EAO(specs, config, (loss or LossConfig()).eao_pairs)
    return {"mca": MCA, "zorro": Zorro}[config.name](specs, config)
