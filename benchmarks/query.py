"""What a query costs outside the encoder and the engine, on 50,000 points of 384 dimensions with BM25 and payload.

Every search goes through `Retriever.run`. Vectors come from an object that looks them up, so the encoder costs nothing but what
`DenseEncoder` adds to it; BM25 encodes for real. The engine's share is taken inside the very same call: the native shard is
wrapped in an object that times `query_batch`. What is left is Hydrant's own: encoding checks, building the request, planning
it for the engine, reading ids, scores and payloads out of the engine's answer, ordering ties, making passages and hits, the
trace. The dense and BM25 encoders' times are taken the same way, around the stored vectors and around the engine's BM25.

Besides: the same search by `arun` and with a deadline (which puts the calls in threads), the cost of each fusion at each depth,
and the memory over 10,000 queries.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.synthetic import COLLECTION, Synthetic, indexed, synthetic
from hydrant import Bm25Encoder, Collection, Convex, Dbsf, EdgeClient, Retriever, Rrf
from hydrant.retrieve.fusion import Fusion

POINTS = 50_000
QUESTIONS = 500
MEMORY_QUERIES = 10_000
_TARGET_MS = 0.3
_WARM_UP = 50
_FILTER = {"lang": "en", "year": {"gte": 2010}}


@dataclass
class Stopwatch:
    """Adds up the seconds that calls into a wrapped part take.

    Attributes:
        engine: Seconds in the native shard since the last `reset`.
        encoder: Seconds in the encoders' models.
    """

    engine: float = 0.0
    encoder: float = 0.0

    def reset(self) -> None:
        """Start at zero."""
        self.engine = self.encoder = 0.0

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with its time added to a part."""

        def timing(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                setattr(self, part, getattr(self, part) + time.perf_counter() - start)

        return timing


class TimedShard:
    """The native shard, with its reading calls timed."""

    def __init__(self, shard: Any, watch: Stopwatch) -> None:
        self._shard = shard
        for method in ("query", "query_batch", "retrieve"):
            setattr(self, method, watch.timed("engine", getattr(shard, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)


@dataclass
class Sample:
    """The parts of each query's time in milliseconds."""

    total: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    encoder: list[float] = field(default_factory=list)

    def add(self, seconds: float, watch: Stopwatch) -> None:
        """One more query."""
        self.total.append(1000 * seconds)
        self.engine.append(1000 * watch.engine)
        self.encoder.append(1000 * watch.encoder)

    @property
    def own(self) -> list[float]:
        """What is neither engine nor encoder."""
        parts = zip(self.total, self.engine, self.encoder, strict=True)
        return [total - engine - encoder for total, engine, encoder in parts]

    def row(self) -> list[str]:
        """Medians, and the own time's 95th percentile."""
        figures = [np.median(self.total), np.median(self.engine), np.median(self.encoder)]
        return [f"{value:.3f}" for value in (*figures, np.median(self.own), np.percentile(self.own, 95))]


_COLUMNS = ("total ms", "engine ms", "encoder ms", "own ms", "own p95 ms")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--points", type=int, default=None, help=f"points in the collection ({POINTS})")
    parser.add_argument("--queries", type=int, default=None, help=f"timed queries a row ({QUESTIONS})")
    given = parser.parse_args(arguments)
    report = tables.Report("query", given.json)
    points = given.points if given.points is not None else 500 if given.quick else POINTS
    queries = given.queries if given.queries is not None else 30 if given.quick else QUESTIONS
    measure(report, points, queries, 200 if given.quick else MEMORY_QUERIES)
    report.close()


def measure(
    report: tables.Report, points: int = POINTS, queries: int = QUESTIONS, long: int = MEMORY_QUERIES
) -> None:
    """Print the tables."""
    corpus = synthetic(points, queries)
    watch = Stopwatch()
    with indexed(corpus) as (client, docs):
        _memory(report, docs, corpus, long)
        with _timed(client, docs, corpus, watch):
            _searches(report, docs, corpus, watch)
            _fusions(report, docs, corpus, watch)


def _searches(report: tables.Report, docs: Collection, corpus: Synthetic, watch: Stopwatch) -> None:
    kinds: Mapping[str, tuple[Retriever, Any]] = {
        "dense": (docs.retriever(sources=["dense"]), None),
        "BM25": (docs.retriever(sources=["sparse"]), None),
        "hybrid": (docs.retriever(), None),
        "hybrid, filter": (docs.retriever(), _FILTER),
        "hybrid, filter, explain": (docs.retriever(explain=True), _FILTER),
    }
    rows = [
        [name, "run", *_sample(corpus, watch, retriever, filter=wanted).row()]
        for name, (retriever, wanted) in kinds.items()
    ]
    hybrid = kinds["hybrid, filter"][0]
    deadline = _sample(corpus, watch, hybrid, filter=_FILTER, deadline=5.0)
    rows.append(["hybrid, filter", "run, deadline", *deadline.row()])
    rows.append(
        ["hybrid, filter", "arun", *asyncio.run(_asample(corpus, watch, hybrid, filter=_FILTER)).row()]
    )
    report.table(
        f"A query on {len(corpus.passages):,} points, 10 hits: medians of {len(corpus.questions)}",
        ("search", "call", *_COLUMNS),
        rows,
        note=f"target for run: own below {_TARGET_MS} ms",
    )


def _fusions(report: tables.Report, docs: Collection, corpus: Synthetic, watch: Stopwatch) -> None:
    shares = {"dense": 0.6, "sparse": 0.4}
    fusions: Mapping[str, Fusion] = {
        "RRF (in Qdrant)": Rrf(),
        "DBSF (in Qdrant)": Dbsf(),
        "weighted RRF (here)": Rrf(weights=shares),
        "convex (here)": Convex(),
    }
    rows = [
        [name, depth, *_sample(corpus, watch, docs.retriever(fusion=fusion, depth=depth)).row()]
        for name, fusion in fusions.items()
        for depth in (20, 50, 100, 200, 1000)
    ]
    report.table("What a fusion costs by depth", ("fusion", "depth", *_COLUMNS), rows)


def _sample(corpus: Synthetic, watch: Stopwatch, retriever: Retriever, **arguments: Any) -> Sample:
    for question in corpus.questions[:_WARM_UP]:
        retriever.run(question, **arguments)
    sample = Sample()
    for question in corpus.questions:
        watch.reset()
        start = time.perf_counter()
        retriever.run(question, **arguments)
        sample.add(time.perf_counter() - start, watch)
    return sample


async def _asample(corpus: Synthetic, watch: Stopwatch, retriever: Retriever, **arguments: Any) -> Sample:
    for question in corpus.questions[:_WARM_UP]:
        await retriever.arun(question, **arguments)
    sample = Sample()
    for question in corpus.questions:
        watch.reset()
        start = time.perf_counter()
        await retriever.arun(question, **arguments)
        sample.add(time.perf_counter() - start, watch)
    return sample


def _memory(report: tables.Report, docs: Collection, corpus: Synthetic, queries: int) -> None:
    retriever = docs.retriever()
    step = max(1, queries // 20)
    if _resident() is None:
        report.skip("memory", "the resident size is read from /proc, which this system lacks")
        return
    done: list[int] = []
    sizes: list[int] = []
    for number in range(queries + queries // 10):
        if number >= queries // 10 and (number - queries // 10) % step == 0:
            gc.collect()
            done.append(number)
            sizes.append(_resident() or 0)
        retriever.run(corpus.questions[number % len(corpus.questions)], filter=_FILTER)
    slope = float(np.polyfit(done, np.array(sizes, dtype=float), 1)[0])
    columns = ("queries", "MiB before", "MiB after", "growth, bytes a query")
    row = [f"{queries:,}", f"{sizes[0] / 2**20:.1f}", f"{sizes[-1] / 2**20:.1f}", f"{slope:.1f}"]
    report.table("Memory (resident) over many queries, after a tenth as many to warm up", columns, [row])


def _resident() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * 4096


@contextmanager
def _timed(client: EdgeClient, docs: Collection, corpus: Synthetic, watch: Stopwatch) -> Iterator[None]:
    """Put the stopwatch around the native shard, the stored vectors and the engine's BM25."""
    shard = client._client.store.collection(COLLECTION).shard  # noqa: SLF001  no public way to the bare engine
    native = shard._engine  # noqa: SLF001
    shard._engine = TimedShard(native, watch)  # type: ignore[assignment]  # noqa: SLF001
    model: Any = corpus.model
    model.encode_query = watch.timed("encoder", model.encode_query)
    sparse = docs.sources["sparse"].encoder
    assert isinstance(sparse, Bm25Encoder)
    words: Any = sparse._queries.get()  # noqa: SLF001
    sparse._queries = _Ready(_TimedBm25(words, watch))  # type: ignore[assignment]  # noqa: SLF001
    try:
        yield
    finally:
        shard._engine = native  # noqa: SLF001


class _TimedBm25:
    def __init__(self, model: Any, watch: Stopwatch) -> None:
        self.embed_query = watch.timed("encoder", model.embed_query)


class _Ready:
    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        return self._value


if __name__ == "__main__":
    main()
