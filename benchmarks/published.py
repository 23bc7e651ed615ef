"""The paper's published code, from a checkout of github.com/josiahbjorgaard/mca-paper, as a rival.

Nothing of it is in this repository. Three of its imports are stood in for: its data set reader (not
needed here), torchmultimodal's contrastive loss (written from its formula below), and `torch.save`: a
line left in its attention writes the mask to a file of the current folder at every call, hundreds of
megabytes at the papers' shapes.
"""

from __future__ import annotations

import contextlib
import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.shapes import TOKENS, Step
from raymm.data.batch import Batch
from raymm.models.channel_model import ChannelModel
from raymm.models.channels import fusion_channels

NAMES = ("gene", "protein", "methylation", "mirna")
PADDING = -10000.0


class InfoNCE(nn.Module):
    """Both directions, over dot products; masked samples are no rows but stay negatives."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))

    def forward(self, one: Tensor, two: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, d), (B, d), (B,) -> a scalar."""
        logits = one @ two.T * self.logit_scale.exp()
        labels = torch.arange(len(one))
        rows, columns = logits, logits.T
        if mask is not None:
            rows, columns, labels = rows[mask], columns[mask], labels[mask]
        return (F.cross_entropy(rows, labels) + F.cross_entropy(columns, labels)) / 2


def load(checkout: Path) -> Any:
    """The checkout's `model` module.

    Raises:
        FileNotFoundError: there is no model.py in the folder.
    """
    if not (checkout / "model.py").exists():
        raise FileNotFoundError(f"{checkout} has no model.py: give a checkout of mca-paper.")
    package = "torchmultimodal"
    name = f"{package}.modules.losses.contrastive_loss_with_temperature"
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:end]))
        sys.modules[module.__name__] = module
    sys.modules[name].ContrastiveLossWithTemperature = InfoNCE  # type: ignore[attr-defined]
    dataset = types.ModuleType("utils.dataset")
    dataset.BatchDropout = object  # type: ignore[attr-defined]
    sys.modules["utils.dataset"] = dataset
    sys.path.insert(0, str(checkout))
    import model  # type: ignore[import-not-found]

    no_file = types.SimpleNamespace(**{**vars(torch), "save": lambda *_: None})
    model.torch = no_file
    return model


class Published(nn.Module):
    """The published model with the weights of one of ours.

    Column embeddings must be of norm 1 or less: the published code caps them there.
    """

    def __init__(self, checkout: Path, step: Step, batch_size: int) -> None:
        super().__init__()
        ours = step.model
        name = ours.config.name
        eao = name == "eao"
        module = load(checkout)
        settings = {
            "encoder_configs": {
                key: {
                    "type": "TabularEncoder",
                    "num_embeddings": n,
                    "max_tokens": n,
                    "embedding_dim": ours.config.width,
                    "padding_idx": -1,
                }
                for key, n in zip(NAMES, TOKENS, strict=True)
            },
            "dim": ours.config.width,
            "depth": ours.config.depth,
            "heads": ours.config.heads,
            "num_fusion_tokens": 88,
            "batch_size": batch_size,
            "bimodal_contrastive": True,
            "non_fusion_fcl": True,
            "fcl": True,
            "fcl_root": [0, 1] if eao else [0, 1, 2, 3],
            "fusion_combos": [2] if eao else [4, 3, 2],
            "zorro": name == "zorro",
            "no_fusion": eao,
            "mean_pool": eao,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            self.model = (module.EAO if eao else module.MCA)(**settings)
        self._take_weights(step)

    @torch.no_grad()
    def _take_weights(self, step: Step) -> None:
        ours, theirs = step.model, self.model
        for mine, key in zip(ours.tokenizer.encoders, NAMES, strict=True):
            encoder = theirs.encoders[key]
            value = encoder.value_encoder
            encoder.token_encoder.embedding.weight.copy_(mine.column.weight)
            for target, source in (
                (value.linear1, mine.hidden),
                (value.linear2, mine.value),
                (value.norm, mine.norm),
            ):
                target.load_state_dict(source.state_dict())
        inner = ours.config.heads * ours.config.head_size
        for mine, layer in zip(ours.blocks, theirs.layers, strict=True):
            layer.norm.gamma.copy_(mine.norm.weight)
            layer.attn.to_q.weight.copy_(mine.qkv.weight[:inner])
            layer.attn.to_kv.weight.copy_(mine.qkv.weight[inner:])
            layer.attn.to_out.weight.copy_(mine.out.weight)
            layer.ff.feedforward[0].weight.copy_(mine.feedforward.expand.weight)
            layer.ff.feedforward[2].weight.copy_(mine.feedforward.contract.weight)
        theirs.norm.gamma.copy_(ours.norm.weight)
        if isinstance(ours, ChannelModel):
            self._take_channels(ours)

    def _take_channels(self, ours: ChannelModel) -> None:
        """Their channels come in another order: all four modalities first, pairs last."""
        theirs = self.model
        modalities = len(NAMES)
        order = (
            [0]
            if len(ours.channels) == 1
            else [ours.channels.index(tuple(sorted(channel))) for channel in theirs.fusion_combos]
        )
        theirs.fusion_tokens.copy_(ours.fusion_tokens[order].flatten(0, 1))
        queries = ours.pool.queries
        rows = [*range(modalities), *(modalities + number for number in order)]
        theirs.return_tokens[: len(rows)].copy_(queries[rows])
        theirs.attn_pool.to_q.weight.copy_(ours.pool.query.weight)
        theirs.attn_pool.to_kv.weight.copy_(
            torch.cat([ours.pool.key.weight, ours.pool.value.weight])
        )
        theirs.attn_pool.to_out.weight.copy_(ours.pool.out.weight)

    def padded(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """A batch as their collator pads it."""
        padded = {}
        for key, block in zip(NAMES, batch.blocks, strict=True):
            values = torch.full((batch.size, block.length), PADDING)
            absent = torch.ones(batch.size, block.length, dtype=torch.long)
            values[block.samples] = block.values
            absent[block.samples] = 0
            padded[key] = {"values": values, "attention_mask": absent}
        return padded

    def forward(self, batch: dict[str, dict[str, Tensor]]) -> Tensor:
        """Loss of a padded batch."""
        loss: Tensor = self.model(batch)["loss"]
        return loss

    def embeddings(self, batch: dict[str, dict[str, Tensor]]) -> dict[tuple[int, ...], Tensor]:
        """Embedding of each set of modalities, (B, d)."""
        found = self.model(batch, no_loss=True)
        vectors = {(number,): found[key] for number, key in enumerate(NAMES)}
        for channel, vector in found.items():
            if isinstance(channel, frozenset):
                vectors[tuple(sorted(channel))] = vector
        if "fusion" in found:
            vectors[fusion_channels(len(NAMES))[-1]] = found["fusion"]
        return vectors
