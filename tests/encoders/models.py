"""Small models of transformers with random weights, saved to a folder as anybody would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    ViTConfig,
    ViTModel,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

WORDS = ["a", "an", "cat", "dog", "runs", "sleeps", "on", "the", "mat", "grass"]
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def bert(folder: Path, *, positions: int = 16, pooler: bool = True) -> str:
    """A BERT whose texts have 16 tokens at most."""
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab={word: n for n, word in enumerate(words)}).save_pretrained(folder)
    config = BertConfig(vocab_size=len(words), max_position_embeddings=positions, **SHAPE)
    BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    return str(folder)


def roberta(folder: Path) -> str:
    """A RoBERTa as its checkpoints are: no pooler, positions counted from behind the padding's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    words = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend: Any = PreTrainedTokenizerFast  # transformers leaves it untyped
    tokenizer = backend(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(words), max_position_embeddings=14, pad_token_id=1, **SHAPE
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def vit(folder: Path, *, pooler: bool = False, size: int = 32) -> str:
    """A vision transformer of 4 patches and a class token."""
    torch.manual_seed(0)
    config = ViTConfig(image_size=size, patch_size=size // 2, **SHAPE)
    ViTModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": size, "width": size}).save_pretrained(folder)
    return str(folder)
