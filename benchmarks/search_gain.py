"""What a search gains over the preset, and over random search at the same cost, on the built-in data.

    python -m benchmarks.search_gain --out results/digits-search      # minutes on 2 cores

For each sampler and each of its seeds `sweeps/temperature_lr.py` searches the default space, with the
same number of trials, in each condition (model x sparsity). What each search found is then trained
with other seeds by `sweeps/sparsity_grid.py --from-search`, and held against the preset with those
seeds on the test split: the validation split has chosen the settings, so what it says of them is too
good.

With --folder all runs are kept in it, and the same command again goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from raymm.report.markdown_table import table as markdown_table

ROOT = Path(__file__).parent.parent
SAMPLERS = {"tpe": "#0072b2", "random": "#d55e00"}
"""Their names, and the colours they are drawn in."""
METRIC = "probe/auprc"
VALIDATION = f"val/{METRIC}"
PLACES = ("folder", "out")
CONDITION = ["model", "sparsity"]
COLUMNS = {
    "preset, validation": "the preset on the validation split, with the search's seed",
    "found, validation": "the best trial on the validation split",
    "preset, test": "the preset on the test split, mean over the held-out seeds",
    "found, test": "the settings found on the test split, mean over the held-out seeds",
    "gain, test": "the difference of the two, seeds paired",
}


def main() -> None:
    """Search, train what was found, and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=["mca", "zorro"])
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.2, 0.6])
    parser.add_argument("--modalities", nargs="+", default=["zer", "mor"])
    parser.add_argument("--trials", type=int, default=12, help="of each condition in each search")
    parser.add_argument("--searches", type=int, default=1, help="seeds of each sampler")
    parser.add_argument("--seeds", type=int, default=3, help="held out for the test split")
    parser.add_argument("--folder", type=Path, help="where the sweeps run; kept")
    parser.add_argument("--out", type=Path, default=Path("results/digits-search"))
    options = parser.parse_args()
    out, began = options.out.absolute(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="search-gain-") as temporary:
        sweeps = Sweeps(Path(options.folder or temporary).absolute(), options)
        rows, paths = [], []
        for seed in range(options.searches):
            for sampler in SAMPLERS:
                rows.append(sweeps.searched(sampler, seed))
                paths.append(sweeps.path(sampler, seed))
        given = {name: value for name, value in vars(options).items() if name not in PLACES}
        command = "python -m benchmarks.search_gain " + " ".join(
            f"--{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in given.items()
        )
        write(out, pd.concat(rows), pd.concat(paths), options, command, time.monotonic() - began)


class Sweeps:
    """The commands of the sweeps, run in a folder that they share.

    Args:
        options: of the command line.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        folder.mkdir(parents=True, exist_ok=True)
        self.conditions = ["--models", *options.models, "--sparsities"]
        self.conditions += [*map(str, options.sparsities), "--modalities", *options.modalities]

    def run(self, script: str, name: str, *arguments: str) -> Path:
        """Run one of them; returns its results folder.

        Raises:
            SystemExit: it failed.
        """
        given = [*self.conditions, "--name", name, *arguments]
        print(" ".join(["python", f"sweeps/{script}.py", *given]), flush=True)
        command = [sys.executable, str(ROOT / f"sweeps/{script}.py"), *given]
        with (self.folder / f"{name}.txt").open("w") as said:
            done = subprocess.run(command, cwd=self.folder, stdout=said, stderr=said, check=False)
        if done.returncode:
            raise SystemExit(f"it failed: {said.name}")
        return self.folder / "results" / name

    def search(self, sampler: str, seed: int) -> Path:
        """Search in every condition."""
        given = {"--sampler": sampler, "--sampler-seed": seed, "--trials": self.options.trials}
        flat = [str(word) for pair in given.items() for word in pair]
        return self.run("temperature_lr", f"search-{sampler}-{seed}", *flat)

    @cached_property
    def preset(self) -> pd.Series[float]:
        """The preset with the held-out seeds."""
        return self.tested("preset")

    def tested(self, name: str, *arguments: str) -> pd.Series[float]:
        """Train settings with the held-out seeds: the metric of the test split, by condition and
        seed."""
        seeds = [str(seed) for seed in range(10, 10 + self.options.seeds)]
        more = ("--seeds", *seeds, "--log-models", "none")
        cells = pd.read_csv(self.run("sparsity_grid", name, *more, *arguments) / "cells.csv")
        found: pd.Series[float] = cells.set_index([*CONDITION, "seed"])[METRIC]
        return found

    def searched(self, sampler: str, seed: int) -> pd.DataFrame:
        """A row for each condition: what a search has found there."""
        folder = self.search(sampler, seed)
        preset = self.preset.groupby(CONDITION).mean()
        found = self.tested(f"found-{sampler}-{seed}", "--from-search", folder.name)
        test = found.groupby(CONDITION).mean()
        rows = []
        for each in json.loads((folder / "best.json").read_text())["conditions"]:
            place = each["model"], each["sparsity"]
            values = (
                each["default"][VALIDATION], each["validation"][VALIDATION], preset[place],
                test[place], test[place] - preset[place],
            )  # fmt: skip
            named = dict(zip(COLUMNS, values, strict=True))
            where = dict(zip(CONDITION, place, strict=True))
            rows.append({**where, "sampler": sampler, "seed": seed, **named, **each["searched"]})
        return pd.DataFrame(rows)

    def path(self, sampler: str, seed: int) -> pd.DataFrame:
        """Each trial's value on the validation split, and the best until then."""
        folder = self.folder / "results" / f"search-{sampler}-{seed}"
        trials = pd.read_csv(folder / "trials.csv").sort_values("trial")
        trials["best"] = trials.groupby(CONDITION)[VALIDATION].cummax()
        kept = trials[[*CONDITION, "trial", VALIDATION, "best"]]
        return kept.assign(sampler=sampler, seed=seed)


def write(
    out: Path,
    rows: pd.DataFrame,
    paths: pd.DataFrame,
    options: argparse.Namespace,
    command: str,
    seconds: float,
) -> None:
    """The tables `gain.csv` and `trials.csv`, the figure, and what they show as `README.md`."""
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "gain.csv", index=False, float_format="%.5f", lineterminator="\n")
    paths.to_csv(out / "trials.csv", index=False, float_format="%.5f", lineterminator="\n")
    figure(paths).savefig(out / "search.png", dpi=110, bbox_inches="tight")
    explained = "\n".join(f"- *{name}*: {what}" for name, what in COLUMNS.items())
    modalities, count = " and ".join(options.modalities), len(paths.groupby(CONDITION))
    (out / "README.md").write_text(
        f"# What a search gains\n\n    {command}\n\n"
        f"The built-in data's {modalities}, {count} condition(s); {METRIC}, of which more is better. "
        f"Each search has {options.trials} trials of each condition, of one training seed, the first "
        f"of them the preset, and each sampler {options.searches} search(es). What was found is "
        f"trained with {options.seeds} other seeds. In all {seconds / 60:.0f} minutes.\n\n"
        "Means over conditions and searches, ± the standard error over them:\n\n"
        f"{as_table(rows, ['sampler'])}\n\nBy condition:\n\n"
        f"{as_table(rows, [*CONDITION, 'sampler'])}\n\n{explained}\n\n"
        "![The best value after each trial](search.png)\n\n"
        "`gain.csv` has what each search found, `trials.csv` each trial.\n"
    )


def as_table(rows: pd.DataFrame, by: list[str]) -> str:
    """Means of the columns, with the standard error of the gain, in Markdown."""
    groups = rows.groupby(by, sort=False)
    means, error = groups[list(COLUMNS)].mean(), groups["gain, test"].sem()
    table = means.map(lambda value: f"{value:.4f}")
    table["gain, test"] += error.map(lambda each: f" ± {each:.4f}" if each == each else "")
    table = table.reset_index()
    return markdown_table(list(table), table.to_numpy().tolist())


def figure(paths: pd.DataFrame) -> Figure:
    """The best trial so far on the validation split, by condition: each search, and their mean."""
    conditions = list(paths.groupby(CONDITION, sort=False))
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        drawn = Figure(figsize=(2.6 * len(conditions), 2.4), layout="constrained")
        places = drawn.subplots(1, len(conditions), squeeze=False)[0]
        for axes, ((model, sparsity), own) in zip(places, conditions, strict=True):
            for sampler, colour in SAMPLERS.items():
                of = own[own["sampler"] == sampler].pivot_table(
                    index="trial", columns="seed", values="best"
                )
                axes.plot(of.index + 1, of, color=colour, alpha=0.3, linewidth=1)
                axes.plot(of.index + 1, of.mean(axis=1), color=colour, label=sampler)
            axes.set(title=f"{model}, S = {sparsity:g}", xlabel="trials")
        places[0].set_ylabel(f"best {VALIDATION}")
        places[0].legend(frameon=False)
        return drawn


if __name__ == "__main__":
    main()
