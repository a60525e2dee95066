"""Stand-ins for tests of programs that use Hydrant: no model, no network, no surprises.

For instance:

    docs = Collection.create(EdgeClient(":memory:"), "docs", dense=HashEncoder(), sparse=Bm25Encoder())
    search = HangingStage("hyde") >> docs.retriever()
    assert search.run("a question", deadline=0.5).degraded[0].stage == "hyde"
"""

from __future__ import annotations

from hydrant.testing.conformance import StageConformance
from hydrant.testing.encoders import HashEncoder, HashLateEncoder
from hydrant.testing.generators import (
    ChattyGenerator,
    EmptyGenerator,
    FailingGenerator,
    ScriptedGenerator,
    SlowGenerator,
)
from hydrant.testing.oracle import OracleGenerator
from hydrant.testing.stages import FailingStage, FunctionStage, HangingStage

__all__ = [
    "ChattyGenerator",
    "EmptyGenerator",
    "FailingGenerator",
    "FailingStage",
    "FunctionStage",
    "HangingStage",
    "HashEncoder",
    "HashLateEncoder",
    "OracleGenerator",
    "ScriptedGenerator",
    "SlowGenerator",
    "StageConformance",
]
