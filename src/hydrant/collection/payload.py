"""How a passage lies in a point's payload, for our own collections and for those that others wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hydrant.collection.paths import lookup, place, without
from hydrant.errors import ConfigurationError, PayloadUnmapped
from hydrant.types import Passage

# Under this key our own collections keep what the indexer needs and no user asks for.
BOOKKEEPING = "_hydrant"
# The state of the file that a chunk was cut from; the indexer asks for all of them at once.
REVISION_KEY = f"{BOOKKEEPING}.revision"
# Where people who wrote their own payloads put the text.
_USUAL_TEXT_KEYS = ("text", "content", "page_content", "document")
_NODE = "_node_content"
_NODE_KEYS = frozenset({_NODE, "_node_type", "document_id", "doc_id", "ref_doc_id"})


@dataclass(frozen=True, slots=True)
class PayloadMap:
    """Where in a payload a passage's parts are; paths may be dotted.

    Attributes:
        text: The text. Required in every point that is searched.
        metadata: The mapping that holds the metadata; None where metadata lies flat beside the text.
        title: The title, or None where there is none.
        source: The path or URL the passage came from, or None.
        id: The caller's own id, or None where the point's id is the only one.
        nodes: Whether the text may lie inside a serialised LlamaIndex node instead.
    """

    text: str
    metadata: str | None = None
    title: str | None = None
    source: str | None = None
    id: str | None = None
    nodes: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text:
            msg = f"text must be the payload key that holds the text, got {self.text!r}"
            raise ConfigurationError(msg)
        for name in ("metadata", "title", "source", "id"):
            path = getattr(self, name)
            if path is not None and (not isinstance(path, str) or not path):
                msg = (
                    f"{name} must be the payload key that holds it, or None where there is none; got {path!r}"
                )
                raise ConfigurationError(msg)

    @classmethod
    def hydrant(cls) -> PayloadMap:
        """Our own layout: text, title, source and id at the top, metadata in a mapping of its own."""
        return cls(text="text", metadata="metadata", title="title", source="source", id="id")

    @classmethod
    def langchain(cls, text: str = "page_content", metadata: str = "metadata") -> PayloadMap:
        """What `langchain_qdrant.QdrantVectorStore` writes."""
        return cls(text=text, metadata=metadata, source=f"{metadata}.source")

    @classmethod
    def llama_index(cls, text: str = "text") -> PayloadMap:
        """What LlamaIndex's `QdrantVectorStore` writes: metadata flat, the text inside the serialised node.

        Passages that are written in it need the serialised node in their `origin`; LlamaIndex makes it.
        """
        return cls(text=text, source="file_path", nodes=True)

    @classmethod
    def haystack(cls) -> PayloadMap:
        """What Haystack's `QdrantDocumentStore` writes."""
        return cls(text="content", metadata="meta", id="id", source="meta.file_path")

    @classmethod
    def mcp(cls) -> PayloadMap:
        """What the Qdrant MCP server writes."""
        return cls(text="document", metadata="metadata")

    @classmethod
    def flat(
        cls,
        text: str,
        *,
        title: str | None = None,
        source: str | None = None,
        id: str | None = None,  # noqa: A002  the attribute's name
    ) -> PayloadMap:
        """Any payload with the text under one key and everything else beside it."""
        return cls(text=text, title=title, source=source, id=id)

    @classmethod
    def detect(cls, payloads: Iterable[Mapping[str, Any]], where: str) -> PayloadMap:
        """The layout that fits some payloads of a collection.

        Args:
            payloads: A few of them.
            where: What to call the collection in the message.

        Raises:
            PayloadUnmapped: None of the known layouts fits; the message lists the keys that were seen.
        """
        samples = list(payloads)
        known = (cls.llama_index(), cls.hydrant(), cls.langchain(), cls.haystack(), cls.mcp())
        for layout in (*known, *map(cls.flat, _USUAL_TEXT_KEYS)):
            if samples and all(layout.fits(sample) for sample in samples):
                return layout
        seen = sorted({key for sample in samples for key in sample})
        msg = (
            f"{where} has payloads in no known layout (keys seen: {seen}); say where the text is, for instance "
            "payload=PayloadMap.flat(text='body')"
        )
        raise PayloadUnmapped(msg)

    def fits(self, payload: Mapping[str, Any]) -> bool:
        """Whether a payload has its text where this layout says."""
        if self.nodes:
            return isinstance(payload.get(_NODE), str)
        # Where metadata is nested, its key is always written; without it, what lies beside the text is the metadata.
        if self.metadata is not None and not isinstance(payload.get(self.metadata, ""), Mapping | None):
            return False
        return isinstance(lookup(payload, self.text), str)

    def key(self, field: str) -> str:
        """The payload key of a field as a caller names it: `lang` is `metadata.lang` where metadata is nested."""
        own = {name: getattr(self, name) for name in ("text", "title", "source", "id")}
        if own.get(field) is not None:
            return str(own[field])
        return field if self.metadata is None else f"{self.metadata}.{field}"

    def passage(self, payload: Mapping[str, Any] | None, point_id: object) -> Passage:
        """The passage that a payload holds.

        Raises:
            PayloadUnmapped: There is no text where the layout says.
        """
        payload = {} if payload is None else payload
        # In a node's payload the key may be a metadata field of that name; the text is inside the node.
        text = _node_text(payload.get(_NODE)) if self.nodes else None
        if text is None:
            text = lookup(payload, self.text)
        if not isinstance(text, str):
            msg = (
                f"point {point_id!r} has no text under {self.text!r} (its payload has the keys {sorted(payload)}); "
                "open the collection with the PayloadMap that fits, for instance PayloadMap.flat(text=...)"
            )
            raise PayloadUnmapped(msg)
        return Passage(
            text=text,
            id=None if self.id is None else lookup(payload, self.id),
            title=None if self.title is None else lookup(payload, self.title),
            source=None if self.source is None else lookup(payload, self.source),
            metadata=self._metadata(payload),
            origin={key: payload[key] for key in _NODE_KEYS if key in payload} if self.nodes else {},
        )

    def payload(self, passage: Passage) -> dict[str, Any]:
        """The payload that holds a passage.

        Raises:
            ConfigurationError: The layout cannot hold it: a node is wanted and there is none, or metadata would hide the text.
        """
        if self.nodes:
            return self._node_payload(passage)
        payload: dict[str, Any] = {}
        if self.metadata is None:
            taken = sorted(self._own_keys() & set(passage.metadata))
            if taken:
                msg = f"metadata has the keys {taken}, where this collection's payloads hold the passage itself; rename them"
                raise ConfigurationError(msg)
            payload.update(passage.metadata)
        else:
            payload[self.metadata] = dict(passage.metadata)
        place(payload, self.text, passage.text)
        for path, value in (
            (self.title, passage.title),
            (self.source, passage.source),
            (self.id, passage.id),
        ):
            if path is not None and value is not None:
                place(payload, path, value)
        return payload

    def _node_payload(self, passage: Passage) -> dict[str, Any]:
        """As LlamaIndex lays it out: the node as it serialised it, and flat metadata beside it to filter by."""
        node = passage.origin.get(_NODE)
        if not isinstance(node, str) or _node_text(node) is None:
            msg = (
                "this collection holds nodes as LlamaIndex writes them, and only LlamaIndex can make one; index through it "
                f"(HydrantIndexer), or give the passage one as origin[{_NODE!r}]; got {node!r}"
            )
            raise ConfigurationError(msg)
        taken = sorted((_NODE_KEYS | {BOOKKEEPING}) & set(passage.metadata))
        if taken:
            msg = (
                f"metadata has the keys {taken}, where LlamaIndex keeps what belongs to the node; rename them"
            )
            raise ConfigurationError(msg)
        return {**passage.metadata, **passage.origin}

    def record(self) -> dict[str, Any]:
        """The layout as JSON, to be stored with the collection."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PayloadMap:
        """The layout that `record` stored."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in record.items() if key in known})

    def _own_paths(self) -> list[str]:
        return [path for path in (self.text, self.title, self.source, self.id) if path is not None]

    def _own_keys(self) -> set[str]:
        return {BOOKKEEPING, *(path.split(".")[0] for path in self._own_paths())}

    def _metadata(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        if self.metadata is not None:
            metadata = payload.get(self.metadata)
            # dict first: asking the abstract class takes longer than all the rest of this.
            return dict(metadata) if isinstance(metadata, dict | Mapping) else {}
        hidden = {BOOKKEEPING} | (_NODE_KEYS if self.nodes else set())
        rest = {key: value for key, value in payload.items() if key not in hidden}
        for path in self._own_paths():
            rest = without(rest, path)
        return rest


def _node_text(serialised: Any) -> str | None:
    """The text inside a serialised LlamaIndex node, of which there are two forms; None where there is none."""
    try:
        node = json.loads(serialised)
    except (TypeError, ValueError):
        return None
    if not isinstance(node, Mapping):
        return None
    old, new = lookup(node, "text"), lookup(node, "text_resource.text")
    found = new if isinstance(new, str) and not old else old
    return found if isinstance(found, str) else None
