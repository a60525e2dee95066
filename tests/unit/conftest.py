"""Engines and small collections for the tests of this folder."""

from __future__ import annotations

import pytest
from qdrant_client import QdrantClient

from hydrant import EdgeClient


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
