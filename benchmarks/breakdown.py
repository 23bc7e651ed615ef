"""Where the time of a training step goes, on the CPU: `python -m benchmarks.breakdown`.

One block at the papers' shapes, fp32, 2 threads, batch 8. PyTorch's profiler gives each operator's own
time; operators are put in groups. "products" are the matrix products of linear layers, which set the
ideal time, with the rate that they reach beside that of a large product; "attention" is the fused kernel,
forward and backward; the rest is memory traffic.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import torch

from benchmarks.cpu import matrix_rate, runner
from raymm.config import SMDF_MODELS, ModelName
from raymm.training.resources import keep_freed_memory

GROUPS = {
    "products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm"),
    "attention": ("aten::_scaled_dot_product_flash_attention",),
    "gate": ("aten::gelu", "aten::gelu_backward", "aten::mul", "aten::mul_"),
    "norms": ("aten::native_layer_norm",),
    "copies and gathers": (
        "aten::index",
        "aten::_index",
        "aten::copy_",
        "aten::cat",
        "aten::fill_",
    ),
}
"""Operators' names by group; the longest beginning that fits decides."""


def group_of(operator: str) -> str:
    """The group of an operator; "other" if none has it."""
    fits = [(len(p), group) for group, names in GROUPS.items() for p in names if _is(operator, p)]
    return max(fits)[1] if fits else "other"


def _is(operator: str, name: str) -> bool:
    short = name in GROUPS["products"] or name in GROUPS["gate"]
    return operator == name if short else operator.startswith(name)


def breakdown(name: ModelName, sparsity: float) -> dict[str, object]:
    """Share of each group in a step's time, in per cent, and the rate of the products."""
    run = runner("ours", name, sparsity, None)
    run()
    with torch.profiler.profile(with_flops=True) as profile:
        run()
    microseconds: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    for event in profile.key_averages():
        microseconds[group_of(event.key)] += event.self_cpu_time_total
        operations[group_of(event.key)] += event.flops
    total = sum(microseconds.values())
    return {
        "model": name,
        "S": sparsity,
        **{f"{g}, %": round(100 * microseconds[g] / total) for g in (*GROUPS, "other")},
        "products, GFLOP/s": round(operations["products"] / microseconds["products"] / 1e3),
        "a large product, GFLOP/s": round(matrix_rate() / 1e9),
    }


def main() -> None:
    """Break down a step of every model at both sparsities."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    keep_freed_memory()
    rows = []
    for name in SMDF_MODELS:
        for sparsity in (0.0, 0.8):
            rows.append(breakdown(name, sparsity))
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
