"""Settings of one cell: frozen, typed, checked where they are made.

A `CellConfig` holds everything that decides a cell's result and nothing else: not where files go, not
how many workers share the work. Its canonical JSON is what the cell key is hashed from.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from raymm.errors import ConfigError, nearest

ModelName = Literal["mca", "zorro", "eao", "cbmf", "convirt"]
MODEL_NAMES: tuple[ModelName, ...] = typing.get_args(ModelName)
SMDF_MODELS: tuple[ModelName, ...] = ("mca", "zorro", "eao")
"""The transformers over all tokens that Sparsely Multimodal Data Fusion compares."""
GRID_MODELS: tuple[ModelName, ...] = (*SMDF_MODELS, "cbmf")
"""Models that the sparsity grid compares unless asked otherwise."""
FusionOperation = Literal["add", "multiply", "concatenate", "dot_attention", "additive_attention"]
FUSION_OPERATIONS: tuple[FusionOperation, ...] = typing.get_args(FusionOperation)
ATTENTION_OPERATIONS: tuple[FusionOperation, ...] = ("dot_attention", "additive_attention")
"""Fusion operations that choose among tokens: one pooled vector leaves them nothing to choose."""
Precision = Literal["fp32", "bf16"]


def _require(condition: bool, setting: str, value: object, wanted: str) -> None:
    if not condition:
        raise ConfigError(f"{setting} = {value!r} is out of range. Give {wanted}.")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data a cell sees, and which holes are put into it."""

    dataset: str = "digits"
    """Built-in name, or a folder / s3:// address of tables. Not part of the key: the fingerprint is."""
    modalities: tuple[str, ...] = ()
    """Modalities used, in this order; empty means the data set's default."""
    label: str | None = None
    """Label column for the probes; None means the data set's default."""
    sparsity: float = 0.0
    """Probability that a modality is dropped from a sample before training (SMDF 4.2)."""
    mask_seed: int = 0
    split_seed: int = 0
    validation_fraction: float = 0.15
    test_fraction: float = 0.15

    def __post_init__(self) -> None:
        _require(0 <= self.sparsity < 1, "sparsity", self.sparsity, "a number in [0, 1)")
        for name in ("validation_fraction", "test_fraction"):
            _require(0 < getattr(self, name) < 1, name, getattr(self, name), "a number in (0, 1)")
        used = self.validation_fraction + self.test_fraction
        _require(used < 1, "validation_fraction + test_fraction", used, "less than 1 in all")
        twice = {m for m in self.modalities if self.modalities.count(m) > 1}
        _require(not twice, "modalities", self.modalities, "each modality once")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture of a fusion model. Defaults are the built-in grid's; the papers' are in presets."""

    name: str = "mca"
    """One of MODEL_NAMES, or package.module:Class for a model of one's own."""
    width: int = 32
    depth: int = 2
    heads: int = 1
    head_size: int = 16
    """Width of one attention head; attention's inner width is heads x head_size, whatever `width`."""
    feedforward_factor: int = 4
    """Feed-forward width is int(width * feedforward_factor * 2 / 3), gated (GEGLU)."""
    fusion_tokens: int = 2
    """Fusion tokens per channel (MCA). Zorro has the same total in its single channel, EAO none."""
    channel_orders: tuple[int, ...] = ()
    """Sizes of MCA's fusion channels; empty means 2..M for up to 5 modalities, else 2 and M."""
    eao_projection: bool = True
    """EAO's linear projection of the mean token: the paper's; its published code leaves it out."""
    fusion_operation: FusionOperation = "add"
    """How CBMF fuses a modality with its context (CBMF, eq. 1 and 2)."""
    dfe_heads: int = 4
    """Attention heads of CBMF's Deep Fusion Encoder; each has `width` / `dfe_heads` components."""
    projection_width: int | None = None
    """Hidden width of the projections of CBMF and ConVIRT; None means `width`."""
    pool_tokens: bool = False
    """CBMF's element-wise operations see the mean of a sample's tokens, not each of them."""
    encoders: tuple[str, ...] = ()
    """Pretrained encoders, one for each modality in order, that run in every step: trained by
    ConVIRT, frozen in CBMF. Empty: the data are features already, which is much faster."""

    def __post_init__(self) -> None:
        if self.name not in MODEL_NAMES and ":" not in self.name:
            raise ConfigError(f"There is no model '{self.name}': {nearest(self.name, MODEL_NAMES)}")
        sizes = ("width", "depth", "heads", "head_size", "feedforward_factor", "fusion_tokens")
        for setting in sizes:
            _require(getattr(self, setting) >= 1, setting, getattr(self, setting), "1 or more")
        orders = self.channel_orders
        _require(
            all(order >= 2 for order in orders), "channel_orders", orders, "sizes of 2 or more"
        )
        self._check_projections()

    def _check_projections(self) -> None:
        """What only CBMF and ConVIRT use."""
        operation = self.fusion_operation
        if operation not in FUSION_OPERATIONS:
            known = nearest(operation, FUSION_OPERATIONS)
            raise ConfigError(f"There is no fusion operation '{operation}': {known}")
        if self.pool_tokens and operation in ATTENTION_OPERATIONS:
            raise ConfigError(
                f"fusion_operation = {operation!r} chooses among tokens, and pool_tokens leaves it one "
                "vector. Turn pool_tokens off, or use add, multiply or concatenate."
            )
        _require(self.dfe_heads >= 1, "dfe_heads", self.dfe_heads, "1 or more")
        hidden = self.projection_width
        _require(hidden is None or hidden >= 1, "projection_width", hidden, "1 or more")
        if self.name == "cbmf" and self.width % self.dfe_heads:
            raise ConfigError(
                f"width = {self.width} does not divide into {self.dfe_heads} heads (dfe_heads). "
                f"Give a multiple of {self.dfe_heads}, or other heads."
            )
        if self.name == "convirt" and not self.encoders:
            raise ConfigError(
                "ConVIRT trains the encoders, and `encoders` names none. Give one for each "
                "modality, or train model 'cbmf' on features."
            )
        if self.encoders and self.name not in ("cbmf", "convirt"):
            raise ConfigError(
                f"encoders = {self.encoders!r}: model '{self.name}' takes features, not encoders. "
                "Leave it empty, or use model 'cbmf' or 'convirt'."
            )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The contrastive loss."""

    temperature: float = 0.07
    learn_temperature: bool = True
    similarity: Literal["cosine", "dot"] = "cosine"
    negatives: Literal["present", "all"] = "present"
    """'all' keeps samples that lack an embedding as (zero) negatives, as the published code does."""
    eao_pairs: Literal["all", "disjoint"] = "all"
    """EAO's pairs of embeddings: all, or those that share no modality (the model's own paper)."""
    cbmf_targets: Literal["soft", "hard"] = "soft"
    """CBMF's targets: soft as in its paper (eq. 5), or hard, the plain InfoNCE of the others."""

    def __post_init__(self) -> None:
        _require(0.01 <= self.temperature <= 1, "temperature", self.temperature, "0.01 to 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimisation."""

    epochs: int = 5
    batch_size: int = 32
    """Samples in one step over all workers."""
    learning_rate: float = 8e-3
    weight_decay: float = 0.01
    warmup_steps: int = 40
    clip_norm: float = 2.0
    """Gradients are scaled down to this global norm; 0 turns clipping off."""
    precision: Precision = "fp32"
    seed: int = 0
    patience: int = 0
    """Epochs without a lower validation loss after which training stops; 0 trains all epochs."""

    def __post_init__(self) -> None:
        for setting in ("epochs", "batch_size"):
            _require(getattr(self, setting) >= 1, setting, getattr(self, setting), "1 or more")
        rate_ok = 0 < self.learning_rate < math.inf
        _require(rate_ok, "learning_rate", self.learning_rate, "a positive number")
        for setting in ("warmup_steps", "clip_norm", "weight_decay", "seed", "patience"):
            _require(getattr(self, setting) >= 0, setting, getattr(self, setting), "0 or more")


@dataclass(frozen=True, kw_only=True)
class CellConfig:
    """One training: a condition (data set x model x sparsity) with hyperparameters and a seed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


Settings = TypeVar("Settings")


def to_dict(settings: Any) -> dict[str, Any]:
    """Plain nested dict of a settings object, with lists for tuples: what JSON can hold."""
    plain = dataclasses.asdict(settings)
    return typing.cast(dict[str, Any], _listed(plain))


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as ("group.name", value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def from_dict(cls: type[Settings], values: Mapping[str, Any], where: str = "settings") -> Settings:
    """Build settings from a nested dict, refusing unknown keys.

    Raises:
        ConfigError: a key is unknown (with the nearest known one) or a value has the wrong type.
    """
    hints = typing.get_type_hints(cls)
    known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where} has no setting '{key}': {nearest(key, known)}")
        arguments[key] = _converted(hints[key], value, f"{where}.{key}")
    return cls(**arguments)


def _converted(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} = {value!r} should be a group of settings.")
        return from_dict(typing.cast(type[Any], hint), value, where)
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in options:
            raise ConfigError(f"{where} = {value!r}: {nearest(str(value), map(str, options))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} = {value!r} should be a list.")
        return tuple(_converted(options[0], item, where) for item in value)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _converted(options[0], value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} = {value!r} should be of type {hint.__name__}.")
    return value
