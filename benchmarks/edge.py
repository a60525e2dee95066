"""EdgeClient beside qdrant-client's Python-local mode and beside bare calls of the engine, in one run.

    python benchmarks/edge.py --sizes 10000 50000 200000
    python benchmarks/edge.py --sizes 50000 --filters --quantization

Each measurement of a store runs in a process of its own, so that its memory is its own. Vectors have 384 dimensions, drawn
from a mixture of Gaussians in 48 dimensions, a hundred points a cluster, mapped to 384 with some noise. That is about as
hard as text: of the ten nearest neighbours among all-MiniLM-L6-v2's vectors of NFCorpus, one bit a dimension finds 0.65 by
itself, 0.83 at an oversampling of 2 and 0.92 at 4; of these here 0.56, 0.81 and 0.96. Queries are drawn the same way and are in
no store.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as engine
from qdrant_client import QdrantClient, models

from hydrant.collection.compression import quantization, search_params
from hydrant.edge import EdgeClient

DIM, QUERIES, TOP = 384, 200, 10
LATENT, POINTS_A_CLUSTER, SPREAD, NOISE = 48, 100, 0.7, 0.3
NAME = "bench"
QUANTIZATIONS = ("none", "scalar", "binary", "product", "turbo")


def make(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    onto = rng.normal(size=(LATENT, DIM)).astype(np.float32) / np.sqrt(LATENT)
    centers = rng.normal(size=(max(1, count // POINTS_A_CLUSTER), LATENT)).astype(np.float32)

    def draw(number: int) -> np.ndarray:
        inner = centers[rng.integers(len(centers), size=number)]
        inner = inner + SPREAD * rng.normal(size=(number, LATENT)).astype(np.float32)
        rows = inner @ onto + NOISE * rng.normal(size=(number, DIM)).astype(np.float32)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    return draw(count), draw(QUERIES)


def exact(vectors: np.ndarray, queries: np.ndarray, keep: np.ndarray | None = None) -> list[set[int]]:
    ids = np.arange(len(vectors)) if keep is None else np.flatnonzero(keep)
    scores = queries @ vectors[ids].T
    best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
    return [set(ids[row].tolist()) for row in best]


def memory() -> dict[str, float]:
    """Peak resident memory, and what of it now is the process's own rather than mapped files; in MB."""
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
    )
    return {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "anon_mb": int(status["RssAnon"].split()[0]) / 1024,
    }


def timed(ask: Any, queries: list[Any], repeats: int = 1) -> tuple[list[float], list[Any]]:
    for query in queries[:10]:
        ask(query)
    times, answers = [], []
    for _ in range(repeats):
        for query in queries:
            start = time.perf_counter()
            answers.append(ask(query))
            times.append((time.perf_counter() - start) * 1e3)
    return times, answers


def figures(times: list[float], answers: list[Any], truth: list[set[int]]) -> dict[str, float]:
    recall = statistics.mean(
        len({point.id for point in found} & wanted) / TOP
        for found, wanted in zip(answers, truth, strict=False)
    )
    ordered = sorted(times)
    return {"p50": statistics.median(ordered), "p95": ordered[int(0.95 * len(ordered))], "recall": recall}


def upload(client: QdrantClient, vectors: np.ndarray) -> float:
    start = time.perf_counter()
    payload = ({"part": int(at % 100), "text": "x" * 100} for at in range(len(vectors)))
    client.upload_collection(NAME, vectors, payload=payload, ids=range(len(vectors)), batch_size=512)
    return len(vectors) / (time.perf_counter() - start)


def part_filter(percent: int) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="part", range=models.Range(lt=percent))])


def measure_local(count: int, _folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    vectors, queries = make(count)
    base = memory()
    client = QdrantClient(":memory:")
    client.create_collection(NAME, models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    result: dict[str, Any] = {"rate": upload(client, vectors)}
    few = queries[:20].tolist()
    result |= figures(
        *timed(lambda query: client.query_points(NAME, query, limit=TOP).points, few),
        exact(vectors, queries[:20]),
    )
    if options.filters:
        for percent in (1, 10, 50):
            keep = part_filter(percent)
            times, _ = timed(
                lambda query, keep=keep: client.query_points(NAME, query, query_filter=keep).points, few
            )
            result[f"filter_{percent}"] = statistics.median(times)
    peak = memory()
    return result | {"memory": peak["peak_mb"] - base["peak_mb"], "anon": peak["anon_mb"] - base["anon_mb"]}


def measure_edge(count: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    vectors, queries = make(count)
    base = memory()
    client = EdgeClient(folder / "edge")
    client.create_collection(NAME, models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    client.create_payload_index(NAME, "part", "integer")
    result: dict[str, Any] = {"rate": upload(client, vectors)}
    start = time.perf_counter()
    client.optimize(NAME)
    result["build"] = time.perf_counter() - start
    peak = memory()
    result["memory"], result["anon"] = peak["peak_mb"] - base["peak_mb"], peak["anon_mb"] - base["anon_mb"]
    client.close()
    start = time.perf_counter()
    client = EdgeClient(folder / "edge")
    client.count(NAME, exact=False)
    result["reopen"] = time.perf_counter() - start
    asked, truth = queries.tolist(), exact(vectors, queries)
    result |= figures(
        *timed(lambda query: client.query_points(NAME, query, limit=TOP).points, asked, 3), truth
    )
    bare = client._client.store.collection(NAME).shard._engine  # noqa: SLF001 -- the engine under it is the yardstick

    def bare_query(query: list[float]) -> Any:
        return bare.query(engine.QueryRequest(TOP, query=engine.Query.Nearest(query), with_payload=True))

    # In turns, so that whatever else the machine does falls on both alike.
    both: dict[str, list[float]] = {"bare": [], "client": []}
    for _ in range(5):
        both["bare"] += timed(bare_query, asked)[0]
        both["client"] += timed(lambda query: client.query_points(NAME, query, limit=TOP), asked)[0]
    result["bare_p50"], result["client_p50"] = (statistics.median(both[name]) for name in ("bare", "client"))
    if options.filters:
        for percent in (1, 10, 50):
            keep = part_filter(percent)
            mask = np.arange(count) % 100 < percent
            found = figures(
                *timed(
                    lambda query, keep=keep: client.query_points(NAME, query, query_filter=keep).points, asked
                ),
                exact(vectors, queries, mask),
            )
            result[f"filter_{percent}"], result[f"filter_{percent}_recall"] = found["p50"], found["recall"]
    client.close()
    return result


def measure_quantized(kind: str, count: int, folder: Path) -> dict[str, Any]:
    vectors, queries = make(count)
    with EdgeClient(folder / kind) as client:
        client.create_collection(
            NAME,
            models.VectorParams(size=DIM, distance=models.Distance.COSINE, on_disk=True),
            quantization_config=quantization(None if kind == "none" else kind),
        )
        upload(client, vectors)
        client.optimize(NAME)
    base = memory()
    truth, asked = exact(vectors, queries), queries.tolist()
    params = search_params(None if kind == "none" else kind)
    with EdgeClient(folder / kind) as client:
        result: dict[str, Any] = figures(
            *timed(lambda query: client.query_points(NAME, query, search_params=params).points, asked), truth
        )
        result["anon"] = memory()["anon_mb"] - base["anon_mb"]
        result["codes"] = (
            sum(file.stat().st_size for file in Path(folder / kind).rglob("quantized*") if file.is_file())
            / 1e6
        )
    return result


def in_child(arguments: list[str], folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(folder), *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
    return json.loads(answer.stdout.splitlines()[-1])


def show(title: str, rows: list[list[str]]) -> None:
    print(f"\n{title}\n")
    for at, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if at == 0:
            print("|" + "---|" * len(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--filters", action="store_true", help="also filtered queries at 1, 10 and 50 %%")
    parser.add_argument(
        "--quantization", action="store_true", help="also quantized collections of the last size"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        measures = {"local": measure_local, "edge": measure_edge}
        if options.what in measures:
            result = measures[options.what](options.sizes[0], options.child, options)
        else:
            result = measure_quantized(options.what, options.sizes[0], options.child)
        print(json.dumps(result))
        return
    report(options)


def report(options: argparse.Namespace) -> None:
    extra = ["--filters"] if options.filters else []
    rows = [
        [
            "vectors",
            "store",
            "upsert/s",
            "p50 ms",
            "p95 ms",
            "recall@10",
            "peak MB",
            "own MB",
            "index s",
            "reopen s",
        ]
    ]
    ratios = [["vectors", "bare engine p50 ms", "EdgeClient p50 ms", "ratio"]]
    filtered = [["vectors", "store", "1 %", "10 %", "50 %", "recall 1 / 10 / 50 %"]]
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            found = {
                what: in_child(["--what", what, "--sizes", str(size), *extra], Path(temporary))
                for what in ("local", "edge")
            }
        for what, one in found.items():
            rows.append([f"{size:,}", what, f"{one['rate']:,.0f}", f"{one['p50']:.2f}", f"{one['p95']:.2f}",
                         f"{one['recall']:.4f}", f"{one['memory']:,.0f}", f"{one['anon']:,.0f}", f"{one.get('build', 0):.0f}",
                         f"{one.get('reopen', 0):.2f}"])  # fmt: skip
            if options.filters:
                recalls = " / ".join(f"{one.get(f'filter_{p}_recall', 1.0):.3f}" for p in (1, 10, 50))
                filtered.append(
                    [f"{size:,}", what, *(f"{one[f'filter_{p}']:.2f}" for p in (1, 10, 50)), recalls]
                )
        edge = found["edge"]
        ratios.append([f"{size:,}", f"{edge['bare_p50']:.3f}", f"{edge['client_p50']:.3f}",
                       f"{edge['client_p50'] / edge['bare_p50']:.2f}"])  # fmt: skip
        show(f"after {size:,}", rows)
    show("Bare engine calls and EdgeClient, in turns", ratios)
    if options.filters:
        show("Filtered queries, p50 ms", filtered)
    if options.quantization:
        size = options.sizes[-1]
        lines = [["quantization", "p50 ms", "p95 ms", "recall@10", "own memory MB", "codes MB"]]
        for kind in QUANTIZATIONS:
            with tempfile.TemporaryDirectory() as temporary:
                one = in_child(["--what", kind, "--sizes", str(size)], Path(temporary))
            lines.append([kind, f"{one['p50']:.2f}", f"{one['p95']:.2f}", f"{one['recall']:.4f}",
                          f"{one['anon']:.0f}", f"{one['codes']:.1f}"])  # fmt: skip
        show(f"Quantization at {size:,}, rescored as by default", lines)


if __name__ == "__main__":
    main()
