"""Which fusion operation aligns frozen encoders best, and does it beat ridge regression?

    python sweeps/fusion_operations.py                       # built-in emoji pairs, minutes on a laptop
    python sweeps/fusion_operations.py --plan                # what that would train
    python sweeps/fusion_operations.py --dataset photos/ --encoder google/vit-base-patch16-224 minilm
    python sweeps/fusion_operations.py --operations add dot_attention --seeds 0 1 2
    python sweeps/fusion_operations.py --models cbmf convirt   # trains encoders: a GPU helps

Embeds the pairs once, trains CBMF with every fusion operation, and compares the retrieval of held-out
pairs in both directions with ridge regression between the encoders alone. The same command again trains
only what is not finished. Every setting: --help.
"""

from __future__ import annotations

from raymm.command import script
from raymm.command_operations import run_operations
from raymm.sweep.operations import OperationSettings

if __name__ == "__main__":
    script(OperationSettings, "sweeps/fusion_operations.py", run_operations)
