"""What rerankers make of a ranking on judged sets; part of `python -m benchmarks.rerank`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection as AnyOf
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.data import DataMissingError, JudgedSet, load
from benchmarks.indexes import MODEL, indexed
from benchmarks.metrics import NDCG_10, chance, per_query
from benchmarks.muvera import kept
from hydrant import (
    Blend,
    Collection,
    CrossEncoderReranker,
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
from hydrant.encode import Encoder
from hydrant.rerank.maxsim import maxsim
from hydrant.testing import FunctionStage

SETS = ("nfcorpus/test", "cranfield/test")
_CUR_SET = "cranfield/test"
# A corpus of no more passages is encoded whole, as other measurements do that keep it.
_SMALL = 2000
_QUERIES = 60
_DEPTH = 30
_ERRORS = (0.0, 0.1, 0.3)


def measure(
    report: tables.Report, folder: Path, parts: AnyOf[str], sets: Sequence[str] = SETS, *, quick: bool
) -> None:
    """Print the tables of these parts."""
    rows: list[list[Any]] = []
    oracle: list[list[Any]] = []
    for name in sets:
        try:
            judged = load(name, folder)
        except DataMissingError as missing:
            report.skip(name, missing)
            continue
        queries = dict(list(judged.queries.items())[: 2 if quick else _QUERIES])
        found = first_stages(judged, queries, ("BM25",) if quick else ("BM25", "hybrid"))
        tokens = Remembering(LateEncoder(MODEL))
        if not quick and parts != {"oracle"}:
            tokens.prepare(
                judged,
                [hit.passage.content for each in found.values() for hits in each.values() for hit in hits],
            )
        if "quality" in parts:
            rows += _late(judged, queries, found, tokens)
        if "oracle" in parts:
            oracle += _oracles(judged, queries, found["BM25"])
        if "cur" in parts and (quick or name == _CUR_SET):
            _cur(report, judged, queries, tokens, quick=quick)
    if "quality" in parts:
        report.table(
            f"Quality: nDCG@10 over the best {_DEPTH}",
            ("set", "queries", "first stage", "reranker", "nDCG@10", "change", "p"),
            rows,
        )
    if "oracle" in parts:
        report.table(
            f"An oracle as cross-encoder, over BM25's best {_DEPTH}",
            ("set", "errors", "nDCG@10 before", "after", "pairs a query"),
            oracle,
        )


# ---- late interaction --------------------------------------------------------------------------------------------


def _late(
    judged: JudgedSet,
    queries: Mapping[str, str],
    found: Mapping[str, Mapping[str, Sequence[Hit]]],
    tokens: Encoder,
) -> list[list[Any]]:
    rows: list[list[Any]] = []
    qrels = {query: judged.qrels[query] for query in queries}
    late = LateInteractionReranker(tokens, on_error="raise")
    stages: dict[str, Stage | None] = {
        "none": None,
        "late, alone": late,
        "late, blended 0.3": Blend(late, 0.3, on_error="raise"),
        "late, blended 0.5": Blend(late, 0.5, on_error="raise"),
    }
    for first, hits in found.items():
        before = None
        for name, stage in stages.items():
            run = {query: _ranked(stage, text, hits[query]) for query, text in queries.items()}
            values = per_query(NDCG_10, qrels, run)
            before = values if before is None else before
            change = "" if stage is None else f"{values.mean() - before.mean():+.4f}"
            p = "" if stage is None else f"{chance(values, before):.3f}"
            rows.append([judged.name, len(queries), first, name, float(values.mean()), change, p])
    return rows


# ---- an oracle ---------------------------------------------------------------------------------------------------


class Oracle:
    """Knows how relevant each passage is to each query, and says something else at a set rate, always the same.

    Args:
        grades: By the query's text and the passage's content.
        errors: How often it errs, from 0 to 1; then any grade is as likely.
    """

    def __init__(self, grades: Mapping[tuple[str, str], int], errors: float) -> None:
        self._grades = grades
        self._errors = errors
        self._highest = max(grades.values())
        self.pairs = 0

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """A grade for each."""
        self.pairs += len(pairs)
        return [self._grade(query, document) for query, document in pairs]

    def _grade(self, query: str, document: str) -> float:
        digest = hashlib.blake2b(f"{query}\n{document}".encode(), digest_size=8).digest()
        if int.from_bytes(digest[:4], "big") / 2**32 < self._errors:
            return float(int.from_bytes(digest[4:], "big") % (self._highest + 1))
        return float(self._grades.get((query, document), 0))


def grades_of(judged: JudgedSet) -> dict[tuple[str, str], int]:
    """The judgments by texts."""
    contents = {str(passage.id): passage.content for passage in judged.passages}
    return {
        (judged.queries[query], contents[passage]): grade
        for query, relevant in judged.qrels.items()
        for passage, grade in relevant.items()
        if passage in contents
    }


def _oracles(
    judged: JudgedSet, queries: Mapping[str, str], hits: Mapping[str, Sequence[Hit]]
) -> list[list[Any]]:
    grades = grades_of(judged)
    qrels = {query: judged.qrels[query] for query in queries}
    before = per_query(NDCG_10, qrels, {query: _ranked(None, "", hits[query]) for query in queries})
    rows: list[list[Any]] = []
    for errors in _ERRORS:
        oracle = Oracle(grades, errors)
        stage = CrossEncoderReranker(oracle, on_error="raise")
        run = {query: _ranked(stage, text, hits[query]) for query, text in queries.items()}
        after = per_query(NDCG_10, qrels, run)
        rows.append(
            [
                judged.name,
                f"{errors:.0%}",
                float(before.mean()),
                float(after.mean()),
                f"{oracle.pairs / len(queries):.1f}",
            ]
        )
    return rows


# ---- CUR ---------------------------------------------------------------------------------------------------------


class TokenScorer:
    """A model of pairs that is no product of two vectors: MaxSim over token vectors, which are remembered."""

    identity = "maxsim of MiniLM's tokens"

    def __init__(self, tokens: Remembering) -> None:
        self._tokens = tokens

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The MaxSim of each."""
        queries = self._by_text(self._tokens.encode_query, [query for query, _ in pairs])
        documents = self._by_text(self._tokens.encode_document, [document for _, document in pairs])
        return [float(maxsim(queries[query], [documents[document]])[0]) for query, document in pairs]

    @staticmethod
    def _by_text(encode: Any, texts: Sequence[str]) -> dict[str, Any]:
        unique = list(dict.fromkeys(texts))
        return {
            text: np.asarray(rows, dtype=np.float32)
            for text, rows in zip(unique, encode(unique), strict=True)
        }


def _cur(
    report: tables.Report, judged: JudgedSet, queries: Mapping[str, str], tokens: Remembering, *, quick: bool
) -> None:
    number = 12 if quick else 500
    passages = [passage for passage in judged.passages if passage.text.strip()][:number]
    documents = [Passage(passage.content, id=at) for at, passage in enumerate(passages)]
    asked = list(queries.values())[: 2 if quick else 30]
    others = [text for name, text in judged.queries.items() if name not in queries]
    others = others or asked
    scorer = TokenScorer(tokens)
    rows: list[list[Any]] = []
    for size in (4,) if quick else (25, 50, 100):
        encoder = CurEncoder(
            scorer,
            queries=others[:size],
            items=[document.text for document in documents[:: max(1, number // size)][:size]],
        )
        with EdgeClient(":memory:") as client:
            docs = Collection.create(client, "docs", sources={"cur": encoder})
            docs.indexer(progress=False).add(documents)
            hits = [Hit(document, 0.0, {}, document.id) for document in documents]
            cur = CurReranker(docs, on_error="raise")
            kept: dict[int, list[float]] = {10: [], 30: [], 100: []}
            for text in asked:
                exact = [str(each) for each in _ranked(CrossEncoderReranker(scorer), text, hits)][:10]
                about = [str(each) for each in _ranked(cur, text, hits)]
                for depth, shares in kept.items():
                    shares.append(len(set(exact) & set(about[:depth])) / len(exact))
        means = [float(np.mean(shares)) for shares in kept.values()]
        rows.append([judged.name, len(documents), size, *means])
    report.table(
        "CUR: how much of the exact top 10 is among its best",
        ("set", "candidates", "anchors of each kind, scores a query", "in 10", "in 30", "in 100"),
        rows,
        "the model is MaxSim over MiniLM's token vectors; by chance: 10, 30 or 100 of the candidates' number",
    )


# ---- their parts -------------------------------------------------------------------------------------------------


class Remembering(Encoder):
    """Token vectors of texts that are asked for again and again."""

    kind = "multi"
    distance = "Cosine"
    graph = False

    def __init__(self, encoder: LateEncoder) -> None:
        self._encoder = encoder
        self._documents: dict[str, Any] = {}
        self._queries: dict[str, Any] = {}

    def prepare(self, judged: JudgedSet, candidates: Sequence[str]) -> None:
        """Have the vectors of a set's candidates, from the disk where an earlier run left them."""
        whole = [passage.content for passage in judged.passages if passage.text.strip()]
        texts, name = whole, f"late {judged.corpus}"
        if len(whole) > _SMALL:
            texts, name = sorted(set(candidates)), f"late candidates {judged.corpus}"
        vectors = kept(name, texts, self._encoder.encode_document)
        self._documents.update(zip(texts, vectors, strict=True))

    def encode_query(self, texts: Sequence[str]) -> Any:
        """From memory, or from the encoder."""
        return self._known(self._queries, texts, self._encoder.encode_query)

    def encode_document(self, texts: Sequence[str]) -> Any:
        """From memory, or from the encoder."""
        return self._known(self._documents, texts, self._encoder.encode_document)

    def record(self) -> dict[str, Any]:
        """The encoder's."""
        return self._encoder.record()

    @staticmethod
    def _known(known: dict[str, Any], texts: Sequence[str], encode: Any) -> list[Any]:
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            known.update(zip(missing, encode(missing), strict=True))
        return [known[text] for text in texts]


def first_stages(
    judged: JudgedSet, queries: Mapping[str, str], names: Sequence[str]
) -> dict[str, dict[str, Sequence[Hit]]]:
    """What each first stage finds for each query."""
    found: dict[str, dict[str, Sequence[Hit]]] = {}
    with indexed(judged, dense=DenseEncoder(MODEL)) as docs:
        for name in names:
            sources = ("sparse",) if name == "BM25" else ()
            search = docs.retriever(limit=_DEPTH, sources=sources)
            found[name] = {
                query: tuple(hit for hit in search.run(text).hits if hit.text.strip() != text.strip())
                for query, text in queries.items()
            }
    return found


def _ranked(stage: Stage | None, text: str, hits: Sequence[Hit]) -> list[str]:
    if stage is None:
        return [str(hit.id) for hit in hits]
    found = FunctionStage(lambda state: state.with_hits(hits), "found", required=True)
    return [str(hit.id) for hit in (found >> stage).run(text).hits]
