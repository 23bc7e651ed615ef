from __future__ import annotations

import time

import numpy as np
import torch

from raymm.training.resources import Usage


def test_use_of_the_machine_is_since_the_last_question() -> None:
    usage = Usage(torch.device("cpu"))
    held = np.ones(20_000_000)  # 160 MB
    until = time.perf_counter() + 0.2
    while time.perf_counter() < until:
        pass
    busy = usage.since()
    time.sleep(0.2)
    idle = usage.since()
    assert busy["system/process_cpu_percentage"] > 10 > idle["system/process_cpu_percentage"] >= 0
    assert busy["system/process_memory_megabytes"] > 160 and held.any()
    assert set(busy) == {"system/process_cpu_percentage", "system/process_memory_megabytes"}
