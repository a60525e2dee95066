"""How fast text becomes vectors, and what 8-bit weights cost in quality.

The model is all-MiniLM-L6-v2 on the CPU, once in sentence-transformers as it comes, and once in each of `DenseEncoder`'s
forms; the cache of query vectors is off. Query latency is the median over different short questions, the variants taking
turns of ten so that what else runs on the machine hits all of them. Ingest is `encode_document` on passages of a judged set,
likewise in turns. The concurrency table has 32 users who ask one question after the other: threads that call
`SentenceTransformer.encode`, and coroutines whose queries `Encode` puts through the model together. Quality is exact search
over normalised vectors, nDCG@10 by ir-measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import tables
from benchmarks.data import DataMissingError, JudgedSet, data_folder, load, texts_of
from benchmarks.indexes import MODEL
from benchmarks.metrics import NDCG_10, per_query
from hydrant import DenseEncoder
from hydrant.encode import Encode
from hydrant.flow import Flow, arun

SETS = ("nfcorpus/test", "cranfield/test")
_USERS = 32
_INGEST_SET = "nfcorpus/test"
# Questions in a row before the next variant has its turn; torch's threads spin on for a while after the last of them, so the
# first ones of a turn do not count.
_BLOCK = 10
_SETTLING = 4
_TABLES = ("latency", "ingest", "concurrency", "quality")


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        queries: Questions in the latency table.
        passages: Passages in a round of the ingest table.
        rounds: Rounds of that table.
        each: Questions that each user asks.
    """

    queries: int = 100
    passages: int = 96
    rounds: int = 3
    each: int = 8


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--only", nargs="+", choices=_TABLES, default=_TABLES, help="which tables to print")
    parser.add_argument("--sets", nargs="+", default=None, help="which sets quality is measured on")
    given = parser.parse_args(arguments)
    report = tables.Report("encoders", given.json)
    sets = given.sets or (["cookbook-docs/test"] if given.quick else SETS)
    sizes = Sizes(queries=5, passages=8, rounds=1, each=1) if given.quick else Sizes()
    measure(report, data_folder(given.data), only=given.only, sets=sets, sizes=sizes)
    report.close()


def measure(
    report: tables.Report,
    folder: Path,
    *,
    only: Sequence[str] = _TABLES,
    sets: Iterable[str] = SETS,
    sizes: Sizes | None = None,
) -> None:
    """Print the tables."""
    sizes = Sizes() if sizes is None else sizes
    encoders = {
        "torch fp32": DenseEncoder(MODEL, device="cpu", query_cache=0),
        "onnx fp32": DenseEncoder(MODEL, backend="onnx", query_cache=0),
        "onnx int8": DenseEncoder(MODEL, backend="onnx", precision="int8", query_cache=0),
    }
    for encoder in encoders.values():
        encoder.warm_up()
    library = _library()
    if "latency" in only:
        _latency(report, library, encoders, sizes)
    if "ingest" in only:
        _ingest(report, folder, library, encoders, sizes)
    if "concurrency" in only:
        _concurrency(report, library, encoders, sizes)
    if "quality" in only:
        _quality(report, folder, sets, encoders)


def _library() -> Callable[[list[str]], Any]:
    from sentence_transformers import SentenceTransformer

    from hydrant.encode.models import find_model

    model = SentenceTransformer(find_model(MODEL, {}).location, device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def _latency(
    report: tables.Report,
    library: Callable[[list[str]], Any],
    encoders: dict[str, DenseEncoder],
    sizes: Sizes,
) -> None:
    ways: dict[str, Callable[[list[str]], Any]] = {"SentenceTransformer.encode": library}
    ways |= {f"DenseEncoder, {name}": encoder.encode_query for name, encoder in encoders.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for block in range(max(1, sizes.queries // _BLOCK)):
        for name, encode in ways.items():
            for number in range(-_SETTLING, min(_BLOCK, sizes.queries)):
                began = time.perf_counter()
                encode([f"how do I rotate the signing keys of service {block} in region {number}?"])
                if number >= 0:
                    times[name].append(1e3 * (time.perf_counter() - began))
    first = float(np.median(times["SentenceTransformer.encode"]))
    rows = [
        [name, f"{np.median(each):.2f}", f"{np.percentile(each, 95):.2f}", f"{first / np.median(each):.1f}"]
        for name, each in times.items()
    ]
    report.table("One short query", ("encoder", "median ms", "p95 ms", "times as fast"), rows)


def _ingest(
    report: tables.Report,
    folder: Path,
    library: Callable[[list[str]], Any],
    encoders: dict[str, DenseEncoder],
    sizes: Sizes,
) -> None:
    try:
        texts = texts_of(_INGEST_SET, folder, sizes.passages * sizes.rounds)
    except DataMissingError as missing:
        report.skip("ingest", missing)
        return
    ways: dict[str, Callable[[list[str]], Any]] = {"SentenceTransformer.encode": library}
    ways |= {f"DenseEncoder, {name}": encoder.encode_document for name, encoder in encoders.items()}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for at in range(0, len(texts), sizes.passages):
        part = texts[at : at + sizes.passages]
        for name, encode in ways.items():
            began = time.perf_counter()
            encode(part)
            rates[name].append(len(part) / (time.perf_counter() - began))
    base = float(np.median(rates["DenseEncoder, torch fp32"]))
    rows = [[name, f"{np.median(each):.1f}", f"{np.median(each) / base:.2f}"] for name, each in rates.items()]
    report.table(
        f"Passages of {_INGEST_SET}", ("encoder", "passages a second", "times torch fp32, our batches"), rows
    )


def _concurrency(
    report: tables.Report,
    library: Callable[[list[str]], Any],
    encoders: dict[str, DenseEncoder],
    sizes: Sizes,
) -> None:
    def threads(encode: Callable[[list[str]], Any]) -> float:
        questions = [f"question {number} about signing keys" for number in range(_USERS * sizes.each)]
        began = time.perf_counter()
        with ThreadPoolExecutor(_USERS) as pool:
            list(pool.map(lambda question: encode([question]), questions))
        return len(questions) / (time.perf_counter() - began)

    def coroutines(encoder: DenseEncoder) -> float:
        began = time.perf_counter()
        asyncio.run(_users(encoder, sizes.each))
        return _USERS * sizes.each / (time.perf_counter() - began)

    rates = {f"{_USERS} threads, SentenceTransformer.encode": threads(library)}
    for name, encoder in encoders.items():
        rates[f"{_USERS} threads, DenseEncoder, {name}"] = threads(encoder.encode_query)
        rates[f"{_USERS} coroutines, DenseEncoder, {name}"] = coroutines(encoder)
    first = next(iter(rates.values()))
    rows = [[name, f"{rate:.0f}", f"{rate / first:.1f}"] for name, rate in rates.items()]
    report.table("Concurrent queries", ("users", "queries a second", "times the first row"), rows)


async def _users(encoder: DenseEncoder, each: int) -> None:
    def flow(text: str) -> Flow[Any]:
        return (yield Encode(encoder, [text]))

    async def user(number: int) -> None:
        for question in range(each):
            await arun(flow(f"question {question} of user {number} about signing keys"))

    await asyncio.gather(*(user(number) for number in range(_USERS)))


def _quality(
    report: tables.Report, folder: Path, sets: Iterable[str], encoders: dict[str, DenseEncoder]
) -> None:
    rows: list[list[Any]] = []
    for name in sets:
        try:
            judged = load(name, folder)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        rows += _quality_of(judged, encoders)
    report.table(
        "Quality",
        ("set", "documents", "queries", "nDCG@10", "difference", "mean cosine to fp32"),
        rows,
        note="onnx fp32 is left out: its vectors are those of torch to five digits",
    )


def _quality_of(judged: JudgedSet, encoders: dict[str, DenseEncoder]) -> list[list[Any]]:
    plain, small = encoders["onnx fp32"], encoders["onnx int8"]
    texts = [passage.content for passage in judged.passages]
    questions = list(judged.queries.values())
    documents = {"fp32": plain.encode_document(texts), "int8": small.encode_document(texts)}
    queries = {
        "fp32": np.array(plain.encode_query(questions)),
        "int8": np.array(small.encode_query(questions)),
    }
    cosine = float((documents["fp32"] * documents["int8"]).sum(axis=1).mean())
    rows: list[list[Any]] = []
    base: float | None = None
    for ours, theirs in (("fp32", "fp32"), ("int8", "int8"), ("fp32", "int8")):
        ndcg = _ndcg(judged, documents[ours], queries[theirs])
        base = ndcg if base is None else base
        same = f"{cosine:.4f}" if ours == "int8" else "" if theirs == "int8" else "1"
        rows.append([judged.name, ours, theirs, ndcg, f"{ndcg - base:+.4f}", same])
    return rows


def _ndcg(judged: JudgedSet, documents: npt.NDArray[Any], queries: npt.NDArray[Any]) -> float:
    run = {}
    for query, scores in zip(judged.queries, queries @ documents.T, strict=True):
        best = np.argsort(-scores, kind="stable")[:30]
        found = [judged.passages[at] for at in best]
        own = judged.queries[query].strip()
        run[query] = [str(passage.id) for passage in found if passage.text.strip() != own][:10]
    return float(np.mean(per_query(NDCG_10, judged.qrels, run)))


if __name__ == "__main__":
    main()
