"""One ingest in a process of its own, for its speed and its peak memory; started by `benchmarks.ingest`.

The model is loaded and warmed up and the input objects are made before anything is measured. Then the kernel's high-water
mark of resident memory is set back, the texts are ingested once, and one line of JSON says how long it took and how much
memory it needed on top of what the process had before.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import data_folder, manual_texts, texts_of
from benchmarks.indexes import MODEL

Ingest = Callable[[], int]


@dataclass(frozen=True)
class Job:
    """What to ingest, and how.

    Attributes:
        texts: The passages.
        folder: An empty folder, for a tool that writes to disk.
        model: The model's folder or name.
        batch: The tool's own batch size; None for its default.
    """

    texts: list[str]
    folder: Path
    model: str
    batch: int | None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("--texts", default="nfcorpus/test")
    parser.add_argument("--number", type=int, default=512)
    parser.add_argument("--data", default=None)
    parser.add_argument("--batch", type=int, default=None, help="the tool's own batch size")
    parser.add_argument(
        "--model", default=None, help="the model's folder, for tools that know no hub offline"
    )
    given = parser.parse_args(arguments)
    texts = corpus(given.texts, given.number, given.data)
    with tempfile.TemporaryDirectory() as folder:
        ingest = TOOLS[given.tool](Job(texts, Path(folder), given.model or MODEL, given.batch))
        gc.collect()
        before = _forget_peak()
        start = time.perf_counter()
        written = ingest()
        seconds = time.perf_counter() - start
        peak = _peak()
        if written != len(texts):
            msg = f"{given.tool} wrote {written} of {len(texts)} passages"
            raise RuntimeError(msg)
        print(json.dumps({"seconds": seconds, "before": before, "peak": peak}), flush=True)


def corpus(name: str, number: int, data: str | None) -> list[str]:
    """The texts to ingest: a judged set's, or "manual" for the Python language reference."""
    return manual_texts(number) if name == "manual" else texts_of(name, data_folder(data), number)


def _hydrant(job: Job) -> Ingest:
    from hydrant import Bm25Encoder, Collection, DenseEncoder, EdgeClient, Passage

    dense = DenseEncoder(job.model) if job.batch is None else DenseEncoder(job.model, batch_size=job.batch)
    dense.encode_document(["warm up"])
    passages = [Passage(text, id=number) for number, text in enumerate(job.texts)]

    def ingest() -> int:
        with EdgeClient(job.folder) as client:
            docs = Collection.create(client, "docs", dense=dense, sparse=Bm25Encoder())
            docs.indexer(progress=False).add(passages)
            return docs.count()

    return ingest


def _encode_only(job: Job) -> Ingest:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(job.model)
    loaded.encode(["warm up"])
    return lambda: len(loaded.encode(job.texts, batch_size=32 if job.batch is None else job.batch))


def _langchain(job: Job) -> Ingest:
    from langchain_core.documents import Document
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_qdrant import QdrantVectorStore

    embeddings = HuggingFaceEmbeddings(model_name=job.model)
    embeddings.embed_documents(["warm up"])
    documents = [
        Document(page_content=text, metadata={"number": number}) for number, text in enumerate(job.texts)
    ]

    def ingest() -> int:
        store = QdrantVectorStore.from_documents(
            documents,
            embeddings,
            location=":memory:",
            collection_name="docs",
            batch_size=64 if job.batch is None else job.batch,
        )
        return int(store.client.count("docs").count)

    return ingest


def _llama_index(job: Job) -> Ingest:
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    options: dict[str, Any] = {} if job.batch is None else {"embed_batch_size": job.batch}
    embedding = HuggingFaceEmbedding(model_name=job.model, **options)
    embedding.get_text_embedding("warm up")
    nodes = [TextNode(text=text, metadata={"number": number}) for number, text in enumerate(job.texts)]

    def ingest() -> int:
        client = QdrantClient(":memory:")
        store = QdrantVectorStore("docs", client=client)
        VectorStoreIndex(
            nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embedding
        )
        return int(client.count("docs").count)

    return ingest


TOOLS: dict[str, Callable[[Job], Ingest]] = {
    "hydrant": _hydrant,
    "encode-only": _encode_only,
    "langchain": _langchain,
    "llama-index": _llama_index,
}


def _forget_peak() -> int:
    """Set the high-water mark back where the system allows it; the bytes that are resident now, or were at most."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _peak()
    return _peak()


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
