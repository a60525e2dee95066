"""What a search found as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydrant import Hit, SearchResult
    from hydrant.types_context import Citation, Context


def answer(result: SearchResult) -> dict[str, Any]:
    """What every search has: query, hits, degraded, trace."""
    return {
        "query": result.query.text,
        "hits": [_hit(hit) for hit in result.hits],
        "degraded": [{"stage": each.stage, "reason": each.reason} for each in result.degraded],
        "trace": [
            {"name": span.name, "depth": span.depth, "start": span.start, "seconds": span.seconds}
            for span in result.trace
        ],
    }


def whole_answer(result: SearchResult) -> dict[str, Any]:
    """What the search of a pipeline has besides: what stages put into the query, what they packed, and what models cost."""
    return answer(result) | {
        "expansions": [
            {
                "stage": each.stage,
                "texts": list(each.texts),
                "cached": each.cached,
                "decision": each.decision,
                "dropped": list(each.dropped),
            }
            for each in result.expansions
        ],
        "usage": {stage: asdict(usage) for stage, usage in result.usage.items()},
        "context": None if result.context is None else _context(result.context),
    }


def _hit(hit: Hit) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": hit.id,
        "point_id": hit.point_id,
        "score": hit.score,
        "stages": {name: {"score": stage.score, "rank": stage.rank} for name, stage in hit.stages.items()},
        "source": hit.source,
        "title": hit.title,
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }
    if hit.spans:
        found["spans"] = [asdict(span) for span in hit.spans]
    return found


def _context(context: Context) -> dict[str, Any]:
    return {
        "text": context.text,
        "tokens": context.tokens,
        "citations": [_citation(each) for each in context.citations],
        "left_out": [{"id": each.hit.id, "reason": each.reason} for each in context.left_out],
    }


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "number": citation.number,
        "start": citation.start,
        "end": citation.end,
        "title": citation.title,
        "source": citation.source,
        "hits": [hit.id for hit in citation.hits],
        "shortened": citation.shortened,
    }
