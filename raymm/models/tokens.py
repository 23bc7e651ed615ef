"""From a batch to the tokens of a flat stream: one token for each column or vector that is there.

Shapes: n samples of a block, L tokens of each, d width, w components of a sequence's vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raymm.data.batch import Batch
from raymm.data.dataset import ModalitySpec


class TableTokens(nn.Module):
    """Tokens of a table: value -> MLP(1, d, d) with ReLU and layer norm, plus a column embedding.

    A missing value (NaN) leaves the column embedding alone, as in the published code, so that the
    model can tell a missing value from an average one.
    """

    def __init__(self, columns: int, width: int, has_missing: bool) -> None:
        super().__init__()
        self.has_missing = has_missing
        self.hidden = nn.Linear(1, width)
        self.value = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.column = nn.Embedding(columns, width)

    def forward(self, values: Tensor) -> Tensor:
        """(n, columns) standardised values -> (n, columns, d)."""
        missing = torch.isnan(values) if self.has_missing else None
        if missing is not None:
            values = values.masked_fill(missing, 0.0)
        tokens: Tensor = self.norm(self.value(torch.relu(self.hidden(values.unsqueeze(-1)))))
        if missing is not None:
            tokens = tokens.masked_fill(missing.unsqueeze(-1), 0.0)
        return tokens + self.column.weight.to(tokens.dtype)


class SequenceTokens(nn.Module):
    """Tokens of a sequence: layer norm, linear to d, layer norm, plus a sinusoidal position."""

    position: Tensor

    def __init__(self, components: int, width: int, max_length: int) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(components)
        self.project = nn.Linear(components, width)
        self.norm = nn.LayerNorm(width)
        self.register_buffer("position", sinusoids(max_length, width), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """(n, L, w) -> (n, L, d)."""
        tokens: Tensor = self.norm(self.project(self.input_norm(values)))
        return tokens + self.position[: values.shape[1]].to(tokens.dtype)


def sinusoids(length: int, width: int) -> Tensor:
    """The standard sinusoidal position encoding (Vaswani et al., 2017), (length, width)."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    even = torch.arange(0, width, 2, dtype=torch.float32)
    angle = position * torch.exp(even * (-math.log(10000.0) / width))
    encoding = torch.zeros(length, width)
    encoding[:, 0::2] = torch.sin(angle)
    encoding[:, 1::2] = torch.cos(angle)[:, : width // 2]
    return encoding


class Tokenizer(nn.Module):
    """One token encoder for each modality."""

    def __init__(self, specs: Sequence[ModalitySpec], width: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            TableTokens(spec.width, width, spec.has_missing)
            if spec.kind == "table"
            else SequenceTokens(spec.width, width, spec.max_length)
            for spec in specs
        )

    def forward(self, batch: Batch) -> Tensor:
        """The unimodal part of the stream, block by block: (sum of n x L, d)."""
        blocks = [self.encoders[block.modality](block.values) for block in batch.blocks]
        return torch.cat([block.flatten(0, 1) for block in blocks])
