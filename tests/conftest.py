"""What every test shares: offline models, judged data where there is some, one set of hypothesis settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONG = os.environ.get("HYDRANT_LONG") == "1"
SHARED = Path(__file__).resolve().parents[2] / "shared"

# The same examples on every machine and every run; HYDRANT_LONG=1 looks further.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=not LONG,
    max_examples=300 if LONG else 40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of judged data sets; tests that need it are skipped where it is missing."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs judged data in {folder.parent.name}/data beside the repository")
    return folder
