"""Every kind of vector on judged sets: quality, time and memory of each source, each pair, all of them, with feedback, compressed.

One Edge collection a set holds them all: dense (all-MiniLM-L6-v2), BM25, learned sparse (splade-tiny), token vectors (MiniLM's
own, which no training made for that), their fixed dimensional encodings (MUVERA) and sentence views. It is built once and kept.
Searches go through `Collection.retriever`, 100 hits deep; "ms" is the median of a whole `run` with the query vectors at hand,
so it shows what Qdrant and fusion take and leaves the encoders out. A document is its title and its text; a hit that is the
query itself is left out. Bytes are those of the vectors themselves, for one document on average, without graph and postings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import models

from benchmarks import indexes, tables
from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.indexes import MODEL, cache_folder
from benchmarks.metrics import NDCG_10, RECALL_100, per_query
from hydrant import (
    Average,
    Bm25Encoder,
    Collection,
    CombMnz,
    CombSum,
    Convex,
    Dbsf,
    DenseEncoder,
    EdgeClient,
    Encoder,
    Feedback,
    LateEncoder,
    MuveraEncoder,
    Query,
    Rocchio,
    Rrf,
    SparseEncoder,
    Stage,
    ViewEncoder,
)

SETS = ("nfcorpus/test", "cranfield/test")
SPLADE = "splade-tiny"
COMPRESSIONS: Mapping[str, Any] = {
    "none (float32)": None,
    "scalar": "scalar",
    "binary": "binary",
    "product": "product",
    "turbo": "turbo",
    "turbo, 1 bit": models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(always_ram=True, bits=models.TurboQuantBitSize.BITS1)
    ),
}
_BITS = {"none (float32)": 32, "scalar": 8, "binary": 1, "product": 2, "turbo": 4, "turbo, 1 bit": 1}
_COLLECTION = "vectors"
_DEPTH = 100
_QUICK = 150


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--only", choices=("compression",), help="the dense vectors compressed, nothing else")
    parser.add_argument("--sets", nargs="+", default=None, help=f"which sets to measure ({' '.join(SETS)})")
    given = parser.parse_args(arguments)
    report = tables.Report("vectors", given.json)
    folder, sets = data_folder(given.data), given.sets or SETS
    if given.only is None:
        measure(report, folder, sets, quick=given.quick)
    else:
        compressions(report, folder, sets)
    report.close()


def measure(report: tables.Report, folder: Path, sets: Sequence[str] = SETS, *, quick: bool = False) -> None:
    """Print two tables for every set."""
    for name in sets:
        try:
            judged, splade = load(name, folder), _splade(folder)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        judged = _cut(judged) if quick else judged
        with indexed(judged, splade, quick=quick) as docs:
            queries = _queries(docs, judged)
            _sources(report, docs, judged, queries)
            _compressions(report, docs, judged, queries)


def compressions(report: tables.Report, folder: Path, sets: Sequence[str] = SETS) -> None:
    """Print the table of compressed vectors for every set."""
    dense = DenseEncoder(MODEL)
    for name in sets:
        try:
            judged = load(name, folder)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        with indexes.indexed(judged, dense=dense) as docs:
            texts = list(judged.queries.values())
            vectors = zip(judged.queries, texts, indexes.query_vectors(texts, dense), strict=True)
            queries = {query: Query(text, vectors={"dense": vector}) for query, text, vector in vectors}
            _compressions(report, docs, judged, queries)


@contextmanager
def indexed(judged: JudgedSet, splade: Path, *, quick: bool) -> Iterator[Collection]:
    """The set with every kind of vector, kept between runs."""
    late = LateEncoder(MODEL, storage="float16")
    muvera = MuveraEncoder(late)
    dense = DenseEncoder(MODEL)
    encoders: dict[str, Encoder] = {
        "splade": SparseEncoder(str(splade)),
        "late": muvera.late,
        "muvera": muvera,
        "views": ViewEncoder(dense, "sentences"),
    }
    place = cache_folder() / f"vectors-{judged.corpus}{'-quick' if quick else ''}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with EdgeClient(place) as client:
        if client.collection_exists(_COLLECTION):
            docs = Collection.open(client, _COLLECTION, dense=dense, sources=encoders)
        else:
            docs = Collection.create(client, _COLLECTION, dense=dense, sparse=Bm25Encoder(), sources=encoders)
        docs.indexer().add([passage for passage in judged.passages if passage.text.strip()])
        yield docs


def _splade(data: Path) -> Path:
    """The learned sparse model's folder, beside the judged sets."""
    found = data.parent / "models" / SPLADE
    if not found.is_dir():
        msg = f"{found} is not there"
        raise DataMissingError(msg)
    return found


def _cut(judged: JudgedSet) -> JudgedSet:
    passages = judged.passages[:_QUICK]
    known = {str(passage.id) for passage in passages}
    qrels = {
        query: {each: grade for each, grade in relevant.items() if each in known}
        for query, relevant in judged.qrels.items()
        if known & set(relevant)
    }
    some = dict(list(qrels.items())[:10])
    return JudgedSet(
        judged.name, judged.corpus, passages, {name: judged.queries[name] for name in some}, some
    )


def _queries(docs: Collection, judged: JudgedSet) -> dict[str, Query]:
    """Every question with its vector for every source, encoded once."""
    texts = list(judged.queries.values())
    encoded: Mapping[str, Any] = {
        name: source.encoder.encode_query(texts) for name, source in docs.sources.items()
    }
    return {
        name: Query(text, vectors={source: rows[at] for source, rows in encoded.items()})
        for at, (name, text) in enumerate(judged.queries.items())
    }


def _searches(docs: Collection) -> dict[str, tuple[Stage, tuple[str, ...]]]:
    """What is measured, and the sources whose vectors it needs."""

    def made(*sources: str, **options: Any) -> tuple[Stage, tuple[str, ...]]:
        rescore = options.get("rescore")
        needs = (*sources, *((rescore,) if rescore else ()))
        return docs.retriever(limit=_DEPTH, sources=sources, depth=_DEPTH, **options), needs

    both = ("dense", "sparse")
    first = docs.retriever(limit=_DEPTH, sources=both)
    return {
        "dense": made("dense"),
        "BM25": made("sparse"),
        "splade-tiny": made("splade"),
        "sentence views": made("views"),
        "MUVERA": made("muvera"),
        "MUVERA, then MaxSim": made("muvera", rescore="late"),
        "MaxSim over all (exact)": made("late"),
        "BM25, then MaxSim": made("sparse", rescore="late"),
        "dense + BM25, then MaxSim": made(*both, rescore="late"),
        "dense + BM25 (default)": made(*both),
        "dense + BM25, Rrf()": made(*both, fusion=Rrf()),
        "dense + BM25, Dbsf()": made(*both, fusion=Dbsf()),
        "dense + BM25, CombSum()": made(*both, fusion=CombSum()),
        "dense + BM25, CombMnz()": made(*both, fusion=CombMnz()),
        "dense + splade-tiny": made("dense", "splade"),
        "BM25 + splade-tiny": made("sparse", "splade"),
        "dense + MaxSim": made("dense", "late"),
        "BM25 + MaxSim": made("sparse", "late"),
        "dense + views": made("dense", "views"),
        "BM25 + views": made("sparse", "views"),
        "dense + BM25 + MaxSim": made(*both, "late"),
        "dense + BM25 + views": made(*both, "views"),
        "dense + BM25 + splade-tiny": made(*both, "splade"),
        "all but MUVERA": made(*both, "splade", "views", "late", fusion=Convex()),
        "dense, Rocchio": _fed(docs, ("dense",), Rocchio()),
        "dense, average": _fed(docs, ("dense",), Average()),
        "BM25, Rocchio": _fed(docs, ("sparse",), Rocchio()),
        "dense + BM25, Rocchio after fusion": (
            first >> Feedback(docs.retriever(limit=_DEPTH, sources=both), Rocchio()),
            both,
        ),
        "dense + BM25, Rocchio before fusion": (
            first >> Feedback(docs.retriever(limit=_DEPTH, sources=both), Rocchio(), scope="source"),
            both,
        ),
        "dense + BM25, Rocchio, half and half": (
            first >> Feedback(docs.retriever(limit=_DEPTH, sources=both), Rocchio(), share=0.5),
            both,
        ),
    }


def _fed(docs: Collection, sources: tuple[str, ...], method: Any) -> tuple[Stage, tuple[str, ...]]:
    first = docs.retriever(limit=_DEPTH, sources=sources)
    return first >> Feedback(first, method), sources


def _sources(
    report: tables.Report, docs: Collection, judged: JudgedSet, queries: Mapping[str, Query]
) -> None:
    sizes = _bytes(docs)
    rows = []
    for name, (search, needs) in _searches(docs).items():
        ndcg, recall, milliseconds = _measured(search, judged, queries)
        rows.append([name, ndcg, recall, f"{milliseconds:.1f}", f"{sum(sizes[each] for each in needs):,.0f}"])
    report.table(
        f"{judged.name}: {len(judged.passages)} passages, {len(queries)} questions",
        ("search", "nDCG@10", "recall@100", "ms", "bytes a document"),
        rows,
    )


def _compressions(
    report: tables.Report, docs: Collection, judged: JudgedSet, queries: Mapping[str, Query]
) -> None:
    """The dense vectors again, whole and in every compression, searched by default and without rescoring."""
    queries = {
        name: replace(query, vectors={"dense": query.vectors["dense"]}) for name, query in queries.items()
    }
    points = _dense_points(docs)
    truth = _nearest(points, queries)
    bare = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    rows: list[list[Any]] = []
    for name, wanted in COMPRESSIONS.items():
        with EdgeClient(":memory:") as client:
            small = Collection.create(
                client, "small", dense=docs.sources["dense"].encoder, quantization=wanted
            )
            for start in range(0, len(points), 256):
                client.upsert("small", points[start : start + 256])
            client.update_collection(
                "small",
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
                hnsw_config=models.HnswConfigDiff(full_scan_threshold=10),
            )
            client.optimize("small")
            for label, params in (("default", None), ("without rescoring", bare)):
                if wanted is None and params is not None:
                    continue
                search = small.retriever(limit=_DEPTH, params=params)
                ndcg, recall, milliseconds = _measured(search, judged, queries)
                near = _overlap(small.retriever(limit=10, params=params), queries, truth)
                code = small.profile.dense["dense"].size * _BITS[name] / 8
                rows.append(
                    [
                        name,
                        label,
                        ndcg,
                        recall,
                        near,
                        f"{milliseconds:.1f}",
                        f"{code:.0f}",
                    ]
                )
    report.table(
        f"{judged.name}: the dense vectors compressed (HNSW built)",
        ("compression", "search", "nDCG@10", "recall@100", "same 10 nearest", "ms", "bytes in memory"),
        rows,
    )


def _measured(search: Stage, judged: JudgedSet, queries: Mapping[str, Query]) -> tuple[float, float, float]:
    run: dict[str, list[str]] = {}
    times = []
    for query in list(queries.values())[:3]:
        search.run(query)
    for name, query in queries.items():
        start = time.perf_counter()
        hits = search.run(query).hits
        times.append(1000 * (time.perf_counter() - start))
        run[name] = [str(hit.id) for hit in hits if hit.text.strip() != query.text.strip()]
    ndcg = float(np.mean(per_query(NDCG_10, judged.qrels, run)))
    return ndcg, float(np.mean(per_query(RECALL_100, judged.qrels, run))), float(np.median(times))


def _dense_points(docs: Collection) -> list[models.PointStruct]:
    found: list[models.PointStruct] = []
    offset = None
    while True:
        records, offset = docs.clients.sync.scroll(
            docs.name, limit=512, offset=offset, with_vectors=["dense"], with_payload=True
        )
        found += [models.PointStruct(id=r.id, vector=r.vector, payload=r.payload) for r in records]
        if offset is None:
            return found


def _nearest(points: Sequence[models.PointStruct], queries: Mapping[str, Query]) -> dict[str, set[Any]]:
    vectors = np.array([point.vector["dense"] for point in points])
    asked = np.array([query.vectors["dense"] for query in queries.values()])
    best = np.argsort(-(asked @ vectors.T), axis=1)[:, :10]
    return {name: {points[at].id for at in row} for name, row in zip(queries, best, strict=True)}


def _overlap(search: Stage, queries: Mapping[str, Query], truth: Mapping[str, set[Any]]) -> float:
    shares = [
        len({hit.point_id for hit in search.run(query).hits} & truth[name]) / len(truth[name])
        for name, query in queries.items()
    ]
    return float(np.mean(shares))


def _bytes(docs: Collection) -> dict[str, float]:
    """The bytes of each source's vectors for one document, on average over a sample."""
    records, _ = docs.clients.sync.scroll(docs.name, limit=500, with_vectors=True, with_payload=False)
    sizes: dict[str, float] = {}
    for name, source in docs.sources.items():
        stored = [record.vector[name] for record in records if name in record.vector]
        width = 2 if source.encoder.storage == "float16" else 4
        if source.encoder.kind == "sparse":
            # An index and a weight of four bytes each.
            sizes[name] = float(np.mean([8 * len(vector.indices) for vector in stored]))
        else:
            sizes[name] = width * float(np.mean([np.size(vector) for vector in stored]))
    return sizes


if __name__ == "__main__":
    main()
