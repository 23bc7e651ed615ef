"""Grid settings: presets, validation, identity and order of the cells."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import tyro

from raymm.config import CellConfig, ModelConfig
from raymm.errors import ConfigError
from raymm.sweep import settings as settings_module
from raymm.sweep.grid import GridSettings
from raymm.sweep.work import relative_work
from tests.sweep.small import dataset, with_sequence


def grid(**settings: Any) -> list[CellConfig]:
    return [cell.config for cell in GridSettings(**settings).expand(dataset())]


def test_the_default_grid_is_forty_cells_with_keys_of_their_own() -> None:
    cells = GridSettings().expand(dataset())
    assert len(cells) == len({cell.key for cell in cells}) == 40
    places = {(c.config.model.name, c.config.data.sparsity, c.config.train.seed) for c in cells}
    assert len(places) == 40


def test_the_laptop_preset_is_the_defaults_of_a_cell() -> None:
    (config,) = grid(models=("mca",), sparsities=(0.0,), seeds=(0,))
    plain = CellConfig()
    assert config.model == plain.model
    assert config.loss == plain.loss
    assert config.train == plain.train
    assert (
        dataclasses.replace(config.data, dataset="digits", modalities=(), label=None) == plain.data
    )


def test_the_paper_preset_is_the_papers_settings() -> None:
    settings = GridSettings(preset="paper", models=("mca",), sparsities=(0.4,), seeds=(3,))
    (cell,) = settings.expand(dataset())
    model, train = cell.config.model, cell.config.train
    sizes = (model.width, model.depth, model.heads, model.head_size, model.feedforward_factor)
    assert sizes == (512, 5, 8, 64, 4)
    assert model.fusion_tokens * 11 == 88  # 11 channels of 4 modalities
    assert (train.batch_size, settings.workers, train.clip_norm) == (32, 4, 2.0)
    assert (train.learning_rate, train.warmup_steps, train.epochs) == (1e-4, 2000, 128)
    assert cell.config.data.test_fraction == 0.10
    assert settings.expand(with_sequence())[0].config.train.epochs == 32


def test_what_is_given_goes_before_the_preset() -> None:
    settings = GridSettings(preset="paper", width=64, epochs=7, workers_per_cell=2, gpu="A10G")
    config = settings.expand(dataset())[0].config
    assert (config.model.width, config.train.epochs, settings.workers) == (64, 7, 2)
    assert config.train.precision == "bf16"
    assert (
        dataclasses.replace(settings, precision="fp32").expand(dataset())[0].config.train.precision
        == "fp32"
    )
    assert not grid(freeze_temperature=True)[0].loss.learn_temperature


def test_a_cell_has_the_same_key_whether_the_data_sets_choice_is_left_or_written_out() -> None:
    left = GridSettings().expand(dataset())
    settings = GridSettings(modalities=("m0", "m1"), label="y", dataset="./elsewhere")
    written = settings.expand(dataset())
    assert [cell.key for cell in left] == [cell.key for cell in written]


@pytest.mark.parametrize(
    "elsewhere",
    [{"workers_per_cell": 4}, {"max_concurrent": 1}, {"storage": "s3://b"}, {"name": "x"}],
)
def test_where_and_how_a_sweep_runs_does_not_change_its_cells(elsewhere: dict[str, Any]) -> None:
    assert GridSettings(**elsewhere).expand(dataset()) == GridSettings().expand(dataset())


def test_long_cells_come_first() -> None:
    order = [(config.model.name, config.data.sparsity) for config in grid(seeds=(0,))]
    assert order[0] == ("eao", 0.0)
    assert order.index(("mca", 0.0)) < order.index(("mca", 0.8))
    works = [relative_work(config, dataset()) for config in grid()]
    assert works == sorted(works, reverse=True)


def test_to_cbmf_a_row_of_a_table_is_one_vector() -> None:
    table, cbmf = (
        relative_work(CellConfig(model=ModelConfig(name=name)), with_sequence(40))
        for name in ("mca", "cbmf")
    )
    assert table / cbmf == pytest.approx((3 + 40) / (1 + 40))


def test_what_cbmf_is_told_leaves_the_cells_of_other_models_alone() -> None:
    plain = {cell.key for cell in GridSettings().expand(dataset())}
    told = GridSettings(fusion_operation="multiply", dfe_heads=8, cbmf_targets="hard")
    others = {cell.key for cell in told.expand(dataset()) if cell.config.model.name != "cbmf"}
    assert len(others) == 30
    assert others < plain
    (own,) = {cell.config.model for cell in told.expand(dataset())} - {
        cell.config.model for cell in GridSettings().expand(dataset())
    }
    assert (own.name, own.fusion_operation, own.dfe_heads) == ("cbmf", "multiply", 8)


def test_attention_over_pooled_vectors_is_refused_before_anything_starts() -> None:
    settings = GridSettings(fusion_operation="dot_attention")
    with pytest.raises(ConfigError, match="but m0, m1 has one vector a sample"):
        settings.expand(dataset())
    with pytest.raises(ConfigError, match="but m0 has one vector a sample"):
        settings.expand(with_sequence(40))
    without_cbmf = GridSettings(models=("mca",), fusion_operation="dot_attention")
    assert len(without_cbmf.expand(dataset())) == 10


def test_the_work_of_a_sequence_grows_with_its_length() -> None:
    config = CellConfig()
    short, long = (relative_work(config, with_sequence(length)) for length in (40, 80))
    assert long / short == pytest.approx((3 + 80) / (3 + 40))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models": ("mac",)}, "did you mean 'mca'"),
        ({"models": ()}, "--models"),
        ({"seeds": (1, 1)}, "--seeds"),
        ({"workers_per_cell": 0}, "--workers-per-cell = 0"),
        ({"cpus_per_worker": 0.0}, "--cpus-per-worker"),
        ({"name": "a/b"}, "--name = 'a/b'"),
        ({"name": ".."}, "--name = '..'"),
        ({"name": "it's"}, "--name"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        GridSettings(**settings)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sparsities": (0.2, 1.0)}, "sparsity = 1.0"),
        ({"sparsities": (-0.1,)}, "sparsity = -0.1"),
        ({"epochs": 0}, "epochs = 0"),
        ({"batch_size": 3, "workers_per_cell": 4}, "--batch-size = 3 is smaller than"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        grid(**settings)
    assert said in str(refused.value)


def test_every_setting_is_explained_by_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(GridSettings, args=["--help"])
    shown = capsys.readouterr().out
    for field in dataclasses.fields(GridSettings):
        assert f"--{field.name.replace('_', '-')}" in shown
    parsed = tyro.cli(
        GridSettings, args=["--models", "mca", "eao", "--sparsities", "0", "0.5", "--gpu", "A10G"]
    )
    assert parsed == GridSettings(models=("mca", "eao"), sparsities=(0.0, 0.5), gpu="A10G")


@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_help_tells_the_presets_true_values(preset: Literal["laptop", "paper"]) -> None:
    settings = GridSettings(preset=preset)
    config = settings.expand(with_sequence())[0].config
    values = {**vars(config.data), **vars(config.model), **vars(config.train)}
    values["workers_per_cell"] = settings.workers
    checked = 0
    for name, text in explained():
        told = re.search(rf"(?:{preset}|both presets): ([\d.]*\d)", text, re.IGNORECASE)
        if told and name in values:
            assert float(told[1]) == values[name], f"--{name}: {text}"
            checked += 1
    assert checked >= 11


def explained() -> Iterator[tuple[str, str]]:
    """Each setting that leaves its value to the preset, with the text that explains it."""
    (settings,) = (
        node
        for node in ast.parse(inspect.getsource(settings_module)).body
        if isinstance(node, ast.ClassDef) and node.name == "SweepSettings"
    )
    for field, text in itertools.pairwise(settings.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            if ast.unparse(field.annotation).endswith("| None"):
                yield field.target.id, ast.literal_eval(text.value)


@pytest.mark.parametrize(
    ("widths", "settings", "message"),
    [
        ((3,), {"models": ("eao",)}, "two modalities"),
        ((3, 5), {"channel_orders": (2, 3)}, "does not fit 2 modalities"),
    ],
)
def test_modalities_that_no_model_fits_are_refused_before_anything_starts(
    widths: tuple[int, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        GridSettings(**settings).expand(dataset(widths))
