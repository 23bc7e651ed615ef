"""Any text or vision model of transformers, from a folder or the hub. Safetensors, no remote code.

Pooled vectors, with `pooling="auto"`, are the model's own: what the sentence-transformers files say
where there are any; else its pooler's output, if its weights came with the checkpoint; else the
class token of a vision transformer; else the mean over the tokens (RoBERTa's checkpoints bring no
pooler, and a pooler of random weights is of no use).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raymm.encoders.base import EncoderModule
from raymm.encoders.frozen import FrozenEncoder, ImageEncoder, TextEncoder
from raymm.encoders.names import unknown_encoder
from raymm.encoders.pixels import Normalise, normalise_of, processed
from raymm.encoders.pooling import Pooled, Pooling, map_tokens, mean_of, sentence_pooling
from raymm.encoders.texts import most_tokens, tokenise
from raymm.errors import ConfigError, DataError
from raymm.storage.address import is_remote
from raymm.storage.folders import fetched


class TransformersModule(EncoderModule):
    """A model of transformers."""

    def __init__(
        self, model: nn.Module, pooled: Pooled, width: int, normalise: Normalise | None
    ) -> None:
        """Wrap a model.

        Args:
            model: gives `last_hidden_state`, and `pooler_output` if that is what is asked for.
            pooled: how its vectors are pooled.
            width: of its vectors.
            normalise: what is done to pixels; None for texts.
        """
        super().__init__()
        self.model, self.pooled, self.normalise = model, pooled, normalise
        self.width = width

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pooled vectors, (n, width)."""
        output = self._output(values, mask)
        if self.pooled.way == "pooler":
            vectors: Tensor = output.pooler_output.flatten(1)
        else:
            tokens, present = _tokens(output.last_hidden_state, mask)
            vectors = tokens[:, 0] if self.pooled.way == "cls" else mean_of(tokens, present)
        return nn.functional.normalize(vectors, dim=-1) if self.pooled.unit else vectors

    def tokens(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Last hidden state, (n, length, width), special tokens included, and which there are."""
        hidden = self._output(values, mask).last_hidden_state
        if hidden.dim() == 4:
            hidden = map_tokens(hidden)
        return _tokens(hidden, mask)

    def _output(self, values: Tensor, mask: Tensor | None) -> Any:
        if self.normalise is not None:
            return self.model(pixel_values=self.normalise(values))
        return self.model(input_ids=values, attention_mask=mask)


def _tokens(hidden: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    if hidden.dim() == 4:
        hidden = hidden.flatten(2).transpose(1, 2)
    if mask is not None:
        return hidden, mask.bool()
    return hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)


def load_transformers(name: str, pooling: Pooling = "auto") -> FrozenEncoder:
    """Load a model of transformers.

    Args:
        name: folder that `save_pretrained` wrote, here or at an address such as s3://, or id of a model
            on the hub.
        pooling: see the top of this file.

    Raises:
        ConfigError: there is no such model, or it cannot be pooled in this way.
        DataError: its weights are no safetensors, or some are missing.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"The encoder '{name}' needs transformers. Install it with `pip install "
            "'raymm[encoders]'`."
        ) from error
    copy = fetched(name) if is_remote(name) else None
    with _quiet(transformers):
        folder = _folder(name) if copy is None else copy.path
        model, missing = _model(name, folder, transformers)
        text, model = _domain(name, model)
        prepare = _prepare(name, folder, text, transformers)
    return (_text_encoder if text else _image_encoder)(
        name, pooling, folder, model, prepare, not missing
    )


def _text_encoder(
    name: str, pooling: Pooling, folder: Path, model: nn.Module, tokenizer: Any, has_pooler: bool
) -> FrozenEncoder:
    longest = most_tokens(model, tokenizer, folder)
    values, mask = tokenise(tokenizer, ["a probe"], longest).padded([0])
    probe = _probe(model, input_ids=values, attention_mask=mask)
    pooled = _pooled(name, pooling, folder, probe, model, has_pooler)
    module = TransformersModule(model, pooled, probe.last_hidden_state.shape[-1], None)
    said = f"tokenizer {_checksum(tokenizer)}, at most {longest} tokens, {pooled}"
    return TextEncoder(name, module, said, tokenizer, longest)


def _image_encoder(
    name: str, pooling: Pooling, folder: Path, model: nn.Module, processor: Any, has_pooler: bool
) -> FrozenEncoder:
    normalise = normalise_of(processor, name)
    pixels = processed(processor, [np.zeros((32, 32, 3), np.uint8)], name)
    probe = _probe(model, pixel_values=normalise(pixels))
    pooled = _pooled(name, pooling, folder, probe, model, has_pooler)
    hidden = probe.last_hidden_state
    width = hidden.shape[1] if hidden.dim() == 4 else hidden.shape[-1]
    module = TransformersModule(model, pooled, width, normalise)
    said = f"processor {_digest(processor.to_json_string())}, {tuple(pixels.shape[2:])}, {pooled}"
    return ImageEncoder(name, module, said, processor)


def _probe(model: nn.Module, **inputs: Tensor) -> Any:
    with torch.inference_mode():
        return model.eval()(**inputs)


def _checksum(tokenizer: Any) -> str:
    """Of all that a tokenizer does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return _digest(
        repr(sorted(tokenizer.get_vocab().items())) if backend is None else backend.to_str()
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _model(name: str, folder: Path, transformers: Any) -> tuple[nn.Module, set[str]]:
    """The model, and the names of weights that its checkpoint lacks: those of a pooler at most."""
    try:
        model, info = transformers.AutoModel.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(name, error) from error
    missing = {str(key) for key in info["missing_keys"]}
    lost = sorted(key for key in missing if "pooler" not in key)
    if lost:
        raise DataError(
            f"The weights of '{name}' lack {len(lost)} of the model's, such as '{lost[0]}', which "
            "would be random numbers. Save the whole model with `save_pretrained`."
        )
    if missing:
        model.pooler = None  # it was made of random numbers, different at each start
    return model, missing


def _prepare(name: str, folder: Path, text: bool, transformers: Any) -> Any:
    """Its tokenizer, or its image processor."""
    load = transformers.AutoTokenizer if text else transformers.AutoImageProcessor
    # The torchvision backend differs in its last bits, and needs a package more.
    options = {} if text else {"backend": "pil"}
    try:
        prepare = load.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, **options
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unloadable(name, error) from error
    if text:
        # Without its files, transformers makes a tokenizer that knows no words.
        if len(prepare) <= len(prepare.all_special_tokens):
            raise _unloadable(name, ValueError(f"{folder} holds no vocabulary"))
        if prepare.pad_token is None:
            prepare.pad_token = prepare.eos_token  # decoders have none; it is masked anyway
    return prepare


def _folder(name: str) -> Path:
    """Where the model lies: the folder itself, or the hub's copy on this machine."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises errors of many families
        words = " ".join(str(error).split())[:200]
        raise unknown_encoder(name, f"{type(error).__name__}: {words}") from error


def _unloadable(name: str, error: Exception) -> DataError:
    words = " ".join(str(error).split())[:300].rstrip(".")
    return DataError(
        f"The encoder '{name}' cannot be loaded: {words}. It needs config.json, weights as "
        "safetensors (`model.save_pretrained(DIR)` writes them; pickled .bin files are not read), "
        "and its tokenizer or preprocessor_config.json. Models with code of their own are not run."
    )


def _domain(name: str, model: Any) -> tuple[bool, Any]:
    """Whether it takes text, and the part of it that encodes."""
    config = model.config
    if getattr(config, "vision_config", None) and getattr(config, "text_config", None):
        raise ConfigError(
            f"'{name}' encodes both images and texts. Save the half you want, such as "
            "`CLIPVisionModel.from_pretrained(NAME).save_pretrained(DIR)`, and give DIR."
        )
    if getattr(config, "is_encoder_decoder", False):
        model = model.get_encoder()
    takes = model.main_input_name
    if takes not in ("input_ids", "pixel_values"):
        raise ConfigError(f"'{name}' takes {takes}. Give an encoder of texts or of images.")
    return takes == "input_ids", model


def _pooled(
    name: str, pooling: Pooling, folder: Path, probe: Any, model: nn.Module, has_pooler: bool
) -> Pooled:
    """How its vectors are pooled.

    Args:
        probe: what the model gives for some input.
        has_pooler: whether its pooler, if any, has weights of its own.
    """
    pooler = has_pooler and getattr(probe, "pooler_output", None) is not None
    if pooling == "pooler" and not pooler:
        raise ConfigError(
            f"'{name}' has no trained pooler. Give `--pooling mean` or `--pooling cls`."
        )
    if pooling != "auto":
        return Pooled(pooling)
    if (said := sentence_pooling(folder)) is not None:
        return said
    if pooler:
        return Pooled("pooler")
    has_class = any(key.endswith("cls_token") for key, _ in model.named_parameters())
    return Pooled("cls" if has_class else "mean")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars of loading weights, which takes a second, and no advice."""
    logs = transformers.utils.logging
    shown, level = logs.is_progress_bar_enabled(), logs.get_verbosity()
    logs.disable_progress_bar()
    logs.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if shown:
            logs.enable_progress_bar()
