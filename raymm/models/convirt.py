"""ConVIRT (Zhang et al., 2022): encoders and projections trained together, one embedding a modality.

It is CBMF's baseline: the same projections, no context, no Deep Fusion Encoder, plain InfoNCE.
"""

from __future__ import annotations

from collections.abc import Sequence

from raymm.config import ModelConfig
from raymm.data.batch import Batch
from raymm.data.dataset import ModalitySpec
from raymm.models.embeddings import Embeddings
from raymm.models.projection import AlignmentModel
from raymm.models.step_encoders import StepEncoders


class ConVIRT(AlignmentModel):
    """Projections of pretrained encoders that are trained with them."""

    def __init__(self, specs: Sequence[ModalitySpec], config: ModelConfig) -> None:
        """Load the encoders, draw the projections.

        Raises:
            ConfigError: fewer than two modalities, or encoders that do not fit them.
        """
        encoders = StepEncoders(specs, config.encoders, trained=True)
        super().__init__(specs, config, encoders.widths)
        self.encoders = encoders

    def forward(self, batch: Batch) -> Embeddings:
        """The embeddings of all modalities of a batch."""
        rows = [self.projections[block.modality](self.encoders(block)) for block in batch.blocks]
        return self.in_place(batch.blocks, rows, batch)
