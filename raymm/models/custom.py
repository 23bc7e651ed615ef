"""Models from outside the package, named "package.module:Class" wherever a model's name is asked for.

The module has to be importable where the cells are trained: installed there, or, beneath the folder
that the sweep is started in, which Ray tells its workers of.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

from raymm.config import MODEL_NAMES, ModelConfig
from raymm.errors import ConfigError, nearest

if TYPE_CHECKING:
    from raymm.data.dataset import ModalitySpec
    from raymm.models.base import FusionModel


def is_custom(name: str) -> bool:
    """Whether a model's name says where it is to be imported from."""
    return ":" in name


def source_digest(name: str) -> str:
    """Hash of the text of a model's module, by which a changed model's cells are other cells.

    What the module imports is not seen. The module is not run, only the packages that it is in.

    Raises:
        ConfigError: there is no such module.
    """
    origin = _located(name).origin
    source = Path(origin).read_bytes() if origin and Path(origin).is_file() else b""
    return hashlib.sha256(source).hexdigest()[:16]


def custom_model(name: str) -> type[FusionModel]:
    """The class that a name stands for.

    Raises:
        ConfigError: there is no such module, it cannot be imported, it has no such class, or that is
            no fusion model.
    """
    from raymm.models.base import FusionModel  # torch, which naming a model does without

    _located(name)
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module of somebody else may raise
        raise ConfigError(
            f"Model '{name}': importing {module_name} raised {type(error).__name__}: {error}. "
            f'See it all with: python -c "import {module_name}"'
        ) from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, FusionModel)):
        models = [
            each
            for each, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, FusionModel)
        ]
        problem = "has no such class" if found is None else "has it, but as no FusionModel"
        raise ConfigError(
            f"Model '{name}': {module_name} {problem}: {nearest(class_name, models)} Derive the class "
            "from raymm.models.base.FusionModel (docs/add-a-model.md)."
        )
    return found


def build_custom(name: str, specs: Sequence[ModalitySpec], config: ModelConfig) -> FusionModel:
    """An own model with freshly drawn weights.

    Raises:
        ConfigError: as of `custom_model`; or it does not say which embeddings it has and compares.
    """
    model = custom_model(name)(specs, config)
    for attribute in ("members", "pairs"):
        if not getattr(model, attribute, ()):
            raise ConfigError(
                f"Model '{name}' sets no `{attribute}`. Its constructor has to: members, the "
                "modalities behind each embedding, and pairs, which of them the loss compares."
            )
    return model


def _located(name: str) -> ModuleSpec:
    module, _, class_name = name.partition(":")
    if not (class_name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ConfigError(
            f"There is no model '{name}': {nearest(name, MODEL_NAMES)} One of your own is named "
            "package.module:Class."
        )
    here = os.getcwd()
    if here not in sys.path:  # of a script, Python knows its own folder only
        sys.path.append(here)
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of a package that it should be in
        found = None
    if found is None:
        raise ConfigError(
            f"Model '{name}': there is no module '{module}' in {here}, and none is installed. Start "
            "the sweep in the folder that holds it, or install its package."
        )
    return found
