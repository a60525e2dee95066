"""A small collection on the embedded engine, and ears for LangChain's callbacks."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from langchain_core.tracers.base import BaseTracer

from hydrant import Bm25Encoder, Collection, EdgeClient, Passage
from hydrant.testing import HashEncoder

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# An engine of `:memory:` syncs every file it makes to the disk; on a disk of memory that costs next to nothing.
_MEMORY = "/dev/shm"
if os.access(_MEMORY, os.W_OK):
    tempfile.tempdir = _MEMORY

LONG = os.environ.get("HYDRANT_LONG") == "1"
settings.register_profile(
    "langchain",
    deadline=None,
    derandomize=not LONG,
    max_examples=200 if LONG else 30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("langchain")

TEXTS = [
    "Keys are rotated with keyctl rotate.",
    "A key is revoked when it leaks.",
    "Backups are written every night.",
    "The backup is encrypted with the team's key.",
    "Logs are kept for thirty days.",
    "Passwords are stored as salted hashes.",
    "An expired certificate stops the service.",
    "Certificates are renewed by the robot.",
    "The robot rotates certificates and keys.",
    "Nightly jobs run at two o'clock.",
]


@pytest.fixture(scope="module")
def client():
    """The embedded engine."""
    with EdgeClient(":memory:") as made:
        yield made


@pytest.fixture(scope="module")
def docs(client):
    """Ten passages that are only read."""
    made = Collection.create(
        client,
        "docs",
        dense=HashEncoder(),
        sparse=Bm25Encoder(),
        fields={"lang": "keyword", "number": "integer"},
    )
    made.indexer(progress=False).add(passages())
    return made


def passages():
    return [
        Passage(
            text,
            id=f"doc-{number}",
            title="Manual" if number % 2 else None,
            source=f"manual/{number}.md",
            metadata={"lang": "en" if number % 3 else "de", "number": number, "score": number / 10},
        )
        for number, text in enumerate(TEXTS)
    ]


@pytest.fixture
def fresh():
    """An engine for tests that write."""
    with EdgeClient(":memory:") as made:
        yield made


class Ears(BaseTracer):
    """Keeps the trees of runs that it hears of."""

    def __init__(self):
        super().__init__()
        self.roots = []

    def _persist_run(self, run):
        self.roots.append(run)

    def tree(self):
        """The runs as nested names."""

        def named(run):
            children = sorted(run.child_runs, key=lambda child: child.start_time)
            return (run.name, [named(child) for child in children]) if children else run.name

        return [named(run) for run in self.roots]

    def run(self, name):
        """The one run of that name."""

        def walk(runs):
            for run in runs:
                yield run
                yield from walk(run.child_runs)

        (found,) = [run for run in walk(self.roots) if run.name == name]
        return found


@pytest.fixture
def ears():
    return Ears()
