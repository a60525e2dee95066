"""Engines and small collections for the tests of this folder."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from hydrant import EdgeClient

# The helpers beside the tests are modules, not tests.
sys.path.insert(0, str(Path(__file__).parent))

# An engine of `:memory:` syncs every file it makes to the disk; on a disk of memory that costs next to nothing.
_MEMORY = "/dev/shm"
if os.access(_MEMORY, os.W_OK):
    tempfile.tempdir = _MEMORY


@pytest.fixture
def edge():
    """The embedded engine on a folder of its own."""
    with EdgeClient(":memory:") as client:
        yield client


@pytest.fixture
def local():
    """qdrant-client's own engine in Python."""
    client = QdrantClient(":memory:")
    yield client
    client.close()
