"""Arguments: those that were not given, and those that nobody declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StrictInt, StrictStr, model_validator

from hydrant import Stage
from hydrant.errors import ConfigurationError, UnknownArgument

# Settings as fields: a whole number of at least 1, seconds above 0, the name or number of a tenant.
Count: TypeAlias = Annotated[int, Field(strict=True, ge=1)]
Seconds: TypeAlias = Annotated[float, Field(gt=0)]
Tenant: TypeAlias = StrictStr | StrictInt


def _stages_as_json(stage: Stage) -> list[Any]:
    from hydrant import described  # noqa: PLC0415  needs qdrant-client, a second to import

    return described(stage)


# A pipeline as a field. Dumped as JSON it is what stands under `stages` in the YAML file that `hydrant.open_pipeline` reads.
Stages: TypeAlias = Annotated[Stage, PlainSerializer(_stages_as_json, when_used="json")]


class _Unset(Enum):
    UNSET = "unset"


# What stands for "not given" where None means something.
UNSET: Final = _Unset.UNSET


class Declared(BaseModel):
    """A component that takes no keyword that nobody declared; an error lists those that exist."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            check_known(given, cls.model_fields, cls.__name__)
        return given


def check_known(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse keywords that nobody declared.

    Raises:
        UnknownArgument: There is one; the message lists those that exist.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        msg = f"{where} takes {sorted(known)}, got the unknown {unknown}"
        raise UnknownArgument(msg)


def check_filter(wanted: object) -> Any:
    """The filter, if it can be one: what its fields mean is checked against the collection when it is used.

    Raises:
        ConfigurationError: It is neither a mapping nor a Qdrant filter.
    """
    if wanted is None or isinstance(wanted, Mapping):
        return wanted
    from qdrant_client import models  # noqa: PLC0415  a second to import, and not needed without a filter

    if isinstance(wanted, models.Filter):
        return wanted
    msg = (
        "filter must be a mapping such as {'lang': 'en'}, a qdrant_client.models.Filter or None, "
        f"got {wanted!r} that is a {type(wanted).__name__}"
    )
    raise ConfigurationError(msg)
