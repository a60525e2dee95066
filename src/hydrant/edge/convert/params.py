"""Search parameters, from `models.SearchParams` to the engine's."""

from __future__ import annotations

from typing import Any

import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.convert.filters import to_engine_filter


def to_engine_params(params: models.SearchParams | dict[str, Any] | None) -> engine.SearchParams | None:
    """Search parameters as the engine takes them; a plain dict serves too, None stays None."""
    if params is None:
        return None
    if isinstance(params, dict):
        params = models.SearchParams(**params)
    return engine.SearchParams(
        hnsw_ef=params.hnsw_ef,
        exact=bool(params.exact),
        quantization=_quantization(params.quantization),
        indexed_only=bool(params.indexed_only),
        acorn=_acorn(params.acorn),
        idf=_idf(params.idf),
    )


def _quantization(
    params: models.QuantizationSearchParams | None,
) -> engine.QuantizationSearchParams | None:
    if params is None:
        return None
    return engine.QuantizationSearchParams(
        ignore=bool(params.ignore), rescore=params.rescore, oversampling=params.oversampling
    )


def _acorn(params: models.AcornSearchParams | None) -> engine.AcornSearchParams | None:
    if params is None:
        return None
    return engine.AcornSearchParams(enable=bool(params.enable), max_selectivity=params.max_selectivity)


def _idf(scope: models.IdfScope | models.IdfCorpusParams | None) -> engine.IdfParams | None:
    # The engine's default is the whole collection, which is what the one `IdfScope` means.
    if not isinstance(scope, models.IdfCorpusParams):
        return None
    return engine.IdfParams(to_engine_filter(scope.corpus))
