"""What a query costs with each reranker that reads vectors; part of `python -m benchmarks.rerank`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import tables
from benchmarks.indexes import MODEL
from hydrant import (
    BiEncoderReranker,
    Blend,
    Collection,
    CurEncoder,
    CurReranker,
    DenseEncoder,
    EdgeClient,
    Hit,
    LateEncoder,
    LateInteractionReranker,
    Passage,
    Stage,
)
from hydrant.testing import FunctionStage

_ANCHORS = 50

Timed = Callable[[Mapping[str, Callable[[], Any]]], Mapping[str, Any]]


class SharedLetters:
    """A model of pairs that costs nothing, so that what is left is the reranker's own cost."""

    identity = "shared letters"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """How many letters each two share."""
        return [float(len(set(query) & set(document))) for query, document in pairs]


def measure(report: tables.Report, texts: Sequence[str], questions: Sequence[str], timed: Timed) -> None:
    """Print the table.

    Args:
        report: Where it goes.
        texts: The candidates.
        questions: Different ones, of which each run takes the next, after the reranker's name, so that no cache answers.
        timed: Runs the variants in turns; gives each one's times.
    """
    passages = [Passage(text, id=at) for at, text in enumerate(texts)]
    late = LateEncoder(MODEL)
    cur = CurEncoder(SharedLetters(), queries=texts[:_ANCHORS], items=texts[-_ANCHORS:])
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", late=late, sources={"cur": cur})
        docs.indexer(progress=False).add(passages)
        hits = [Hit(passage, 1 - at / len(texts), {}, passage.id) for at, passage in enumerate(passages)]
        stages: dict[str, Stage] = {
            "LateInteractionReranker, stored vectors": LateInteractionReranker(docs, on_error="raise"),
            "LateInteractionReranker, encoded now": LateInteractionReranker(late, on_error="raise"),
            "Blend of the first of these": Blend(LateInteractionReranker(docs), on_error="raise"),
            "BiEncoderReranker": BiEncoderReranker(DenseEncoder(MODEL), on_error="raise"),
            f"CurReranker, without the {_ANCHORS} scores of its model": CurReranker(docs, on_error="raise"),
        }
        variants = {
            name: _asking(stage, hits, [f"{name}: {question}" for question in questions])
            for name, stage in stages.items()
        }
        for variant in variants.values():
            variant()
        times = timed(variants)
    report.table(
        f"Cost: {len(texts)} candidates",
        ("reranker", "processor ms a query", "best ms"),
        [
            [name, f"{1000 * min(each.processor):.1f}", f"{1000 * min(each.wall):.1f}"]
            for name, each in times.items()
        ],
        "the least of some rounds in turns, by all-MiniLM-L6-v2; the query's own encoding is part of it",
    )


def _asking(stage: Stage, hits: Sequence[Hit], questions: Sequence[str]) -> Callable[[], Any]:
    found = FunctionStage(lambda state: state.with_hits(hits), "found", required=True)
    search = found >> stage
    left = iter(questions)
    return lambda: search.run(next(left))
