"""A search tool for agents."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.prompts import BasePromptTemplate, aformat_document, format_document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

NOTHING = "No documents were found."


class SearchInput(BaseModel):
    """What an agent gives the tool."""

    query: str = Field(description="what to search for, as a question or in keywords")


def create_hydrant_tool(
    retriever: BaseRetriever,
    name: str,
    description: str,
    *,
    document_prompt: BasePromptTemplate[str] | None = None,
    document_separator: str = "\n\n",
) -> StructuredTool:
    """A tool that searches, for `create_agent` and `bind_tools`.

    The same as `langchain_core.tools.create_retriever_tool` with response_format="content_and_artifact", but for what the
    model reads: documents are numbered, so that it can cite them, and say where they come from; finding nothing is said
    in words. The documents themselves, with ids and scores, are the tool message's artifact.

    Args:
        retriever: The retriever, a `HydrantRetriever` or any other.
        name: What the model calls the tool.
        description: What the model reads of it: say what can be found.
        document_prompt: How a document looks; its variables are `page_content` and fields of the metadata. None for the text
            below its title and source, where it has them.
        document_separator: What stands between two documents.
    """

    def content(documents: Sequence[Document], texts: Sequence[str]) -> tuple[str, list[Document]]:
        numbered = (f"[{number}] {text}" for number, text in enumerate(texts, 1))
        return document_separator.join(numbered) or NOTHING, list(documents)

    def search(query: str, callbacks: Callbacks = None) -> tuple[str, list[Document]]:
        documents = retriever.invoke(query, {"callbacks": callbacks})
        if document_prompt is None:
            return content(documents, [_shown(document) for document in documents])
        return content(documents, [format_document(document, document_prompt) for document in documents])

    async def asearch(query: str, callbacks: Callbacks = None) -> tuple[str, list[Document]]:
        documents = await retriever.ainvoke(query, {"callbacks": callbacks})
        if document_prompt is None:
            return content(documents, [_shown(document) for document in documents])
        texts = [await aformat_document(document, document_prompt) for document in documents]
        return content(documents, texts)

    return StructuredTool(
        name=name,
        description=description,
        func=search,
        coroutine=asearch,
        args_schema=SearchInput,
        response_format="content_and_artifact",
    )


def _shown(document: Document) -> str:
    said = (document.metadata.get(key) for key in ("title", "source"))
    header = " | ".join(" ".join(each.split()) for each in said if isinstance(each, str) and each.strip())
    return f"{header}\n{document.page_content}" if header else document.page_content
