"""Arrays as tensors, wherever they lie."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_tensor(values: NDArray[np.floating]) -> Tensor:
    """The array as a tensor; copied only if it may not be written, as one mapped from a file."""
    return torch.from_numpy(np.require(values, requirements="W"))
