"""How long a notebook may run as a test."""

from __future__ import annotations

from pathlib import Path

import pytest

# A notebook is many tests' worth of work, and loads its models itself; a busy machine takes minutes over it.
_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give notebooks more time than a single test has."""
    here = Path(__file__).parent
    for item in items:
        if item.path.suffix == ".ipynb" and here in item.path.parents:
            item.add_marker(pytest.mark.timeout(_SECONDS))
