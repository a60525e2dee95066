"""Documents to passages and hits, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from hydrant import Degradation, Hit, Passage, StageScore
from hydrant.errors import InputError

# Under these keys a document's metadata says how it was found.
SCORE = "score"
FOUND = "_hydrant"
# What lay under the key of the score before it came; put back when a document is stored again.
_SHADOWED = "shadowed"
# Parts of a passage that LangChain's users look for in the metadata.
_PARTS = ("title", "source")


def document_of(hit: Hit, degraded: Sequence[Degradation] = (), *, with_scores: bool = True) -> Document:
    """A hit as a document.

    Its metadata is the passage's, with `source` and `title` where the passage has them elsewhere, and the keys that say how
    it was found, if those are wanted; see `found`.
    """
    metadata = shown_metadata(hit.passage)
    return Document(
        id=None if hit.id is None else str(hit.id),
        page_content=hit.text,
        metadata=found(metadata, hit, degraded) if with_scores else metadata,
    )


def shown_metadata(passage: Passage) -> dict[str, Any]:
    """A passage's metadata, with its source and title."""
    metadata = dict(passage.metadata)
    for name in _PARTS:
        value = getattr(passage, name)
        if value is not None:
            metadata.setdefault(name, value)
    return metadata


def found(metadata: Mapping[str, Any], hit: Hit, degraded: Sequence[Degradation] = ()) -> dict[str, Any]:
    """Metadata with how a document was found: its score, and under `_hydrant` score, stages and what went wrong.

    Metadata of its own under "score" is kept as `_hydrant["shadowed"]`. What no stage has ranked yet has no score.
    """
    said: dict[str, Any] = {
        "score": hit.score if hit.stages else None,
        "stages": {name: _score(score) for name, score in hit.stages.items()},
        "degraded": [{"stage": each.stage, "reason": each.reason} for each in degraded],
    }
    own = {key: value for key, value in metadata.items() if key != FOUND}
    if not hit.stages:
        return {**own, FOUND: said}
    if SCORE in own:
        said[_SHADOWED] = own[SCORE]
    return {**own, SCORE: hit.score, FOUND: said}


def own_metadata(document: Document) -> dict[str, Any]:
    """A document's metadata without what says how it was found."""
    said = _said(document)
    if said is None:
        return dict(document.metadata)
    metadata = {key: value for key, value in document.metadata.items() if key != FOUND}
    if said["score"] is None:
        return metadata
    metadata.pop(SCORE, None)
    return {**metadata, SCORE: said[_SHADOWED]} if _SHADOWED in said else metadata


def checked(documents: Iterable[Document]) -> list[Document]:
    """The documents as a list.

    Raises:
        InputError: Something among them is no document.
    """
    given = list(documents)
    for each in given:
        if not isinstance(each, Document):
            msg = f"documents must be LangChain Documents, got {each!r} that is a {type(each).__name__}"
            raise InputError(msg)
    return given


def hits_of(documents: Sequence[Document]) -> list[Hit]:
    """Documents as hits in their order, with the scores that they say they have."""
    return [_hit(document, rank) for rank, document in enumerate(documents, 1)]


def _hit(document: Document, rank: int) -> Hit:
    metadata = own_metadata(document)
    title, source = (metadata.get(name) for name in _PARTS)
    passage = Passage(
        text=document.page_content,
        id=document.id,
        title=title if isinstance(title, str) else None,
        source=source if isinstance(source, str) else None,
        metadata=metadata,
    )
    said = _said(document)
    if said is None or said["score"] is None:
        return Hit(passage, 1 / rank)
    stages = {
        str(name): StageScore(float(each["score"]), int(each["rank"]), each.get("terms", {}))
        for name, each in said["stages"].items()
    }
    return Hit(passage, float(said["score"]), stages)


def _said(document: Document) -> Mapping[str, Any] | None:
    """How a document was found, where one of ours found it; others may use the key for something."""
    said = document.metadata.get(FOUND)
    if not isinstance(said, Mapping) or SCORE not in said:
        return None
    stages, score = said.get("stages"), said[SCORE]
    ours = isinstance(stages, Mapping) and all(map(_is_stage, stages.values()))
    return said if ours and (score is None or _is_number(score)) else None


def _is_stage(said: object) -> bool:
    return isinstance(said, Mapping) and _is_number(said.get("score")) and _is_number(said.get("rank"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _score(score: StageScore) -> dict[str, Any]:
    said: dict[str, Any] = {"score": score.score, "rank": score.rank}
    return {**said, "terms": dict(score.terms)} if score.terms else said
