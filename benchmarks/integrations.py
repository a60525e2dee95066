"""What a framework's retriever costs over the core pipeline that it holds: 400 passages, ten hits, an encoder without a model.

The same question is asked of the core and of every framework's retriever in turns, so that the machine's other work falls on
all of them alike; a row's overhead is the median of the differences within the turns. Wall time is what a user waits; the
time of the calling thread on the processor says the same on a machine that is busy elsewhere.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from benchmarks import tables
from hydrant import Bm25Encoder, Collection, EdgeClient, Passage, Stage
from hydrant.testing import HashEncoder

Call = TypeVar("Call")

PASSAGES = 400
LIMIT = 10
TURNS = 300
_WARM_UP = 20
_WORDS = ("key", "rotate", "backup", "night", "robot", "certificate", "log", "password", "vault", "token")


@dataclass(frozen=True)
class Calls:
    """One way to ask.

    Attributes:
        sync: Asks and waits.
        asynchronous: Asks in the event loop.
    """

    sync: Callable[[str], Any]
    asynchronous: Callable[[str], Awaitable[Any]]


def core(pipeline: Stage) -> Calls:
    """The pipeline itself."""
    return Calls(pipeline.run, pipeline.arun)


def langchain(pipeline: Stage) -> Calls:
    """LangChain's retriever around it."""
    from langchain_hydrant import HydrantRetriever

    retriever = HydrantRetriever(pipeline=pipeline)
    return Calls(retriever.invoke, retriever.ainvoke)


def llama_index(pipeline: Stage) -> Calls:
    """LlamaIndex's retriever around it."""
    from llama_index.retrievers.hydrant import HydrantRetriever

    retriever = HydrantRetriever(pipeline)
    return Calls(retriever.retrieve, retriever.aretrieve)


# Every framework that is measured, by the name that its row has.
FRAMEWORKS: Mapping[str, Callable[[Stage], Calls]] = {"LangChain": langchain, "LlamaIndex": llama_index}


def main(arguments: Sequence[str] | None = None) -> None:
    given = tables.options(__doc__).parse_args(arguments)
    report = tables.Report("integrations", given.json)
    measure(report, turns=30 if given.quick else TURNS)
    report.close()


def measure(report: tables.Report, turns: int = TURNS) -> None:
    """Print the table.

    Args:
        report: Where.
        turns: How often each is asked.
    """
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder(384), sparse=Bm25Encoder())
        docs.indexer(progress=False).add(_passages())
        client.optimize("docs")
        pipeline = docs.retriever(limit=LIMIT)
        rows = []
        for name, make in FRAMEWORKS.items():
            try:
                calls = make(pipeline)
            except ImportError as error:
                report.skip(name, error)
                continue
            rows += _rows(name, core(pipeline), calls, turns)
        rows += _nodes_rows(client, turns)
        report.table(
            "Overhead of a framework's retriever over the core pipeline, ms a query, medians",
            ["framework", "mode", "core", "framework", "overhead", "overhead, thread's processor time"],
            rows,
            f"{turns} turns, {tables.machine()}",
        )


def _nodes_rows(client: EdgeClient, turns: int) -> list[list[Any]]:
    """The same with nodes that LlamaIndex serialised and makes again; nothing where it is not installed."""
    try:
        from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

        from llama_index.retrievers.hydrant import HydrantIndexer
    except ImportError:
        return []
    indexer = HydrantIndexer.create(client, "nodes", dense=HashEncoder(384), sparse=Bm25Encoder())
    indexer.add(
        TextNode(
            id_=str(passage.id),
            text=passage.text,
            metadata=dict(passage.metadata),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=str(passage.source))},
        )
        for passage in _passages()
    )
    client.optimize("nodes")
    pipeline = indexer.collection.retriever(limit=LIMIT)
    return _rows("LlamaIndex, nodes", core(pipeline), llama_index(pipeline), turns)


def _rows(name: str, ours: Calls, theirs: Calls, turns: int) -> list[list[Any]]:
    sync = _sync(ours.sync, theirs.sync, turns)
    asynchronous = asyncio.run(_async(ours.asynchronous, theirs.asynchronous, turns))
    return [[name, "sync", *_summary(sync)], [name, "async", *_summary(asynchronous)]]


def _sync(first: Callable[[str], Any], second: Callable[[str], Any], turns: int) -> list[_Turn]:
    taken = []
    for question in _questions(turns + _WARM_UP):
        marks = [_now()]
        for call in _in_turn(first, second, len(taken)):
            call(question)
            marks.append(_now())
        taken.append(_turn(marks, len(taken)))
    return taken[_WARM_UP:]


async def _async(
    first: Callable[[str], Awaitable[Any]], second: Callable[[str], Awaitable[Any]], turns: int
) -> list[_Turn]:
    taken = []
    for question in _questions(turns + _WARM_UP):
        marks = [_now()]
        for call in _in_turn(first, second, len(taken)):
            await call(question)
            marks.append(_now())
        taken.append(_turn(marks, len(taken)))
    return taken[_WARM_UP:]


@dataclass(frozen=True)
class _Turn:
    """One question's milliseconds: the core's, the framework's, and how much more processor time the latter took."""

    core: float
    framework: float
    processor: float


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def _in_turn(first: Call, second: Call, number: int) -> tuple[Call, Call]:
    """Each is asked first every other time: what comes second finds the processor's caches warm, and its slice used up."""
    return (first, second) if number % 2 == 0 else (second, first)


def _turn(marks: Sequence[tuple[float, float]], number: int) -> _Turn:
    wall = [1000 * (after[0] - before[0]) for before, after in pairwise(marks)]
    thread = [1000 * (after[1] - before[1]) for before, after in pairwise(marks)]
    if number % 2:
        wall, thread = wall[::-1], thread[::-1]
    return _Turn(wall[0], wall[1], thread[1] - thread[0])


def _summary(turns: Sequence[_Turn]) -> list[str]:
    values = (
        statistics.median(turn.core for turn in turns),
        statistics.median(turn.framework for turn in turns),
        statistics.median(turn.framework - turn.core for turn in turns),
        statistics.median(turn.processor for turn in turns),
    )
    return [f"{value:.3f}" for value in values]


def _passages() -> list[Passage]:
    return [
        Passage(
            " ".join(_WORDS[(number * step + step) % len(_WORDS)] for step in range(1, 40)) + f" {number}",
            id=f"doc-{number}",
            source=f"manual/{number}.md",
            metadata={"lang": "en", "number": number},
        )
        for number in range(PASSAGES)
    ]


def _questions(count: int) -> list[str]:
    return [f"{_WORDS[at % 10]} {_WORDS[(at // 10) % 10]} {at % PASSAGES}" for at in range(count)]


if __name__ == "__main__":
    main()
