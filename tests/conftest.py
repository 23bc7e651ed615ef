"""Shared by all tests: one local Ray for those that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

RAY_CPUS = 2


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of two CPUs, started once for all tests that ask for it."""
    from raymm.training.cluster import connected

    with connected(None, num_cpus=RAY_CPUS):
        yield
