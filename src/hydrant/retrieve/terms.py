"""Which terms of a query a passage was found by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qdrant_client import models

from hydrant.encode.base import Encoder
from hydrant.retrieve.request import Ask
from hydrant.types import Hit


def with_terms(hit: Hit, vector: Any, asks: Sequence[Ask], encoders: Mapping[str, Encoder], text: str) -> Hit:
    """The hit with the terms of its sparse sources.

    Args:
        hit: What was found.
        vector: The point's vectors that came with it, by name.
        asks: What each source was asked.
        encoders: The encoder of each source.
        text: The query's text.
    """
    if not isinstance(vector, Mapping):
        return hit
    stages = dict(hit.stages)
    for ask in asks:
        stored = vector.get(str(ask.using))
        if ask.source not in stages or not isinstance(stored, models.SparseVector):
            continue
        shared = _shared(ask.vector, stored)
        names = encoders[ask.source].terms([text], list(shared))
        terms = {names.get(index, str(index)): weight for index, weight in shared.items()}
        stages[ask.source] = replace(stages[ask.source], terms=terms)
    return replace(hit, stages=stages)


def _shared(query: models.SparseVector, document: models.SparseVector) -> dict[int, float]:
    weights = dict(zip(document.indices, document.values, strict=True))
    products = {
        index: value * weights[index]
        for index, value in zip(query.indices, query.values, strict=True)
        if index in weights
    }
    return dict(sorted(products.items(), key=lambda item: -item[1]))
