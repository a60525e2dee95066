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
    # One bit a dimension for what is stored, but four for the query: with one for both, as Qdrant does by default, it takes
    # a far larger oversampling to find as much.
    "binary": lambda: models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            always_ram=True,
            encoding=models.BinaryQuantizationEncoding.ONE_BIT,
            query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR4BITS,
        )
    ),
    "product": lambda: models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
    ),
    "turbo": lambda: models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(always_ram=True, bits=models.TurboQuantBitSize.BITS4)
    ),
}
_KINDS: Mapping[type, str] = {
    models.ScalarQuantization: "scalar",
    models.BinaryQuantization: "binary",
    models.ProductQuantization: "product",
    models.TurboQuantization: "turbo",
}
# Turbo codes of fewer bits need more candidates; those of four are plain "turbo".
_TURBO_BITS: Mapping[models.TurboQuantBitSize, str] = {
    models.TurboQuantBitSize.BITS1: "turbo, 1 bit",
    models.TurboQuantBitSize.BITS1_5: "turbo, 1.5 bits",
    models.TurboQuantBitSize.BITS2: "turbo, 2 bits",
}
# How many times the candidates asked for are ranked again by the whole vectors: where 0.99 of what the whole vectors find by
# themselves came back; benchmarks/README.md ("Compression").
_OVERSAMPLING: Mapping[str, float] = {
    "scalar": 2.0,
    "binary": 12.0,
    "product": 4.0,
    "turbo": 2.0,
    "turbo, 1 bit": 8.0,
    "turbo, 1.5 bits": 6.0,
    "turbo, 2 bits": 3.0,
}


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
    bits = config.turbo.bits if isinstance(config, models.TurboQuantization) else None
    return _KINDS.get(type(config)) if bits is None else _TURBO_BITS.get(bits, "turbo")


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
        ConfigurationError: It is below 1, or the parameters are no `SearchParams`.
    """
    if params is not None and not isinstance(params, models.SearchParams):
        msg = f"params must be a models.SearchParams such as SearchParams(exact=True), got {params!r}"
        raise ConfigurationError(msg)
    asked = None if params is None or params.quantization is None else params.quantization.oversampling
    if asked is not None and not asked >= 1:
        msg = (
            f"oversampling must be at least 1, so that as many candidates as hits are rescored; got {asked!r}"
        )
        raise ConfigurationError(msg)
