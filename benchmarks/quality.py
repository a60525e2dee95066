"""How good the rankings are: nDCG@10 and recall@100 of dense, BM25 and the default hybrid search.

Each set is indexed through `Collection.indexer().add` into an Edge collection with the dense vectors of all-MiniLM-L6-v2
and BM25 vectors, and searched through `Collection.retriever`. Dense search is exact (`SearchParams(exact=True)`) so that the
figure is the model's and not an index's; a further row has the same with HNSW. A document is its title and its text; a hit
that is the query itself is left out; metrics are ir-measures', over the ranks as a user sees them. The hybrid search runs
twice, and the table says whether both runs gave the same rankings.

`--fusion` prints what the default fusion is chosen from instead: see `benchmarks/fusion.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qdrant_client import models

from benchmarks import tables
from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.indexes import MODEL, indexed, query_vectors
from benchmarks.metrics import NDCG_10, RECALL_100, per_query
from hydrant import Collection, Convex, Dbsf, DenseEncoder, Query, Retriever, Rrf

SETS = ("nfcorpus/test", "cranfield/test", "cookbook-docs/test", "chroma-passages", "xquad-en")
_DEPTH = 100
# What must come out, from the figures published for this model and measured for this project.
_TARGETS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("nfcorpus/test", "dense, exact"): (0.3154, 0.3164),
    ("nfcorpus/test", "BM25"): (0.32, 1.0),
    ("nfcorpus/test", "hybrid, default"): (0.355, 1.0),
}
_FUSIONS = (Rrf(k=60), Dbsf(), Convex())
_EXACT = models.SearchParams(exact=True)


@dataclass(frozen=True)
class Questions:
    """A set's questions with their dense vectors, which are encoded once for all the rankings."""

    judged: JudgedSet
    queries: tuple[tuple[str, Query], ...]

    @classmethod
    def of(cls, judged: JudgedSet, dense: DenseEncoder) -> Questions:
        """Encode the questions of a set."""
        texts = list(judged.queries.values())
        vectors = query_vectors(texts, dense)
        queries = [
            Query(text, vectors={"dense": vector}) for text, vector in zip(texts, vectors, strict=True)
        ]
        return cls(judged, tuple(zip(judged.queries, queries, strict=True)))

    def ranked(self, retriever: Retriever) -> dict[str, list[str]]:
        """The ids that the retriever finds for each question, best first."""
        found = {}
        for name, query in self.queries:
            hits = retriever.run(query).hits
            found[name] = [str(hit.id) for hit in hits if not _is_itself(hit.text, query.text)]
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = tables.options(__doc__)
    parser.add_argument("--fusion", action="store_true", help="compare fusions and depths instead")
    parser.add_argument("--sets", nargs="+", default=None, help="which sets to measure")
    given = parser.parse_args(arguments)
    report = tables.Report("quality", given.json)
    folder = data_folder(given.data)
    sets = given.sets
    if given.quick and sets is None:
        sets = ["cookbook-docs/test"]
    if given.fusion:
        from benchmarks import fusion

        fusion.measure(report, folder, sets or fusion.SETS, quick=given.quick)
    else:
        measure(report, folder, sets or SETS, with_hnsw=not given.quick)
    report.close()


def measure(
    report: tables.Report, folder: Path, sets: Iterable[str] = SETS, *, with_hnsw: bool = True
) -> None:
    """Print the table."""
    rows: list[list[str | float | int]] = []
    dense = DenseEncoder(MODEL)
    for name in sets:
        try:
            judged = load(name, folder)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        rows += _rows(Questions.of(judged, dense), dense, with_hnsw=with_hnsw)
    report.table(
        "Quality",
        ("set", "passages", "queries", "search", "nDCG@10", "recall@100", "expected nDCG@10"),
        rows,
    )


def _rows(questions: Questions, dense: DenseEncoder, *, with_hnsw: bool) -> list[list[str | float | int]]:
    judged = questions.judged
    runs: dict[str, dict[str, list[str]]] = {}
    with indexed(judged, dense=dense) as docs:
        runs["dense, exact"] = questions.ranked(_dense(docs, _EXACT))
        runs["BM25"] = questions.ranked(docs.retriever(limit=_DEPTH, sources=["sparse"]))
        for fusion in _FUSIONS:
            runs[f"hybrid, {type(fusion).__name__}()"] = questions.ranked(
                docs.retriever(limit=_DEPTH, fusion=fusion)
            )
        hybrid = docs.retriever(limit=_DEPTH)
        runs["hybrid, default"] = questions.ranked(hybrid)
        same = runs["hybrid, default"] == questions.ranked(hybrid)
    if with_hnsw:
        with indexed(judged, dense=dense, optimized=True) as docs:
            runs["dense, HNSW"] = questions.ranked(_dense(docs, None))
            runs["hybrid, default, HNSW"] = questions.ranked(docs.retriever(limit=_DEPTH))
    rows: list[list[str | float | int]] = []
    for search, run in runs.items():
        ndcg = float(np.mean(per_query(NDCG_10, judged.qrels, run)))
        recall = float(np.mean(per_query(RECALL_100, judged.qrels, run)))
        remark = _verdict(judged.name, search, ndcg)
        if search == "hybrid, default":
            remark = f"{remark}; second run {'identical' if same else 'DIFFERENT'}".removeprefix("; ")
        rows.append([judged.name, len(judged.passages), len(judged.qrels), search, ndcg, recall, remark])
    return rows


def _dense(docs: Collection, params: models.SearchParams | None) -> Retriever:
    return docs.retriever(limit=_DEPTH, sources=["dense"], params=params)


def _is_itself(found: str, asked: str) -> bool:
    return found.strip() == asked.strip()


def _verdict(name: str, search: str, ndcg: float) -> str:
    if (name, search) not in _TARGETS:
        return ""
    low, high = _TARGETS[name, search]
    wanted = f"at least {low}" if high >= 1 else f"{(low + high) / 2:.4f} ± {(high - low) / 2:.4f}"
    return f"{wanted}: {'met' if low <= ndcg <= high else 'MISSED'}"


if __name__ == "__main__":
    main()
