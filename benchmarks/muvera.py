"""What fixed dimensional encodings find of what MaxSim would, and what they cost: `python -m benchmarks.muvera`.

Every encoding ranks all documents by its inner product; "10 in 20" is the share of the ten documents that exact MaxSim over
all token vectors puts first that are among the encoding's first 20. nDCG@10 is that of MaxSim over the encoding's first 100,
the retriever's two stages. Bytes are those of a document in float32. A row is named by k_sim / dim_proj /
repetitions; "dense" is the model's own one vector as the first stage, for comparison.

Two sets: made-up token vectors around topics, and cranfield with the token vectors of all-MiniLM-L6-v2 before pooling, which
was not trained for late interaction. The token vectors are kept between runs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import DataMissingError, JudgedSet, data_folder, load
from benchmarks.indexes import MODEL, cache_folder
from benchmarks.metrics import NDCG_10, per_query
from benchmarks.tables import Report, options
from hydrant import DenseEncoder, LateEncoder
from hydrant.encode.fde import FdeShape, FixedEncoding

Vectors = npt.NDArray[np.float32]

SHAPES = (
    FdeShape(3, 8, 10),
    FdeShape(4, 8, 10),
    FdeShape(4, 16, 20),
    FdeShape(5, 8, 20),
    FdeShape(5, 16, 20),
    FdeShape(5, 16, 20, fill_empty=True),
    FdeShape(5, 16, 20, final_dim=2560),
    FdeShape(5, 16, 20, final_dim=1024),
    FdeShape(6, 16, 20),
    FdeShape(5, 16, 40),
)
DEPTHS = (20, 50, 100, 200)
_BEST = 10
_RERANKED = 100


@dataclass
class Tokens:
    """The token vectors of a set.

    Attributes:
        name: What the table calls it.
        queries: For each query its vectors.
        documents: For each document its vectors.
        judged: The set's judgments, where it has some.
        dense: The one vector of each query and each document by the model's own pooling, where there is one.
    """

    name: str
    queries: Sequence[Vectors]
    documents: Sequence[Vectors]
    judged: JudgedSet | None = None
    dense: tuple[Vectors, Vectors] | None = None
    exact: Vectors = field(init=False)
    exact_ms: float = field(init=False)

    def __post_init__(self) -> None:
        tokens = np.concatenate(list(self.documents))
        lengths = [len(each) for each in self.documents]
        starts = np.cumsum([0, *lengths[:-1]])
        began = time.perf_counter()
        self.exact = np.stack(
            [np.maximum.reduceat(query @ tokens.T, starts, axis=1).sum(axis=0) for query in self.queries]
        )
        self.exact_ms = 1e3 * (time.perf_counter() - began) / len(self.queries)


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__).parse_args(arguments)
    report = Report("muvera", given.json)
    measure(report, data_folder(given.data), quick=given.quick)
    report.close()


def measure(report: Report, folder: Path, *, quick: bool = False) -> None:
    """Print a table for each set."""
    shapes = SHAPES[:2] if quick else SHAPES
    _table(report, _made_up(*((200, 10) if quick else (3000, 100))), shapes)
    if quick:
        return
    try:
        _table(report, _judged("cranfield/test", folder), shapes)
    except DataMissingError as error:
        report.skip("cranfield/test", error)


def _table(report: Report, tokens: Tokens, shapes: Sequence[FdeShape]) -> None:
    depths = [depth for depth in DEPTHS if depth < len(tokens.documents)]
    rows: list[list[Any]] = []
    if tokens.dense is not None:
        queries, documents = tokens.dense
        rows.append(
            [
                "dense",
                documents.shape[1],
                4 * documents.shape[1],
                "",
                "",
                *_found(tokens, queries @ documents.T, depths),
            ]
        )
    for shape in shapes:
        encoding = FixedEncoding(shape, tokens.documents[0].shape[1])
        documents, document_ms = _timed(encoding.document, tokens.documents)
        _, query_ms = _timed(
            lambda each, own=encoding: [own.query([query]) for query in each], tokens.queries
        )
        scores = encoding.query(tokens.queries) @ documents.T
        size = documents.shape[1]
        rows.append(
            [
                _named(shape),
                size,
                4 * size,
                f"{document_ms:.2f}",
                f"{query_ms:.2f}",
                *_found(tokens, scores, depths),
            ]
        )
    vectors = sum(len(each) for each in tokens.documents) / len(tokens.documents)
    size = 4 * round(vectors * tokens.documents[0].shape[1])
    whole = [1.0] * len(depths) + [_ndcg(tokens, tokens.exact)]
    rows.append(["full MaxSim", "", size, "", "", *whole])
    columns = ["first stage", "dims", "bytes", "ms a doc.", "ms a query"]
    columns += [f"{_BEST} in {depth}" for depth in depths] + ["nDCG@10"]
    note = (
        f"{len(tokens.documents)} documents of {vectors:.0f} vectors, {len(tokens.queries)} queries; milliseconds beside the "
        f"model; full MaxSim by numpy takes {tokens.exact_ms:.1f} ms a query"
    )
    report.table(tokens.name, columns, rows, note)


def _found(tokens: Tokens, scores: Vectors, depths: Sequence[int]) -> list[Any]:
    """The share of MaxSim's best among the first of these scores, by depth; and the quality of both stages."""
    best = np.argsort(-tokens.exact, axis=1, kind="stable")[:, :_BEST]
    order = np.argsort(-scores, axis=1, kind="stable")
    shares = [
        float(
            np.mean([np.isin(own, first).mean() for own, first in zip(best, order[:, :depth], strict=True)])
        )
        for depth in depths
    ]
    kept = np.full_like(tokens.exact, -np.inf)
    first = order[:, :_RERANKED]
    np.put_along_axis(kept, first, np.take_along_axis(tokens.exact, first, axis=1), axis=1)
    return [*shares, _ndcg(tokens, kept)]


def _ndcg(tokens: Tokens, scores: Vectors) -> float | str:
    judged = tokens.judged
    if judged is None:
        return ""
    ids = [passage.id for passage in judged.passages if passage.text.strip()]
    run = {
        query: [str(ids[at]) for at in np.argsort(-own, kind="stable")[:_BEST]]
        for query, own in zip(judged.queries, scores, strict=True)
    }
    return float(per_query(NDCG_10, judged.qrels, run).mean())


def _named(shape: FdeShape) -> str:
    name = f"{shape.k_sim} / {shape.dim_proj} / {shape.repetitions}"
    if shape.final_dim is not None:
        name += f" to {shape.final_dim}"
    return f"{name}, filled" if shape.fill_empty else name


def _timed(call: Callable[[Any], Any], argument: Sequence[Any]) -> tuple[Any, float]:
    """What the call returns, and its milliseconds for one of the argument's items."""
    began = time.perf_counter()
    result = call(argument)
    return result, 1e3 * (time.perf_counter() - began) / len(argument)


# ---- the sets ----------------------------------------------------------------------------------------------------


def _made_up(documents: int, queries: int, width: int = 128) -> Tokens:
    """Documents about three topics each; a query has vectors near those of one document."""
    random = np.random.default_rng(7)
    topics = random.standard_normal((200, width))

    def unit(rows: npt.NDArray[np.float64]) -> Vectors:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    made = []
    for _ in range(documents):
        own = topics[random.integers(len(topics), size=3)]
        number = int(random.integers(20, 90))
        made.append(unit(own[random.integers(3, size=number)] + random.standard_normal((number, width))))
    asked = []
    for at in random.integers(documents, size=queries):
        own = made[at][random.integers(len(made[at]), size=12)]
        asked.append(unit(own + 0.08 * random.standard_normal(own.shape)))
    return Tokens("A. Made-up token vectors", asked, made)


def _judged(name: str, folder: Path) -> Tokens:
    judged = load(name, folder)
    contents = [passage.content for passage in judged.passages if passage.text.strip()]
    questions = list(judged.queries.values())
    late, dense = LateEncoder(MODEL), DenseEncoder(MODEL, normalize=True)
    tokens = {
        "documents": kept(f"late {judged.corpus}", contents, late.encode_document),
        "queries": kept(f"late questions {judged.corpus}", questions, late.encode_query),
    }
    (pooled,) = kept(f"dense {judged.corpus}", contents, lambda texts: [dense.encode_document(texts)])
    asked = np.array(dense.encode_query(questions), np.float32)
    return Tokens(f"B. {name}, {MODEL}", tokens["queries"], tokens["documents"], judged, (asked, pooled))


def kept(name: str, texts: list[str], make: Callable[[list[str]], Sequence[Any]]) -> list[Vectors]:
    """A list of arrays for the texts, made at the first run and kept between runs.

    Args:
        name: What it is.
        texts: The texts.
        make: Makes the arrays.
    """
    key = hashlib.sha256("\0".join([MODEL, name, *texts]).encode()).hexdigest()[:16]
    file = cache_folder() / f"tokens-{key}.npz"
    if not file.is_file():
        made = [np.asarray(each, np.float32) for each in make(texts)]
        file.parent.mkdir(parents=True, exist_ok=True)
        # Half as large, and the last digits are noise.
        np.savez(file, lengths=[len(each) for each in made], rows=np.concatenate(made).astype(np.float16))
    with np.load(file) as arrays:
        return np.split(arrays["rows"].astype(np.float32), np.cumsum(arrays["lengths"])[:-1])


if __name__ == "__main__":
    main()
