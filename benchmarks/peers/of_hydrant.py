"""Hydrant's pipelines."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.contenders import Built
from benchmarks.peers.material import Material
from hydrant import Bm25Encoder, Collection, DenseEncoder, EdgeClient, Encoder, Stage


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
        """The known vectors."""
        import numpy as np

        return np.stack([self._vectors[text] for text in texts])

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


def _built(material: Material, encoder: DenseEncoder, sources: tuple[str, ...]) -> Built:
    client = EdgeClient(material.folder / "edge")
    dense = Known(encoder, material)
    docs = Collection.create(client, "docs", dense=dense, sparse=Bm25Encoder(average_length=material.average))
    passages = [{"id": id_, "text": text} for id_, text in zip(material.ids, material.texts, strict=True)]
    docs.indexer(progress=False).add(passages)
    client.optimize("docs")
    dense.warm_up()
    retriever: Stage = docs.retriever(sources=sources) if sources else docs.retriever()

    def search(question: str, number: int) -> list[str]:
        return [str(hit.id) for hit in retriever.run(question, limit=number).hits]

    async def asearch(question: str, number: int) -> list[str]:
        return [str(hit.id) for hit in (await retriever.arun(question, limit=number)).hits]

    return Built(search, asearch)
