"""How vectors are made smaller in memory, and how a search makes up for what that loses.

A quantized collection keeps the whole vectors on disk and a small copy of each in memory. A search ranks by the small ones,
takes some more candidates than were asked for (oversampling), and ranks those again by the whole ones (rescoring).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

from qdrant_client import models

from hydrant.errors import ConfigurationError

Compression: TypeAlias = Literal["scalar", "binary", "product", "turbo"]
QuantizationLike: TypeAlias = "Compression | models.QuantizationConfig"

_CONFIGS: Mapping[str, Callable[[], models.QuantizationConfig]] = {
    "scalar": lambda: models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    ),
    "binary": lambda: models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
    "product": lambda: models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
    ),
    "turbo": lambda: models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(always_ram=True)),
}
_KINDS: Mapping[type, str] = {
    models.ScalarQuantization: "scalar",
    models.BinaryQuantization: "binary",
    models.ProductQuantization: "product",
    models.TurboQuantization: "turbo",
}
# How many times the candidates asked for are ranked again by the whole vectors; chosen in benchmarks/README.md
# ("Compression").
_OVERSAMPLING: Mapping[str, float] = {"scalar": 2.0, "binary": 8.0, "product": 8.0, "turbo": 3.0}


def quantization(wanted: QuantizationLike | None) -> models.QuantizationConfig | None:
    """Qdrant's configuration for a compression by its name; a configuration is taken as it is.

    Raises:
        ConfigurationError: There is no compression of that name.
    """
    if wanted is None or isinstance(wanted, tuple(_KINDS)):
        return wanted  # type: ignore[return-value]  # mypy does not follow the tuple of types
    make = _CONFIGS.get(wanted) if isinstance(wanted, str) else None
    if make is None:
        known = ", ".join(map(repr, get_args(Compression)))
        msg = f"quantization must be {known}, one of qdrant_client.models such as BinaryQuantization, or None; got {wanted!r}"
        raise ConfigurationError(msg)
    return make()


def compression_of(config: Any) -> str | None:
    """The name of a compression that Qdrant reports; None where there is none."""
    return _KINDS.get(type(config))


def search_params(compression: str | None) -> models.SearchParams | None:
    """How a vector of that compression is searched unless the caller says otherwise."""
    if compression is None:
        return None
    oversampling = _OVERSAMPLING[compression]
    return models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=oversampling)
    )


def check_params(params: models.SearchParams | None) -> None:
    """Refuse an oversampling that would ask for fewer candidates than hits.

    Raises:
        ConfigurationError: It is below 1.
    """
    asked = None if params is None or params.quantization is None else params.quantization.oversampling
    if asked is not None and not asked >= 1:
        msg = (
            f"oversampling must be at least 1, so that as many candidates as hits are rescored; got {asked!r}"
        )
        raise ConfigurationError(msg)
