"""Rerankers of other libraries, on the same cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.contenders import Built
from benchmarks.peers.material import Material


def predict(material: Material) -> Built:
    """sentence-transformers by itself."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(material.cross_encoder)

    def rank(question: str, texts: Sequence[str], number: int) -> list[int]:
        scores = model.predict([(question, text) for text in texts])
        return sorted(range(len(texts)), key=lambda at: -float(scores[at]))[:number]

    return Built(rank=rank)


def langchain_rerank(material: Material) -> Built:
    """LangChain's document compressor."""
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_community.cross_encoders import HuggingFaceCrossEncoder
    from langchain_core.documents import Document

    model = HuggingFaceCrossEncoder(model_name=material.cross_encoder)

    def rank(question: str, texts: Sequence[str], number: int) -> list[int]:
        reranker = CrossEncoderReranker(model=model, top_n=number)
        documents = [Document(page_content=text, metadata={"at": at}) for at, text in enumerate(texts)]
        return [each.metadata["at"] for each in reranker.compress_documents(documents, question)]

    return Built(rank=rank)


def rerankers_rerank(material: Material) -> Built:
    """The library rerankers."""
    from rerankers import Reranker

    model = Reranker(material.cross_encoder, model_type="cross-encoder", device="cpu", verbose=0)

    def rank(question: str, texts: Sequence[str], number: int) -> list[int]:
        ranked = model.rank(query=question, docs=list(texts), doc_ids=list(range(len(texts))))
        return [int(each.document.doc_id) for each in ranked.results][:number]

    return Built(rank=rank)
