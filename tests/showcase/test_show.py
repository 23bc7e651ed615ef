"""A sweep that has ended, as MLflow's own pages and `mlflow.pyfunc.load_model` have it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

import raymm
from raymm.showcase.show import chosen, show
from raymm.showcase.summaries import Summary, grid_summaries, search_summaries
from raymm.sweep.cells import CellResult
from raymm.sweep.grid import GridSettings
from raymm.sweep.opening import open_record
from raymm.sweep.plan import Sweep, claim_places, prepare_sweep
from raymm.sweep.search.objective import Objective
from raymm.sweep.search.trials import Condition, TrialRecord
from raymm.training.loop import train_cell
from tests.data.sources import folders
from tests.report.synthetic import failed, result

USED = ("mor", "zer")


def settings(folder: Path) -> GridSettings:
    """Of a sweep of four small cells over 90 samples."""
    names, clinic = folders.ids(90), folder / "clinic"
    clinic.mkdir()
    for number, table in enumerate(USED):
        folders.features(names, 5, number).to_csv(clinic / f"{table}.csv")
    rows = [f"{name},{place % 2}" for place, name in enumerate(names)]
    (clinic / "labels.csv").write_text("\n".join(["id,outcome", *rows]) + "\n")
    return GridSettings(
        dataset=str(clinic), modalities=USED, models=("mca",), sparsities=(0.0, 0.5), seeds=(0, 1),
        epochs=1, width=8, depth=1, head_size=8, fusion_tokens=1, warmup_steps=1, name="small",
        results_dir=str(folder / "results"), storage=str(folder / "storage"),
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
    )  # fmt: skip


def train(sweep: Sweep) -> list[CellResult]:
    """Train the cells here and record them, as workers and recorder would."""
    torch.set_num_threads(1)  # as a worker with one CPU
    open_record(sweep)
    results = []
    for cell in sweep.cells:
        sweep.ledger.start(cell)
        metrics = train_cell(
            cell.config,
            sweep.dataset,
            storage=f"{sweep.storage}/{cell.key}",
            device=torch.device("cpu"),
            on_epoch=lambda report: True,
        )
        name = sweep.dataset.name
        results.append(CellResult(cell.config, name, cell.key, "finished", metrics=metrics))
        sweep.ledger.end(results[-1])
    return results


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[MlflowClient, Sweep, list[CellResult]]:
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sweep = prepare_sweep(settings(folder))
        claim_places(sweep)
        with sweep.ledger:
            results = train(sweep)
            (sweep.folder / "figure_6.png").write_bytes(b"a picture")
            (sweep.folder / "report.html").write_text("<p>a page</p>")
            console = Console(record=True, width=300)
            for _ in range(2):  # the second changes nothing
                show(sweep, results, console, models="best", register="small")
            assert not console.export_text().strip()
            sweep.ledger.close_sweep("FINISHED")
            assert sweep.ledger.settle(20)
    return MlflowClient(str(sweep.settings.tracking_uri)), sweep, results


def runs(client: MlflowClient, kind: str) -> list[Run]:
    experiment = client.get_experiment_by_name("raymm")
    found = client.search_runs([experiment.experiment_id], f"tags.`raymm.kind` = '{kind}'")
    return list(found)


def test_the_parent_has_figures_and_page(
    shown: tuple[MlflowClient, Sweep, list[CellResult]],
) -> None:
    client, *_ = shown
    (parent,) = runs(client, "sweep")
    assert {each.path for each in client.list_artifacts(parent.info.run_id)} == {
        "figures", "report.html",
    }  # fmt: skip
    (figure,) = client.list_artifacts(parent.info.run_id, "figures")
    assert figure.path == "figures/figure_6.png"


def test_a_line_chart_of_the_summary_shows_metrics_over_sparsity(
    shown: tuple[MlflowClient, Sweep, list[CellResult]],
) -> None:
    client, _, results = shown
    (summary,) = runs(client, "summary")
    assert "mlflow.parentRunId" not in summary.data.tags  # folded away, it would have no chart
    assert summary.info.run_name == "mca: mean over seeds of small"
    assert summary.info.status == "FINISHED"
    points = client.get_metric_history(summary.info.run_id, "probe/auprc")
    wanted = {
        step: np.mean(
            [r.metrics["probe/auprc"] for r in results if r.cell.data.sparsity == step / 100]
        )
        for step in (0, 50)
    }
    assert {point.step: point.value for point in points} == pytest.approx(wanted)
    assert len(points) == 2
    assert summary.data.metrics["seeds"] == 2


def test_data_and_masks_are_inputs(shown: tuple[MlflowClient, Sweep, list[CellResult]]) -> None:
    client, sweep, _ = shown
    (parent,) = runs(client, "sweep")
    seen = {each.dataset.name: each.dataset for each in parent.inputs.dataset_inputs}
    assert set(seen) == {"clinic", "clinic S=0", "clinic S=0.5"}
    assert sweep.dataset.fingerprint.startswith(seen["clinic"].digest)
    assert json.loads(seen["clinic S=0.5"].profile)["sparsity"] == 0.5
    for cell in runs(client, "cell"):
        sparsity = float(cell.data.tags["raymm.sparsity"])
        names = {each.dataset.name for each in cell.inputs.dataset_inputs}
        assert names == {"clinic", f"clinic S={sparsity:g}"}


def wide(sweep: Sweep) -> pd.DataFrame:
    """Three samples; the second lacks a modality."""
    parts = [
        pd.DataFrame(
            each.values[:3].astype(np.float64),  # noqa: PD011
            index=["a", "b", "c"],
            columns=[f"{each.name}.{column}" for column in each.columns],
        )
        for each in sweep.dataset.modalities
    ]
    parts[1].loc["b"] = np.nan
    return pd.concat(parts, axis=1)


def test_the_best_of_each_condition_runs_on_a_table_with_holes(
    shown: tuple[MlflowClient, Sweep, list[CellResult]],
) -> None:
    client, sweep, results = shown
    models = client.search_registered_models()
    assert {model.name for model in models} == {"small-mca-S=0", "small-mca-S=0_5"}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, of schemas
        patch.setenv("MLFLOW_TRACKING_URI", str(sweep.settings.tracking_uri))
        for model in models:
            (version,) = client.search_model_versions(f"name = '{model.name}'")
            loaded = mlflow.pyfunc.load_model(version.source)
            run = client.get_run(version.run_id)
            assert run.outputs.model_outputs[0].model_id == version.source.removeprefix("models:/")
            best = next(r for r in results if r.key == run.data.tags["raymm.cell_key"])
            rivals = [r for r in results if r.cell.data.sparsity == best.cell.data.sparsity]
            assert best.metrics["loss/val"] == min(r.metrics["loss/val"] for r in rivals)

            table = wide(sweep)
            embedder = raymm.load(f"{sweep.storage}/{best.key}")
            tables = {
                each.name: table.filter(like=f"{each.name}.").rename(
                    columns=lambda name: name.partition(".")[2]
                )
                for each in sweep.dataset.modalities
            }
            wanted = embedder.transform(tables)
            np.testing.assert_allclose(loaded.predict(table), wanted.fusion, atol=1e-6)
            zer = loaded.predict(table, params={"of": "zer"})
            assert list(zer.index[zer.isna().any(axis=1)]) == ["b"]
            alone = loaded.predict(table.filter(like="mor.").iloc[:, ::-1])
            np.testing.assert_allclose(
                alone, embedder.transform({"mor": tables["mor"]}).fusion, atol=1e-6
            )
            assert loaded.metadata.signature.inputs.input_names()[0].startswith("mor.")
            assert np.isfinite(loaded.predict(loaded.input_example)).all(axis=None)


def test_no_pickle_is_in_a_model(shown: tuple[MlflowClient, Sweep, list[CellResult]]) -> None:
    client, *_ = shown
    version = client.search_model_versions("name = 'small-mca-S=0'")[0]
    paths = [
        each.path
        for each in client.list_logged_model_artifacts(version.source.removeprefix("models:/"))
    ]
    assert "MLmodel" in paths
    assert not [path for path in paths if path.endswith((".pkl", ".pickle", ".pt"))]


def test_summaries_are_means_of_what_there_is() -> None:
    results = [
        result("mca", 0.2, 0, metrics={"a": 1.0, "b": float("nan")}),
        result("mca", 0.2, 1, metrics={"a": 3.0}),
        result("eao", 0.0, 0, metrics={"a": 5.0}),
        failed("eao", 0.0, 1, "no luck"),
    ]
    assert grid_summaries("grid", results) == [
        Summary(
            "mca: mean over seeds of grid",
            {"raymm.model": "mca"},
            [("a", 2.0, 20), ("seeds", 2.0, 20)],
        ),
        Summary(
            "eao: mean over seeds of grid",
            {"raymm.model": "eao"},
            [("a", 5.0, 0), ("seeds", 1.0, 0)],
        ),
    ]


def test_a_search_has_a_run_for_each_condition_with_its_trials_as_steps() -> None:
    mca, goal = Condition("mca", 0.2), Objective("val/loss")
    trials = [
        TrialRecord(mca, 2, "complete", {"depth": 3, "negatives": "all"}, {"val/loss": 2.0}),
        TrialRecord(mca, 0, "complete", {"depth": 1}, {"val/loss": 3.0}),
        TrialRecord(mca, 1, "pruned", {"depth": 2}),
        TrialRecord(mca, 3, "complete", {"depth": 4}, {"val/loss": 5.0}),
        TrialRecord(Condition("eao", 0.2), 0, "failed", {"depth": 2}),
    ]
    (found,) = search_summaries("lr", trials, [goal])
    assert found.name == "mca S=0.2: trials of lr"
    assert found.tags == {"raymm.model": "mca", "raymm.sparsity": "0.2"}
    by_metric: dict[str, dict[int, float]] = {}
    for metric, value, step in found.points:
        by_metric.setdefault(metric, {})[step] = value
    assert by_metric == {
        "val/loss": {0: 3.0, 2: 2.0, 3: 5.0},
        "best/val/loss": {0: 3.0, 2: 2.0, 3: 2.0},
        "setting/depth": {0: 1.0, 2: 3.0, 3: 4.0},
    }


@pytest.mark.parametrize(("which", "seeds"), [("none", []), ("best", [1]), ("all", [0, 1])])
def test_models_are_chosen_by_validation(which: str, seeds: list[int]) -> None:
    results = [
        result("mca", 0.2, seed, metrics={"loss/val": 2.0 - seed, "probe/auprc": 1.0 - seed})
        for seed in (0, 1)
    ]
    found = chosen([*results, failed("mca", 0.2, 2, "no luck")], which)  # type: ignore[arg-type]
    assert [each.cell.train.seed for each in found] == seeds


def test_a_store_that_fails_is_told_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = prepare_sweep(settings(tmp_path))
    claim_places(sweep)
    console = Console(record=True, width=300)
    with sweep.ledger:
        open_record(sweep)
        (sweep.folder / "figure_6.png").write_bytes(b"a picture")
        (tmp_path / "mlruns").write_text("a file where MLflow wants a folder for artifacts")
        show(sweep, [], console, models="best", register=None)
        sweep.ledger.close_sweep("FINISHED")
        assert sweep.ledger.settle(20)
    said = console.export_text()
    assert "MLflow does not show all of this sweep" in said
    assert "The same command adds what is missing" in said
