"""What a search gains over the preset, and over random search at the same cost, on the built-in data.

    python -m benchmarks.search_gain --out results/digits-search      # about 20 minutes on 2 cores

For each sampler and each of several sampler seeds, `sweeps/temperature_lr.py` searches the default
space with the same number of trials. What each search found is then trained with other seeds by
`sweeps/sparsity_grid.py --from-search`, and held against the preset with those seeds on the test
split: the validation split has chosen the settings, so what it says of them is too good.

All runs share a folder (--folder), so the same command again goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from raymm.report.markdown_table import table as markdown_table

ROOT = Path(__file__).parent.parent
SPARSITY = 0.6
SAMPLERS = ("tpe", "random")
METRIC = "probe/auprc"
VALIDATION = f"val/{METRIC}"
COLOURS = {"tpe": "#0072b2", "random": "#d55e00"}
COLUMNS = {
    "preset, validation": "the preset on the validation split, with the search's seed",
    "found, validation": "the best trial on the validation split",
    "preset, test": "the preset on the test split, mean over the held-out seeds",
    "found, test": "the settings found on the test split, mean over the held-out seeds",
    "gain, test": "the difference of the two, the seeds paired",
}


def main() -> None:
    """Search, train what was found, and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=["mca", "zorro"])
    parser.add_argument("--trials", type=int, default=12, help="of each model in each search")
    parser.add_argument("--searches", type=int, default=3, help="seeds of each sampler")
    parser.add_argument("--seeds", type=int, default=5, help="held out for the test split")
    parser.add_argument("--folder", type=Path, help="where the sweeps run; kept")
    parser.add_argument("--out", type=Path, default=Path("results/digits-search"))
    options = parser.parse_args()
    out, began = options.out.absolute(), time.monotonic()
    held_out = [str(seed) for seed in range(10, 10 + options.seeds)]
    with tempfile.TemporaryDirectory(prefix="search-gain-") as temporary:
        folder = Path(options.folder or temporary).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        preset = grid(folder, "preset", options.models, held_out)
        rows, paths = [], []
        for seed in range(options.searches):  # by seed: what is there at any time can be compared
            for sampler in SAMPLERS:
                name = f"search-{sampler}-{seed}"
                chosen = ["--sampler", sampler, "--sampler-seed", str(seed)]
                chosen += ["--trials", str(options.trials)]
                best = ("--from-search", name)
                sweep(folder, "temperature_lr", name, options.models, *chosen)
                found = grid(folder, f"found-{sampler}-{seed}", options.models, held_out, *best)
                rows += compared(folder, name, sampler, seed, preset, found)
                paths.append(path_of(folder, name, sampler, seed))
                write(out, pd.DataFrame(rows), pd.concat(paths), options, time.monotonic() - began)


def sweep(folder: Path, script: str, name: str, models: list[str], *arguments: str) -> None:
    """Run one of the sweeps' commands.

    Raises:
        SystemExit: it failed.
    """
    given = ["--models", *models, "--sparsities", str(SPARSITY), "--name", name, *arguments]
    command = [sys.executable, str(ROOT / f"sweeps/{script}.py"), *given]
    print(" ".join(["python", f"sweeps/{script}.py", *given]), flush=True)
    with (folder / f"{name}.txt").open("w") as said:
        if subprocess.run(command, cwd=folder, stdout=said, stderr=said, check=False).returncode:
            raise SystemExit(f"it failed: {said.name}")


def grid(
    folder: Path, name: str, models: list[str], seeds: list[str], *arguments: str
) -> pd.DataFrame:
    """Train settings with the held-out seeds: a metric for each model (columns) and seed (rows)."""
    more = ("--log-models", "none")
    sweep(folder, "sparsity_grid", name, models, "--seeds", *seeds, *more, *arguments)
    cells = pd.read_csv(folder / "results" / name / "cells.csv")
    return cells.pivot_table(index="seed", columns="model", values=METRIC)


def compared(
    folder: Path, search: str, sampler: str, seed: int, preset: pd.DataFrame, found: pd.DataFrame
) -> list[dict[str, object]]:
    """A row for each model of what a search has found."""
    best = json.loads((folder / "results" / search / "best.json").read_text())
    rows: list[dict[str, object]] = []
    for each in best["conditions"]:
        model = each["model"]
        rows.append(
            {
                "model": model,
                "sampler": sampler,
                "sampler seed": seed,
                "preset, validation": each["default"][VALIDATION],
                "found, validation": each["validation"][VALIDATION],
                "preset, test": preset[model].mean(),
                "found, test": found[model].mean(),
                "gain, test": (found[model] - preset[model]).mean(),
                **each["searched"],
            }
        )
    return rows


def path_of(folder: Path, search: str, sampler: str, seed: int) -> pd.DataFrame:
    """The best value on the validation split after each trial."""
    trials = pd.read_csv(folder / "results" / search / "trials.csv").sort_values("trial")
    trials["best"] = trials.groupby("model")[VALIDATION].cummax()
    kept = trials[["model", "trial", VALIDATION, "best"]]
    return kept.assign(sampler=sampler, seed=seed)


def write(
    out: Path,
    rows: pd.DataFrame,
    paths: pd.DataFrame,
    options: argparse.Namespace,
    seconds: float,
) -> None:
    """The tables `gain.csv` and `trials.csv`, the figure, and what they show as `README.md`."""
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "gain.csv", index=False, float_format="%.5f", lineterminator="\n")
    paths.to_csv(out / "trials.csv", index=False, float_format="%.5f", lineterminator="\n")
    groups = rows.groupby(["model", "sampler"])
    table = groups[list(COLUMNS)].mean().round(4).astype(str)
    error = groups["gain, test"].sem()
    table["gain, test"] += error.map(lambda each: f" ± {each:.4f}" if each == each else "")
    table.insert(0, "searches", groups.size())
    table = table.reset_index().astype(str)
    figure(paths).savefig(out / "search.png", dpi=110, bbox_inches="tight")
    explained = "\n".join(f"- *{name}*: {what}" for name, what in COLUMNS.items())
    (out / "README.md").write_text(
        "# What a search gains\n\n    python -m benchmarks.search_gain --models "
        f"{' '.join(options.models)} --trials {options.trials} "
        f"--searches {options.searches} --seeds {options.seeds}\n\n"
        f"The built-in data at S = {SPARSITY:g}, {' and '.join(options.models)}; {METRIC}, of which "
        f"more is better. Each search has {options.trials} trials of each model, of one training "
        f"seed, the first of them the preset. What it found is trained with {options.seeds} other "
        f"seeds. Means over the searches, ± their standard error. All in {seconds / 60:.0f} "
        "minutes.\n\n"
        f"{markdown_table(list(table), table.to_numpy().tolist())}\n\n{explained}\n\n"
        "![The best value after each trial](search.png)\n\n"
        "`gain.csv` has each search, `trials.csv` each trial.\n"
    )


def figure(paths: pd.DataFrame) -> Figure:
    """The best trial so far on the validation split: each search, and the mean of each sampler."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        drawn = Figure(figsize=(7, 2.8), layout="constrained")
        models = list(dict.fromkeys(paths["model"]))
        for axes, model in zip(
            drawn.subplots(1, len(models), squeeze=False)[0], models, strict=True
        ):
            own = paths[paths["model"] == model]
            for sampler, colour in COLOURS.items():
                of = own[own["sampler"] == sampler].pivot_table(
                    index="trial", columns="seed", values="best"
                )
                axes.plot(of.index + 1, of, color=colour, alpha=0.3, linewidth=1)
                axes.plot(of.index + 1, of.mean(axis=1), color=colour, label=sampler)
            axes.set(
                title=f"{model}, S = {SPARSITY:g}", xlabel="trials", ylabel=f"best {VALIDATION}"
            )
            axes.legend(frameon=False)
        return drawn


if __name__ == "__main__":
    main()
