"""Hydrant's pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.peers.contenders import Built
from benchmarks.peers.material import Material
from hydrant import (
    Bm25Encoder,
    CallableGenerator,
    Collection,
    CrossEncoderReranker,
    DenseEncoder,
    EdgeClient,
    Encoder,
    Hit,
    Hyde,
    Passage,
    Query,
    SearchResult,
    SearchState,
    Stage,
)
from hydrant.flow import arun, run


class Known(Encoder):
    """An encoder whose vectors of the documents are known."""

    kind = "dense"

    def __init__(self, encoder: DenseEncoder, material: Material) -> None:
        self._encoder = encoder
        self._vectors = dict(zip(material.texts, material.vectors, strict=True))

    def encode_query(self, texts: Any) -> Any:
        """As the encoder."""
        return self._encoder.encode_query(texts)

    def encode_document(self, texts: Any) -> Any:
        """The known vectors; a hypothesis has none and goes through the model."""
        return np.stack(
            [
                self._vectors[text] if text in self._vectors else self._encoder.encode_document([text])[0]
                for text in texts
            ]
        )

    def record(self) -> dict[str, Any]:
        """As the encoder."""
        return {"encoder": "known", "of": self._encoder.record()}

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return len(next(iter(self._vectors.values())))

    def warm_up(self) -> None:
        """Load the model."""
        self._encoder.warm_up()


def hydrant_dense(material: Material) -> Built:
    """One dense source."""
    return _built(material, DenseEncoder(material.model, query_cache=0), ("dense",))


def hydrant_hybrid(material: Material) -> Built:
    """Everything at its default."""
    return _built(material, DenseEncoder(material.model, query_cache=0), ())


def hydrant_onnx(material: Material) -> Built:
    """As the default, with queries encoded by onnxruntime in 8 bits."""
    encoder = DenseEncoder(material.model, query_cache=0, backend="onnx", precision="int8")
    return _built(material, encoder, ())


def hydrant_hyde_1(material: Material) -> Built:
    """One hypothesis and the question."""
    return _hyde(material, 1, ("dense",))


def hydrant_hyde_4(material: Material) -> Built:
    """Four hypotheses and the question."""
    return _hyde(material, 4, ("dense",))


def hydrant_hyde_hybrid(material: Material) -> Built:
    """Four hypotheses and the question, beside BM25."""
    return _hyde(material, 4, ())


def hydrant_rerank(material: Material) -> Built:
    """The cross-encoder in torch."""
    return _ranking(CrossEncoderReranker(material.cross_encoder, cache=0))


def hydrant_rerank_onnx(material: Material) -> Built:
    """The cross-encoder in 8 bits."""
    return _ranking(CrossEncoderReranker(material.cross_encoder, cache=0, backend="onnx", precision="int8"))


def _hyde(material: Material, number: int, sources: tuple[str, ...]) -> Built:
    written = material.hypotheses

    def say(prompt: str) -> str:
        question = next(each for each in written if each in prompt)
        said = written[question]
        turn = asked[question] = asked.get(question, -1) + 1
        return said[turn % len(said)]

    asked: dict[str, int] = {}
    before = Hyde(CallableGenerator(say), hypotheses=number, gate="always", cache=None)
    return _built(material, DenseEncoder(material.model, query_cache=0), sources, before)


def _ranking(reranker: CrossEncoderReranker) -> Built:
    reranker.warm_up()

    def state(question: str, texts: Sequence[str], number: int) -> SearchState:
        hits = tuple(Hit(Passage(text, id=at), 0.0, {}, at) for at, text in enumerate(texts))
        return SearchState(Query(question, limit=number), hits)

    def rank(question: str, texts: Sequence[str], number: int) -> list[int]:
        found: SearchState = run(reranker.flow(state(question, texts, number)))
        return [int(str(hit.id)) for hit in found.hits]

    async def arank(question: str, texts: Sequence[str], number: int) -> list[int]:
        found: SearchState = await arun(reranker.flow(state(question, texts, number)))
        return [int(str(hit.id)) for hit in found.hits]

    return Built(rank=rank, arank=arank)


def _built(
    material: Material, encoder: DenseEncoder, sources: tuple[str, ...], before: Stage | None = None
) -> Built:
    client = EdgeClient(material.folder / "edge")
    dense = Known(encoder, material)
    docs = Collection.create(client, "docs", dense=dense, sparse=Bm25Encoder(average_length=material.average))
    passages = [{"id": id_, "text": text} for id_, text in zip(material.ids, material.texts, strict=True)]
    docs.indexer(progress=False).add(passages)
    client.optimize("docs")
    dense.warm_up()
    retriever: Stage = docs.retriever(sources=sources) if sources else docs.retriever()
    pipeline = retriever if before is None else before >> retriever

    def search(question: str, number: int) -> list[str]:
        return _ids(pipeline.run(question, limit=number))

    async def asearch(question: str, number: int) -> list[str]:
        return _ids(await pipeline.arun(question, limit=number))

    return Built(search, asearch)


def _ids(result: SearchResult) -> list[str]:
    if result.degraded:
        msg = f"not measured whole: {[str(each) for each in result.degraded]}"
        raise RuntimeError(msg)
    return [str(hit.id) for hit in result.hits]
