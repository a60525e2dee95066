"""Clients of both engines, made anew for each test and closed after it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hydrant.edge import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Iterator

# The helpers beside the tests are modules, not tests.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _temporary_indexes_in_memory() -> Iterator[None]:
    """Temporary indexes go to a RAM disk where there is one: these tests make hundreds of them."""
    ram, before = Path("/dev/shm"), tempfile.tempdir
    if ram.is_dir() and os.access(ram, os.W_OK):
        tempfile.tempdir = str(ram)
    yield
    tempfile.tempdir = before


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeClient]:
    """An empty embedded index in a folder of its own."""
    client = EdgeClient(tmp_path / "index")
    yield client
    client.close()
