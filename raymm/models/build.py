"""From settings to a model."""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import LossConfig, ModelConfig
from raymm.data.dataset import ModalitySpec
from raymm.errors import ConfigError
from raymm.models.base import FusionModel
from raymm.models.cbmf import CBMF
from raymm.models.custom import build_custom
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
    raw = [spec.name for spec in specs if spec.raw]
    if raw and not config.encoders:
        raise ConfigError(
            f"{', '.join(raw)} holds raw pixels or token ids, of which model '{config.name}' can "
            "make nothing. Embed them first (`raymm embed`), or name `encoders` for model 'cbmf' or "
            "'convirt'."
        )
    match config.name:
        case "mca":
            return MCA(specs, config)
        case "zorro":
            return Zorro(specs, config)
        case "eao":
            return EAO(specs, config, (loss or LossConfig()).eao_pairs)
        case "cbmf":
            return CBMF(specs, config)
        case "convirt":
            from raymm.models.convirt import ConVIRT

            return ConVIRT(specs, config)
        case own:
            return build_custom(own, specs, config)
