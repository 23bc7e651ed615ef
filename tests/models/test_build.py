"""Models from settings: their sizes, their channels, their refusals."""

from __future__ import annotations

import pytest
import torch

from raymm.config import SMDF_MODELS, ModelConfig
from raymm.data.dataset import ModalitySpec
from raymm.errors import ConfigError
from raymm.models.build import build_model
from raymm.models.channel_model import ChannelModel
from raymm.models.channels import channel_name, fusion_channels
from raymm.models.tokens import TableTokens, sinusoids

DIGITS = [
    ModalitySpec(name, "table", n, n) for name, n in zip("abcd", (76, 64, 47, 6), strict=True)
]
TCGA = [
    ModalitySpec(name, "table", n, n) for name, n in zip("abcd", (800, 198, 800, 662), strict=True)
]
PAPER = {"width": 512, "depth": 5, "heads": 8, "head_size": 64, "fusion_tokens": 8}


@pytest.mark.parametrize(("specs", "settings"), [(DIGITS, {}), (TCGA, PAPER)])
def test_the_models_of_a_grid_are_within_a_tenth_of_each_other_in_parameters(
    specs: list[ModalitySpec], settings: dict[str, int]
) -> None:
    sizes = [
        sum(p.numel() for p in build_model(specs, ModelConfig(name=name, **settings)).parameters())  # type: ignore[arg-type]
        for name in SMDF_MODELS
    ]
    assert max(sizes) <= 1.1 * min(sizes), dict(zip(SMDF_MODELS, sizes, strict=True))


def test_zorro_has_as_many_fusion_tokens_as_mca() -> None:
    tokens = []
    for name in ("mca", "zorro"):
        model = build_model(DIGITS, ModelConfig(name=name, fusion_tokens=8))  # type: ignore[arg-type]
        assert isinstance(model, ChannelModel)
        tokens.append(model.fusion_tokens.shape[:2].numel())
    assert tokens == [88, 88]


def test_channels_of_the_default_orders() -> None:
    assert [len(fusion_channels(m)) for m in (2, 3, 4, 5)] == [1, 4, 11, 26]
    assert len(fusion_channels(6)) == 15 + 1
    assert fusion_channels(3, (3, 2))[-1] == (0, 1, 2)
    assert channel_name((0, 2), ["a", "b", "c"]) == "a+c"


@pytest.mark.parametrize(
    ("modalities", "orders", "message"),
    [
        (1, (), "two modalities"),
        (4, (2, 3), r"\(2, 3\) does not fit 4 modalities"),
        (3, (2, 4), "sizes from 2 to 3"),
    ],
)
def test_channels_that_cannot_be_are_refused(
    modalities: int, orders: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fusion_channels(modalities, orders)


def test_a_missing_value_is_its_column_embedding_alone() -> None:
    torch.manual_seed(0)
    tokens = TableTokens(3, 8, has_missing=True)
    out = tokens(torch.tensor([[0.5, torch.nan, 2.0]]))
    torch.testing.assert_close(out[0, 1], tokens.column.weight[1])
    assert not torch.allclose(out[0, 0], tokens.column.weight[0])


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_the_standard_sinusoids(width: int) -> None:
    encoding = sinusoids(5, width)
    for place in range(5):
        for component in range(width):
            angle = torch.tensor(place / 10000 ** ((component // 2 * 2) / width))
            expected = torch.cos(angle) if component % 2 else torch.sin(angle)
            torch.testing.assert_close(encoding[place, component], expected)
