"""A search that another driver leads is left to that one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from raymm.errors import SweepError
from raymm.sweep.search.run import prepare_search, run_search
from raymm.sweep.search.storage import open_storage
from tests.sweep.ledgers import opened
from tests.sweep.search.searches import search_settings


def test_a_driver_that_is_refused_writes_nothing_to_the_studies(uri: str) -> None:
    search = prepare_search(search_settings(studies="s.journal", tracking_uri=uri))
    said = io.StringIO()
    refused = pytest.raises(SweepError, match="'s' is led by another driver")
    with opened(uri, search.sweep.name, alone=True), refused:
        run_search(search, Console(file=said, width=200))
    assert "waiting to see whether the driver that leads 's'" in said.getvalue()
    storage = open_storage(search.address, make=True)
    assert storage is not None and storage.get_all_studies() == []
