"""Texts to token ids: how long they may be, how many were cut, and batches with little padding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LONGEST = 512
"""Most tokens of a text where neither tokenizer nor model sets a limit."""


@dataclass(frozen=True)
class Tokenised:
    """Token ids of texts.

    Attributes:
        ids: of each text, special tokens included.
        truncated: texts that were cut.
        padding: id that fills up shorter texts of a batch.
    """

    ids: list[list[int]]
    truncated: int
    padding: int

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, (n,)."""
        return np.array([len(each) for each in self.ids], dtype=np.int64)

    def padded(self, chosen: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Ids and mask, (n, length) int64 each, of some of the texts."""
        longest = max(len(self.ids[int(place)]) for place in chosen)
        values = np.full((len(chosen), longest), self.padding, dtype=np.int64)
        mask = np.zeros_like(values)
        for row, place in enumerate(chosen):
            ids = self.ids[int(place)]
            values[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        return torch.from_numpy(values), torch.from_numpy(mask)

    def batches(self, most_tokens: int) -> Iterator[NDArray[np.int64]]:
        """Places of texts of about one length, so that a batch is hardly padded; all in all each once.

        Args:
            most_tokens: in a batch, padding included.
        """
        lengths = self.lengths()
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            count = max(1, most_tokens // int(lengths[order[start]]))
            yield order[start : start + count]
            start += count


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int) -> Tokenised:
    """Token ids of texts, cut to `max_length` with their special tokens kept."""
    options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    ids: list[list[int]] = tokenizer(
        list(texts), truncation=True, max_length=max_length, **options
    )["input_ids"]
    full = [text for text, each in zip(texts, ids, strict=True) if len(each) == max_length]
    whole = tokenizer(full, truncation=False, **options)["input_ids"] if full else []
    cut = sum(len(each) > max_length for each in whole)
    return Tokenised(ids, cut, int(tokenizer.pad_token_id or 0))


def most_tokens(model: nn.Module, tokenizer: Any, folder: Path) -> int:
    """Most tokens of a text: what tokenizer, positions and a sentence encoder's own file allow."""
    limits = [LONGEST] if tokenizer.model_max_length > 1_000_000 else [tokenizer.model_max_length]
    positions = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if positions is not None:
        limits.append(int(positions) - _first_position(model))
    said = folder / "sentence_bert_config.json"
    if said.is_file():
        limits.append(int(json.loads(said.read_text(encoding="utf-8"))["max_seq_length"]))
    return min(limits)


def _first_position(model: nn.Module) -> int:
    """Position of the first token: RoBERTa counts from behind the padding's."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0
