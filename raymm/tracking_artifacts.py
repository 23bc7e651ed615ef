"""What a ledger's runs hold besides numbers: files, data sets, models. Beside `raymm.tracking` the only
importer of mlflow, which knows these by classes of its own.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from raymm.errors import RaymmError, TrackingError
from raymm.tracking import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = 36
"""Most characters of a data set's digest that MLflow takes."""
CONTEXT = "mlflow.data.context"


@dataclass(frozen=True)
class Input:
    """A data set, or what else a training was given, as MLflow shows it.

    Attributes:
        digest: tells versions apart.
        columns: name -> what it is.
        profile: name -> number or text.
        context: what it was for, "training".
    """

    name: str
    digest: str
    source: str
    columns: Mapping[str, str]
    profile: Mapping[str, object]
    context: str = "training"


@dataclass(frozen=True)
class Packed:
    """A model for `mlflow.pyfunc.load_model`, whose loader is a module.

    Attributes:
        files: name -> content.
        loader: module with `_load_pyfunc`.
        columns: (name, "double" or "sequence") of the table it takes; all may be left out.
        example: rows of such a table.
        parameter: name and default of its one parameter.
        width: columns of what it returns, float32.
        requirements: of pip.
    """

    name: str
    files: Mapping[str, bytes]
    loader: str
    columns: Sequence[tuple[str, str]]
    example: pd.DataFrame
    parameter: tuple[str, str]
    width: int
    requirements: Sequence[str]


@contextmanager
def _asked(store: Store) -> Iterator[MlflowClient]:
    """The store's client; whatever the store of artifacts raises becomes an error with a remedy."""
    try:
        with store.asked() as client:
            yield client
    except RaymmError:
        raise
    except Exception as error:  # each store of artifacts has kinds of its own
        raise TrackingError(
            f"MLflow's store of artifacts cannot be used: {type(error).__name__}: {error}. See that "
            "its address is right and that this machine may write there."
        ) from error


def log_files(store: Store, run_id: str, files: Mapping[Path, str]) -> None:
    """Keep files as artifacts of a run: file -> folder among the artifacts, "" for none."""
    with _asked(store) as client:
        for file, folder in files.items():
            client.log_artifact(run_id, str(file), folder or None)


def log_inputs(store: Store, run_id: str, inputs: Sequence[Input]) -> None:
    """Say which data sets a run was given; again adds nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    datasets = [
        DatasetInput(
            Dataset(
                name=each.name,
                digest=each.digest[:DIGEST],
                source_type="local",
                source=json.dumps({"uri": each.source}),
                schema=json.dumps(
                    {
                        "mlflow_colspec": [
                            {"name": name, "type": what, "required": False}
                            for name, what in each.columns.items()
                        ]
                    }
                ),
                profile=json.dumps(each.profile),
            ),
            [InputTag(CONTEXT, each.context)],
        )
        for each in inputs
    ]
    with _asked(store) as client:
        client.log_inputs(run_id, datasets)


def log_model(store: Store, run_id: str, model: Packed, tags: Mapping[str, str]) -> str:
    """Keep a model as one of a run's; returns its address, "models:/<id>".

    A run has one model of a name: where it has, that one stays.
    """
    from mlflow.entities import LoggedModelOutput

    with _asked(store) as client:
        run = client.get_run(run_id)
        for output in run.outputs.model_outputs if run.outputs else []:
            if client.get_logged_model(output.model_id).name == model.name:
                return f"models:/{output.model_id}"
        made = client.create_logged_model(
            run.info.experiment_id, name=model.name, source_run_id=run_id, tags=dict(tags)
        )
        with tempfile.TemporaryDirectory(prefix="raymm-model-") as folder:
            target = Path(folder, "model")
            write_model(model, target)
            client.log_model_artifacts(made.model_id, str(target))
        client.finalize_logged_model(made.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])
        return f"models:/{made.model_id}"


def write_model(model: Packed, target: Path) -> None:
    """Write a model's folder, which must not be there yet, as MLflow lays it out."""
    with tempfile.TemporaryDirectory(prefix="raymm-files-") as data, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import, of the type hints of classes of its own
        import mlflow.pyfunc

        for name, content in model.files.items():
            (Path(data) / name).write_bytes(content)
        mlflow.pyfunc.save_model(
            path=str(target),
            loader_module=model.loader,
            data_path=data,
            signature=_signature(model),
            input_example=model.example,
            pip_requirements=list(model.requirements),
        )


def register_model(store: Store, name: str, address: str, run_id: str) -> int:
    """Register a kept model as the next version of a name, unless it is one; returns its version."""
    from mlflow.exceptions import MlflowException

    with _asked(store) as client:
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.source == address:
                return int(version.version)
        model_id = address.removeprefix("models:/")
        made = client.create_model_version(name, address, run_id, model_id=model_id)
        return int(made.version)


def _signature(model: Packed) -> object:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    kinds: dict[str, Array | DataType] = {
        "double": DataType.double,
        "sequence": Array(Array(DataType.double)),
    }
    inputs = Schema([ColSpec(kinds[kind], name, required=False) for name, kind in model.columns])
    outputs = Schema([ColSpec(DataType.float, f"e{number}") for number in range(model.width)])
    parameter = ParamSpec(model.parameter[0], DataType.string, model.parameter[1])
    return ModelSignature(inputs, outputs, ParamSchema([parameter]))
