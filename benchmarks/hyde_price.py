"""What HyDE costs: tokens and seconds of a small model, the time of its own, and what a server that batches makes of it."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.hyde_texts import TOKENS, questions, smollm2
from benchmarks.indexes import MODEL, indexed
from benchmarks.tables import Report
from hydrant import (
    DenseEncoder,
    Generation,
    GenerationRequest,
    Hyde,
    MemoryCache,
    OpenAIGenerator,
    Query,
    SearchState,
    TextGenerator,
)
from hydrant.flow import run

_SERVER = Path(__file__).resolve().parents[1] / "tests" / "unit" / "openai_server.py"
_NUMBERS = (1, 2, 4, 8)
# How long the loopback server takes for an answer, however many are asked for at a time: as one that batches.
_ANSWER_SECONDS = 0.4
_TARGET_RATIO = 1.5
_TARGET_OWN = 0.001
_RUNS = 200


class Instant(TextGenerator):
    """A model that takes no time at all, so that what is left is the expansion's own."""

    def __init__(self) -> None:
        self.calls = 0

    @property
    def identity(self) -> str:
        """One name."""
        return "instant"

    def complete(self, request: GenerationRequest) -> Generation:
        """A passage for each sample."""
        self.calls += 1
        texts = (
            f"Passage {number} says what the answer is, in so many words. " * 6
            for number in range(request.samples)
        )
        return Generation(tuple(texts))


def measure(report: Report, folder: Path, *, quick: bool) -> None:
    """Print the tables."""
    _own(report, 5 if quick else _RUNS)
    _served(report, 1 if quick else 7)
    _local(report, folder, 1 if quick else 2)


def _own(report: Report, runs: int) -> None:
    rows = []
    for name, cache in (("no cache", None), ("known in memory", MemoryCache())):
        llm = Instant()
        stage = Hyde(llm, cache=cache)
        _expand(stage, "a question that was asked")
        before = llm.calls
        seconds = _median(lambda: _expand(stage, "a question that was asked"), runs)  # noqa: B023  called at once
        met = "met" if seconds < _TARGET_OWN else "MISSED"
        rows.append([name, f"{1000 * seconds:.3f}", (llm.calls - before) / runs, met])
    report.table(
        "The expansion's own time, 8 hypotheses", ("cache", "ms", "LLM calls a query", "under 1 ms"), rows
    )


def _served(report: Report, turns: int) -> None:
    from openai import OpenAI

    rows = []
    with (
        _server_module().openai_server() as server,
        OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        server.seconds = _ANSWER_SECONDS
        for kind in ("supported", "refused"):
            server.n = kind
            llm = OpenAIGenerator("any", client)
            _expand(Hyde(llm, hypotheses=8, cache=None), "a first question")
            times: dict[int, list[float]] = {1: [], 8: []}
            for _ in range(turns):
                for number, own in times.items():
                    stage = Hyde(llm, hypotheses=number, enough=number, cache=None)
                    own.append(_median(lambda: _expand(stage, "a question"), 1))  # noqa: B023  called at once
            one, eight = (statistics.median(times[number]) for number in (1, 8))
            met = "met" if eight / one <= _TARGET_RATIO else "MISSED"
            how = "one request" if kind == "supported" else "eight side by side"
            rows.append([how, f"{1000 * one:.1f}", f"{1000 * eight:.1f}", f"{eight / one:.2f}", met])
    report.table(
        f"Against a server that takes {_ANSWER_SECONDS} s for an answer, however many at a time",
        ("eight samples are", "1, ms", "8, ms", "ratio", "at most 1.5"),
        rows,
    )


def _local(report: Report, folder: Path, number: int) -> None:
    llm, dense = smollm2(), DenseEncoder(MODEL)
    judged = questions("nfcorpus/test", folder, number)
    rows = []
    with indexed(judged, dense=dense) as docs:
        search = docs.retriever(limit=100)
        llm.warm_up()
        search.run("a first question")
        for samples in _NUMBERS:
            stage = Hyde(llm, hypotheses=samples, enough=1, max_tokens=TOKENS, seed=1, cache=None)
            asked, searched, read, written = [], [], 0, 0
            for text in judged.queries.values():
                began = time.perf_counter()
                state = _expand(stage, text)
                asked.append(time.perf_counter() - began)
                (expansion,) = state.query.expansions
                read += expansion.usage.prompt_tokens
                written += expansion.usage.completion_tokens
                began = time.perf_counter()
                search.run(state.query)
                searched.append(time.perf_counter() - began)
            count = len(asked)
            rows.append([
                samples, f"{statistics.mean(asked):.1f}", round(read / count), round(written / count),
                f"{1000 * statistics.mean(searched):.0f}",
            ])  # fmt: skip
    report.table(
        f"SmolLM2-135M on this machine, {number} questions, at most {TOKENS} tokens a hypothesis",
        ("hypotheses", "LLM, s", "tokens read", "tokens written", "encode and search, ms"),
        rows,
    )


def _expand(stage: Hyde, text: str) -> SearchState:
    return run(stage.flow(SearchState(Query(text))))


def _median(work: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _server_module() -> Any:
    """The tests' own OpenAI-compatible server."""
    spec = importlib.util.spec_from_file_location("openai_server", _SERVER)
    if spec is None or spec.loader is None:
        msg = f"{_SERVER} is not there"
        raise RuntimeError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
