"""Settings: there and back, and refused where they make no sense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raymm.config import (
    CellConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    TrainConfig,
    from_dict,
    to_dict,
)
from raymm.errors import ConfigError


def test_settings_go_through_json_unchanged() -> None:
    cell = CellConfig(
        data=DataConfig(modalities=("a", "b"), sparsity=0.4, label=None),
        model=ModelConfig(name="eao", channel_orders=(2, 4)),
    )
    assert from_dict(CellConfig, json.loads(json.dumps(to_dict(cell)))) == cell


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modl": {}}, r"settings has no setting 'modl': did you mean 'model'\?"),
        ({"train": {"epoch": 3}}, r"settings\.train has no setting 'epoch': did you mean 'epochs'"),
        (
            {"train": {"epochs": "three"}},
            r"settings\.train\.epochs = 'three' should be of type int",
        ),
        ({"train": {"epochs": True}}, "should be of type int"),
        ({"train": {"precision": "fp23"}}, "did you mean 'fp32'"),
        ({"data": {"modalities": "abc"}}, "should be a list"),
        ({"train": 3}, "should be a group of settings"),
    ],
)
def test_what_is_no_setting_is_refused_with_the_nearest(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(CellConfig, values)


def test_a_whole_number_will_do_for_a_real_one() -> None:
    assert from_dict(TrainConfig, {"learning_rate": 1}).learning_rate == 1.0


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_is_in_zero_to_below_one(sparsity: float) -> None:
    with pytest.raises(ConfigError, match=r"sparsity = .* a number in \[0, 1\)"):
        DataConfig(sparsity=sparsity)


def test_other_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="less than 1 in all"):
        DataConfig(validation_fraction=0.5, test_fraction=0.5)
    with pytest.raises(ConfigError, match="each modality once"):
        DataConfig(modalities=("a", "a"))
    with pytest.raises(ConfigError, match="There is no model 'mac': did you mean 'mca'"):
        ModelConfig(name="mac")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="depth = 0"):
        ModelConfig(depth=0)
    with pytest.raises(ConfigError, match="temperature = 0"):
        LossConfig(temperature=0)
    with pytest.raises(ConfigError, match="learning_rate = 0"):
        TrainConfig(learning_rate=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion_operation": "mulitply"}, "did you mean 'multiply'"),
        ({"name": "cbmf", "width": 30}, "width = 30 does not divide into 4 heads"),
        ({"name": "cbmf", "dfe_heads": 0}, "dfe_heads = 0"),
        ({"name": "cbmf", "projection_width": 0}, "projection_width = 0"),
        ({"name": "convirt"}, "ConVIRT trains the encoders, and `encoders` names none"),
        ({"name": "mca", "encoders": ("minilm",)}, "model 'mca' takes features, not encoders"),
    ],
)
def test_what_makes_no_projection_model_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**settings)


def test_a_width_that_only_cbmf_would_have_to_divide_is_no_error() -> None:
    assert ModelConfig(name="mca", width=30).width == 30


def test_patience_is_not_negative() -> None:
    with pytest.raises(ConfigError, match="patience = -1"):
        TrainConfig(patience=-1)
