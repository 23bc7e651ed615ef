"""paraphrase-MiniLM-L3-v2 as an ONNX graph: run by onnxruntime, it cannot be trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from raymm.data.sources.pairs.pairs import Item
from raymm.encoders.base import Encoded, Encoder, EncoderModule, Inputs
from raymm.encoders.names import PACKAGED
from raymm.encoders.texts import Tokenised, tokenise
from raymm.errors import ConfigError, DataError

LONGEST = 128
"""Most tokens of a text, as the model was trained."""
TOKENS = 4096
"""Tokens of a run, padding included."""
WIDTH = 384


class OnnxTextEncoder(Encoder):
    """A graph that takes token ids and mask, and gives token vectors and their mean."""

    domain = "text"
    width = WIDTH

    def __init__(self, name: str, path: Path, tokenizer: Any) -> None:
        """Open a graph.

        Args:
            name: as it was asked for.
            path: of the graph; its bytes are its weights.
            tokenizer: of transformers; the model's own vocabulary.

        Raises:
            DataError: the graph cannot be run, or gives something else.
        """
        import onnxruntime

        content = path.read_bytes()
        self.name, self.tokenizer = name, tokenizer
        self.checksum = hashlib.sha256(content).hexdigest()
        self.preprocessing = f"BERT uncased vocabulary, at most {LONGEST} tokens, mean over tokens"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise DataError(f"{path} cannot be run: {error}. Install its package again.") from error
        floats = [out for out in self._session.get_outputs() if out.type == "tensor(float)"]
        by_rank = {len(out.shape): out.name for out in floats if out.shape[-1] == WIDTH}
        if set(by_rank) != {2, 3}:
            raise DataError(
                f"{path} does not give tokens and their mean, {WIDTH} wide. Install its package again."
            )
        self._pooled, self._tokens = by_rank[2], by_rank[3]

    def encode(self, items: Sequence[Item], *, tokens: bool = False) -> Encoded:
        """Vectors of texts, in their order."""
        found: list[NDArray[np.float32]] = [np.zeros((0, WIDTH), np.float32)] * len(items)
        made = self._tokenised(items)
        for places in made.batches(TOKENS):
            values, mask = (each.numpy() for each in made.padded(places))
            wanted = self._tokens if tokens else self._pooled
            (output,) = self._session.run([wanted], {"input_ids": values, "attention_mask": mask})
            for place, vectors, length in zip(places, output, mask.sum(axis=1), strict=True):
                found[int(place)] = vectors[:length] if tokens else vectors
        if not tokens:
            values = np.stack(found) if found else np.zeros((0, WIDTH), np.float32)
            return Encoded(values, None, made.truncated)
        offsets = np.cumsum([0, *(len(vectors) for vectors in found)]).astype(np.int64)
        empty = np.zeros((0, WIDTH), np.float32)
        return Encoded(np.concatenate([empty, *found]), offsets, made.truncated)

    def preprocess(self, items: Sequence[Item]) -> Inputs:
        """Token ids and mask, (n, length) each."""
        made = self._tokenised(items)
        return Inputs(*made.padded(range(len(items))), made.truncated)

    def module(self) -> EncoderModule:
        """Raises ConfigError: a graph cannot be trained."""
        raise ConfigError(
            f"'{self.name}' is an ONNX graph and can only be run frozen. To train an encoder, give "
            "one of torch, such as 'minilm'."
        )

    def _tokenised(self, items: Sequence[Item]) -> Tokenised:
        if not items:
            return Tokenised([], 0, 0)
        return tokenise(self.tokenizer, cast(Sequence[str], items), LONGEST)


def _threads() -> int:
    """As many as torch uses, so that one setting rules both."""
    import torch

    return torch.get_num_threads()


def load_paraphrase_minilm_l3() -> OnnxTextEncoder:
    """The second text encoder; its tokenizer is MiniLM's, whose vocabulary is the same.

    Raises:
        ConfigError: a package is not installed.
    """
    path = PACKAGED["paraphrase-minilm-l3"].path()
    folder = PACKAGED["minilm"].path().parent
    try:
        import onnxruntime  # noqa: F401
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ConfigError(
            f"The encoder 'paraphrase-minilm-l3' needs a package: {error}. Install the encoders with "
            "`pip install 'raymm[encoders]'`."
        ) from error
    tokenizer = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    return OnnxTextEncoder("paraphrase-minilm-l3", path, tokenizer)
